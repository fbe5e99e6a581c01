"""`python -m graphkern.compat --check`: what is served under which name here, and whether it computes correctly."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import inspect
import sys
import traceback
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from graphkern import compat
from graphkern.compat import SURFACES


def main() -> int:
    """Print the report. Returns 0 if all that can be served here passes the self-test, else 1."""
    parser = argparse.ArgumentParser(prog="python -m graphkern.compat", description=__doc__)
    parser.add_argument("--check", action="store_true", help="print what is served here, and try it")
    if not parser.parse_args().check:
        parser.print_help()
        return 0
    served, failed = _surfaces()
    pyg = _pyg(served)
    failed += _self_test([*served, *(["torch_geometric"] if pyg else [])])
    print("ok" if not failed else f"failed: {', '.join(failed)}")
    return int(bool(failed))


def _surfaces() -> tuple[list[str], list[str]]:
    """Enables each surface alone, for a row -> the names that can be served, those that should be and cannot."""
    served, failed = [], []
    print(f"{'import name':15}{'follows':18}{'functions':>9}{'operators':>11}  can be active")
    for name in SURFACES:
        before, number, can = _operators(), 0, "yes: the real package is absent"
        try:
            with compat.enable(name):
                number = len(_operators() - before)
            served.append(name)
        except RuntimeError as error:
            can = f"no: {error}"
            if not compat._refusal(name):
                failed.append(name)
        package = importlib.import_module(f"graphkern.compat.{name}")
        print(f"{name:15}{package.__version__:18}{_functions(name):9}{number:11}  {can}")
    return served, failed


def _operators() -> set[str]:
    """Those that Python implements as ours are."""
    keys = ("CompositeImplicitAutograd", "CompositeExplicitAutograd")
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return {name for name in torch._C._dispatch_get_all_op_names() if any(has_kernel(name, key) for key in keys)}


def _functions(name: str) -> int:
    """How many functions and classes of its own the package and its public modules offer."""
    modules = [module for key, module in compat._modules(name).items() if "._" not in key]
    ours = ("register", "unregister")
    public = [value for module in modules for key, value in vars(module).items() if key[0] != "_" and key not in ours]
    callables = [value for value in public if inspect.isfunction(value) or inspect.isclass(value)]
    return len({id(value) for value in callables if value.__module__.startswith(f"graphkern.compat.{name}")})


def _pyg(served: list[str]) -> bool:
    """Says which flags of torch_geometric turn on."""
    if importlib.util.find_spec("torch_geometric") is None:
        print("torch_geometric is absent")
        return False
    import torch_geometric.typing

    before = _flags(torch_geometric.typing)
    with compat.enable(*served) if served else contextlib.nullcontext():
        new = sorted(_flags(torch_geometric.typing) - before)
    print(f"torch_geometric {torch_geometric.__version__} turns on {', '.join(new) or 'nothing'}")
    return True


def _flags(module: object) -> set[str]:
    return {name for name, value in vars(module).items() if name.startswith("WITH_") and value is True}


def _self_test(names: list[str]) -> list[str]:
    """Runs the tests of each name with all of SURFACES among them enabled -> what failed."""
    tests: dict[str, tuple[Callable[[], None], ...]] = {
        "torch_scatter": (_scatter,),
        "torch_sparse": (_sparse,),
        "pyg_lib": (_segment_matmul, _neighbor_sample),
        "torch_geometric": (_gcn, _neighbor_loader, _hgt_loader),
    }
    failed = []
    served = [name for name in names if name in SURFACES]
    with compat.enable(*served) if served else contextlib.nullcontext():
        for name in names:
            for test in tests[name]:
                if test is _hgt_loader and importlib.util.find_spec("torch_sparse") is None:
                    continue
                title = f"{name}: {test.__doc__}"
                try:
                    test()
                except Exception:
                    traceback.print_exc()
                    failed.append(title)
                print(f"{title}: {'failed' if title in failed else 'passed'}")
    left = [name for name in served if name in sys.modules]
    return failed + [f"{name} is still there after disable" for name in left]


def _scatter() -> None:
    """scatter, segment_csr, scatter_softmax"""
    import torch_scatter

    x, index, ptr = torch.arange(12.0).view(6, 2), torch.tensor([0, 2, 0, 1, 2, 2]), torch.tensor([0, 2, 2, 6])
    summed = torch.zeros(3, 2).index_add(0, index, x)
    torch.testing.assert_close(torch_scatter.scatter(x, index, 0, reduce="sum"), summed)
    means = torch.stack([x[:2].mean(0), torch.zeros(2), x[2:].mean(0)])
    torch.testing.assert_close(torch_scatter.segment_csr(x, ptr, reduce="mean"), means)
    shares = x.exp() / torch.zeros(3, 2).index_add(0, index, x.exp())[index]
    torch.testing.assert_close(torch_scatter.scatter_softmax(x, index, 0), shares)


def _sparse() -> None:
    """SparseTensor: coo, transpose, product with its gradient"""
    from torch_sparse import SparseTensor

    row, col, value = torch.tensor([2, 0, 2]), torch.tensor([1, 3, 0]), torch.tensor([1.0, 2.0, 3.0])
    value.requires_grad_()
    adj = SparseTensor(row=row, col=col, value=value, sparse_sizes=(3, 4))
    dense = torch.zeros(3, 4).index_put((row, col), value)
    x = torch.arange(8.0).view(4, 2)
    torch.testing.assert_close(adj.to_dense(), dense)
    torch.testing.assert_close(adj.t().to_dense(), dense.t())
    torch.testing.assert_close(adj @ x, dense @ x)
    got, expected = (torch.autograd.grad((a @ x).square().sum(), value)[0] for a in (adj, dense))
    torch.testing.assert_close(got, expected)


def _segment_matmul() -> None:
    """segment_matmul, grouped_matmul"""
    import pyg_lib

    x, weight, ptr = torch.arange(10.0).view(5, 2), torch.arange(12.0).view(2, 2, 3), torch.tensor([0, 3, 5])
    expected = [x[:3] @ weight[0], x[3:] @ weight[1]]
    torch.testing.assert_close(pyg_lib.ops.segment_matmul(x, ptr, weight), torch.cat(expected))
    torch.testing.assert_close(pyg_lib.ops.grouped_matmul([x[:3], x[3:]], list(weight)), expected)


def _neighbor_sample() -> None:
    """neighbor_sample, each edge is one of the graph"""
    import pyg_lib

    rowptr, col = torch.tensor([0, 2, 4, 6]), torch.tensor([1, 2, 0, 2, 0, 1])
    row, neighbor, node, edge, *_ = pyg_lib.sampler.neighbor_sample(rowptr, col, torch.tensor([0]), [1, -1])
    assert edge is not None
    assert edge.numel() == 3
    assert torch.equal(col[edge], node[neighbor])
    assert torch.equal(torch.bucketize(edge, rowptr, right=True) - 1, node[row])


def _ring(num_nodes: int = 20) -> Tensor:
    """Edges [2, 2 num_nodes] from each node to the next two."""
    node = torch.arange(num_nodes)
    return torch.stack([node.repeat(2), torch.cat([node + 1, node + 2]) % num_nodes])


def _gcn() -> None:
    """GCNConv gives the same on a SparseTensor"""
    from torch_geometric.nn import GCNConv
    from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor

    if WITH_TORCH_SPARSE:
        edges, x, conv = _ring(), torch.randn(20, 4), GCNConv(4, 3)
        adj_t = SparseTensor.from_edge_index(edges, sparse_sizes=(20, 20)).t()
        torch.testing.assert_close(conv(x, adj_t), conv(x, edges))


def _neighbor_loader() -> None:
    """NeighborLoader, each edge is one of the graph"""
    from torch_geometric.data import Data
    from torch_geometric.loader import NeighborLoader

    data = Data(edge_index=_ring(), num_nodes=20)
    for batch in NeighborLoader(data, [2, 1], batch_size=5):
        assert torch.equal(data.edge_index[:, batch.e_id], batch.n_id[batch.edge_index])
        assert batch.num_edges >= 10


def _hgt_loader() -> None:
    """HGTLoader, each edge is one of the graph"""
    from torch_geometric.data import HeteroData
    from torch_geometric.loader import HGTLoader

    data = HeteroData()
    for kind in ("a", "b"):
        data[kind].num_nodes = 20
        data[kind].x = torch.arange(20)
    edges = data["a", "to", "b"].edge_index = data["b", "back", "a"].edge_index = _ring()
    known = {tuple(edge) for edge in edges.t().tolist()}
    for batch in HGTLoader(data, [4, 4], batch_size=5, input_nodes="b"):
        for source, relation, destination in (("a", "to", "b"), ("b", "back", "a")):
            row, col = batch[source, relation, destination].edge_index
            drawn = zip(batch[source].x[row].tolist(), batch[destination].x[col].tolist(), strict=True)
            assert known.issuperset(drawn)
        assert batch["a"].num_nodes


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Sparse ", UserWarning)  # torch's of its own CSR tensors
    sys.exit(main())
