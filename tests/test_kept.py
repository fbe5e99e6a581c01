"""What is kept with tensors."""

import gc
import weakref

import torch

from graphkern._kept import kept_with


class Box:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return self.calls


def test_is_built_once_for_the_same_tensors():
    first, second, build = torch.zeros(2), torch.zeros(3), Counter()
    assert [kept_with((first, second), "sum", build) for _ in range(3)] == [1, 1, 1]


def test_is_built_again_for_another_key_tensor_or_value():
    first, second, build = torch.zeros(2), torch.zeros(3), Counter()
    kept_with((first, second), "sum", build)
    assert kept_with((first, second), "mean", build) == 2
    assert kept_with((first, second.clone()), "sum", build) == 3
    assert kept_with((first, second), "sum", build) == 4  # the clone took its place
    second[0] = 1
    assert kept_with((first, second), "sum", build) == 5
    first += 1
    assert kept_with((first, second), "sum", build) == 6


def test_ends_with_the_tensor():
    def use_once() -> weakref.ref:
        tensor = torch.zeros(2)
        return weakref.ref(kept_with((tensor,), "view", lambda: Box(tensor.detach())))

    alive = use_once()
    gc.collect()
    assert alive() is None


def test_what_an_evaluation_built_serves_training():
    tensor = torch.zeros(2)
    with torch.inference_mode():
        kept_with((tensor,), "ones", lambda: torch.ones(2))
    x = torch.ones(2, requires_grad=True)
    (x * kept_with((tensor,), "ones", lambda: torch.zeros(2))).sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_keeps_nothing_with_inference_tensors():
    build = Counter()
    with torch.inference_mode():
        tensor = torch.zeros(2)
        assert [kept_with((tensor,), "sum", build) for _ in range(2)] == [1, 2]
