# From nothing to a result: `make test`, `make demo`. Needs Python >= 3.11 and a C++ compiler.
PYTHON ?= python3
VENV ?= .venv
# Any torch from 2.11 on.
TORCH ?= torch==2.13.0
# What the compile gate looks at; one architecture is enough for a build to work on.
export GRAPHKERN_CUDA_ARCHS ?= 80-real;90-real;100-real
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
NATIVE = $(wildcard csrc/*/*) CMakeLists.txt setup.py
CXX_FILES = $(wildcard csrc/*/*.cpp csrc/*/*.h csrc/*/*.cu csrc/*/*.cuh tests/cuda_on_host/*.cpp \
	tests/cuda_on_host/device/*.cpp tests/cuda_on_host/device/*.h benchmarks/*.cpp)

.PHONY: build test lint format bench bench-smoke compile-gate gpu demo clean

build: $(INSTALLED)

$(INSTALLED): pyproject.toml $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "$(TORCH)" setuptools wheel cmake ninja
	$(BIN)/pip install --quiet --no-build-isolation --editable ".[dev]"
	touch $@

# Threads that spin while they wait slow everything down on a busy machine.
test bench-smoke: export OMP_WAIT_POLICY = PASSIVE

test: build
	$(BIN)/python -m pytest

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)

format: build
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

# GRAPHKERN_BENCH_FULL=1 times every combination of graph, width and reduce.
bench: build
	$(BIN)/python -m pytest benchmarks -q --benchmark-quiet --results benchmarks/results

# Every benchmark once on small inputs: checks results, times nothing.
bench-smoke: build
	GRAPHKERN_BENCH_SMOKE=1 $(BIN)/python -m pytest benchmarks -q -rs --benchmark-disable

# Compiles every CUDA and Triton kernel to machine code, without a GPU; fails on a register spill.
compile-gate: build
	$(BIN)/python tools/compile_gate.py

# On a machine with a CUDA device: builds, tests and measures there, in under nine minutes.
gpu:
	tools/gpu.sh

demo: export OMP_WAIT_POLICY = PASSIVE
demo: build
	$(BIN)/graphkern data ml-100k --out data/ml-100k
	$(BIN)/graphkern data minilm --out data/minilm
	$(BIN)/graphkern train --config configs/ml-100k.yaml

clean:
	rm -rf build dist *.egg-info $(INSTALLED) graphkern/*.so graphkern/_build_info.json
