"""Losses, training steps, top-k over all items and its metrics, beside what a user would call otherwise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import graphkern
from graphkern import CSR

from . import ranking_peers, step_peers
from .graphs import Absent, interactions
from .measure import LIMITS, Result, TensorsCall, measure, row_of, with_gradients
from .ranking_peers import TEMPERATURE, Contrast
from .timing import SMOKE, Call, median_seconds

DEPTH = 8 if SMOKE else 64
KS = (5, 10, 20)
BATCH, STEPS = (12, 2) if SMOKE else (2048, 10)
LIMIT = LIMITS[torch.float32]


def _row(result: Result, op: str, case: str, direction: str, **targets: float | None) -> dict[str, Any]:
    assert result.peers.keys() & {"eager", "ours in float32"}, result.absent
    eager = result.peer_peaks.get("eager")
    return row_of(
        result,
        op,
        case,
        direction,
        table="ranking",
        ratios={name: result.ratio(name) for name in result.peers},
        eager_peak_mib=None if eager is None else eager / 2**20,
        targets={label: value for label, value in targets.items() if value is not None},
    )


def _listed(make: Callable[[], Call]) -> Callable[[], TensorsCall]:
    """A peer whose results, one tensor or values and indices, are compared by the first."""

    def ready() -> TensorsCall:
        call = make()

        def first() -> list[Tensor]:
            out = call()
            return [out[0] if isinstance(out, tuple) else out]

        return first

    return ready


# info_nce


def _unit(generator: torch.Generator, size: int) -> Tensor:
    return normalize(torch.randn(size, DEPTH, generator=generator), dim=1)


def _contrast(kind: str) -> tuple[str, Contrast]:
    """All items of Gowalla as keys, or the batch itself."""
    generator = torch.Generator().manual_seed(0)
    batch, num_keys = {"batch": (2048, 2048), "symmetric": (4096, 4096)}.get(kind, (4096, 40_981))
    if kind == "several":
        batch = 2048
    if SMOKE:
        batch, num_keys = 12, 12 if batch == num_keys else 40
    query, key = _unit(generator, batch), _unit(generator, num_keys)
    target: Tensor | CSR | None = None
    bias = torch.randn(num_keys, generator=generator) if kind == "bias" else None
    if kind in ("all items", "bias"):
        target = torch.randint(0, num_keys, (batch,), generator=generator)
    elif kind == "several":
        column = torch.randint(0, num_keys, (4 * batch,), generator=generator)
        target = CSR.from_edge_index(torch.stack([column, torch.arange(batch).repeat(4)]), batch, num_keys)
    words = {"bias": ", bias", "several": ", 4 positives", "symmetric": ", symmetric", "batch": ", diagonal"}
    name = f"B{batch} K{num_keys} D{DEPTH}{words.get(kind, '')}"
    return name, Contrast(query, key, target, bias, symmetric=kind == "symmetric")


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("kind", ["all items", "bias", "several", "batch", "symmetric"])
def test_info_nce(benchmark, record, kind: str, direction: str):
    name, case = _contrast(kind)
    leaves = case.leaves() if direction != "forward" else []
    for leaf in leaves:
        leaf.requires_grad_()

    def ours() -> Tensor:
        return graphkern.info_nce(case.query, case.key, case.target, TEMPERATURE, case.bias, symmetric=case.symmetric)

    def with_its_gradient(call: Call) -> TensorsCall:
        return with_gradients(call, leaves) if leaves else lambda: [call()]

    slow = SMOKE or (kind in ("all items", "symmetric") and bool(leaves))
    makers = ranking_peers.contrast_peers(case, slow)
    peers = {peer: lambda make=make: with_its_gradient(make()) for peer, make in makers.items()}
    result = measure(benchmark, with_its_gradient(ours), peers, LIMIT, "eager")
    targets = {}
    if kind == "all items":
        memory, label = result.peak / max(result.peer_peaks["eager"], 1), f"info_nce over all items, {direction}"
        targets = {f"{label}, over eager": result.ratio("eager"), f"{label}, peak extra memory over eager's": memory}
    record(_row(result, "info_nce", name, direction, **targets))


# Gowalla


@functools.lru_cache
def _gowalla() -> tuple[Tensor, Tensor, CSR, CSR]:
    """Users [29,858, D], items [40,981, D], train and test: random vectors smoothed over train, so that lists hit."""
    try:
        train, test = interactions("gowalla", SMOKE)
    except Absent as reason:
        pytest.skip(str(reason))
    item = torch.randn(train.num_cols, DEPTH, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        user = normalize(graphkern.spmm(train, item, reduce="mean"), dim=1)
        item = normalize(graphkern.spmm(train.t(), user, reduce="mean"), dim=1) + 0.5 * item
    return user, item.contiguous(), train, test


def _check_lists(query: Tensor, item: Tensor, exclude: CSR | None, lists: tuple[Tensor, Tensor]) -> None:
    """Of the first thousand users: listed items have the listed scores, and none is excluded."""
    values, items = (part[:1000] for part in lists)
    torch.testing.assert_close((query[:1000, None] * item[items]).sum(-1), values, rtol=1e-4, atol=1e-4)
    if exclude is not None:
        row = torch.arange(len(items)).unsqueeze(1) * exclude.num_cols
        assert not torch.isin(items + row, exclude.row_index().long() * exclude.num_cols + exclude.indices).any()


@pytest.mark.parametrize("optimizer", ["Adam", "Adagrad"])
@pytest.mark.parametrize("loss", ["bpr", "bce"])
def test_step(benchmark, record, loss: str, optimizer: str):
    """Pairs of train and uniform negatives; in place of negatives bce has as many pairs of label 0."""
    _user, _item, train, _test = _gowalla()
    generator = torch.Generator().manual_seed(0)
    rows, batches = train.row_index().long(), []
    for _ in range(STEPS):
        edge = torch.randint(0, train.num_edges, (BATCH,), generator=generator)
        u, i = rows[edge], train.indices[edge].long()
        last = torch.randint(0, train.num_cols, (BATCH,), generator=generator)
        if loss == "bce":
            label = torch.randint(0, 2, (BATCH,), generator=generator)
            i, last = torch.where(label > 0, i, last), label.float()
        batches.append((u, i, last))
    tables = [0.1 * torch.randn(size, DEPTH, generator=generator) for size in (train.num_rows, train.num_cols)]
    training = step_peers.Training(loss, optimizer, *tables, batches)
    result = measure(benchmark, step_peers.ours(training), step_peers.step_peers(training), LIMIT, "eager")
    name = f"{train.num_rows} users, {train.num_cols} items, D{DEPTH}, {STEPS} batches of {BATCH}"
    target = f"{loss}_loss and Rowwise{optimizer} over eager with dense {optimizer}"
    record(_row(result, f"{loss}_loss, Rowwise{optimizer}", name, "step", **{target: result.ratio("eager")}))


@pytest.mark.parametrize(
    ("k", "excluded"), [(20, True), (20, False), (100, True), (1000, True)], ids=["20", "20-all", "100", "1000"]
)
def test_topk_scores(benchmark, record, k: int, excluded: bool):
    """All users, or for a large k as many as the others take a few seconds for."""
    query, item, train, _test = _gowalla()
    exclude = train if excluded else None
    if k > 20:
        count, k = (20, 100) if SMOKE else (4096, k)
        query = query[:count]
        exclude = CSR(train.indptr[: count + 1], train.indices[: int(train.indptr[count])], train.num_cols)

    def lists() -> tuple[Tensor, Tensor]:
        return graphkern.topk_scores(query, item, k, exclude)

    _check_lists(query, item, exclude, lists())
    makers = ranking_peers.topk_peers(query, item, k, exclude, slow=SMOKE or (k == 20 and excluded))
    peers = {peer: _listed(make) for peer, make in makers.items()}
    result = measure(benchmark, _listed(lambda: lists)(), peers, LIMIT, "eager")
    over_eager = f"topk_scores k {k} over matmul, mask, topk" if excluded else "topk_scores over matmul, topk"
    targets = {
        over_eager: result.ratio("eager"),
        "topk_scores over faiss IndexFlatIP, nothing excluded": result.ratio("faiss IndexFlatIP"),
        "topk_scores peak extra memory beyond its results, MiB": (result.peak - sum(t.nbytes for t in lists())) / 2**20,
    }
    name = f"{len(query)} x {len(item)}, D{DEPTH}, k{k}, {'train' if excluded else 'nothing'} excluded"
    record(_row(result, "topk_scores", name, "forward", **targets))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8], ids=["bfloat16", "int8"])
def test_topk_scores_of_narrow_items(benchmark, record, dtype: torch.dtype):
    """Beside ours on the same items in float32."""
    query, item, train, _test = _gowalla()
    scale = item.abs().amax(1) / 127 if dtype == torch.int8 else None
    narrow = item.to(dtype) if scale is None else (item / scale[:, None]).round().to(dtype)
    wide = narrow.float() if scale is None else narrow * scale[:, None]

    def ours() -> list[Tensor]:
        return [graphkern.topk_scores(query, narrow, max(KS), train, item_scale=scale)[0]]

    peer = "ours in float32"
    peers = {peer: lambda: lambda: [graphkern.topk_scores(query, wide, max(KS), train)[0]]}
    result = measure(benchmark, ours, peers, LIMIT)
    word = str(dtype).removeprefix("torch.")
    name = f"{len(query)} x {len(item)}, D{DEPTH}, k{max(KS)}, train excluded, items {word}"
    target = f"topk_scores, {word} items over ours in float32"
    record(_row(result, "topk_scores", name, "forward", **{target: result.ratio(peer)}))


def test_rank_metrics(benchmark, record):
    """All metrics at 5, 10 and 20 of all users' lists."""
    query, item, train, test = _gowalla()
    _values, topk = graphkern.topk_scores(query, item, max(KS), train)

    def ours() -> list[Tensor]:
        return [torch.tensor(list(graphkern.rank_metrics(topk, test, KS).values()), dtype=torch.float64)]

    assert float(ours()[0][0]) > 0
    peers = {peer: _listed(make) for peer, make in ranking_peers.metric_peers(topk, test, KS).items()}
    result = measure(benchmark, ours, peers, LIMITS[torch.float64], "eager")
    making = 1.0 if SMOKE else median_seconds(lambda: graphkern.topk_scores(query, item, max(KS), train), 1)
    targets = {"rank_metrics over topk_scores": result.seconds / making}
    name = f"{test.num_rows} lists of {max(KS)}, {test.num_edges} test pairs, k {', '.join(map(str, KS))}"
    record(_row(result, "rank_metrics", name, "forward", **targets))
