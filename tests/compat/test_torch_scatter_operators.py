"""torch_scatter's names, its operators by name, TorchScript and torch.compile."""

import importlib
import inspect
import io

import pytest
import torch

import graphkern.compat.torch_scatter as torch_scatter

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]
SRC, INDEX, INDPTR = torch.tensor([1.0, 2.0, 4.0, 3.0]), torch.tensor([0, 0, 2, 2]), torch.tensor([0, 2, 2, 4])
REDUCED = {
    "sum": [3, 0, 7],
    "add": [3, 0, 7],
    "mean": [1.5, 0, 3.5],
    "min": [1, 0, 3],
    "max": [2, 0, 4],
    "mul": [2, 1, 12],
}
ARG = {"min": [0, 4, 3], "max": [1, 4, 2]}
KINDS = {
    "scatter_{}": (SRC, INDEX, 0, None, 4),
    "segment_{}_coo": (SRC, INDEX, None, 4),
    "segment_{}_csr": (SRC, torch.tensor([0, 2, 2, 4, 4]), None),
}
OPERATORS = {
    "scatter_{}": ["sum", "mul", "mean", "min", "max"],
    "segment_{}_coo": ["sum", "mean", "min", "max"],
    "segment_{}_csr": ["sum", "mean", "min", "max"],
}
SIGNATURES = {  # of the documented package
    "scatter": "src index dim=-1 out=None dim_size=None reduce='sum'",
    **{
        f"scatter_{reduce}": "src index dim=-1 out=None dim_size=None"
        for reduce in ("sum", "add", "mul", "mean", "min", "max")
    },
    "segment_coo": "src index out=None dim_size=None reduce='sum'",
    "segment_csr": "src indptr out=None reduce='sum'",
    **{f"segment_{reduce}_coo": "src index out=None dim_size=None" for reduce in ("sum", "add", "mean", "min", "max")},
    **{f"segment_{reduce}_csr": "src indptr out=None" for reduce in ("sum", "add", "mean", "min", "max")},
    "gather_coo": "src index out=None",
    "gather_csr": "src indptr out=None",
    "scatter_softmax": "src index dim=-1 dim_size=None",
    "scatter_log_softmax": "src index dim=-1 eps=1e-12 dim_size=None",
    "scatter_logsumexp": "src index dim=-1 out=None dim_size=None eps=1e-12",
    "scatter_std": "src index dim=-1 out=None dim_size=None unbiased=True",
}


@pytest.fixture
def registered():
    torch_scatter.register()
    yield torch.ops.torch_scatter
    torch_scatter.unregister()


def by_list(result):
    return [part.tolist() for part in result] if isinstance(result, tuple) else result.tolist()


def expected(reduce, kind):
    want = [*REDUCED[reduce], 1 if reduce == "mul" else 0]
    return [want, [*ARG[reduce], 4]] if reduce in ARG else want


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    parameters = inspect.signature(getattr(torch_scatter, name)).parameters.values()
    texts = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    assert " ".join(texts) == SIGNATURES[name]
    assert name in torch_scatter.__all__
    assert getattr(torch_scatter, name).__doc__


def test_names():
    assert set(torch_scatter.__all__) == {*SIGNATURES, "__version__"}
    assert torch_scatter.__version__ == "2.1.2+graphkern"
    for module, name in {
        "scatter": "scatter_max",
        "segment_csr": "gather_csr",
        "segment_coo": "gather_coo",
        "composite": "scatter_std",
        "composite.softmax": "scatter_softmax",
        "composite.logsumexp": "scatter_logsumexp",
        "composite.std": "scatter_std",
    }.items():
        inside = importlib.import_module(f"{torch_scatter.__name__}.{module}")
        assert getattr(inside, name) is getattr(torch_scatter, name)


def test_testing():
    testing = torch_scatter.testing
    assert testing.reductions == ["sum", "add", "mean", "min", "max"]
    assert torch.half in testing.dtypes
    assert torch.double in testing.grad_dtypes
    got = testing.tensor([[1, 2]], torch.half, testing.devices[0])
    assert (got.dtype, got.tolist()) == (torch.half, [[1, 2]])
    assert testing.tensor(None, torch.half, testing.devices[0]) is None


@pytest.mark.parametrize("kind, reduce", [(kind, reduce) for kind in OPERATORS for reduce in OPERATORS[kind]])
def test_operators(registered, kind, reduce):
    operator = getattr(registered, kind.format(reduce))
    assert by_list(operator(*KINDS[kind])) == expected(reduce, kind)
    src = SRC.clone().requires_grad_()
    result = operator(src, *KINDS[kind][1:])
    (result[0] if isinstance(result, tuple) else result).sum().backward()
    assert src.grad.count_nonzero() > 0


def test_operators_that_gather(registered):
    src = torch.tensor([1.0, 2.0, 3.0])
    assert registered.gather_csr(src, INDPTR, None).tolist() == [1, 1, 3, 3]
    assert registered.gather_coo(src, INDEX, None).tolist() == [1, 1, 3, 3]
    out = torch.empty(4)
    registered.gather_coo(src, INDEX, out)
    assert out.tolist() == [1, 1, 3, 3]
    assert registered.cuda_version() == -1


def test_schemas(registered):
    """Positional, as those of operators that C++ functions define."""
    texts = {
        "scatter_sum": "(Tensor _0, Tensor _1, int _2, Tensor? _3, int? _4) -> Tensor _0",
        "scatter_max": "(Tensor _0, Tensor _1, int _2, Tensor? _3, int? _4) -> (Tensor _0, Tensor _1)",
        "segment_mean_coo": "(Tensor _0, Tensor _1, Tensor? _2, int? _3) -> Tensor _0",
        "segment_min_csr": "(Tensor _0, Tensor _1, Tensor? _2) -> (Tensor _0, Tensor _1)",
        "gather_csr": "(Tensor _0, Tensor _1, Tensor? _2) -> Tensor _0",
        "cuda_version": "() -> int _0",
    }
    for name, text in texts.items():
        assert str(getattr(registered, name).default._schema) == f"torch_scatter::{name}{text}"


def test_scripted_functions_outlive_the_operators():
    src, index = torch.tensor([1.0, 2.0, 4.0, 3.0]), torch.tensor([0, 0, 2, 2])
    scripted = torch.jit.script(torch_scatter.scatter_softmax)
    torch_scatter.unregister()
    assert scripted(src, index).equal(torch_scatter.scatter_softmax(src, index))


@pytest.mark.parametrize("kind, reduce", [(kind, reduce) for kind in OPERATORS for reduce in (*OPERATORS[kind], "add")])
def test_scripted(registered, kind, reduce):
    scripted = torch.jit.script(getattr(torch_scatter, kind.format(reduce)))
    assert by_list(scripted(*KINDS[kind])) == expected(reduce, kind)


@pytest.mark.parametrize("name", ["scatter", "segment_coo", "segment_csr", "gather_csr", "gather_coo"])
def test_scripted_by_name(registered, name):
    function = getattr(torch_scatter, name)
    scripted, where = torch.jit.script(function), INDPTR if name.endswith("csr") else INDEX
    src = SRC[:3] if name == "gather_csr" else SRC
    assert scripted(src, where).equal(function(src, where))
    for reduce in () if name.startswith("gather") else ("sum", "mean", "min", "max"):
        assert scripted(src, where, reduce=reduce).equal(function(src, where, reduce=reduce))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "std"])
def test_scripted_composites(registered, name):
    function = getattr(torch_scatter, f"scatter_{name}")
    scripted = torch.jit.script(function)
    src, index = torch.randn(6, 3), torch.tensor([2, 0, 0, 4, 2, 2])
    torch.testing.assert_close(scripted(src, index, 0), function(src, index, 0))
    torch.testing.assert_close(scripted(src.t(), index), function(src.t(), index))


class _Layer(torch.nn.Module):
    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        weight = torch_scatter.scatter_softmax(x, index, 0)
        top, _ = torch_scatter.scatter_max(x, index, 0)
        return torch_scatter.scatter(weight * x, index, 0, reduce="sum") + top


def test_scripted_module_can_be_saved(registered):
    buffer, x = io.BytesIO(), torch.randn(4, 3)
    torch.jit.save(torch.jit.script(_Layer()), buffer)
    buffer.seek(0)
    torch.testing.assert_close(torch.jit.load(buffer)(x, INDEX), _Layer()(x, INDEX))


COMPILED = {
    "mean": lambda x: torch_scatter.scatter(x, INDEX, 0, dim_size=3, reduce="mean"),
    "softmax": lambda x: torch_scatter.scatter_softmax(x, INDEX, 0, dim_size=3),
}
TRACED = {
    "max": lambda x: torch_scatter.scatter_max(x.T[:, :, None], INDEX.repeat(x.shape[1], 1), 1, dim_size=3)[0],
    "product": lambda x: torch_scatter.scatter_mul(x, INDEX, 0, dim_size=3),
    "logsumexp": lambda x: torch_scatter.scatter_logsumexp(x, INDEX, 0, dim_size=3),
    "coo": lambda x: torch_scatter.segment_coo(x, INDEX, dim_size=3, reduce="min"),
    "csr": lambda x: torch_scatter.segment_csr(x.T, INDPTR.repeat(x.shape[1], 1)),
    "gather coo": lambda x: torch_scatter.gather_coo(x, INDEX),
    "gather csr": lambda x: torch_scatter.gather_csr(x[:3] * 1, INDPTR, torch.ones_like(x)),
}


@pytest.mark.parametrize("name", COMPILED | TRACED)
def test_compiled(name):
    """One graph for any sizes, the same results and gradients."""
    function, backend = (COMPILED | TRACED)[name], "aot_eager" if name in COMPILED else "eager"
    x = torch.tensor([[1.0, -2.0], [3.0, 5.0], [0.5, 0.25], [2.0, 1.0]])
    results, gradients = [], []
    for call in (function, torch.compile(function, backend=backend, fullgraph=True, dynamic=True)):
        leaf = x.clone().requires_grad_()
        results.append(call(leaf))
        (results[-1] ** 2).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(gradients[1], gradients[0])
