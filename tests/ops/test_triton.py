"""How the Triton launchers choose among block sizes: timed once for a problem, kept in the process and on disk."""

from __future__ import annotations

import pytest
import torch

import graphkern as gk
from graphkern.csr import CSR

_triton = pytest.importorskip("graphkern.ops._triton")


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
    adj = CSR(torch.tensor([0, 2, 3, 3]), torch.tensor([0, 3, 1]), 4)
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with gk.use("triton", "spmm"):
        compiled = torch.compile(_loss, fullgraph=True, backend="aot_eager")(x, adj)
        eager = _loss(x, adj)
        assert torch.equal(compiled, eager)
        for got, want in zip(torch.autograd.grad(compiled, x), torch.autograd.grad(eager, x), strict=True):
            assert torch.equal(got, want)
