"""compat.enable and disable: import names, operators, and PyG as it is with the packages installed."""

import importlib
import importlib.util
import subprocess
import sys
import types
import typing
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
                if isinstance(value, (type, types.ModuleType, bool)) or value is object or typing.get_args(value)
            }
    return names, operators, inside, set(torch.serialization.get_safe_globals())


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


def test_all_or_nothing(pyg, switch, monkeypatch):
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
    after = state()  # the check imports more of PyG
    assert after[:2] == before[:2]
    assert before[2].items() <= after[2].items()


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
