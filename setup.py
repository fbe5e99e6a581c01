"""Builds the native libraries with CMake + ninja. What the environment says:

GRAPHKERN_BUILD_CUDA   auto (default: where nvcc is found), 1 (must) or 0 (never)
GRAPHKERN_CUDA_ARCHS   e.g. "80;90" (default: the CUDA architectures below)

Without a C++ compiler the package still installs, says so, and runs on the references.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
CUDA_ARCHS = "80-real;90-real;100-real;100-virtual"  # 100 is known from CUDA 12.8 on
OLD_CUDA_ARCHS = "80-real;90-real;90-virtual"
FIND_TORCH = "import torch; print(torch.__version__); print(torch.__path__[0])"


@functools.cache
def find_torch() -> tuple[str, Path] | None:
    """Version and folder of the torch to build against: one in this build's environment, else the user's own.

    Under build isolation pip hides the user's packages from this process, not from a fresh `python -I`: building
    against them spares a second download of torch.
    """
    for flags in ([], ["-I"]):
        done = subprocess.run([sys.executable, *flags, "-c", FIND_TORCH], capture_output=True, text=True)
        if done.returncode == 0:
            version, folder = done.stdout.split()[-2:]
            if tuple(int(part) for part in version.split(".")[:2]) >= (2, 11):
                return version, Path(folder)
    return None


def tool(name: str) -> str:
    """cmake or ninja: from the Python package of that name, which is newer than most systems', else from PATH."""
    in_package = Path(sysconfig.get_path("scripts")) / name
    if in_package.exists():
        return str(in_package)
    if found := shutil.which(name):
        return found
    raise SystemExit(f"{name} was not found: pip install {name}")


def find_compiler() -> str | None:
    return shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++") or shutil.which("clang++")


def cuda_choice() -> tuple[tuple[int, int] | None, str]:
    """The CUDA release to build with and "", or None and why not."""
    choice = os.environ.get("GRAPHKERN_BUILD_CUDA", "auto")
    if choice not in ("auto", "0", "1"):
        raise SystemExit(f"GRAPHKERN_BUILD_CUDA must be auto, 1 or 0 but is {choice!r}")
    if choice == "0":
        return None, "GRAPHKERN_BUILD_CUDA=0"
    folders = [os.environ.get("PATH", ""), str(Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin")]
    nvcc = shutil.which("nvcc", path=os.pathsep.join(folders))
    release, reason = None, "nvcc was not found"
    if nvcc is not None:
        printed = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
        found = re.search(r"release (\d+)\.(\d+)", printed)
        release, reason = (int(found[1]), int(found[2])) if found else None, f"{nvcc} --version names no release"
        if release is not None and release < (12, 0):
            release, reason = None, f"nvcc {found[0]} is older than 12.0"
    if choice == "1" and release is None:
        raise SystemExit(
            f"GRAPHKERN_BUILD_CUDA=1 but {reason}: install the CUDA toolkit (12.0 or newer), put nvcc on PATH"
        )
    return release, reason if release is None else ""


class BuildNative(build_ext):
    """One CMake build for all libraries; they land beside graphkern/__init__.py."""

    def run(self) -> None:
        target = ROOT / "graphkern" if self.inplace else Path(self.build_lib).resolve() / "graphkern"
        target.mkdir(parents=True, exist_ok=True)
        info = self.build_native(target)
        (target / "_build_info.json").write_text(json.dumps(info, indent=1) + "\n")
        for name in ("cpu", "cuda"):
            if reason := info.get(f"{name}_absent"):
                print(f"graphkern: libgraphkern_{name} was not built: {reason}", file=sys.stderr)

    def build_native(self, target: Path) -> dict[str, str]:
        cuda, why_no_cuda = cuda_choice()
        compiler, torch = find_compiler(), find_torch()
        if compiler is None or torch is None:
            missing = "no C++ compiler was found" if compiler is None else "no torch >= 2.11 was found"
            if os.environ.get("GRAPHKERN_BUILD_CUDA") == "1":
                raise SystemExit(f"GRAPHKERN_BUILD_CUDA=1 but {missing}")
            return {"cpu_absent": missing, "cuda_absent": missing}
        version, folder = torch
        build = ROOT / "build" / ("cmake-cuda" if cuda else "cmake-cpu")
        archs = os.environ.get("GRAPHKERN_CUDA_ARCHS", CUDA_ARCHS if cuda and cuda >= (12, 8) else OLD_CUDA_ARCHS)
        options = {
            "CMAKE_MAKE_PROGRAM": tool("ninja"),
            "TORCH_INCLUDE": folder / "include",
            "TORCH_LIB": folder / "lib",
            "GRAPHKERN_CUDA": "ON" if cuda else "OFF",
            "CMAKE_CUDA_ARCHITECTURES": archs,
        }
        defines = [f"-D{name}={value}" for name, value in options.items()]
        subprocess.run([tool("cmake"), "-S", ROOT, "-B", build, "-G", "Ninja", *defines], check=True)
        subprocess.run([tool("cmake"), "--build", build], check=True)
        subprocess.run([tool("cmake"), "--install", build, "--prefix", target], check=True)
        info = {"torch": version, "compiler": compiler}
        return (
            {**info, "cuda": f"{cuda[0]}.{cuda[1]}", "cuda_archs": archs}
            if cuda
            else {**info, "cuda_absent": why_no_cuda}
        )

    def get_outputs(self) -> list[str]:
        folder = Path(self.build_lib) / "graphkern"
        return [str(path) for path in [*folder.glob("libgraphkern_*.so"), folder / "_build_info.json"]]


class PlatformWheel(bdist_wheel):
    """py3-none-<platform>: the libraries link no Python, and torch by its stable ABI."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[Extension("graphkern._libraries", sources=[])],
    cmdclass={"build_ext": BuildNative, "bdist_wheel": PlatformWheel},
    # Asked of setuptools as a build requirement only where no torch can be found and there is a compiler to need one.
    setup_requires=[] if find_compiler() is None or find_torch() else ["torch>=2.11"],
)
