"""Operators that come and go: none that is held may crash."""

import pytest
import torch

from graphkern.compat._operators import Operator, Operators

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


@pytest.fixture
def operators():
    double = Operator("double(Tensor x) -> Tensor", lambda x: 2 * x)
    first = Operator("first(Dict(str, Tensor) x) -> Tensor", lambda x: x["a"], "CompositeExplicitAutograd")
    made = Operators("graphkern_test", lambda: [double, first])
    yield made
    made._stays = False
    made.unregister()
    if made._definitions is not None:
        made._definitions._destroy()


def test_what_is_held_raises_while_they_are_away(operators):
    x = torch.ones(2, requires_grad=True)
    operators.register()
    operators.register()
    held = torch.ops.graphkern_test.double

    @torch.jit.script
    def scripted(x: torch.Tensor):
        return torch.ops.graphkern_test.double(x)

    calls = (lambda: held(x), lambda: held.default(x), lambda: scripted(x))
    for away in (False, True, False):
        if away:
            operators.unregister()
            operators.unregister()
            for call in calls:
                with pytest.raises(NotImplementedError):
                    call()
        else:
            operators.register()
            for call in calls:
                assert call().tolist() == [2, 2]
                assert call().requires_grad
            assert torch.ops.graphkern_test.first({"a": x}) is x


def test_what_is_to_stay_stays(operators):
    operators.stay()
    operators.unregister()
    assert torch.ops.graphkern_test.double(torch.ones(1)).item() == 2


def test_names_of_another_library_are_refused(operators):
    other = torch.library.Library("graphkern_test", "FRAGMENT")
    other.define("first(Tensor x) -> Tensor")
    with pytest.raises(RuntimeError, match="graphkern_test::first is defined already: the real package is loaded"):
        operators.register()
    other._destroy()
