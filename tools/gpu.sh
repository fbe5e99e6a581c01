#!/usr/bin/env bash
# On a machine with a CUDA device: builds for it, runs the contract suite, device tests and compute-sanitizer there,
# then the benchmarks. Under nine minutes with 16 cores; needs no network. A step that fails or runs out of time does
# not stop the others, but the script.
# PYTHON chooses the interpreter (default: .venv/bin/python, else python3): one with a CUDA build of torch, Triton,
# pytest, setuptools, cmake and ninja. Logs go to build/gpu, results to benchmarks/results/<gpu>*.
set -uo pipefail
cd "$(dirname "$0")/.."

if [[ -z "${PYTHON:-}" ]]; then
  PYTHON=python3
  [[ -x .venv/bin/python ]] && PYTHON=$PWD/.venv/bin/python
fi
PATH="$(dirname "$(command -v "$PYTHON")"):${CUDA_HOME:-/usr/local/cuda}/bin:$PATH"
export PATH PYTHONPATH=$PWD PYTHONUNBUFFERED=1
logs=build/gpu

if ! devices=$(nvidia-smi 2>&1); then
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

rm -rf "$logs"
mkdir -p "$logs"
failed=()
failed_logs=()
SECONDS=0

# step NAME UNTIL COMMAND...: run it, until so many seconds after the start at most. Output: $logs/NAME.txt.
step() {
  local name=$1 left=$(($2 - SECONDS)) begin=$SECONDS outcome=out-of-time
  shift 2
  if ((left > 0)); then
    timeout -k 5 "$left" "$@" > "$logs/$name.txt" 2>&1
    case $? in
      0) outcome=passed ;;
      124 | 137) ;;
      *)
        outcome=failed
        grep -rqs 'Device not supported' "$logs/$name" && outcome=skipped  # by compute-sanitizer
        ;;
    esac
  fi
  record "$name" "$outcome" $((SECONDS - begin))
}

record() {
  echo "$1 $2 $3" >> "$logs/steps.txt"
  echo "$1: $2 in $3 s"
  if [[ $2 != passed && $2 != skipped ]]; then
    failed+=("$1")
    failed_logs+=("$logs/$1.txt")
  fi
}

jobs=$(nproc)
((jobs > 16)) && jobs=16
gate=("$PYTHON" -m tools.gpu_gate)
tests=("$PYTHON" -m pytest -p tools.gpu_gate -p no:cacheprovider -q --tb=short -rfE)
contract="tests/ops/test_contract.py"

versions() {
  echo "$devices"
  "$PYTHON" --version
  "$PYTHON" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda, torch.cuda.get_device_name())'
  "$PYTHON" -c 'import triton; print("triton", triton.__version__)'
  nvcc --version | tail -n 2
  nproc
} 2>&1
versions | tee "$logs/versions.txt" | tail -n 7

if command -v nvcc > /dev/null; then
  export GRAPHKERN_BUILD_CUDA=1 GRAPHKERN_CUDA_ARCHS=$capability-real
else
  echo "nvcc was not found: only the Triton kernels run"
  export GRAPHKERN_BUILD_CUDA=0
fi
step build 170 "$PYTHON" setup.py build_ext --inplace

export OMP_NUM_THREADS=1
step contract 330 "${gate[@]}" split "$jobs" "$logs/contract" "${tests[@]}" "$contract" \
  -k "cuda-cuda or triton-cuda"
step device 370 "${gate[@]}" split 4 "$logs/device" "${tests[@]}" tests/ops/test_device.py \
  tests/ops/test_sampling.py tests/loader/test_neighbor.py -k "test_device or page_locked"

# Of the contract the smallest inputs and those with a hub; PyTorch's own kernels are not looked at.
until=405
for tool in memcheck racecheck; do
  if ! command -v compute-sanitizer > /dev/null; then
    echo "compute-sanitizer was not found" | tee "$logs/$tool.txt"
    record "$tool" skipped 0
    continue
  fi
  PYTORCH_NO_CUDA_MEMORY_CACHING=1 step "$tool" $until "${gate[@]}" split "$jobs" "$logs/$tool" compute-sanitizer \
    --tool "$tool" --error-exitcode 86 --kernel-name kernel_substring=graphkern "${tests[@]}" "$contract" \
    -k "test_matches_reference and cuda-cuda and int32 and (tiny or hub)"
  until=440
done
unset OMP_NUM_THREADS

step benchmarks 530 "$PYTHON" -m benchmarks.gpu --seconds $((505 - SECONDS))
"${gate[@]}" record "$logs" benchmarks/results || failed+=(record)

for log in "${failed_logs[@]}"; do
  [[ $log == "$logs/benchmarks.txt" ]] && continue
  echo
  echo "==== $log"
  tail -n 40 "$log" 2> /dev/null | cut -c 1-300
done
echo
tail -n 130 "$logs/benchmarks.txt" | cut -c 1-300
echo
echo "$SECONDS s; logs in $logs, results in benchmarks/results; where these are kept: python -m tests.tested"
if ((${#failed[@]})); then
  echo "FAILED: ${failed[*]}" >&2
  exit 1
fi
