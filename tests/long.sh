#!/usr/bin/env bash
# What is too long or too large for CI. Needs PYTHON (default python3) with timm 1.0.31, torch, Pillow and pyarrow, a
# package index for pip, some 2 GB of disk and 6 of memory. An hour and more on two cores.
#
#   PYTHON=oracle/bin/python bash tests/long.sh [WORK] 2>&1 | tee tests/long.log
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
work=${1:-$(mktemp -d)}
mkdir -p "$work"
zoo=$PWD/target/release/zoo
export ZOO_HOME=$work/home

echo "== $(date -u +%Y-%m-%dT%H:%MZ), $(git rev-parse --short HEAD)$(git diff --quiet || echo ', with changes')"
grep -m1 'model name' /proc/cpuinfo
grep -qw avx512f /proc/cpuinfo && echo "isa: avx512" || echo "isa: avx2; not run here: avx512"
cargo build --release

echo "== every float32 as float16 and bfloat16: the nearest, ties to even"
cargo test --release -p zoo-formats --lib every_float32_is_rounded_to_the_nearest -- --ignored | grep "test result"

echo "== timm's logits of every architecture, on every instruction set"
cargo test --release --test it golden_table::every_record -- --ignored | grep "test result"

echo "== zoo verify --all --dataset golden: none off, none left out"
/usr/bin/time -f '%e s, %M kB' "$zoo" verify --all --dataset golden --offline --progress none --json > "$work/golden.json" \
    || { echo "exit $?" >&2; exit 1; }
python3 -I - "$work/golden.json" <<'PY'
import json, sys
rows = json.load(open(sys.argv[1]))
rows = rows["results"] if isinstance(rows, dict) else rows
assert len(rows) >= 261 and all(r["agrees"] for r in rows), [r["model"] for r in rows if not r["agrees"]]
print(len(rows), "models agree; the furthest is", max(rows, key=lambda r: r["distance"])["model"])
PY

echo "== two thousand variants: every image's top-5 is timm's"
[ -s "$work/variants/timm.json" ] || PYTHONPATH=tests/oracle "$python" tests/oracle/variants.py "$work/variants"
# A contradiction would be diagnosed each time; the claim is about ImageNet, not about variants of twenty photographs.
verify() { "$zoo" verify --progress none --dataset imagenet-val --tolerance 40 "$@"; }
lite0=(efficientnet_lite0_pypi)
run() { local code=0; verify "$@" || code=$?; [ $code -le 1 ] || { echo "exit $code" >&2; return 1; }; }
run "${lite0[@]}" --data-dir "$work/variants/val" --report "$work/all.json" --force
python3 -I tests/compare_top5.py "$work/all.json" "$work/variants/timm.json" lite0
b0=(tf_efficientnet_b0_ns --weights "$work/variants/b0.pth")
run "${b0[@]}" --data-dir "$work/variants/folders" --report "$work/b0.json" --force
python3 -I tests/compare_top5.py "$work/b0.json" "$work/variants/timm.json" b0

echo "== two hundred of them in five layouts: the same report"
canonical() { "$zoo" report --canonical "$1"; }
for layout in folders flat tar parquet webdataset; do
    run "${lite0[@]}" --data-dir "$work/variants/$layout" --report "$work/$layout.json" --force > /dev/null
    canonical "$work/$layout.json" | sha256sum | sed "s/-/$layout/"
    cmp <(canonical "$work/folders.json") <(canonical "$work/$layout.json")
done

echo "== killed at thirty random moments and resumed: the same report"
RANDOM=0
killed=0
while [ $killed -lt 30 ]; do
    rm -rf "$ZOO_HOME/runs"
    # Not the function: its subshell would be killed, and zoo go on.
    "$zoo" verify --progress none --dataset imagenet-val --tolerance 40 "${lite0[@]}" --data-dir "$work/variants/folders" \
        --report "$work/never.json" --force > /dev/null & victim=$!
    sleep "$(printf '%d.%03d' $((RANDOM % 3)) $((RANDOM % 1000)))"
    if ! kill -9 $victim 2> /dev/null || wait $victim 2> /dev/null; then
        echo "had ended"
        continue
    fi
    killed=$((killed + 1))
    rows=$(cat "$ZOO_HOME"/runs/*.rows 2> /dev/null | grep -c classes || true)
    run "${lite0[@]}" --data-dir "$work/variants/folders" --report "$work/resumed.json" > /dev/null
    cmp <(canonical "$work/folders.json") <(canonical "$work/resumed.json")
    rm -f "$work/resumed.json" "$work/never.json"
    echo "$killed: killed with $rows images on record; the same report"
done

echo "== shards, threads, batch: the same report"
for of in 1 2 7; do
    parts=()
    for index in $(seq $of); do
        rm -rf "$ZOO_HOME/runs"
        run "${lite0[@]}" --data-dir "$work/variants/folders" --shard "$index/$of" --report "$work/part-$index.json" --force > /dev/null
        parts+=("$work/part-$index.json")
    done
    "$zoo" merge "${parts[@]}" --report "$work/merged.json" --force > /dev/null || [ $? -eq 1 ]
    cmp <(canonical "$work/folders.json") <(canonical "$work/merged.json")
    echo "$of shards: the same report"
done
for how in "--threads 1" "--threads 2 --batch 16" "--threads 7 --batch 3"; do
    # shellcheck disable=SC2086
    run "${lite0[@]}" --data-dir "$work/variants/folders" $how --report "$work/how.json" --force > /dev/null
    cmp <(canonical "$work/folders.json") <(canonical "$work/how.json")
    echo "$how: the same report"
done
echo "== every planted mistake is named, and none where there is none"
[ -s "$work/variants/faults/faults.json" ] || PYTHONPATH=tests/oracle "$python" tests/oracle/faults.py "$work/variants"
python3 -I tests/diagnose.py "$zoo" "$work/variants/faults"

echo "== the HTML report in headless Chromium"
if "$python" -c 'import selenium' 2> /dev/null && command -v chromedriver > /dev/null; then
    "$python" tests/browser.py "$zoo" "$work/variants/folders" "$work/browser"
else
    echo "not run here: selenium, chromium, chromium-driver"
fi
echo "== four shards and a merge on SLURM"
if command -v slurmctld > /dev/null && command -v munged > /dev/null && [ "$(id -u)" = 0 ]; then
    bash tests/slurm.sh "$work/slurm" efficientnet_lite0_pypi "--dataset imagenet-val --data-dir $work/variants/folders"
else
    echo "not run here: slurm-wlm, munge, as root"
fi
echo "== fine-tuned: timm loads it strictly and sees the same class; scikit-learn on timm's features beside it"
oracle() { "$python" tests/oracle/finetune.py "$@"; }
[ -d "$work/digits/val" ] || oracle digits "$work/digits"
for arch in tf_efficientnet_b0 mobilenetv3_large_100 resnet18 densenet121; do
    [ -s "$work/$arch.safetensors" ] || oracle make "$arch" "$work/$arch.safetensors"
    "$zoo" finetune "$work/$arch.safetensors" --data "$work/digits" -o "$work/$arch-digits.safetensors" --force --progress none
    "$zoo" predict "$work/$arch-digits.safetensors" "$work"/digits/val/*/*.png --json > "$work/$arch-digits.predicted"
    oracle loads "$work/$arch-digits.safetensors" "$work/digits/val" "$work/$arch-digits.predicted"
done
bash tests/six_promises.sh "$zoo" "$work/digits" "$work/promises"
oracle sklearn "$work/digits" "$work/promises/digits.safetensors"

echo "== eight files at once, killed at two hundred random moments: always right, and gone on with"
python3 -I tests/kill_fetch.py "$zoo" "$work/kills" --kills 200
if command -v strace > /dev/null; then
    echo "-- the same where flock lies"
    python3 -I tests/kill_fetch.py "$zoo" "$work/kills" --kills 20 --wrap 'strace -f -qq -o /dev/null -e trace=flock -e inject=flock:retval=0'
else
    echo "not run here: strace"
fi
echo "== two machines and one cache: processes in namespaces of their own"
if unshare --pid --fork --mount-proc true 2> /dev/null; then
    bash tests/namespaces.sh "$zoo" "$work/namespaces"
    if command -v bindfs > /dev/null && command -v fusermount > /dev/null && [ -w /dev/fuse ]; then
        echo "-- the same through two mounts of one folder (FUSE), and twenty kills on one of them"
        mkdir -p "$work/fuse"/{under,one,two}
        unmount() { for mount in one two; do mountpoint -q "$work/fuse/$mount" && fusermount -u "$work/fuse/$mount"; done; }
        trap unmount EXIT
        bindfs "$work/fuse/under" "$work/fuse/one"
        bindfs "$work/fuse/under" "$work/fuse/two"
        bash tests/namespaces.sh "$zoo" "$work/namespaces" "$work/fuse/one" "$work/fuse/two"
        python3 -I tests/kill_fetch.py "$zoo" "$work/fuse/one/kills" --kills 20
        trap - EXIT
        unmount
    else
        echo "not run here: bindfs, fusermount, a writable /dev/fuse"
    fi
else
    echo "not run here: unshare, as root"
fi

echo "== mutated checkpoints: what torch and numpy take and zoo takes is equal"
"$python" tests/oracle/differential.py "$zoo" --minutes 5 --seed 0 --keep "$work/differential"
echo "== all of it holds"
