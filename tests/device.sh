#!/usr/bin/env bash
# The CUDA engine on a real card: what tests/emulate shows without one, and its speed beside PyTorch's. Under four minutes on
# a card of a data centre. Needs a built zoo, and a PYTHON with torch (for CUDA), timm and Pillow; downloads nothing.
#
#   ZOO=target/release/zoo PYTHON=python3 bash tests/device.sh [WORK] 2>&1 | tee tests/device/CARD.txt
set -euo pipefail
cd "$(dirname "$0")/.."
zoo=${ZOO:-$PWD/target/release/zoo}
python=${PYTHON:-python3}
work=${1:-$(mktemp -d)}
export ZOO_HOME=$work/home ZOO_PROGRESS=none

step() { printf '\n== %s (%d s so far)\n' "$1" "$SECONDS"; }
echo "The CUDA engine: $(date -u +%Y-%m-%dT%H:%MZ), commit ${COMMIT:-$(git rev-parse --short HEAD)}"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
grep -m1 'model name' /proc/cpuinfo; nproc
"$zoo" doctor 2>&1 | grep -i 'cards\|processor' || true

step "the first use of kernels: the driver compiles them"
time "$zoo" verify tf_efficientnet_b0 --dataset golden --device cuda
time "$zoo" verify tf_efficientnet_b0 --dataset golden --device cuda

step "timm's logits on record, and the emulator's bits"
"$python" tests/device.py goldens "$zoo" tests/golden/cuda.json

step "images a second beside PyTorch (float32, TF32 off, channels-last, cudnn.benchmark)"
"$python" tests/device.py speed "$zoo" tf_efficientnet_b0@224 resnet50@224 tf_efficientnet_b7@600 tf_efficientnet_l2@800

step "2,000 JPEGs of 500x375 end to end beside timm's loader and loop (validate.py)"
"$python" tests/device.py pipeline "$zoo" "$work" tf_efficientnet_b0_ns resnet50

step "PyTorch's own precision on this card"
"$python" tests/device.py precision tf_efficientnet_b0 resnet50
step "done"
