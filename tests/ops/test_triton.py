"""How the Triton launchers choose among block sizes: timed once for a problem, kept in the process and on disk."""

from __future__ import annotations

import pytest
import torch

import graphkern as gk
from graphkern.csr import CSR

triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")
_triton = pytest.importorskip("graphkern.ops._triton")
find_tile = pytest.importorskip("graphkern.ops.segment_matmul.triton").find_tile
_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class _Kernel:
    cache_key = "source"


@pytest.fixture
def device(monkeypatch, tmp_path):
    """A device whose launches take as many milliseconds as the choice says; `launched` lists them."""
    launched: list[float] = []

    def milliseconds(run) -> float:
        run()
        return launched[-1]

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_triton, "_winners", {})
    monkeypatch.setattr(_triton, "_milliseconds", milliseconds)
    monkeypatch.setattr(_triton, "interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "some device")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    return launched


def _launched(launched: list[float], choices: list[float], key: str = "problem", kernel=_Kernel) -> list[float]:
    before = len(launched)
    _triton.tuned(kernel, choices, key, launched.append)
    return launched[before:]


def test_times_every_choice_once_and_keeps_the_fastest(device):
    assert _launched(device, [3.0, 1.0, 2.0]) == [3.0, 1.0, 2.0, 1.0]
    assert _launched(device, [3.0, 1.0, 2.0]) == [1.0]
    assert _launched(device, [3.0, 1.0, 2.0], "another problem") == [3.0, 1.0, 2.0, 1.0]


def test_another_process_takes_the_choice_from_disk(device, monkeypatch):
    _launched(device, [3.0, 1.0, 2.0])
    monkeypatch.setattr(_triton, "_winners", {})
    assert _launched(device, [3.0, 1.0, 2.0]) == [1.0]
    monkeypatch.setattr(_triton, "_winners", {})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "another device")
    assert _launched(device, [3.0, 1.0, 2.0]) == [3.0, 1.0, 2.0, 1.0]


def test_the_first_choice_wins_where_none_is_much_faster(device):
    assert _launched(device, [1.0, 0.96])[-1] == 1.0
    assert _launched(device, [1.0, 0.94], "another problem")[-1] == 0.94


def test_nothing_is_timed_while_a_stream_is_captured_or_in_the_interpreter(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert _launched(device, [3.0, 1.0]) == [3.0]
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(_triton, "interpreted", lambda: True)
    assert _launched(device, [3.0, 1.0]) == [3.0]
    monkeypatch.setattr(_triton, "interpreted", lambda: False)
    assert _launched(device, [3.0, 1.0])[-1] == 1.0


def test_magnitude_rises_by_powers_of_four():
    assert [_triton.magnitude(size) for size in (0, 1, 3, 4, 15, 16, 63, 64)] == [0, 1, 1, 2, 2, 3, 3, 4]


def _loss(x: torch.Tensor, adj: CSR) -> torch.Tensor:
    return gk.spmm(adj, x).square().sum()


def test_compiles_as_one_graph():
    """torch.compile keeps an operator that Triton serves as one call, with its gradient."""
    adj = CSR(torch.tensor([0, 2, 3, 3]), torch.tensor([0, 3, 1]), 4).to(_DEVICE)
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).to(_DEVICE).requires_grad_()
    with gk.use("triton", "spmm"):
        compiled = torch.compile(_loss, fullgraph=True, backend="aot_eager")(x, adj)
        eager = _loss(x, adj)
        assert torch.equal(compiled, eager)
        for got, want in zip(torch.autograd.grad(compiled, x), torch.autograd.grad(eager, x), strict=True):
            assert torch.equal(got, want)


def _info_nce(query: torch.Tensor, key: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    return gk.info_nce(query, key, None, temperature).square().sum()


def _leaves(num_queries: int, num_keys: int, depth: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(n, depth, generator=generator, dtype=torch.float64) for n in (num_queries, num_keys))
    return [t.to(_DEVICE).requires_grad_() for t in (query / depth**0.5, key, torch.tensor(0.5, dtype=torch.float64))]


def test_info_nce_compiles_as_one_graph():
    leaves = _leaves(5, 9, 4)
    with gk.use("triton", "info_nce", "info_nce_backward"):
        compiled = torch.compile(_info_nce, fullgraph=True, backend="aot_eager")(*leaves)
        eager = _info_nce(*leaves)
        assert torch.equal(compiled, eager)
        grads = [torch.autograd.grad(loss, leaves) for loss in (compiled, eager)]
    assert all(map(torch.equal, *grads))


def test_info_nce_of_rows_wider_than_a_block():
    leaves, grads = _leaves(40, 1100, 300), []
    for implementation in ("triton", "reference"):
        with gk.use(implementation, "info_nce", "info_nce_backward"):
            loss = _info_nce(*leaves)
            grads.append([loss, *torch.autograd.grad(loss, leaves)])
    for got, want in zip(*grads, strict=True):
        torch.testing.assert_close(got, want)


@triton.jit
def _find(indptr, num_segments, tiles, out, size: tl.constexpr):
    tile = tl.load(tiles + tl.program_id(0))
    segment, begin, start, end = find_tile(indptr, num_segments, tile, size)
    place = out + tl.program_id(0) * 4
    tl.store(place, segment)
    tl.store(place + 1, begin)
    tl.store(place + 2, start)
    tl.store(place + 3, end)


def test_tiles_of_segments_among_many():
    """Every row is in one tile, of its own segment, with more segments than a search looks at together."""
    degree = torch.zeros(70_000, dtype=torch.long)
    filled = torch.tensor([0, 1, 700, 65_536, 69_999])
    degree[filled] = torch.tensor([1, 70, 5, 600, 2])
    indptr = torch.cat([torch.zeros(1, dtype=torch.long), degree.cumsum(0)]).to(_DEVICE)
    first = indptr // 16 + torch.arange(70_001, device=_DEVICE)
    tiles = torch.cat([torch.arange(int(first[s]), int(first[s + 1])) for s in filled]).to(_DEVICE)
    out = torch.empty(tiles.shape[0], 4, dtype=torch.long, device=_DEVICE)
    _find[(tiles.shape[0],)](indptr, 70_000, tiles, out, 16)
    rows: dict[int, list[int]] = {int(s): [] for s in filled}
    for segment, begin, start, end in out.tolist():
        assert [begin, end] == indptr[segment : segment + 2].tolist()
        rows[segment] += range(start, min(start + 16, end))
    assert all(found == list(range(*indptr[segment : segment + 2].tolist())) for segment, found in rows.items())
