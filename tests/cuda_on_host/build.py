"""Compiles the launchers and kernels of csrc/*/*_cuda.cu as C++ for the played device, in three builds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMPILER = shutil.which(os.environ.get("CXX", "g++"))

# So that threads stride over the items of a grid, and small inputs are split as large ones are.
SMALL = ["GPU_MAX_BLOCKS=3", "GPU_CHUNK=32", "GPU_GROUP=8", "GPU_SORT_ITEMS=2", "GPU_NARROW=1000"]
SMALL += ["GPU_WINDOW_BITS=256", "GPU_USER_GROUPS=7", "GPU_MAP_NODES=100"]
SMALL += ["GPU_WINDOW=128", "GPU_PART=128", "GPU_LISTS=1048576"]
SMALL += ["GPU_MERGE_STEPS=1", "GPU_MERGE_SHARED=16384", "GPU_MERGE_LISTS=3"]
FLAGS = ["-std=c++20", "-O1", "-g1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off"]
FLAGS += ["-Wall", "-Wno-unknown-pragmas", "-Werror"]
DEFINES = ["TORCH_TARGET_VERSION=0x020b000000000000", *SMALL]

# Flags of the played device, and of what runs on it.
BUILDS: dict[str, tuple[list[str], list[str]]] = {
    "plain": ([], []),
    # The device takes the reports of undefined behaviour: libubsan is not needed.
    "asan": (
        ["-DON_HOST_ASAN"],
        [
            "-fsanitize=address,bounds,alignment,shift,signed-integer-overflow,integer-divide-by-zero",
            "-fsanitize-recover=all",
        ],
    ),
    # The device has the hooks that the compiler calls: libtsan is not needed.
    "race": (["-DON_HOST_RACE"], ["-fsanitize=thread"]),
}
ON_DEVICE = ("atomics.cpp",)  # of the device's files, what kernels do by it


def sources(ops: Sequence[str] = ()) -> list[Path]:
    """The launchers of the named ops, or of all that have one."""
    found = [path for path in sorted(ROOT.glob("csrc/*/*_cuda.cu")) if not ops or path.parent.name in ops]
    if missing := set(ops) - {path.parent.name for path in found}:
        raise ValueError(f"no csrc/<op>/*_cuda.cu for {sorted(missing)}")
    return found


def runtime_library(name: str) -> str | None:
    """Where the compiler keeps one of its libraries; None where it has none."""
    path = subprocess.check_output([str(COMPILER), f"-print-file-name={name}"], text=True).strip()
    return path if Path(path).is_absolute() else None


def _why_not() -> str | None:
    """Why the builds cannot be made here, or None where they can."""
    if torch.version.cuda is not None:
        return "with a CUDA torch the contract suite calls the kernels"
    if COMPILER is None:
        return "no C++ compiler (g++ or $CXX)"
    return None if runtime_library("libasan.so") else "the compiler has no AddressSanitizer runtime"


WHY_NOT = _why_not()
NEEDS_COMPILER = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


KERNELS, FAULTS = "libkernels.so", "libfaults.so"


def build(name: str, folder: Path, files: Sequence[Path], library: str = KERNELS) -> Path:
    """The library of one build with the launchers in files, or with the planted faults (small: reports look up lines in
    it); compiles what changed since the last time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "build.ninja").write_text(_rules(name, folder) + _targets(name, files))
    prefix, text = folder / "prefix.h", (HERE / "device" / "prefix.h").read_text()
    if not prefix.exists() or prefix.read_text() != text:
        prefix.write_text(text)
    beside_python = Path(sys.executable).with_name("ninja")
    ninja = str(beside_python) if beside_python.exists() else "ninja"
    done = subprocess.run([ninja, "-j2", "-C", str(folder), library], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the {name} build failed:\n{done.stdout[-6000:]}")
    return folder / library


def _rules(name: str, folder: Path) -> str:
    include = f"-I{HERE / 'device'} -I{ROOT / 'csrc'} -isystem {Path(torch.__file__).parent / 'include'}"
    libraries = Path(torch.__file__).parent / "lib"
    of_device, of_kernels = (" ".join(flags) for flags in BUILDS[name])
    return f"""
cxx = {COMPILER} {" ".join([*FLAGS, *(f"-D{define}" for define in DEFINES)])} {include} -MMD -MF $out.d
kernels = {of_kernels}
rule device
  command = $cxx {of_device} -O2 $more -c $in -o $out
  depfile = $out.d
rule prefix
  command = $cxx $kernels -x c++-header $in -o $out
  depfile = $out.d
rule kernel
  command = $cxx $kernels -Winvalid-pch -include {folder / "prefix.h"} -x c++ -c $in -o $out
  depfile = $out.d
rule link
  command = {COMPILER} -shared $sanitize $in -o $out -L{libraries} -Wl,-rpath,{libraries} -ltorch_cpu
build prefix.h.gch: prefix prefix.h
"""


def _targets(name: str, files: Sequence[Path]) -> str:
    lines, device = [], []
    for path in sorted((HERE / "device").glob("*.cpp")):
        device.append(f"{path.stem}.o")
        lines.append(f"build {device[-1]}: device {path}")
        if path.name in ON_DEVICE:
            lines.append(f"  more = {'$kernels' if name == 'asan' else ''}")
    faults = HERE / "faults.cpp"
    lines += [f"build {path.stem}.o: kernel {path} | prefix.h.gch" for path in [*files, faults]]
    for library, linked in ((KERNELS, files), (FAULTS, [faults])):
        lines.append(f"build {library}: link {' '.join([*device, *(f'{path.stem}.o' for path in linked)])}")
        lines.append(f"  sanitize = {'-fsanitize=address' if name == 'asan' else ''}")
    return "\n".join(lines) + "\n"


def environment(name: str) -> dict[str, str]:
    """What a process that loads a build needs."""
    variables = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
    if name == "asan":
        options = ("detect_leaks=0", "halt_on_error=0", "suppress_equal_pcs=0", "detect_stack_use_after_return=0")
        variables["ASAN_OPTIONS"] = ":".join(options)
        variables["LD_PRELOAD"] = " ".join(filter(None, map(runtime_library, ("libasan.so", "libstdc++.so.6"))))
    return variables
