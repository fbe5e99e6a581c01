"""The CUDA kernels, compiled as C++ and run thread by thread, against the references."""

from __future__ import annotations

import itertools
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.ops.sddmm.reference import sddmm
from graphkern.ops.spmm.reference import spmm
from graphkern.ops.spmm_extremum import reference as extremum

HERE = Path(__file__).parent
COMPILER = shutil.which(os.environ.get("CXX", "g++"))
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler (g++ or $CXX)")

FLAGS = ["-std=c++20", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wno-unknown-pragmas"]
FLAGS += [f"-I{HERE}", f"-I{HERE.parents[1] / 'csrc'}"]
FLAGS += ["-DGPU_MAX_BLOCKS=3", "-DGPU_CHUNK=32"]  # so that threads stride, and small rows are split
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

TYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-11, torch.float16: 4e-3, torch.bfloat16: 2e-2}  # of max(1, |value|)


class Expected(NamedTuple):
    """What a kernel's outputs must be, and what to say where they are not."""

    about: str
    outputs: list[Tensor]
    dtypes: list[torch.dtype]


def graphs(index: torch.dtype) -> dict[str, CSR]:
    """hub: rows of over GPU_CHUNK edges side by side, one ending where a chunk ends, light rows between."""
    generator = torch.Generator().manual_seed(0)
    degrees = {
        "tiny": ([3, 0, 2, 4, 0], 6),
        "no edges": ([0, 0, 0], 2),
        "no rows": ([], 3),
        "hub": ([5, 100, 40, 7, 0, 8, 96, 33, 32, 1], 50),
    }
    return {name: _graph(torch.tensor(d), m, index, generator) for name, (d, m) in degrees.items()}


def _graph(degree: Tensor, num_cols: int, index: torch.dtype, generator: torch.Generator) -> CSR:
    indptr = torch.cat([torch.zeros(1), degree.cumsum(0)]).to(index)
    return CSR(indptr, torch.randint(0, num_cols, (int(indptr[-1]),), generator=generator).to(index), num_cols)


def _values(generator: torch.Generator, dtype: torch.dtype, *shape: int) -> Tensor:
    """Small multiples of 1/4, so that equal values and equal products occur."""
    return (torch.randint(-8, 9, shape, generator=generator) / 4).to(dtype)


def _numpy(t: Tensor | None) -> np.ndarray | None:
    if t is None:
        return None
    return (t.view(torch.int16) if t.dtype == torch.bfloat16 else t).contiguous().numpy().copy()


def _double(t: Tensor | None) -> Tensor | None:
    return t.double() if t is not None and t.is_floating_point() else t


def calls() -> Iterator[tuple[tuple, Expected]]:
    """Every dtype; for the hub graph also every shape (H, D), with and without weight, aligned and not."""
    generator = torch.Generator().manual_seed(1)
    small = [(1, 1, False, 0), (2, 8, True, 0)]
    hub = [*small, (1, 16, False, 0), (1, 16, False, 8), (1, 16, True, 0), (1, 1, True, 0), (3, 7, True, 0)]
    for dtype, index in itertools.product(TYPES, (torch.int32, torch.int64)):
        for name, adj in graphs(index).items():
            for heads, per_head, weighted, shift in hub if name == "hub" else small:
                about = f"{name} {dtype} {index} H={heads} D={per_head} weighted={weighted} shift={shift}"
                yield from _calls(adj, dtype, heads, per_head, weighted, shift, about, generator)


def _calls(
    adj: CSR,
    dtype: torch.dtype,
    heads: int,
    per_head: int,
    weighted: bool,
    shift: int,
    about: str,
    generator: torch.Generator,
) -> Iterator[tuple[tuple, Expected]]:
    features = heads * per_head
    kind = (TYPES[dtype], adj.dtype.itemsize, shift)
    x, grad = _values(generator, dtype, adj.num_cols, features), _values(generator, dtype, adj.num_rows, features)
    weight = _values(generator, dtype, adj.num_edges, heads) if weighted else None
    graph, other = (adj.indptr, adj.indices, None), adj.t()
    transpose = (other.indptr, other.indices, adj.tensors(True)[5])
    rows, cols, edges = adj.num_rows, adj.num_cols, adj.num_edges

    def call(function: str, about: str, inputs: tuple, outputs: list[Tensor], numbers: tuple) -> Any:
        dtypes = [dtype if t.is_floating_point() else t.dtype for t in outputs]
        written = [_numpy(torch.empty(t.shape, dtype=d)) for t, d in zip(outputs, dtypes, strict=True)]
        arrays = [_numpy(t) for t in inputs] + written
        positions = tuple(range(len(inputs), len(arrays)))
        return (function, kind, arrays, positions, numbers), Expected(f"{function} {about}", outputs, dtypes)

    for halves, dense, n in (((graph, transpose), x, rows), ((transpose, graph), grad, cols)):
        for reduce in ("sum", "mean"):
            want = spmm(*halves[0], *halves[1], dense.double(), _double(weight), reduce)
            numbers = (n, edges, features, heads, int(reduce == "mean"))
            yield call("spmm", f"{reduce} {about}", (*halves[0], dense, weight), [want], numbers)
    for half, q, k, n in ((graph, grad, x, rows), (transpose, x, grad, cols)):
        dots = sddmm(*half, *transpose, q.double(), k.double(), heads)
        yield call("sddmm", about, (*half, q, k), [dots], (n, edges, features, heads))
    broken = x.clone()
    broken[torch.rand(broken.shape, generator=generator) < 0.02] = torch.nan
    broken[torch.rand(broken.shape, generator=generator) < 0.02] = torch.inf
    both = (*graph[:2], *transpose)
    for reduce in ("max", "min"):
        out, arg = extremum.spmm_extremum(*both, broken.double(), _double(weight), reduce, True)
        numbers = (rows, edges, features, heads, int(reduce == "max"))
        yield call("spmm_extremum", f"{reduce} {about}", (*graph[:2], broken, weight), [out, arg], numbers)
    grad_x = extremum.spmm_extremum_grad_x(*both, grad.double(), arg, _double(weight))
    numbers = (cols, edges, features, heads)
    yield call("spmm_extremum_grad_x", about, (*transpose, grad, arg, weight), [grad_x], numbers)
    grad_weight = extremum.spmm_extremum_grad_weight(*both, grad.double(), arg, x.double(), heads)
    inputs = (*graph[:2], grad, arg, x)
    yield call("spmm_extremum_grad_weight", about, inputs, [grad_weight], (rows, edges, features, heads))


@pytest.fixture(scope="module")
def prepared() -> list[tuple[tuple, Expected]]:
    return list(calls())


@pytest.mark.parametrize("build", ["plain", "sanitized"])
def test_kernels_match_references(prepared: list, build: str, tmp_path: Path) -> None:
    flags, environment = FLAGS, dict(os.environ)
    if build == "sanitized":
        preload = [_library("libasan.so"), _library("libstdc++.so.6")]
        if None in preload:
            pytest.skip("the compiler has no AddressSanitizer runtime")
        environment |= {"LD_PRELOAD": " ".join(map(str, preload)), "ASAN_OPTIONS": "detect_leaks=0"}
        flags = FLAGS + SANITIZE
    library, saved, out = (tmp_path / name for name in ("kernels.so", "calls", "out"))
    subprocess.run([str(COMPILER), *flags, str(HERE / "kernels.cpp"), "-o", str(library)], check=True)
    saved.write_bytes(pickle.dumps([call for call, _ in prepared]))
    command = [sys.executable, str(HERE / "run_kernels.py"), str(library), str(saved), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    results = pickle.loads(out.read_bytes())
    for got, (_, expected) in zip(results, prepared, strict=True):
        _check(got, expected)


def _library(name: str) -> str | None:
    """Where the compiler keeps a runtime library; None where it has none."""
    path = subprocess.check_output([str(COMPILER), f"-print-file-name={name}"], text=True).strip()
    return path if Path(path).is_absolute() else None


def _check(got: list[np.ndarray], expected: Expected) -> None:
    for array, want, dtype in zip(got, expected.outputs, expected.dtypes, strict=True):
        result = torch.from_numpy(array)
        if not dtype.is_floating_point:
            torch.testing.assert_close(result, want, msg=lambda m: f"{expected.about}: {m}")
            continue
        result = (result.view(torch.bfloat16) if dtype == torch.bfloat16 else result).double()
        tolerance = TOLERANCE[dtype]
        torch.testing.assert_close(
            result, want, rtol=tolerance, atol=tolerance, equal_nan=True, msg=lambda m: f"{expected.about}: {m}"
        )
