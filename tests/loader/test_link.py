"""Pairs to predict links between: labels, negatives, seeds."""

import pytest
import torch

from graphkern import CSR
from graphkern.loader import LinkNeighborLoader
from tests.loader.worlds import NUM_EDGES, NUM_NODES, make_edges, make_graph

ADJ = make_graph()
X = torch.randn(NUM_NODES, 4)
DENSE = torch.zeros(NUM_NODES, NUM_NODES, dtype=torch.bool)
DENSE[make_edges()[1], make_edges()[0]] = True  # row: destination


def in_graph(batch) -> torch.Tensor:
    """[P] whether each pair is an edge."""
    source, destination = batch.nodes.long()[batch.pairs]
    return DENSE[destination, source]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("neg_ratio", [0, 1, 3])
@pytest.mark.parametrize("corrupt", ["source", "destination"])
def test_positives_are_edges_and_negatives_are_not(dtype, neg_ratio, corrupt):
    loader = LinkNeighborLoader(
        ADJ.to(dtype=dtype), [3, 2], batch_size=500, shuffle=True, neg_ratio=neg_ratio, corrupt=corrupt, x=X
    )
    ids = []
    for batch in loader:
        count = batch.batch_size
        assert batch.pairs.shape == (2, count * (1 + neg_ratio))
        assert torch.equal(batch.labels, (torch.arange(count * (1 + neg_ratio)) < count).float())
        assert torch.equal(in_graph(batch), batch.labels.bool())
        kept = 1 if corrupt == "source" else 0
        negatives = batch.pairs[kept, count:].view(count, neg_ratio)
        assert torch.equal(negatives, batch.pairs[kept, :count, None].expand(-1, neg_ratio))
        seeds = batch.nodes[: batch.num_nodes_per_hop[0]]
        assert torch.equal(seeds, seeds.unique())
        assert torch.equal(batch.pairs.unique(), torch.arange(len(seeds)))
        assert torch.equal(batch.x, X[batch.nodes.long()])
        ids.append(batch.input_id)
    assert torch.equal(torch.cat(ids).sort()[0], torch.arange(NUM_EDGES))


def test_pairs_are_those_of_the_items():
    batch = next(iter(LinkNeighborLoader(ADJ, [2], batch_size=100, shuffle=True, neg_ratio=0)))
    stored = torch.stack([ADJ.indices, ADJ.row_index()])
    assert torch.equal(batch.nodes[batch.pairs], stored[:, batch.input_id])


def test_given_edges_and_what_their_negatives_avoid():
    held_out = torch.stack([torch.arange(50), torch.arange(50).flip(0)])
    both = CSR.from_edge_index(torch.cat([make_edges(), held_out], dim=1), NUM_NODES, NUM_NODES)
    loader = LinkNeighborLoader(ADJ, [2], held_out, exclude=both, neg_ratio=50, batch_size=50)
    batch = next(iter(loader))
    assert torch.equal(batch.nodes[batch.pairs][:, :50], held_out)
    source, destination = batch.nodes[batch.pairs][:, 50:]
    assert not DENSE[destination, source].any()
    assert not (source + destination == 49).any()


def test_negatives_are_uniform_over_what_is_left():
    """Chi-square: 5 sigma above its mean, at 6 values left of 10."""
    edges = torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0]])
    adj = CSR.from_edge_index(edges, 10, 10)
    loader = LinkNeighborLoader(adj, [1], batch_size=4, neg_ratio=3000)
    batch = next(iter(loader))
    drawn = batch.nodes[batch.pairs[0, 4:]]
    count = torch.bincount(drawn, minlength=10)[4:].double()
    chi_square = ((count - 2000) ** 2 / 2000).sum()
    assert count.sum() == 12000
    assert chi_square < 5 + 5 * 10**0.5


def test_times_belong_to_pairs():
    edge_time = torch.arange(NUM_EDGES) % 97
    pair_time = torch.arange(200) % 89
    loader = LinkNeighborLoader(
        ADJ, [4, 4], make_edges()[:, :200], batch_size=64, shuffle=True, edge_time=edge_time, seed_time=pair_time
    )
    time_of = torch.empty_like(edge_time)
    time_of[ADJ.edge_id] = edge_time
    for batch in loader:
        time = pair_time[batch.input_id]
        of_seed = torch.cat([time, time]).repeat(2)  # positives, negatives; sources, destinations
        assert batch.num_nodes_per_hop[0] == len(of_seed)
        assert torch.equal(batch.pairs, torch.arange(len(of_seed)).view(2, -1))
        assert (time_of[batch.edge_id] <= of_seed[batch.batch[batch.adj.row_index()]]).all()


def test_to_pyg_carries_labels():
    pytest.importorskip("torch_geometric")
    batch = next(iter(LinkNeighborLoader(ADJ, [2], batch_size=30, x=X)))
    data = batch.to_pyg()
    data.validate()
    source, destination = data.n_id[data.edge_label_index]
    assert torch.equal(DENSE[destination, source], data.edge_label.bool())
    assert data.edge_label.shape == (60,)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"edges": torch.zeros(3, 4, dtype=torch.long)}, ValueError, r"edges must be \[2, P\]"),
        ({"edges": torch.tensor([[0], [NUM_NODES]])}, ValueError, r"edges\[1\] \(destination\)"),
        ({"edges": torch.tensor([[0.0], [1.0]])}, TypeError, "edges"),
        ({"edges": "all"}, TypeError, "edges must be a Tensor"),
        ({"neg_ratio": -1}, ValueError, "neg_ratio"),
        ({"neg_ratio": 0.5}, ValueError, "neg_ratio"),
        ({"corrupt": "both"}, ValueError, "corrupt"),
        ({"exclude": CSR.from_edge_index(torch.zeros(2, 0, dtype=torch.long), 3, 3)}, ValueError, "exclude must be"),
        ({"exclude": make_edges()}, TypeError, "exclude"),
        (
            {"seed_time": torch.zeros(3, dtype=torch.long)},
            ValueError,
            "seed_time must have a row for each of 3000 pairs",
        ),
        ({"edge_time": torch.zeros(NUM_EDGES, dtype=torch.long)}, ValueError, "need seed_time"),
        ({"x": X[1:]}, ValueError, "x must have"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input_is_refused_before_the_loop(arguments, error, message):
    with pytest.raises(error, match=message):
        LinkNeighborLoader(**{"adj": ADJ, "fanouts": [2], **arguments})
