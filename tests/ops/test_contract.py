"""What every op promises, checked for each op, case, implementation, value dtype and index dtype that exists here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

import graphkern
from graphkern._op import OPS
from graphkern.csr import CSR
from graphkern.ops._case import Case, Suite, suites

from .memory import peak_extra_bytes

# Halves: inputs are exact, sums are in float32, results and each step of a gradient round once.
TOLERANCE = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-9},
    torch.float32: {"rtol": 2e-5, "atol": 2e-4},
    torch.float16: {"rtol": 4e-3, "atol": 4e-3},
    torch.bfloat16: {"rtol": 2e-2, "atol": 3e-2},
}
IMPLEMENTATIONS = ("cpu", "cuda", "triton", "reference")


SUITES = suites()


def _servings(suite: Suite) -> list[tuple[str, str]]:
    """(implementation, device) pairs that can serve the suite's main op here."""
    op = OPS[suite.ops[0]]
    return [(i, device) for i in IMPLEMENTATIONS if op.missing(i) is None for device in op.devices(i)]


def _kernels(suite: Suite) -> list[tuple[str, str]]:
    """Without the reference, whose bits are the platform's affair."""
    return [(implementation, device) for implementation, device in _servings(suite) if implementation != "reference"]


def _quick(suite: Suite) -> list[tuple[str, str]]:
    """Without Triton's interpreter: what does not depend on sizes is seen on small cases there."""
    return [serving for serving in _kernels(suite) if serving != ("triton", "cpu")]


def _interpreted(suite: Suite) -> list[tuple[str, str]]:
    return [serving for serving in _kernels(suite) if serving == ("triton", "cpu")]


def _native(suite: Suite) -> list[tuple[str, str]]:
    """The default of each device, which the slower checks run on."""
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    return [(OPS[suite.ops[0]].active(device), device) for device in devices]


def _matrix(servings, cases=lambda suite, case: not case.bench) -> list:
    return [
        pytest.param(suite, case, implementation, device, id=f"{suite.name}-{case.name}-{implementation}-{device}")
        for suite in SUITES
        for implementation, device in servings(suite)
        for case in suite.cases
        if cases(suite, case)
    ]


@contextlib.contextmanager
def _serving(
    suite: Suite, implementation: str, device: str, record_property=None, case: Case | None = None
) -> Iterator[None]:
    able = [name for name in suite.ops if OPS[name].missing(implementation) is None]
    with graphkern.use(implementation, *able):
        assert OPS[suite.ops[0]].active(device) == implementation
        yield


def _dtypes(suite: Suite, case: Case, implementation: str, device: str, index_dtype=torch.int64) -> list[torch.dtype]:
    """All; in Triton's interpreter, whose cost goes by the operation, they take turns over the cases: two with int64
    indices, another with int32."""
    if not _floats(suite.cases[0].arguments(torch.float32)):
        return [torch.float32]
    every, turn = list(TOLERANCE), suite.cases.index(case)
    if (implementation, device) != ("triton", "cpu"):
        return every
    return every[turn % 2 :: 2] if index_dtype == torch.int64 else [every[(turn + 1) % 4]]


def _leaves(tree: Any) -> list:
    return pytree.tree_leaves(tree)


def _floats(tree: Any) -> list[Tensor]:
    return [t for t in _leaves(tree) if isinstance(t, Tensor) and t.is_floating_point()]


def _results(out: Any) -> list[Tensor]:
    """All tensors of a result, dataclasses included."""
    return [t for t in _leaves(vars(out) if hasattr(out, "__dataclass_fields__") else out) if isinstance(t, Tensor)]


def _map_floats(function, tree: Any) -> Any:
    return pytree.tree_map(lambda t: function(t) if isinstance(t, Tensor) and t.is_floating_point() else t, tree)


def _with_grad(arguments: Any) -> Any:
    return _map_floats(lambda t: t.detach().clone().requires_grad_(), arguments)


def _call(suite: Suite, arguments: tuple[tuple, dict]) -> Any:
    args, kwargs = arguments
    return suite.function(*args, **kwargs)


def _gradients(suite: Suite, arguments: tuple[tuple, dict]) -> list[Tensor]:
    out = _call(suite, arguments)
    cotangent = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape).to(out.device, out.dtype)
    return list(torch.autograd.grad(out, _floats(arguments), cotangent))


def _same_bits(a: Any, b: Any) -> None:
    for left, right in zip(_results(a), _results(b), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32], ids=["int64", "int32"])
@pytest.mark.parametrize(("suite", "case", "implementation", "device"), _matrix(_servings))
def test_matches_reference(suite, case: Case, implementation, device, index_dtype, record_property):
    """Values in every dtype against the reference in float64; results that are indices agree exactly.

    What is computed from indices alone is float64, and NaN where it is undefined.
    """
    record_property("contract", (suite.name, case.name, implementation))
    for dtype in _dtypes(suite, case, implementation, device, index_dtype):
        arguments = case.arguments(dtype, index_dtype, device)
        takes_values = bool(_floats(arguments))
        with _serving(suite, implementation, device):
            out = _call(suite, arguments)
        with graphkern.use("reference", *suite.ops):
            expected = _call(suite, _map_floats(Tensor.double, arguments))
        for got, want in zip(_results(out), _results(expected), strict=True):
            assert got.dtype == (dtype if takes_values and want.is_floating_point() else want.dtype)
            tolerance = TOLERANCE[dtype if takes_values else torch.float64]
            torch.testing.assert_close(got.to(want.dtype), want, **tolerance, equal_nan=not takes_values)


@pytest.mark.parametrize(
    ("suite", "case", "implementation", "device"),
    _matrix(_kernels, lambda suite, case: suite.differentiable and not case.bench),
)
def test_gradients_match_reference(suite, case, implementation, device):
    """Gradients in every dtype against autograd through the reference in float64."""
    for dtype in _dtypes(suite, case, implementation, device):
        arguments = _with_grad(case.arguments(dtype, torch.int64, device))
        with _serving(suite, implementation, device):
            gradients = _gradients(suite, arguments)
        with graphkern.use("reference", *suite.ops):
            expected = _gradients(suite, _with_grad(_map_floats(Tensor.double, arguments)))
        for got, want in zip(gradients, expected, strict=True):
            assert got.dtype == dtype
            scale = max(1.0, float(want.abs().max()) if want.numel() else 1.0)
            torch.testing.assert_close(got.double() / scale, want / scale, **TOLERANCE[dtype])


@pytest.mark.parametrize(
    ("suite", "case", "implementation", "device"),
    _matrix(_native, lambda suite, case: suite.differentiable and case.tiny),
)
def test_gradcheck(suite, case, implementation, device):
    """Finite differences, once or twice as the docstring promises; a third time raises."""
    arguments = case.arguments(torch.float64, torch.int64, device)
    leaves, spec = pytree.tree_flatten(arguments)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.is_floating_point()]

    def function(*values: Tensor) -> Tensor:
        filled = list(leaves)
        for place, value in zip(places, values, strict=True):
            filled[place] = value
        return _call(suite, pytree.tree_unflatten(filled, spec))

    inputs = [leaves[place].clone().requires_grad_() for place in places]
    assert torch.autograd.gradcheck(function, inputs)
    if suite.differentiable >= 2:
        assert torch.autograd.gradgradcheck(function, inputs)
    else:
        first = torch.autograd.grad(function(*inputs).sum(), inputs, create_graph=True)
        with pytest.raises(NotImplementedError, match="no gradient formula"):
            first[0].sum().backward()


class _Recorder(TorchDispatchMode):
    """Collects the graphkern operators that a call reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "graphkern":
            self.calls.append((func, pytree.tree_map(lambda t: t.detach() if isinstance(t, Tensor) else t, args)))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("suite", "case", "implementation", "device"),
    _matrix(_native, lambda suite, case: case.tiny or case is suite.cases[0]),
)
def test_opcheck(suite, case, implementation, device):
    """torch.library.opcheck for every operator that the call and its gradient reach."""
    arguments = case.arguments(torch.float32, torch.int64, device)
    with _Recorder() as recorder:
        if suite.differentiable:
            _gradients(suite, _with_grad(arguments))
        else:
            _call(suite, arguments)
    assert recorder.calls
    for operator, args in recorder.calls:
        if suite.differentiable and OPS[operator.name().split("::")[1]].differentiable:
            args = _map_floats(lambda t: t.clone().requires_grad_(), args)
        torch.library.opcheck(operator, args)


@pytest.mark.parametrize(
    ("suite", "case", "implementation", "device"),
    _matrix(_native, lambda suite, case: suite.static_shapes and (case.tiny or case is suite.cases[0])),
)
def test_compile(suite, case, implementation, device):
    """torch.compile without a graph break, forward and backward, gives what eager gives."""
    torch._dynamo.reset()
    arguments = case.arguments(torch.float32, torch.int64, device)
    compiled = torch.compile(lambda a, k: suite.function(*a, **k), fullgraph=True, backend="aot_eager")
    _same_bits(compiled(*arguments), _call(suite, arguments))
    if suite.differentiable:
        arguments = _with_grad(arguments)
        out, expected = compiled(*arguments), _call(suite, arguments)
        grads = [torch.autograd.grad(o.square().sum(), _floats(arguments)) for o in (out, expected)]
        torch.testing.assert_close(*grads, **TOLERANCE[torch.float32])


class _Exported(torch.nn.Module):
    def __init__(self, suite: Suite) -> None:
        super().__init__()
        self.suite = suite

    def forward(self, args, kwargs):
        return self.suite.function(*args, **kwargs)


@pytest.mark.parametrize(
    ("suite", "case", "implementation", "device"),
    _matrix(_native, lambda suite, case: suite.static_shapes and (case.tiny or case is suite.cases[0])),
)
def test_export(suite, case, implementation, device):
    """torch.export makes a graph of graphkern operators that runs, saved or not."""
    arguments = case.arguments(torch.float32, torch.int64, device)
    program = torch.export.export(_Exported(suite), arguments)
    targets = {str(node.target) for node in program.graph.nodes}
    assert any(target.startswith("graphkern.") for target in targets)
    _same_bits(program.module()(*arguments), _call(suite, arguments))


def _strided(t: Tensor) -> Tensor:
    """The same values in memory with gaps and turned axes."""
    wide = torch.full((*t.shape[::-1], 2), torch.nan, dtype=t.dtype, device=t.device)
    view = wide[..., 0].permute(*range(t.dim() - 1, -1, -1))
    return view.copy_(t)


@pytest.mark.parametrize(
    ("suite", "case", "implementation", "device"),
    _matrix(_quick, lambda suite, case: not case.bench and _floats(case.arguments(torch.float32)))
    + _matrix(_interpreted, lambda suite, case: case.tiny or case is suite.cases[0]),
)
def test_strides_do_not_matter(suite, case, implementation, device):
    arguments = case.arguments(torch.float32, torch.int64, device)
    with _serving(suite, implementation, device):
        _same_bits(_call(suite, _map_floats(_strided, arguments)), _call(suite, arguments))
        if suite.differentiable:
            plain, strided = (
                _with_grad(arguments),
                _map_floats(lambda t: _strided(t.detach()).requires_grad_(), arguments),
            )
            _same_bits(_gradients(suite, strided), _gradients(suite, plain))


@pytest.mark.parametrize(
    ("suite", "case", "implementation", "device"),
    _matrix(_quick) + _matrix(_interpreted, lambda suite, case: case.tiny or case is suite.cases[0]),
)
def test_every_output_is_written(suite, case, implementation, device):
    """With fresh memory filled by NaN (or the largest integer) the results are the same."""
    arguments = case.arguments(torch.float32, torch.int64, device)
    with _serving(suite, implementation, device):
        expected = _call(suite, arguments)
        gradients = _gradients(suite, _with_grad(arguments)) if suite.differentiable else []
        torch.use_deterministic_algorithms(True)
        try:
            assert torch.utils.deterministic.fill_uninitialized_memory
            _same_bits(_call(suite, arguments), expected)
            if suite.differentiable:
                _same_bits(_gradients(suite, _with_grad(arguments)), gradients)
        finally:
            torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("suite", "case", "implementation", "device"), _matrix(_native))
def test_same_bits_every_run_and_thread_count(suite, case, implementation, device):
    arguments = case.arguments(torch.float32, torch.int64, device)
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in (1, 1, 2, 5):
            torch.set_num_threads(count)
            gradients = _gradients(suite, _with_grad(arguments)) if suite.differentiable else []
            runs.append((_results(_call(suite, arguments)), gradients))
    finally:
        torch.set_num_threads(threads)
    for run in runs[1:]:
        _same_bits(run, runs[0])


@pytest.mark.parametrize(
    ("suite", "case", "implementation", "device"),
    [
        pytest.param(suite, suite.memory[0], implementation, device, id=f"{suite.name}-{implementation}-{device}")
        for suite in SUITES
        if suite.memory
        for implementation, device in _native(suite)
        if implementation != "reference"
    ],
)
def test_peak_memory(suite, case, implementation, device):
    """Beyond its results a call takes no more than promised, forward and with its gradient."""
    allowed = suite.memory[1]
    arguments = case.arguments(torch.float32, torch.int64, device)
    for adj in arguments[0]:
        if isinstance(adj, CSR):
            adj.tensors(transpose=True)
    out, extra = peak_extra_bytes(lambda: _call(suite, arguments), device)
    assert extra - sum(t.nbytes for t in _results(out)) < allowed
    if suite.differentiable:
        arguments = _with_grad(arguments)
        gradients, extra = peak_extra_bytes(lambda: _gradients(suite, arguments), device)
        cotangent = 2 * sum(t.nbytes for t in _results(out)) + 8 * sum(t.numel() for t in _results(out))
        assert extra - cotangent - sum(t.nbytes for t in gradients) < allowed
