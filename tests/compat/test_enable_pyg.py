"""PyG's loaders and layers with compat.enable: edges of the graph, and the results of PyG without it."""

import itertools
import subprocess
import sys

import pytest
import torch

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Sparse:UserWarning"),  # torch's of its own CSR tensors
]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def graph(num_nodes=60, num_edges=400):
    """Distinct edges [2, e] without loops, sorted by destination."""
    edges = torch.stack([torch.randint(num_nodes, (num_edges,)), torch.randint(num_nodes, (num_edges,))])
    return torch.unique(edges[:, edges[0] != edges[1]].flip(0), dim=1).flip(0).contiguous()


def hold_edges_of(data, batches):
    """Each edge of the batches is that of the graph -> how many were drawn."""
    count = 0
    for batch in batches:
        assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
        count += batch.num_edges
    return count


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"replace": True, "num_workers": 2},
        {"disjoint": True},
        {"subgraph_type": "bidirectional"},
        {"weight_attr": "weight"},
        {"time_attr": "time", "temporal_strategy": "last"},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_neighbor_loader(pyg, enabled, options):
    from torch_geometric.data import Data
    from torch_geometric.loader import NeighborLoader

    edges = graph()
    data = Data(edge_index=edges, num_nodes=60, weight=torch.rand(edges.shape[1]), time=torch.arange(edges.shape[1]))
    if "time_attr" in options:
        options = options | {"input_time": torch.full((60,), edges.shape[1] // 2)}
    if options.get("subgraph_type") == "bidirectional":
        known = set(map(tuple, torch.cat([edges, edges.flip(0)], dim=1).t().tolist()))
        for batch in NeighborLoader(data, [3, 2], batch_size=20, **options):
            assert known.issuperset(map(tuple, batch.n_id[batch.edge_index].t().tolist()))
            assert batch.num_edges > 20
        return
    batches = list(NeighborLoader(data, [3, 2], batch_size=20, **options))
    assert len(batches) == 3
    assert hold_edges_of(data, batches) > 60
    if "time_attr" in options:
        assert all((batch.time <= edges.shape[1] // 2).all() for batch in batches)
    if options.get("disjoint"):
        assert all(torch.equal(batch.batch[batch.edge_index[0]], batch.batch[batch.edge_index[1]]) for batch in batches)


def test_link_neighbor_loader(pyg, enabled):
    from torch_geometric.data import Data
    from torch_geometric.loader import LinkNeighborLoader

    data = Data(edge_index=graph(), num_nodes=60)
    loader = LinkNeighborLoader(data, [3, 2], data.edge_index[:, :50], batch_size=25, neg_sampling_ratio=1.0)
    batches = list(loader)
    assert hold_edges_of(data, batches) > 100
    for batch, positive in zip(batches, data.edge_index[:, :50].split(25, dim=1), strict=True):
        assert torch.equal(batch.n_id[batch.edge_label_index[:, batch.edge_label == 1]], positive)


def hetero(pyg):
    data = pyg.data.HeteroData()
    for kind in ("user", "item"):
        data[kind].x = torch.arange(60)
    data["user", "buys", "item"].edge_index = edges = graph()
    data["item", "of", "user"].edge_index = edges.flip(0)
    return data


def hold_typed_edges_of(data, batches):
    count = 0
    for batch, (kind, store) in itertools.product(batches, data.edge_items()):
        known = set(map(tuple, store.edge_index.t().tolist()))
        row, col = batch[kind].edge_index
        drawn = zip(batch[kind[0]].x[row].tolist(), batch[kind[2]].x[col].tolist(), strict=True)
        assert known.issuperset(drawn)
        count += row.numel()
    return count


def test_hetero_neighbor_loader(pyg, enabled):
    from torch_geometric.loader import NeighborLoader

    data = hetero(pyg)
    batches = list(NeighborLoader(data, [3, 2], input_nodes="item", batch_size=20))
    assert hold_typed_edges_of(data, batches) > 100


def test_hgt_loader(pyg, enabled):
    from torch_geometric.loader import HGTLoader

    data = hetero(pyg)
    batches = list(HGTLoader(data, [8, 8], input_nodes="item", batch_size=20))
    assert len(batches) == 3
    assert hold_typed_edges_of(data, batches) > 100


def test_shadow_sampler(pyg, enabled):
    from torch_geometric.data import Data
    from torch_geometric.loader import ShaDowKHopSampler

    edges = graph()
    known = set(map(tuple, edges.t().tolist()))
    batches = list(ShaDowKHopSampler(Data(edge_index=edges, x=torch.arange(60)), 2, 3, batch_size=20))
    assert len(batches) == 3
    for position, batch in enumerate(batches):
        assert known.issuperset(map(tuple, batch.x[batch.edge_index].t().tolist()))
        assert torch.equal(batch.x[batch.root_n_id], torch.arange(20) + 20 * position)
        assert batch.num_edges > 60


@pytest.mark.parametrize("name", ["GCNConv", "SAGEConv", "GATConv", "GATv2Conv", "GINConv", "TransformerConv"])
def test_layers_give_the_same_on_a_sparse_tensor(pyg, enabled, name):
    from torch_geometric import nn
    from torch_geometric.typing import SparseTensor

    edges = graph()
    x = torch.randn(60, 5, dtype=torch.float64, requires_grad=True)
    layer = (nn.GINConv(torch.nn.Linear(5, 4)) if name == "GINConv" else getattr(nn, name)(5, 4)).double()
    adj_t = SparseTensor.from_edge_index(edges, sparse_sizes=(60, 60)).t()
    results = []
    for adj in (edges, adj_t):
        out = layer(x, adj)
        results.append((out, *torch.autograd.grad(out.square().sum(), (x, *layer.parameters()))))
    torch.testing.assert_close(*results)


def test_layers_give_the_same_as_without(pyg, switch):
    """On edge_index, where PyG goes through torch_scatter and pyg_lib."""
    from torch_geometric.nn import GATConv, RGCNConv, SAGEConv, SoftmaxAggregation

    edges, x = graph(), torch.randn(60, 5, dtype=torch.float64)
    relation = torch.randint(3, (edges.shape[1],))
    layers = [GATConv(5, 4, heads=2), SAGEConv(5, 4, "max"), SAGEConv(5, 4, SoftmaxAggregation()), RGCNConv(5, 4, 3)]
    arguments = [(), (), (), (relation,)]
    results = []
    for on in (False, True):
        if on:
            switch.enable()
        results.append([layer.double()(x, edges, *more) for layer, more in zip(layers, arguments, strict=True)])
    torch.testing.assert_close(*results)


def test_annotations_of_layers(pyg, switch):
    from torch_geometric.nn import GATConv, GCNConv

    before = dict(GCNConv.__annotations__), dict(GATConv.forward.__annotations__)
    switch.enable()
    import torch_sparse

    assert torch_sparse.SparseTensor in GCNConv.__annotations__["_cached_adj_t"].__args__
    assert torch_sparse.SparseTensor in GATConv.forward.__annotations__["edge_index"].__args__
    switch.disable()
    assert before == (GCNConv.__annotations__, GATConv.forward.__annotations__)


SCRIPT = """
import torch
from torch_geometric.nn import GCNConv
from graphkern import compat

layer = GCNConv(4, 2)
compat.enable()
from torch_sparse import SparseTensor

edges, x = torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.randn(3, 4)
adj_t = SparseTensor.from_edge_index(edges, sparse_sizes=(3, 3)).t()
script = torch.jit.script(layer)
torch.testing.assert_close(script(x, edges), layer(x, edges))
torch.testing.assert_close(script(x, adj_t), layer(x, edges))
"""


def test_torchscript_of_a_layer_made_before(pyg):
    """In a process of its own: operators that TorchScript has compiled stay."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


def test_rgcn_goes_through_segment_matmul(pyg, switch, monkeypatch):
    from torch_geometric import backend
    from torch_geometric.nn import RGCNConv

    from graphkern.compat.pyg_lib import ops

    edges, layer = graph(), RGCNConv(5, 4, 3, aggr="sum")
    x, relation, calls = torch.randn(60, 5), torch.randint(3, (edges.shape[1],)), []
    expected = layer(x, edges, relation)
    whole = ops.segment_matmul
    monkeypatch.setattr(ops, "segment_matmul", lambda *inputs: (calls.append(1), whole(*inputs))[1])
    monkeypatch.setattr(backend, "use_segment_matmul", True)
    switch.enable()
    torch.testing.assert_close(layer(x, edges, relation), expected)
    assert calls


def test_hetero_linear_goes_through_grouped_matmul(pyg, switch):
    from torch_geometric.nn import HeteroDictLinear, HeteroLinear

    x, kinds = torch.randn(30, 5), torch.randint(3, (30,))
    layer, grouped = HeteroLinear(5, 4, 3), HeteroDictLinear({"a": 5, "b": 5}, 4)
    given = {"a": x[:10], "b": x[10:]}
    expected = layer(x, kinds), grouped(given)
    switch.enable()
    torch.testing.assert_close((layer(x, kinds), grouped(given)), expected)


def test_edge_index_product(pyg, enabled):
    from torch_geometric import EdgeIndex

    edges = graph().flip(0).contiguous()
    index = EdgeIndex(edges, sparse_size=(60, 60), sort_order="row")
    x, value = torch.randn(60, 5, requires_grad=True), torch.rand(edges.shape[1], requires_grad=True)
    dense = torch.zeros(60, 60).index_put(tuple(edges), value)
    torch.testing.assert_close(index @ x, (dense.detach() != 0).float() @ x)
    results = [index.matmul(x, value), dense @ x]  # with a gradient of value: torch.ops.torch_sparse
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*(torch.autograd.grad(out.square().sum(), (x, value)) for out in results))
    largest = index.matmul(x.detach(), value.detach().requires_grad_(), reduce="max")
    filled = torch.where(dense[:, :, None] != 0, dense[:, :, None] * x, -torch.inf).amax(1)
    torch.testing.assert_close(largest, torch.where(filled.isinf(), 0, filled), check_stride=False)


def test_batches_of_sparse_tensors(pyg, enabled):
    from torch_geometric.data import Batch, Data
    from torch_geometric.transforms import ToSparseTensor

    one, other = (ToSparseTensor()(Data(edge_index=graph(), num_nodes=60)) for _ in range(2))
    batch = Batch.from_data_list([one, other])
    expected = torch.block_diag(one.adj_t.to_dense(), other.adj_t.to_dense())
    torch.testing.assert_close(batch.adj_t.to_dense(), expected)
    torch.testing.assert_close(batch.get_example(1).adj_t.to_dense(), other.adj_t.to_dense())


def test_sparse_tensors_load_with_weights_only(pyg, switch, tmp_path):
    switch.enable()
    from torch_geometric.typing import SparseTensor

    adj = SparseTensor.from_edge_index(graph(), sparse_sizes=(60, 60))
    torch.save(adj, tmp_path / "adj.pt")
    assert torch.equal(torch.load(tmp_path / "adj.pt", weights_only=True).to_dense(), adj.to_dense())
