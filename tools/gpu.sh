#!/usr/bin/env bash
# On a machine with a CUDA device: build for it, run the contract suite on it, time spmm. Needs no network.
# PYTHON chooses the interpreter (default: .venv/bin/python, else python3): one with a CUDA build of torch, pytest,
# setuptools, cmake and ninja. Logs go to build/gpu, figures to benchmarks/results/<gpu>.json.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z "${PYTHON:-}" ]]; then
  PYTHON=python3
  [[ -x .venv/bin/python ]] && PYTHON=$PWD/.venv/bin/python
fi
export PATH="$(dirname "$(command -v "$PYTHON")"):${CUDA_HOME:-/usr/local/cuda}/bin:$PATH"
export PYTHONPATH=$PWD
logs=build/gpu
mkdir -p "$logs"

if ! nvidia-smi > "$logs/nvidia-smi.txt" 2>&1; then
  echo "make gpu needs a CUDA device, but nvidia-smi does not run here" >&2
  exit 1
fi
if ! capability=$("$PYTHON" - << 'PY'
import sys

import torch

if not torch.cuda.is_available():
    sys.exit(f"make gpu needs a torch that sees the CUDA device, but torch {torch.__version__} does not")
print("".join(map(str, torch.cuda.get_device_capability())))
PY
); then
  exit 1
fi

cat "$logs/nvidia-smi.txt"
"$PYTHON" --version
"$PYTHON" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda, torch.cuda.get_device_name())'
"$PYTHON" -c 'import triton; print("triton", triton.__version__)' || true

if command -v nvcc > /dev/null; then
  nvcc --version | tail -n 2
  export GRAPHKERN_BUILD_CUDA=1 GRAPHKERN_CUDA_ARCHS=$capability-real
else
  echo "nvcc was not found: only the Triton kernels run"
  export GRAPHKERN_BUILD_CUDA=0
fi

# The suite and the benchmark both run, whatever the other says; a failure of either is a failure.
failed=0
SECONDS=0
if ! timeout 180 "$PYTHON" setup.py build_ext --inplace > "$logs/build.txt" 2>&1; then
  tail -n 60 "$logs/build.txt"
  echo "the build failed" >&2
  exit 1
fi
echo "built in $SECONDS s"

SECONDS=0
timeout 90 "$PYTHON" benchmarks/spmm_cuda.py > "$logs/bench.txt" 2>&1 || failed=1
echo "benchmark: $SECONDS s"
tail -n 60 "$logs/bench.txt"

SECONDS=0
timeout 240 "$PYTHON" -m pytest tests/ops -q -k cuda --durations 5 -p no:cacheprovider > "$logs/tests.txt" 2>&1 || failed=1
echo "tests: $SECONDS s"
tail -n 80 "$logs/tests.txt"
exit $failed
