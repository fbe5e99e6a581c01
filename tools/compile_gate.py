"""Compile every CUDA and Triton kernel (or those of the ops that are named) to machine code for three architectures.

Needs no GPU. An error or a spill fails. Prints, for each kernel, the most that any of its variants (dtypes, widths,
flags) takes. Without nvcc the CUDA half is left out, unless GRAPHKERN_BUILD_CUDA=1; GRAPHKERN_BUILD_CUDA=0 always
leaves it out.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

os.environ.pop("TRITON_INTERPRET", None)
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

import torch

ROOT = Path(__file__).resolve().parents[1]
ARCHS = (80, 90, 100)
JOBS = 2
NVCC_FLAGS = ["-std=c++20", "-O3", "-DUSE_CUDA", "-DTORCH_TARGET_VERSION=0x020b000000000000"]
OBJECTS = ROOT / "build/cmake-cuda/CMakeFiles/graphkern_cuda.dir/csrc"
RESOURCES = ("REG", "STACK", "LOCAL", "SHARED")


class Usage(NamedTuple):
    """What one variant of a kernel takes: registers a thread, static shared memory a block, bytes of stack a thread.

    The stack is where registers spill to, and where arrays go that are not indexed by constants.
    """

    op: str
    language: str
    kernel: str
    arch: int
    registers: int
    shared: int
    spill: int


def compile_cuda(source: Path) -> list[Usage]:
    """What the kernels of a launcher take: of its built object where that is new and has every architecture."""
    built = OBJECTS / source.parent.name / f"{source.name}.o"
    if built.exists() and built.stat().st_mtime > max(path.stat().st_mtime for path in ROOT.glob("csrc/*/*.cu*")):
        found = _usage(built, source.parent.name)
        if {usage.arch for usage in found} == set(ARCHS):
            return found
    with tempfile.TemporaryDirectory() as folder:
        targets = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in ARCHS]
        include = f"-isystem={Path(torch.__file__).parent / 'include'}"
        _output(["nvcc", *NVCC_FLAGS, *targets, include, "-c", str(source), "-o", f"{folder}/out.o"])
        return _usage(Path(folder) / "out.o", source.parent.name)


def _usage(binary: Path, op: str) -> list[Usage]:
    found, arch, name = [], 0, ""
    for line in _output([_cuobjdump(), "-res-usage", str(binary)]).splitlines():
        if field := re.match(r"arch = sm_(\d+)", line):
            arch = int(field[1])
        elif field := re.match(r" Function (\w+):", line):
            name = field[1]
        elif line.startswith("  REG:"):
            registers, *stack, shared = (int(re.search(rf"{key}:(\d+)", line)[1]) for key in RESOURCES)
            found.append(Usage(op, "CUDA", name, arch, registers, shared, sum(stack)))
    if not found:
        raise RuntimeError(f"{binary} has no kernels")
    names = _output(["c++filt"], "\n".join(usage.kernel for usage in found)).splitlines()
    return [usage._replace(kernel=_short(name)) for usage, name in zip(found, names, strict=True)]


def _short(name: str) -> str:
    """void graphkern::cuda::reduce_rows<graphkern::cuda::SpmmBody<float, int, 4> >(...) -> reduce_rows<SpmmBody>"""
    kernel, body = re.search(r"([a-z_][a-z_0-9]*)(?:<(?:[\w:]*?([A-Z]\w+)<)?|\()", name).groups()
    return f"{kernel}<{body}>" if body else kernel


def compile_triton(op: str, position: int) -> list[Usage]:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    variant = _variants(op)[position]
    found = []
    for arch in ARCHS:
        source = ASTSource(variant.kernel, variant.signature(), variant.constexprs)
        compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": variant.num_warps})
        with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
            cubin.write(compiled.asm["cubin"])
            cubin.flush()
            log = _output([_cuobjdump(), "-res-usage", cubin.name])
        registers, stack = (int(re.search(rf"{field}:(\d+)", log)[1]) for field in ("REG", "STACK"))
        name = variant.kernel.__name__
        found.append(Usage(op, "Triton", name, arch, registers, compiled.metadata.shared, stack))
    return found


def _cuobjdump() -> str:
    import triton

    shipped = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    return str(shipped) if shipped.exists() else "cuobjdump"


def _variants(op: str) -> list:
    return list(importlib.import_module(f"graphkern.ops.{op}.triton").variants())


def _output(command: list[str], text: str | None = None) -> str:
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def _cuda_sources(ops: list[str]) -> list[Path]:
    wanted = os.environ.get("GRAPHKERN_BUILD_CUDA", "auto")
    if wanted == "0":
        print("CUDA kernels left out: GRAPHKERN_BUILD_CUDA=0")
        return []
    if shutil.which("nvcc") is None:
        if wanted == "1":
            sys.exit("GRAPHKERN_BUILD_CUDA=1, but there is no nvcc: install the CUDA toolkit")
        print("CUDA kernels left out: there is no nvcc")
        return []
    sources = [path for path in ROOT.glob("csrc/*/*_cuda.cu") if not ops or path.parent.name in ops]
    return sorted(sources, key=lambda path: -path.stat().st_size)


def _triton_ops(ops: list[str]) -> list[str]:
    if importlib.util.find_spec("triton") is None:
        print("Triton kernels left out: the package triton is not installed")
        return []
    names = [path.parent.name for path in sorted(ROOT.glob("graphkern/ops/*/triton.py"))]
    return [name for name in names if not ops or name in ops]


def _print_table(usages: list[Usage]) -> None:
    print(f"{'op':<18}{'':<8}{'kernel':<36}{'arch':<7}{'variants':>8}{'registers':>11}{'shared':>8}{'spill':>7}")
    for group in sorted({usage[:4] for usage in usages}):
        same = [usage for usage in usages if usage[:4] == group]
        registers, shared, spill = (max(usage[field] for usage in same) for field in (4, 5, 6))
        op, language, kernel, arch = group
        print(f"{op:<18}{language:<8}{kernel:<36}sm_{arch:<4}{len(same):>8}{registers:>11}{shared:>8}{spill:>7}")


def main(ops: list[str]) -> None:
    start, usages, failures = time.monotonic(), [], []
    with ProcessPoolExecutor(JOBS) as pool:
        jobs: list[Future] = [pool.submit(compile_cuda, source) for source in _cuda_sources(ops)]
        for op in _triton_ops(ops):
            jobs += [pool.submit(compile_triton, op, position) for position in range(len(_variants(op)))]
        for job in jobs:
            error = job.exception()
            if error is None:
                usages += job.result()
            else:
                failures.append(str(error))
    _print_table(usages)
    spills = sum(usage.spill > 0 for usage in usages)
    print(f"{len(usages)} kernels compiled in {time.monotonic() - start:.0f} s, {spills} spill, {len(failures)} failed")
    for failure in failures:
        print(failure, file=sys.stderr)
    sys.exit(1 if spills or failures or not usages else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
