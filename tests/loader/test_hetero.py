"""Loaders over several types of nodes and edges."""

import pytest
import torch

from graphkern.loader import HeteroLinkNeighborLoader, HeteroNeighborLoader
from tests.loader.worlds import ITEM_USER, USER_ITEM, USER_USER, fingerprint, make_hetero

ADJS = make_hetero()
X = {"user": torch.randn(40, 3), "item": torch.randn(60, 5)}
Y = torch.arange(60)
EDGE_ATTR = {USER_ITEM: torch.arange(400.0)}


def check_sample(batch) -> None:
    for kind, nodes in batch.nodes.items():
        assert torch.equal(batch.x[kind], X[kind][nodes])
    for key, adj in batch.adjs.items():
        whole = ADJS[key]
        place = torch.empty_like(whole.edge_id)
        place[whole.edge_id] = torch.arange(whole.num_edges)
        stored = place[batch.edge_id[key]]
        assert torch.equal(batch.nodes[key[0]][adj.indices], whole.indices[stored])
        assert torch.equal(batch.nodes[key[2]][adj.row_index()], whole.row_index()[stored])


@pytest.mark.parametrize("fanouts", [[4, 3], {USER_ITEM: [5, 5], ITEM_USER: [2, 2], USER_USER: [0, 1]}])
@pytest.mark.parametrize("seeds", ["item", ("item", torch.arange(60) % 2 == 0)])
def test_features_targets_and_edges_belong_to_the_sample(fanouts, seeds):
    loader = HeteroNeighborLoader(ADJS, fanouts, seeds, x=X, y=Y, edge_attr=EDGE_ATTR, batch_size=16, shuffle=True)
    found = []
    for batch in loader:
        check_sample(batch)
        nodes = batch.nodes["item"][: batch.batch_size]
        assert torch.equal(batch.y, Y[nodes])
        assert torch.equal(batch.edge_attr[USER_ITEM], batch.edge_id[USER_ITEM].float())
        found.append(nodes)
    wanted = torch.arange(60) if isinstance(seeds, str) else torch.arange(0, 60, 2)
    assert torch.equal(torch.cat(found).sort()[0], wanted)


def test_threads_do_not_change_batches():
    epochs = [
        fingerprint(*HeteroNeighborLoader(ADJS, [3, 2], "user", x=X, batch_size=7, shuffle=True, num_threads=threads))
        for threads in (0, 1, 2)
    ]
    assert len(set(epochs)) == 1


@pytest.mark.parametrize("key", [USER_ITEM, USER_USER])
@pytest.mark.parametrize("corrupt", ["source", "destination"])
def test_positives_are_edges_and_negatives_are_not(key, corrupt):
    adj = ADJS[key]
    dense = torch.zeros(adj.num_rows, adj.num_cols, dtype=torch.bool)
    dense[adj.row_index(), adj.indices] = True
    loader = HeteroLinkNeighborLoader(
        ADJS, [3, 2], key, x=X, neg_ratio=2, corrupt=corrupt, batch_size=32, num_threads=2
    )
    count = 0
    for batch in loader:
        check_sample(batch)
        source, destination = batch.nodes[key[0]][batch.pairs[0]], batch.nodes[key[2]][batch.pairs[1]]
        assert torch.equal(dense[destination, source], batch.labels.bool())
        assert batch.labels.sum() == batch.batch_size
        assert len(batch.labels) == 3 * batch.batch_size
        count += batch.batch_size
    assert count == adj.num_edges


def test_pairs_with_times_get_subgraphs_of_their_own():
    node_time = {"user": torch.arange(40), "item": torch.arange(60)}
    pairs = torch.stack([torch.arange(30), torch.arange(30)])
    time = torch.arange(30) + 20
    loader = HeteroLinkNeighborLoader(
        ADJS, [3, 3], (USER_ITEM, pairs), x=X, batch_size=8, node_time=node_time, seed_time=time, shuffle=True
    )
    for batch in loader:
        check_sample(batch)
        of_pair = time[batch.input_id].repeat(2)  # positives, then as many negatives
        of_seed = torch.cat([of_pair, of_pair])  # one type of seeds, then the other
        for key, adj in batch.adjs.items():
            limit = of_seed[batch.batch[key[2]][adj.row_index()]]
            assert (node_time[key[0]][batch.nodes[key[0]][adj.indices]] <= limit).all()


def test_to_moves_every_tensor():
    batch = next(iter(HeteroNeighborLoader(ADJS, [2, 2], "item", x=X, y=Y)))
    moved = batch.to("meta")
    assert {t.device.type for t in [*moved.nodes.values(), *moved.x.values(), moved.y, moved.input_id]} == {"meta"}
    assert {adj.device.type for adj in moved.adjs.values()} == {"meta"}


def test_to_pyg_names_what_pyg_names():
    pytest.importorskip("torch_geometric")
    data = next(iter(HeteroNeighborLoader(ADJS, [3], "item", x=X, y=Y, edge_attr=EDGE_ATTR, batch_size=20))).to_pyg()
    data.validate()
    assert set(data.edge_types) == set(ADJS)
    assert torch.equal(data["user"].x, X["user"][data["user"].n_id])
    assert torch.equal(data["item"].y, Y[data["item"].n_id[: data["item"].batch_size]])
    assert torch.equal(data[USER_ITEM].edge_attr, data[USER_ITEM].e_id.float())
    pairs = next(iter(HeteroLinkNeighborLoader(ADJS, [3], USER_ITEM, x=X, batch_size=20))).to_pyg()
    assert pairs[USER_ITEM].edge_label_index.shape == (2, 40)
    assert pairs[USER_ITEM].edge_label.sum() == 20


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"adjs": {}}, ValueError, "adjs must have a relation"),
        ({"adjs": {USER_ITEM: torch.zeros(2)}}, TypeError, "must be a graphkern.CSR"),
        ({"seeds": "shop"}, ValueError, "nodes of type 'shop'"),
        ({"seeds": torch.arange(5)}, TypeError, "seeds must be a node type"),
        ({"seeds": ("item", torch.tensor([60]))}, ValueError, "seeds must be in"),
        ({"fanouts": {USER_ITEM: [2]}}, ValueError, "fanouts leaves out"),
        ({"x": {"user": X["item"]}}, ValueError, r"x\['user'\] must have a row"),
        ({"x": {"shop": X["item"]}}, ValueError, "shop"),
        ({"y": Y[1:]}, ValueError, "y must have"),
        ({"edge_attr": {("a", "b", "c"): Y}}, ValueError, "which adjs lack"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input_is_refused_before_the_loop(arguments, error, message):
    with pytest.raises(error, match=message):
        HeteroNeighborLoader(**{"adjs": ADJS, "fanouts": [2], "seeds": "item", **arguments})


def test_unknown_edge_type_is_refused():
    with pytest.raises(ValueError, match="which adjs lack"):
        HeteroLinkNeighborLoader(ADJS, [2], ("user", "sells", "item"))
    with pytest.raises(TypeError, match="edges must be an edge type"):
        HeteroLinkNeighborLoader(ADJS, [2], torch.zeros(2, 5))
