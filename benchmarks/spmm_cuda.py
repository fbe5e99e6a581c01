"""spmm on a CUDA device beside torch.sparse.mm: python benchmarks/spmm_cuda.py [--out FOLDER]."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import graphkern
from graphkern._op import OPS
from graphkern.csr import CSR
from graphkern.ops.spmm import spmm

ROUNDS = 20


def power_law(num_rows: int, num_edges: int, device: str) -> CSR:
    """Degrees that fall like 1 / rank, so that the first row holds about 8 % of the edges; columns uniform."""
    generator = torch.Generator().manual_seed(0)
    share = 1 / torch.arange(1, num_rows + 1, dtype=torch.float64)
    ends = (share.cumsum(0) / share.sum() * num_edges).round().long()
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), ends])
    indices = torch.randint(0, num_rows, (num_edges,), generator=generator)
    return CSR(indptr.int(), indices.int(), num_rows).to(device)


def uniform(num_rows: int, num_edges: int, device: str) -> CSR:
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(0, num_rows, (num_edges,), generator=generator)
    sources = torch.randint(0, num_rows, (num_edges,), generator=generator)
    return CSR.from_edge_index(torch.stack([sources, ends]).int(), num_rows, num_rows).to(device)


def milliseconds(call: Callable[[], object], device: str) -> float:
    """Median device time of a call whose inputs have left the cache."""
    flush = torch.empty(256 << 20, dtype=torch.uint8, device=device)
    call()
    times = []
    for _ in range(ROUNDS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flush.zero_()
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def copy_gbps(device: str) -> float:
    """Bytes a second that a plain copy moves, read and written."""
    source = torch.randn(256 << 18, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / milliseconds(lambda: target.copy_(source), device) / 1e6


def traffic(adj: CSR, x: Tensor, weight: Tensor) -> int:
    """Bytes when each edge reads its row of x from memory. Rows found in the cache make GB/s exceed a copy's."""
    gathered = adj.num_edges * x.shape[1] * x.itemsize
    return gathered + adj.indices.nbytes + adj.indptr.nbytes + weight.nbytes + adj.num_rows * x.shape[1] * x.itemsize


def measure(name: str, adj: CSR, features: int, dtype: torch.dtype, ceiling: float, device: str) -> dict:
    x = torch.randn(adj.num_cols, features, device=device).to(dtype)
    weight = torch.randn(adj.num_edges, device=device).to(dtype)
    with graphkern.use("reference", "spmm"):
        want = spmm(adj, x.double(), weight.double())
    shape = {"graph": name, "N": adj.num_rows, "E": adj.num_edges, "F": features, "dtype": str(dtype)[6:]}
    result: dict = shape | {"bytes": traffic(adj, x, weight), "copy GB/s": round(ceiling, 1), "ms": {}}
    matrix = torch.sparse_csr_tensor(adj.indptr, adj.indices, weight, (adj.num_rows, adj.num_cols))
    peers: dict[str, Callable[[], Tensor]] = {"torch.sparse.mm": lambda: torch.sparse.mm(matrix, x)}
    for implementation in ("cuda", "triton"):
        if OPS["spmm"].missing(implementation) is None:
            peers[implementation] = lambda: spmm(adj, x, weight)
    for peer, call in peers.items():
        with graphkern.use(peer if peer in ("cuda", "triton") else "reference", "spmm"):
            try:
                error = float((call().double() - want).norm() / want.norm())
            except RuntimeError as reason:  # a peer that does not know the dtype
                result["ms"][peer] = str(reason).splitlines()[0]
                continue
            limit = 2e-2 if dtype == torch.bfloat16 else 1e-4
            if peer in ("cuda", "triton") and not error < limit:
                raise AssertionError(f"{peer} on {shape}: relative error {error:.1e} is over {limit}")
            result["ms"][peer] = round(milliseconds(call, device), 4) if error < limit else f"wrong by {error:.1e}"
    return result


def _print(results: list[dict]) -> None:
    print(f"{'graph':<12}{'F':>5} {'dtype':<9}{'by':<17}{'ms':>10}{'GB/s':>8}{'of copy':>9}{'ratio':>7}")
    for result in results:
        baseline = result["ms"]["torch.sparse.mm"]
        for peer, ms in result["ms"].items():
            line = f"{result['graph']:<12}{result['F']:>5} {result['dtype']:<9}{peer:<17}"
            if isinstance(ms, str):
                print(f"{line}  {ms}")
                continue
            gbps = result["bytes"] / ms / 1e6
            ratio = "-" if isinstance(baseline, str) else f"{baseline / ms:.2f}"
            print(f"{line}{ms:>10.3f}{gbps:>8.0f}{gbps / result['copy GB/s']:>9.0%}{ratio:>7}")


def main(device: str = "cuda", num_rows: int = 200_000, num_edges: int = 4_000_000) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    folder = parser.parse_args().out
    gpu = torch.cuda.get_device_name()
    ceiling = copy_gbps(device)
    results = []
    for name, make in (("uniform", uniform), ("power-law", power_law)):
        adj = make(num_rows, num_edges, device)
        for features in (16, 64, 128):
            for dtype in (torch.float32, torch.bfloat16):
                results.append(measure(name, adj, features, dtype, ceiling, device))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{gpu.replace(' ', '-')}.json"
    about = {"gpu": gpu, "torch": torch.__version__, "cuda": torch.version.cuda, "results": results}
    path.write_text(json.dumps(about, indent=1) + "\n")
    print(f"spmm, weighted sum, int32, N={num_rows} E={num_edges}; ratio: torch.sparse.mm's time / this one's; {path}")
    _print(results)


if __name__ == "__main__":
    main()
