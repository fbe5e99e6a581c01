"""Op: one PyTorch operator with its schema, reference, fake, gradient and implementations."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable

import torch

from graphkern import _native

NAMESPACE = "graphkern"
KEYS = {"cpu": "CPU", "cuda": "CUDA"}
OPS: dict[str, Op] = {}

_LIBRARY = torch.library.Library(NAMESPACE, "DEF")


class Op:
    """A PyTorch operator `graphkern::name` and everything that can serve it.

    Args:
        name: operator name; `csrc/<name>/` registers native kernels under it.
        schema: what follows the name in the schema string: "(Tensor x) -> Tensor".
        reference: the specification in plain torch; takes the operator's arguments, works on every device.
        fake: shapes and dtypes of the results, for tracing.
        backward, setup_context: gradient formula, as for `torch.library.register_autograd`; without one, calling
            backward raises NotImplementedError.
        mutates: the operator writes to arguments, as its schema says; it has no autograd at all.
        triton: "module:function" that launches Triton kernels; imported when first used.

    A call goes straight to the torch dispatcher, below autograd where no argument asks for a gradient. The reference
    serves every device that has no kernel of its own.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        *,
        reference: Callable,
        fake: Callable,
        backward: Callable | None = None,
        setup_context: Callable | None = None,
        mutates: bool = False,
        triton: str | None = None,
    ) -> None:
        self.name = name
        self.reference = reference
        self.differentiable = backward is not None
        self._triton = triton
        self.override: dict[str, str] = {}  # device -> implementation that Python put there
        _LIBRARY.define(name + schema)
        _LIBRARY.impl(name, reference, "CompositeExplicitAutograd")
        torch.library.register_fake(self.qualname, fake, lib=_LIBRARY)
        if backward is None:
            backward = self._no_gradient
        if not mutates:
            torch.library.register_autograd(self.qualname, backward, setup_context=setup_context, lib=_LIBRARY)
        self._call = getattr(getattr(torch.ops, NAMESPACE), name).default
        OPS[name] = self

    @property
    def has_triton(self) -> bool:
        """Triton kernels are written for it."""
        return self._triton is not None

    @property
    def qualname(self) -> str:
        return f"{NAMESPACE}::{self.name}"

    def __call__(self, *args):
        if not torch.compiler.is_compiling() and torch.is_grad_enabled() and torch._C._any_requires_grad(*args):
            return self._call(*args)
        return self.forward_only(*args)

    def known(self, needs_gradient: bool) -> Callable:
        """The call for arguments of which it is known whether they ask for a gradient."""
        return self if needs_gradient else self.forward_only

    def forward_only(self, *args):
        """A call whose arguments are known to ask for no gradient."""
        if torch.compiler.is_compiling():  # the compiler sees to gradients
            return self._call(*args)
        with torch._C._AutoDispatchBelowAutograd():  # where torch.library's autograd in Python ends up, 10 us later
            return self._call(*args)

    def active(self, device: str) -> str:
        """Which implementation serves this op on a device type ("cpu" or "cuda"): cpu, cuda, triton or reference."""
        if device in self.override:
            return self.override[device]
        return device if self.missing(device) is None else "reference"

    def missing(self, implementation: str) -> str | None:
        """Why an implementation cannot serve this op here, or None where it can."""
        if implementation == "reference":
            return None
        if implementation == "triton":
            if self._triton is None:
                return "no Triton kernel is written"
            if importlib.util.find_spec("triton") is None:
                return "the package triton is not installed"
            if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
                return "torch sees no CUDA device, and TRITON_INTERPRET=1 is not set"
            return None
        if implementation not in KEYS:
            raise ValueError(f"unknown implementation {implementation!r}: one of cpu, cuda, triton, reference")
        if implementation in _native.absent:
            return _native.absent[implementation]
        if not torch._C._dispatch_has_kernel_for_dispatch_key(self.qualname, KEYS[implementation]):
            return f"no {implementation} kernel is written"
        return None

    def implementation(self, name: str) -> Callable:
        """The Python function behind `triton` or `reference`."""
        if name == "reference":
            return self.reference
        if self._triton is None:
            raise NotImplementedError(f"{self.qualname}: {self.missing(name)}")
        module, function = self._triton.split(":")
        return getattr(importlib.import_module(module), function)

    def devices(self, implementation: str) -> list[str]:
        """Device types on which an implementation runs here."""
        if implementation in KEYS:
            return [implementation]
        has_cuda = torch.cuda.is_available()
        if implementation == "triton":
            return ["cuda"] if has_cuda else ["cpu"]
        return ["cpu", "cuda"] if has_cuda else ["cpu"]

    def _no_gradient(self, ctx, *grads):
        raise NotImplementedError(f"{self.qualname} has no gradient formula")


def fill_in() -> None:
    """Put Triton where CUDA has no native kernel. Called once the native libraries are loaded."""
    if not torch.cuda.is_available():
        return
    for op in OPS.values():
        if op.missing("cuda") is not None and op.missing("triton") is None:
            _LIBRARY.impl(op.name, lambda *args, op=op: op.implementation("triton")(*args), "CUDA")
            op.override["cuda"] = "triton"
