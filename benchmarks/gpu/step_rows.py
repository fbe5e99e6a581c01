"""Rows of sampling, ranking and training steps."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

import graphkern
import graphkern.nn
from graphkern import CSR
from graphkern._op import OPS

from .. import ranking_peers
from ..cases import SUITES
from ..graphs import Absent
from ..measure import LIMITS, TensorsCall, requiring_grad, with_gradients
from .row import Maker, Row, Work, edge_rate, memory_over, over
from .world import HUGE, SHOP, UNIFORM, World

FANOUTS = (15, 10, 5)
BATCHES = 20
SAMPLING = "sampling 1024 x [15, 10, 5], R-MAT 10M x 100M"
# PyG's float32 gradients of the attention vectors, sums over all edges, are 1e-3 off those in float64.
LAYER_LIMIT = 2e-3


def _in_float64(ops: tuple[str, ...], make: Maker) -> TensorsCall:
    """What the reference gives; `make` makes the call in float64."""

    def call() -> list[Tensor]:
        with graphkern.use("reference", *ops):
            return make()()

    return call


# Sampling


def _sampling(world: World, kind: str, pinned: bool = False, **options: Any) -> Row:
    """Twenty batches a call; checked on the last of them against the CPU, whose bits are the reference's."""

    def work() -> Work:
        adj = world.graph(HUGE)
        host = functools.cache(lambda: adj.to("cpu"))
        there = host().pin_memory() if pinned and world.device == "cuda" else adj
        fanouts, batch = (list(FANOUTS), 1024) if not world.small else ([3, 2], 8)
        values = world.values("sampling")
        batches = [values.index(batch, adj.num_rows).int() for _ in range(world.size(BATCHES, 2))]

        def draw(adj: CSR, seeds: list[Tensor]) -> list[Any]:
            return [graphkern.sample_neighbors(adj, s, fanouts, seed=i, **options) for i, s in enumerate(seeds)]

        def last(adj: CSR, seeds: list[Tensor]) -> TensorsCall:
            def call() -> list[Tensor]:
                sub = draw(adj, seeds)[-1]
                return [sub.nodes, sub.adj.indices, sub.edge_id]

            return call

        seeds = [s.cpu() for s in batches]
        edges = sum(sub.edge_id.numel() for sub in draw(there, batches))
        peers = {"ours on the CPU": lambda: last(host(), seeds)}
        return Work(last(there, batches), lambda: last(host(), seeds)(), peers, 1e-9, edges=edges)

    case = f"{BATCHES} batches, {kind}{', graph in host memory' * pinned}"
    label = f"{SAMPLING}, M edges/s" if kind == "uniform" and not pinned else f"{SAMPLING}, {case}, M edges/s"
    return Row("sample_neighbors", case, SUITES["sample_neighbors"].ops, work, {label: edge_rate})


# Ranking


def _info_nce(world: World, queries: int, keys: int, depth: int, compiled: bool = False, **dtype: Any) -> Row:
    ops = SUITES["info_nce"].ops

    def work() -> Work:
        values, batch = world.values(f"info_nce {keys}"), world.size(queries, 8)
        num_keys = world.size(keys, 12)
        query, key = (torch.nn.functional.normalize(values.normal(n, depth)) for n in (batch, num_keys))
        target = values.index(batch, num_keys)

        def leaves(to: torch.dtype) -> list[Tensor]:
            return list(requiring_grad(((query, key), {}), to)[0])

        def ours(query: Tensor, key: Tensor) -> TensorsCall:
            temperature = ranking_peers.TEMPERATURE
            return with_gradients(lambda: graphkern.info_nce(query, key, target, temperature), [query, key])

        own = leaves(dtype.get("dtype", torch.float32))
        makers = ranking_peers.contrast_peers(ranking_peers.Contrast(*own, target), slow=compiled)
        names = ("compiled",) if compiled else ("eager",)
        peers = {name: lambda name=name: with_gradients(makers[name](), own) for name in names}
        want = _in_float64(ops, lambda: ours(*leaves(torch.float64)))
        return Work(ours(*own), want, peers, LIMITS[own[0].dtype])

    words = f"info_nce{' bfloat16' * bool(dtype)}, forward+backward"
    targets = {
        f"{words}, over eager": over("eager"),
        f"{words}, peak extra memory over eager's": memory_over("eager"),
        f"{words}, over compiled": over("compiled"),
    }
    group = f"{words}{', beside the compiler' * compiled}"
    return Row(group, f"B{queries} K{keys} D{depth}", ops, work, targets)


def _topk(world: World, queries: int, items: int, k: int, excluded: bool) -> Row:
    """Values are compared: equal scores may stand in another order."""
    depth, ops = 64, SUITES["topk_scores"].ops

    def work() -> Work:
        values = world.values(f"topk {items}")
        num_queries, num_items = world.size(queries, 9), world.size(items, 200)
        query, item = values.normal(num_queries, depth), values.normal(num_items, depth)
        exclude, where = None, (None, None)
        if excluded:
            row = values.index(30 * num_queries, num_queries)
            pairs = (row * num_items + values.index(row.numel(), num_items)).unique()
            where = pairs // num_items, pairs % num_items
            exclude = CSR.from_edge_index(torch.stack([where[1], where[0]]).int(), num_queries, num_items)

        def ours(query: Tensor, item: Tensor) -> TensorsCall:
            return lambda: [graphkern.topk_scores(query, item, k, exclude)[0]]

        def eager() -> TensorsCall:
            return lambda: [ranking_peers._best(query, item, k, *where)[0]]

        want = _in_float64(ops, lambda: ours(query.double(), item.double()))
        return Work(ours(query, item), want, {"matmul, mask, topk": eager}, LIMITS[torch.float32])

    targets = {
        "topk_scores over matmul, mask, topk": over("matmul"),
        "topk_scores, peak extra memory over matmul's": memory_over("matmul"),
    }
    case = f"{queries} x {items}, D{depth}, k{k}{', 30 excluded a query' * excluded}"
    return Row("topk_scores", case, ops, work, targets)


# Training steps


def _step(tables: list[Tensor], loss: Callable[..., Tensor], optimizer: Callable, **options: Any) -> TensorsCall:
    """Loss, gradient and a step so small that it leaves the tables as they are: loss and gradients of each call."""
    own = [table.clone().requires_grad_() for table in tables]
    stepper = optimizer(own, lr=1e-30, **options)

    def call() -> list[Tensor]:
        stepper.zero_grad()
        out = loss(*own).mean()
        out.backward()
        stepper.step()
        return [out.detach(), *(table.grad for table in own)]

    return call


def _eager_bpr(user: Tensor, item: Tensor, u: Tensor, i: Tensor, j: Tensor, sparse: bool = False) -> Tensor:
    def rows(table: Tensor, index: Tensor) -> Tensor:
        return torch.nn.functional.embedding(index, table, sparse=sparse)

    return -logsigmoid((rows(user, u) * (rows(item, i) - rows(item, j))).sum(1))


def _bpr(world: World, users: int, items: int, batch: int) -> Row:
    depth, ops = 64, (*SUITES["bpr_loss"].ops, "rowwise_adam")

    def work() -> Work:
        values, sizes = world.values("bpr"), (world.size(users, 30), world.size(items, 40))
        tables = [0.1 * values.normal(size, depth) for size in sizes]
        triples = [values.index(world.size(batch, 16), sizes[kind]) for kind in (0, 1, 1)]

        def ours(tables: list[Tensor]) -> TensorsCall:
            optimizer = graphkern.optim.RowwiseAdam
            return _step(tables, lambda *own: graphkern.bpr_loss(*own, *triples, sparse=True), optimizer)

        def eager(sparse: bool, optimizer: Callable, **options: Any) -> Maker:
            return lambda: _step(tables, lambda *own: _eager_bpr(*own, *triples, sparse=sparse), optimizer, **options)

        peers = {
            "eager, fused Adam": eager(False, torch.optim.Adam, fused=True),
            "eager, sparse gradients, SparseAdam": eager(True, torch.optim.SparseAdam),
        }
        want = _in_float64(ops, lambda: ours([table.double() for table in tables]))
        return Work(ours(tables), want, peers, LIMITS[torch.float32])

    targets = {"bpr_loss and RowwiseAdam step over eager with dense Adam": over("eager, fused Adam")}
    return Row(
        "bpr_loss, RowwiseAdam, step", f"{users} users, {items} items, D{depth}, batch {batch}", ops, work, targets
    )


def _lightgcn(world: World, batch: int) -> Row:
    """Three layers over all nodes, BPR of a batch, fused Adam; the first half of the nodes are users."""
    depth, layers, ops = 64, 3, tuple(OPS)

    def work() -> Work:
        one_way = world.graph(SHOP)
        edge = torch.stack([one_way.indices, one_way.row_index()])
        adj = CSR.from_edge_index(torch.cat([edge, edge.flip(0)], 1), one_way.num_rows, one_way.num_rows)
        values, half = world.values("lightgcn"), adj.num_rows // 2
        table = 0.1 * values.normal(adj.num_rows, depth)
        triples = values.index(world.size(batch, 16), half), *(values.index(world.size(batch, 16), half) for _ in "ij")
        model = graphkern.nn.LightGCN(adj.num_rows, depth, layers).to(world.device)

        def ours(x: Tensor) -> Tensor:
            out = model.propagate(x, adj)
            return graphkern.bpr_loss(out[:half], out[half:], *triples)

        def by_product(layout: str) -> Maker:
            def make() -> TensorsCall:
                matrix = _normalized(adj, layout)

                def loss(x: Tensor) -> Tensor:
                    total = x
                    for _ in range(layers):
                        x = torch.sparse.mm(matrix, x)
                        total = total + x
                    out = total / (layers + 1)
                    return _eager_bpr(out[:half], out[half:], *triples)

                return _step([table], loss, torch.optim.Adam, fused=True)

            return make

        def step(table: Tensor) -> TensorsCall:
            return _step([table], ours, torch.optim.Adam, fused=True)

        peers = {f"torch.sparse {layout}": by_product(layout) for layout in ("COO", "CSR")}
        return Work(step(table), _in_float64((), lambda: step(table.double())), peers, LIMITS[torch.float32])

    label = "LightGCN training step"
    targets = {f"{label} over torch.sparse COO": over("torch.sparse COO")}
    targets[f"{label} over torch.sparse CSR"] = over("torch.sparse CSR")
    return Row(label, f"{SHOP} both ways, D{depth}, {layers} layers, batch {batch}", ("spmm", *ops), work, targets)


def _normalized(adj: CSR, layout: str) -> Tensor:
    degree = adj.degree().float().clamp(min=1)
    row, column = adj.row_index().long(), adj.indices.long()
    values, shape = (degree[row] * degree[column]).rsqrt(), (adj.num_rows, adj.num_cols)
    matrix = torch.sparse_coo_tensor(torch.stack([row, column]), values, shape).coalesce()
    return matrix if layout == "COO" else matrix.to_sparse_csr()


def _layer(world: World, name: str) -> Row:
    """A training step of a layer of 4 heads of 16, of ours and of PyG with the same parameters."""
    ops = (f"{name.removesuffix('Conv').lower()}_aggregate".replace("transformer", "attention"), *OPS)

    def work() -> Work:
        adj = world.graph(UNIFORM)
        torch.manual_seed(0)
        mine = getattr(graphkern.nn, name)(64, 16, heads=4).to(world.device)
        order = [key for key, _ in mine.named_parameters()]
        x = world.values(name).normal(adj.num_rows, 64).requires_grad_()

        def step(layer: torch.nn.Module, x: Tensor, edges: Any) -> TensorsCall:
            parameters = dict(layer.named_parameters())
            return with_gradients(lambda: layer(x, edges), [x, *(parameters[key] for key in order)])

        def pyg() -> TensorsCall:
            try:
                import torch_geometric.nn
            except ImportError as reason:
                raise Absent(str(reason)) from reason
            theirs = getattr(torch_geometric.nn, name)(64, 16, heads=4).to(world.device)
            theirs.load_state_dict(mine.state_dict())
            return step(theirs, x, torch.stack([adj.indices, adj.row_index()]).long())

        def in_float64() -> TensorsCall:
            return step(copy.deepcopy(mine).double(), x.detach().double().requires_grad_(), adj)

        return Work(step(mine, x, adj), _in_float64((), in_float64), {"PyG": pyg}, LAYER_LIMIT)

    label = "GAT, GATv2, attention training step"
    targets = {f"{label} over PyG": over("PyG"), f"{label}, peak extra memory over PyG's": memory_over("PyG")}
    return Row(f"{name}, training step", f"{UNIFORM} H4xD16", ops, work, targets)


def rows(world: World) -> Iterator[Row]:
    """Those with a goal first."""
    yield _sampling(world, "uniform")
    yield _info_nce(world, 4096, 40_000, 64)
    yield _info_nce(world, 8192, 100_000, 128)
    yield from (_layer(world, name) for name in ("GATConv", "GATv2Conv", "TransformerConv"))
    yield _lightgcn(world, 8192)
    yield _info_nce(world, 8192, 8192, 128, dtype=torch.bfloat16)
    yield _topk(world, 4096, 40_000, 20, excluded=True)
    yield _topk(world, 512, 1_000_000, 20, excluded=False)
    yield _topk(world, 4096, 40_000, 100, excluded=True)
    yield _bpr(world, 1_000_000, 500_000, 8192)
    yield _sampling(world, "replace", replace=True)
    yield _sampling(world, "uniform", pinned=True)


def compiled_rows(world: World) -> Iterator[Row]:
    """Those beside torch.compile, which takes its time."""
    yield _info_nce(world, 4096, 40_000, 64, compiled=True)
