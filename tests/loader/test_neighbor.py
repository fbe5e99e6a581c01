"""What is in a batch of seed nodes."""

import ast
from pathlib import Path

import pytest
import torch

import graphkern.loader
from graphkern.loader import NeighborLoader
from tests.loader.worlds import NUM_EDGES, NUM_NODES, make_edges, make_graph

ADJ = make_graph()
X, Y = torch.randn(NUM_NODES, 5), torch.arange(NUM_NODES) * 10
EDGE_ATTR = torch.arange(NUM_EDGES, dtype=torch.float64)[:, None].repeat(1, 3)


def check_sample(batch, adj=ADJ) -> None:
    """Every edge of the batch is the edge of the graph that edge_id names."""
    source, destination = make_edges()[:, batch.edge_id.long()]
    assert torch.equal(batch.nodes[batch.adj.indices].long(), source)
    assert torch.equal(batch.nodes[batch.adj.row_index()].long(), destination)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_features_targets_and_edges_belong_to_the_sample(dtype):
    loader = NeighborLoader(ADJ.to(dtype=dtype), [4, 3], x=X, y=Y, edge_attr=EDGE_ATTR, batch_size=64)
    seen = []
    for batch in loader:
        check_sample(batch)
        assert batch.nodes.dtype == dtype
        assert batch.batch_size == len(batch.input_id) == batch.num_nodes_per_hop[0]
        seeds = batch.nodes[: batch.batch_size].long()
        assert torch.equal(batch.x, X[batch.nodes.long()])
        assert torch.equal(batch.y, Y[seeds])
        assert torch.equal(batch.edge_attr, EDGE_ATTR[batch.edge_id.long()])
        assert [(adj.num_rows, adj.num_cols) for adj in batch.layers][-1] == (
            batch.batch_size,
            batch.layers[-1].num_cols,
        )
        seen.append(seeds)
    assert torch.equal(torch.cat(seen), torch.arange(NUM_NODES))


def test_fanout_bounds_the_degree_and_all_takes_every_edge():
    few, every = next(iter(NeighborLoader(ADJ, [4]))), next(iter(NeighborLoader(ADJ, [-1])))
    assert int(few.adj.degree().max()) == 4
    assert every.adj.num_edges == NUM_EDGES


@pytest.mark.parametrize("seeds", [None, torch.arange(100, 150), torch.arange(NUM_NODES) % 3 == 0])
@pytest.mark.parametrize("drop_last", [False, True])
def test_length_and_seeds(seeds, drop_last):
    loader = NeighborLoader(ADJ, [2], seeds, batch_size=32, shuffle=True, drop_last=drop_last)
    numbers = (
        torch.arange(NUM_NODES) if seeds is None else seeds.nonzero()[:, 0] if seeds.dtype == torch.bool else seeds
    )
    batches = list(loader)
    found = torch.cat([batch.nodes[: batch.batch_size] for batch in batches])
    assert len(batches) == len(loader)
    assert len(found) == (len(numbers) // 32 * 32 if drop_last else len(numbers))
    assert len(found.unique()) == len(found)
    assert torch.isin(found, numbers).all()
    assert torch.equal(numbers[torch.cat([batch.input_id for batch in batches])], found)


def test_no_seeds_no_batches():
    assert list(NeighborLoader(ADJ, [2], torch.arange(0))) == []


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.bool, torch.int16, torch.float16, torch.bfloat16, torch.complex64]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 4)])
def test_features_of_any_dtype_and_shape(dtype, shape):
    x = (torch.randn(NUM_NODES, *shape) * 3).to(dtype)
    batch = next(iter(NeighborLoader(ADJ, [2], x=x, y=x[:, None].expand(-1, 2, *shape), batch_size=50)))
    assert torch.equal(batch.x, x[batch.nodes])
    assert torch.equal(batch.y, x[:50, None].expand(-1, 2, *shape))


def test_features_that_learn_are_read_without_gradient():
    x = torch.randn(NUM_NODES, 3, requires_grad=True)
    batch = next(iter(NeighborLoader(ADJ, [2], x=x)))
    assert not batch.x.requires_grad


@pytest.mark.parametrize(
    "options",
    [{"replace": True}, {"weight": torch.rand(NUM_EDGES)}, {"labor": True}, {"disjoint": True}],
    ids=lambda options: next(iter(options)),
)
def test_options_reach_the_sampler(options):
    from graphkern import sample_neighbors
    from graphkern.loader.base import derived_seed

    batch = next(iter(NeighborLoader(ADJ, [5, 5], batch_size=20, seed=3, **options)))
    sample = sample_neighbors(ADJ, torch.arange(20), [5, 5], seed=derived_seed(3, 0, 0), **options)
    assert torch.equal(batch.nodes, sample.nodes)
    assert torch.equal(batch.edge_id, sample.edge_id)
    assert (batch.batch is not None) == ("disjoint" in options)
    check_sample(batch)


@pytest.mark.parametrize("temporal", ["uniform", "last"])
def test_each_seed_keeps_its_time_when_shuffled(temporal):
    edge_time = torch.arange(NUM_EDGES) % 97
    seed_time = torch.arange(NUM_NODES) % 89
    loader = NeighborLoader(
        ADJ, [4, 4], batch_size=50, shuffle=True, edge_time=edge_time, seed_time=seed_time, temporal=temporal
    )
    time_of = torch.empty_like(edge_time)
    time_of[ADJ.edge_id] = edge_time
    for batch in loader:
        limit = seed_time[batch.nodes[: batch.batch_size]][batch.batch[batch.adj.row_index()]]
        assert (time_of[batch.edge_id] <= limit).all()
        assert batch.adj.num_edges > 0


def test_to_moves_every_tensor():
    batch = next(iter(NeighborLoader(ADJ, [2, 2], x=X, y=Y, disjoint=True)))
    moved = batch.to("meta")
    tensors = [moved.nodes, moved.edge_id, moved.x, moved.y, moved.input_id, moved.batch, moved.adj.indptr]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert type(moved) is type(batch)
    assert moved.num_nodes_per_hop == batch.num_nodes_per_hop


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs CUDA")
def test_features_are_page_locked_and_move():
    batch = next(iter(NeighborLoader(ADJ, [2, 2], x=X, y=Y)))
    assert batch.x.is_pinned()
    assert batch.pin_memory().nodes.is_pinned()
    assert torch.equal(batch.to("cuda").x.cpu(), batch.x)


def test_to_pyg_names_what_pyg_names():
    pytest.importorskip("torch_geometric")
    batch = next(iter(NeighborLoader(ADJ, [4, 3], x=X, y=Y, edge_attr=EDGE_ATTR, batch_size=40)))
    data = batch.to_pyg()
    data.validate()
    assert torch.equal(data.x, X[data.n_id])
    assert torch.equal(data.n_id[data.edge_index], make_edges()[:, data.e_id])
    assert torch.equal(data.y, Y[data.n_id[: data.batch_size]])
    assert torch.equal(data.input_id, torch.arange(40))
    assert torch.equal(data.edge_attr, EDGE_ATTR[data.e_id])
    assert (data.num_nodes, data.batch_size) == (len(batch.nodes), 40)
    assert sum(data.num_sampled_edges) == data.num_edges


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"adj": make_edges()}, TypeError, "adj must be a graphkern.CSR"),
        ({"fanouts": []}, ValueError, "fanouts"),
        ({"fanouts": [2, -2]}, ValueError, "fanouts"),
        ({"seeds": torch.tensor([0, NUM_NODES])}, ValueError, "seeds must be in"),
        ({"seeds": torch.tensor([0.5])}, TypeError, "seeds must be an int32 or int64"),
        ({"seeds": torch.zeros(2, 2, dtype=torch.long)}, ValueError, "seeds must be 1-D"),
        ({"seeds": torch.ones(5, dtype=torch.bool)}, ValueError, "seeds as a mask"),
        ({"seeds": [1, 2]}, TypeError, "seeds"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1 but is 0"),
        ({"num_threads": -1}, ValueError, "num_threads"),
        ({"prefetch": 0}, ValueError, "prefetch"),
        ({"x": X[1:]}, ValueError, "x must have a row for each of 300 nodes"),
        ({"x": [1.0]}, TypeError, "x must be a Tensor"),
        ({"y": Y[1:]}, ValueError, "y must have a row"),
        ({"edge_attr": EDGE_ATTR[1:]}, ValueError, "edge_attr must have a row for each of 3000 edges"),
        ({"weight": -torch.ones(NUM_EDGES)}, ValueError, "weight"),
        ({"edge_time": torch.zeros(NUM_EDGES, dtype=torch.long)}, ValueError, "edge_time needs seed_time"),
        ({"seed_time": torch.zeros(NUM_NODES, dtype=torch.long)}, ValueError, "seed_time needs"),
        (
            {"seed_time": torch.zeros(3, dtype=torch.long)},
            ValueError,
            "seed_time must have a row for each of 300 seeds",
        ),
        ({"temporal": "first"}, ValueError, "temporal"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input_is_refused_before_the_loop(arguments, error, message):
    with pytest.raises(error, match=message):
        NeighborLoader(**{"adj": ADJ, "fanouts": [2], **arguments})


def test_loaders_import_ops_and_csr_alone():
    for path in Path(graphkern.loader.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("graphkern"):
                assert node.module.split(".")[1] in ("csr", "ops", "loader"), f"{path} imports {node.module}"
