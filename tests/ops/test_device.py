"""What only a device can show: streams, graphs, several devices, huge grids, waiting, page-locked memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

import graphkern as gk
from graphkern._op import OPS

from .test_contract import SUITES, _results, _same_bits

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

OPS_OF = {suite.name: suite.ops for suite in SUITES}
SAMPLING = ("sample_neighbors", "sample_neighbors_hetero", "random_walk", "sample_negatives", "induced_subgraph")
Call = tuple[Callable[..., Tensor], list[Tensor]]  # of the tensors


def make_graph(num_nodes: int = 3000, num_edges: int = 40_000, hub: int = 5000) -> gk.CSR:
    generator = torch.Generator().manual_seed(0)
    source, row = torch.randint(0, num_nodes, (2, num_edges), generator=generator, dtype=torch.int32)
    row[:hub] = 0
    return gk.CSR.from_edge_index(torch.stack([source, row]), num_nodes, num_nodes)


def make_calls(device: str) -> dict[str, Call]:
    """A call of each op of message passing and of topk_scores, by the name of its suite."""
    adj, generator = make_graph().to(device), torch.Generator().manual_seed(1)
    adj.tensors(transpose=True)
    nodes, edges = adj.num_rows, adj.num_edges
    index = adj.row_index()[torch.randperm(edges, generator=generator).to(device)]

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    x, y, z = (normal(nodes, 4, 16) for _ in range(3))
    message, flat = normal(edges, 32), normal(nodes, 64)
    return {
        "spmm": (lambda x: gk.spmm(adj, x), [flat]),
        "spmm max": (lambda x: gk.spmm(adj, x, reduce="max"), [flat]),
        "sddmm": (lambda q, k: gk.sddmm(adj, q, k), [x, y]),
        "edge_softmax": (lambda score: gk.edge_softmax(adj, score), [normal(edges, 4)]),
        "gat_aggregate": (lambda x, a, b: gk.gat_aggregate(adj, x, a, b), [x, normal(nodes, 4), normal(nodes, 4)]),
        "gatv2_aggregate": (lambda x, y, a: gk.gatv2_aggregate(adj, x, y, a), [x, y, normal(4, 16)]),
        "attention_aggregate": (lambda q, k, v: gk.attention_aggregate(adj, q, k, v), [x, y, z]),
        "segment_reduce": (lambda src: gk.segment_reduce(src, adj.indptr), [message]),
        "segment_reduce max": (lambda src: gk.segment_reduce(src, adj.indptr, "max"), [message]),
        "scatter_reduce": (lambda src: gk.scatter_reduce(src, index, nodes), [message]),
        "scatter_reduce max": (lambda src: gk.scatter_reduce(src, index, nodes, "max"), [message]),
        "gather_csr": (lambda src: gk.gather_csr(src, adj.indptr, output_size=edges), [flat]),
        "segment_matmul": (lambda x, w: gk.segment_matmul(x, adj.indptr, w), [message, normal(nodes, 32, 8)]),
        "topk_scores": (lambda query, item: gk.topk_scores(query, item, 10)[0], [flat[:100], flat]),
    }


NAMES = tuple(make_calls("cpu"))
DIFFERENTIABLE = tuple(name for name in NAMES if name != "topk_scores")
each_implementation = pytest.mark.parametrize("implementation", ["cuda", "triton"])


@contextlib.contextmanager
def serving(name: str, implementation: str) -> Iterator[None]:
    ops = OPS_OF[name.split()[0]]
    main = f"{name.split()[0].split('_')[0]}_extremum" if name.endswith(" max") else ops[0]
    missing = OPS[main].missing(implementation)
    if missing is not None:
        pytest.skip(missing)
    with gk.use(implementation, *(op for op in ops if OPS[op].missing(implementation) is None)):
        yield


def with_gradients(call: Callable[..., Tensor], tensors: list[Tensor]) -> list[Tensor]:
    """The result and its gradients to all tensors."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    out = call(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, torch.ones_like(out))]


@each_implementation
@pytest.mark.parametrize("name", NAMES)
def test_work_goes_to_the_current_stream(name, implementation):
    """On a stream that is busy, inputs that arrive late are waited for."""
    call, tensors = make_calls("cuda")[name]
    with serving(name, implementation):
        expected, late = call(*tensors), [torch.zeros_like(tensor) for tensor in tensors]
        torch.cuda.synchronize()
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            torch.cuda._sleep(100_000_000)
            for tensor, value in zip(late, tensors, strict=True):
                tensor.copy_(value)
            out = call(*late)
        side.synchronize()
    assert torch.equal(out, expected)


@each_implementation
@pytest.mark.parametrize("name", NAMES)
def test_a_captured_graph_gives_what_eager_gives(name, implementation):
    call, tensors = make_calls("cuda")[name]
    static = [tensor.clone() for tensor in tensors]
    with serving(name, implementation):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            call(*static)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = call(*static)
        for factor in (1.0, -0.5):
            values = [factor * tensor for tensor in tensors]
            for tensor, value in zip(static, values, strict=True):
                tensor.copy_(value)
            graph.replay()
            assert torch.equal(out, call(*values))


@each_implementation
@pytest.mark.parametrize("name", ["spmm", "gat_aggregate"])
def test_a_captured_graph_of_gradients_gives_what_eager_gives(name, implementation):
    call, tensors = make_calls("cuda")[name]
    with serving(name, implementation):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            expected = with_gradients(call, tensors)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = with_gradients(call, tensors)
        graph.replay()
    _same_bits(out, expected)


@each_implementation
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_the_host_does_not_wait(name, implementation):
    """Neither by PyTorch, which would raise, nor by ourselves: the device is still asleep when the call returns."""
    call, tensors = make_calls("cuda")[name]
    with serving(name, implementation):
        expected = with_gradients(call, tensors)
        with_gradients(call, tensors)  # leaves memory to the next
        torch.cuda.synchronize()
        torch.cuda._sleep(500_000_000)
        done = torch.cuda.Event()
        torch.cuda.set_sync_debug_mode("error")
        try:
            out = with_gradients(call, tensors)
            done.record()
            asleep = not done.query()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert asleep
    _same_bits(out, expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@each_implementation
@pytest.mark.parametrize("name", NAMES)
def test_the_device_is_that_of_the_inputs(name, implementation):
    with serving(name, implementation):
        (call, tensors), (other, others) = (make_calls(device)[name] for device in ("cuda:0", "cuda:1"))
        with torch.cuda.device(0):
            out = other(*others)
        assert out.device.index == 1
        assert torch.equal(out.cpu(), call(*tensors).cpu())


def needs(gib: int) -> None:
    free = torch.cuda.mem_get_info()[0] >> 30
    if free < gib:
        pytest.skip(f"needs {gib} GiB of device memory, {free} are free")


@each_implementation
def test_more_than_2_31_rows(implementation):
    needs(30)
    num_rows = 2**31 + 3
    indptr = torch.zeros(num_rows + 1, dtype=torch.int64, device="cuda")
    indptr[-1] = 3
    adj = gk.CSR(indptr, torch.tensor([0, 1, 3], device="cuda"), 4, validate=False)
    x = torch.tensor([[1.0], [2.0], [4.0], [8.0]], dtype=torch.float16, device="cuda")
    with serving("spmm", implementation):
        out = gk.spmm(adj, x)
    assert float(out[-1]) == 11
    assert [float(bound) for bound in out[:-1].aminmax()] == [0, 0]


@each_implementation
def test_more_than_2_31_values_of_a_product(implementation):
    needs(15)
    num_rows, depth = 40_000_000, 64
    rows = torch.arange(num_rows + 1, dtype=torch.int32, device="cuda")
    adj = gk.CSR(rows, rows[:-1] % 1000, 1000, validate=False)
    x = torch.arange(1000 * depth, device="cuda").remainder(2039).view(1000, depth).to(torch.float16)
    with serving("spmm", implementation):
        out = gk.spmm(adj, x)
    assert bool((out.view(-1, 1000, depth) == x).all())


@each_implementation
@pytest.mark.parametrize("name", ["segment_reduce", "scatter_reduce", "edge_softmax"])
def test_more_than_2_31_values_of_edges(name, implementation):
    """Edges of equal values in rows of ten."""
    needs(25)
    num_rows, depth = 3_400_000, 64
    indptr = torch.arange(0, 10 * num_rows + 1, 10, dtype=torch.int32, device="cuda")
    values = torch.ones(10 * num_rows, depth, dtype=torch.float16, device="cuda")
    with serving(name, implementation):
        if name == "segment_reduce":
            out, expected = gk.segment_reduce(values, indptr, "mean"), 1.0
        elif name == "scatter_reduce":
            index = torch.arange(10 * num_rows, dtype=torch.int32, device="cuda") % num_rows
            out, expected = gk.scatter_reduce(values, index, num_rows, "mean"), 1.0
        else:
            adj = gk.CSR(indptr, torch.zeros(10 * num_rows, dtype=torch.int32, device="cuda"), 1, validate=False)
            out, expected = gk.edge_softmax(adj, values), float(torch.tensor(0.1, dtype=torch.float16))
    assert [float(bound) for bound in out.aminmax()] == [expected, expected]


@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32], ids=["int64", "int32"])
@pytest.mark.parametrize(
    ("suite", "case"),
    [
        pytest.param(suite, case, id=f"{suite.name}-{case.name}")
        for suite in SUITES
        if suite.name in SAMPLING
        for case in suite.cases
        if not case.bench
    ],
)
def test_samples_are_those_of_the_cpu(suite, case, index_dtype):
    def results(device: str) -> list[Tensor]:
        args, kwargs = case.arguments(torch.float32, index_dtype, device)
        return [tensor.cpu() for tensor in _results(suite.function(*args, **kwargs))]

    assert OPS[suite.ops[0]].active("cuda") == "cuda"
    _same_bits(results("cuda"), results("cpu"))


@pytest.mark.parametrize("options", [{}, {"replace": True}, {"disjoint": True}, {"labor": True}], ids=str)
def test_samples_of_a_graph_in_page_locked_memory_are_those_of_the_cpu(options):
    adj = make_graph(20_000, 400_000)
    seeds = torch.arange(0, 20_000, 79, dtype=torch.int32)
    found = gk.sample_neighbors(adj.pin_memory(), seeds.cuda(), [15, 10, 5], seed=3, **options)
    want = gk.sample_neighbors(adj, seeds, [15, 10, 5], seed=3, **options)
    _same_bits([tensor.cpu() for tensor in _results(found)], _results(want))
