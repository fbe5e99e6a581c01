"""compat.enable and disable: import names, operators, and PyG as it is with the packages installed."""

import importlib
import importlib.util
import itertools
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from graphkern import compat
from graphkern.compat import __main__ as check

EXAMPLE = Path(__file__).parents[2] / "examples" / "pyg_neighbor_loader.py"
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Sparse:UserWarning"),  # torch's of its own CSR tensors
]


def state():
    """All that enable changes, but for modules that merely look at it."""
    names = {key: module for key, module in sys.modules.items() if key.partition(".")[0] in compat.SURFACES}
    operators = {
        name for name in check._operators() if name.partition("::")[0] in ("torch_scatter", "torch_sparse", "pyg")
    }
    inside = {}
    for key, module in list(sys.modules.items()):
        if key.partition(".")[0] == "torch_geometric":
            inside |= {
                (key, name): value
                for name, value in vars(module).items()
                if isinstance(value, (type, types.ModuleType, bool)) or value is object
            }
    return names, operators, inside, set(torch.serialization.get_safe_globals())


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def pyg():
    return pytest.importorskip("torch_geometric", reason="needs torch_geometric")


def graph(num_nodes=60, num_edges=400):
    """Distinct edges [2, e] without loops, sorted by destination."""
    edges = torch.stack([torch.randint(num_nodes, (num_edges,)), torch.randint(num_nodes, (num_edges,))])
    return torch.unique(edges[:, edges[0] != edges[1]].flip(0), dim=1).flip(0).contiguous()


# import names


def test_import_names(enabled):
    import torch_scatter
    import torch_sparse.tensor
    from torch_scatter.composite import scatter_softmax

    import graphkern.compat.torch_scatter
    import graphkern.compat.torch_sparse.tensor

    assert torch_scatter.scatter is graphkern.compat.torch_scatter.scatter
    assert scatter_softmax is graphkern.compat.torch_scatter.composite.scatter_softmax
    assert torch_sparse.tensor is graphkern.compat.torch_sparse.tensor
    for name in compat.SURFACES:
        assert importlib.util.find_spec(name) is not None
        assert importlib.import_module(name) is importlib.import_module(f"graphkern.compat.{name}")


def test_no_module_is_there_twice(enabled):
    folder = Path(compat.__file__).parent
    for path in folder.rglob("*.py"):
        module = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        if module.partition(".")[0] in compat.SURFACES:
            assert importlib.import_module(module) is importlib.import_module(f"graphkern.compat.{module}")
    files = [getattr(module, "__file__", None) for module in {id(m): m for m in sys.modules.values()}.values()]
    files = [file for file in files if file and Path(file).is_relative_to(folder)]
    assert len(files) == len(set(files))


def test_operators(enabled):
    assert torch.ops.torch_scatter.segment_sum_csr(torch.ones(3), torch.tensor([0, 1, 3]), None).tolist() == [1, 2]
    assert torch.ops.torch_sparse.ptr2ind(torch.tensor([0, 1, 3]), 3).tolist() == [0, 1, 1]
    x, ptr = torch.ones(2, 1), torch.tensor([0, 2])
    assert torch.ops.pyg.segment_matmul(x, ptr, torch.full((1, 1, 1), 3.0)).tolist() == [[3], [3]]


def test_disable_takes_back_what_enable_put(switch):
    before = state()
    switch.enable()
    names, operators, *_ = state()
    assert {"torch_scatter", "torch_sparse.tensor", "pyg_lib.ops"} <= names.keys() - before[0].keys()
    assert "pyg::neighbor_sample" in operators - before[1]
    switch.disable()
    assert state() == before
    for name in compat.SURFACES:
        assert importlib.util.find_spec(name) is None
        with pytest.raises(ModuleNotFoundError, match=name):
            importlib.import_module(name)


def test_enable_again_changes_nothing(switch):
    switch.enable()
    once = state()
    switch.enable()
    switch.enable("pyg_lib")
    assert state() == once


def test_names_apart(switch):
    before = state()
    switch.enable("torch_scatter", "pyg_lib")
    assert importlib.util.find_spec("torch_sparse") is None
    switch.disable("torch_sparse", "torch_scatter")
    assert importlib.util.find_spec("torch_scatter") is None
    assert importlib.util.find_spec("pyg_lib") is not None
    switch.disable("pyg_lib")
    assert state() == before


def test_a_context_disables_what_it_enabled(switch):
    before = state()
    with switch.enable("pyg_lib"):
        with switch.enable():
            assert importlib.util.find_spec("torch_scatter") is not None
        assert importlib.util.find_spec("torch_scatter") is None
        assert importlib.util.find_spec("pyg_lib") is not None
    assert state() == before


def test_unknown_names(switch):
    for call in (switch.enable, switch.disable):
        with pytest.raises(ValueError, match=r"torch_cluster.*torch_scatter.*torch_sparse.*pyg_lib"):
            call("torch_scatter", "torch_cluster")
    assert "torch_scatter" not in sys.modules


@pytest.mark.parametrize("loaded", [False, True], ids=["installed", "loaded"])
def test_a_real_package_is_refused(switch, monkeypatch, tmp_path, loaded):
    package = tmp_path / "torch_sparse"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '0.6.18'\n")
    information = tmp_path / "torch_sparse-0.6.18.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-sparse\nVersion: 0.6.18\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        if loaded:
            import torch_sparse

            assert torch_sparse.__version__ == "0.6.18"
        before = state()
        for names in ((), ("pyg_lib", "torch_sparse")):
            with pytest.raises(RuntimeError, match=r"torch_sparse 0\.6\.18 is (installed|loaded) \(.*__init__"):
                switch.enable(*names)
            assert state() == before
        switch.enable("torch_scatter")
    finally:
        sys.modules.pop("torch_sparse", None)


def test_a_folder_of_the_same_name_is_no_package(switch, monkeypatch, tmp_path):
    (tmp_path / "torch_sparse").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    switch.enable("torch_sparse")


def test_a_blocked_name_is_blocked_again(switch, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_scatter", None)
    with switch.enable():
        import torch_scatter

        assert torch_scatter.scatter
    assert sys.modules["torch_scatter"] is None


def test_what_others_put_in_place_meanwhile_stays(switch):
    switch.enable()
    other = types.ModuleType("pyg_lib")
    sys.modules["pyg_lib"] = other
    try:
        with pytest.raises(RuntimeError, match="pyg_lib of unknown version is loaded"):
            switch.enable()
        switch.disable()
        assert sys.modules["pyg_lib"] is other
        assert "pyg_lib.ops" not in sys.modules
    finally:
        del sys.modules["pyg_lib"]


def test_all_or_nothing(switch, monkeypatch):
    from graphkern.compat import pyg_lib

    def fail():
        raise RuntimeError("no operators today")

    before = state()
    monkeypatch.setattr(pyg_lib, "register", fail)
    with pytest.raises(RuntimeError, match="no operators today"):
        switch.enable()
    assert state() == before


# PyG


def test_pyg_finds_the_packages(pyg, switch):
    from torch_geometric import typing
    from torch_geometric.sampler import hgt_sampler
    from torch_geometric.utils import _scatter

    before = state()
    assert not typing.WITH_PYG_LIB
    switch.enable()
    import torch_scatter
    import torch_sparse

    for flag in ("TORCH_SCATTER", "TORCH_SPARSE", "PYG_LIB", "SEGMM", "GMM", "SAMPLED_OP", "SOFTMAX", "INDEX_SORT"):
        assert getattr(typing, f"WITH_{flag}"), flag
    assert typing.WITH_EDGE_TIME_NEIGHBOR_SAMPLE
    assert typing.WITH_WEIGHTED_NEIGHBOR_SAMPLE
    assert typing.SparseTensor is torch_sparse.SparseTensor
    assert typing.Adj == torch.Tensor | torch_sparse.SparseTensor
    assert hgt_sampler.WITH_TORCH_SPARSE
    assert _scatter.torch_scatter is torch_scatter
    switch.disable("torch_scatter")
    assert not typing.WITH_TORCH_SCATTER
    assert typing.WITH_TORCH_SPARSE
    switch.disable()
    assert state() == before
    assert typing.SparseTensor in typing.Adj.__args__


def test_modules_of_users_that_hold_a_stub(pyg, switch, monkeypatch):
    from torch_geometric.typing import SparseTensor as Stub

    user, other = types.ModuleType("a_users_module"), types.ModuleType("another_module")
    user.Sparse, user.WITH_TORCH_SPARSE = Stub, False
    monkeypatch.setitem(sys.modules, "a_users_module", user)
    monkeypatch.setitem(sys.modules, "another_module", other)
    switch.enable()
    from torch_sparse import SparseTensor

    assert user.Sparse is SparseTensor
    other.Sparse = SparseTensor
    switch.disable()
    assert user.Sparse is Stub
    assert user.WITH_TORCH_SPARSE is False
    assert other.Sparse is SparseTensor


AFTER = """
import sys
import torch
from graphkern import compat

assert not any(name.startswith("torch_geometric") for name in sys.modules)
compat.enable()
import torch_geometric.typing as typing
from torch_geometric.nn import GCNConv
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader
from torch_geometric.typing import SparseTensor
import torch_sparse

print(sorted(name for name in vars(typing) if name.startswith("WITH_") and getattr(typing, name)))
assert SparseTensor is torch_sparse.SparseTensor
edges, x, conv = torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.randn(3, 4), GCNConv(4, 2)
adj_t = SparseTensor.from_edge_index(edges, sparse_sizes=(3, 3)).t()
torch.testing.assert_close(conv(x, adj_t), conv(x, edges))
assert next(iter(NeighborLoader(Data(edge_index=edges, num_nodes=3), [1], batch_size=3))).num_edges == 3

compat.disable()
assert not typing.WITH_PYG_LIB and not typing.WITH_TORCH_SPARSE and not typing.WITH_TORCH_SCATTER
assert torch_sparse.SparseTensor not in typing.Adj.__args__ and typing.SparseTensor in typing.Adj.__args__
import torch_geometric.nn.conv.gcn_conv as gcn_conv, torch_geometric.utils._scatter as scatter
assert gcn_conv.SparseTensor is typing.SparseTensor and scatter.torch_scatter is object
assert not any(each.__module__.startswith("graphkern") for each in torch.serialization.get_safe_globals())
try:
    typing.SparseTensor(row=edges[0], col=edges[1])
except ImportError as error:
    assert "torch-sparse" in str(error)
else:
    raise AssertionError("the stub is not back")
assert conv(x, edges).shape == (3, 2)
compat.enable()
assert typing.SparseTensor is gcn_conv.SparseTensor is torch_sparse.SparseTensor
"""


def test_pyg_imported_after_enable(pyg, enabled):
    from torch_geometric import typing

    run = subprocess.run([sys.executable, "-c", AFTER], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    flags = sorted(name for name in vars(typing) if name.startswith("WITH_") and getattr(typing, name))
    assert run.stdout.strip() == str(flags)


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


# the command and the example


def test_check(capsys, monkeypatch, switch):
    monkeypatch.setattr(sys, "argv", ["graphkern.compat", "--check"])
    before = state()
    assert check.main() == 0
    out = capsys.readouterr().out
    assert out.endswith("\nok\n")
    for name in compat.SURFACES:
        assert f"\n{name} " in out
        assert f"{name}: " in out
    assert "failed" not in out
    assert state() == before


def test_check_says_what_is_wrong(capsys, monkeypatch, switch):
    from graphkern.compat import torch_scatter

    monkeypatch.setattr(sys, "argv", ["graphkern.compat", "--check"])
    monkeypatch.setattr(torch_scatter, "segment_csr", lambda src, ptr, **_: src[:3])
    assert check.main() == 1
    assert "failed: torch_scatter: scatter, segment_csr" in capsys.readouterr().out.splitlines()[-1]


def test_check_where_a_real_package_is(capsys, monkeypatch, tmp_path, switch):
    (tmp_path / "torch_scatter.py").write_text("__version__ = '2.1.2'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["graphkern.compat", "--check"])
    assert check.main() == 0
    assert "no: torch_scatter of unknown version is installed" in capsys.readouterr().out
    assert "torch_scatter" not in sys.modules


def test_check_without_pyg(capsys, monkeypatch, switch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch_geometric" else find(name))
    monkeypatch.setattr(sys, "argv", ["graphkern.compat", "--check"])
    assert check.main() == 0
    out = capsys.readouterr().out
    assert "torch_geometric is absent" in out
    assert "GCNConv" not in out


def test_usage_without_check(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["graphkern.compat"])
    assert check.main() == 0
    assert "--check" in capsys.readouterr().out


def test_the_example(pyg, capsys, monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("pyg_neighbor_loader", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(
        sys, "argv", ["x", "--data", str(tmp_path), "--nodes", "2000", "--steps", "30", "--batch-size", "128"]
    )
    example.main()
    out = capsys.readouterr().out
    assert "a made graph" in out
    assert "all of them edges of the graph" in out
    first, last = (float(number) for number in out.partition("loss ")[2].partition(",")[0].split(" -> "))
    assert last < first
    assert "torch_sparse" not in sys.modules
