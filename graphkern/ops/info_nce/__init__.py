"""Contrastive cross-entropy over all keys without the score matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.ops import _check
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops.info_nce import reference


def info_nce(
    query: Tensor,
    key: Tensor,
    target: Tensor | None = None,
    temperature: float | Tensor = 0.1,
    bias: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of each query against every key: InfoNCE, or a (sampled) softmax loss.

    logits[b, k] = query[b] . key[k] / temperature + bias[k];  loss[b] = logsumexp(logits[b]) - logits[b, target[b]]

    Args:
        query: [B, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        key: [K, D], same dtype, K >= 1. Neither is normalised here.
        target: [B] int32 or int64, the positive key of each query; None is the diagonal (then B <= K).
        temperature: positive number, or a 0-d tensor that may require grad.
        bias: [K], same dtype: added to the logits (a log-Q correction is -log q[k]).
    Returns: [B], dtype of query.
    Raises: TypeError for an integer or mixed dtype; ValueError for a wrong shape or device, a target out of range,
        no keys, temperature <= 0.
    Cost: 2 B K D operations forward and 6 B K D backward; one [B] log-sum-exp is kept; the logits live in blocks of a
        fixed size. Differentiable once, in query, key, temperature and bias.
    Source: van den Oord et al. 2018, eq. 4 (arXiv:1807.03748); online log-sum-exp: Milakov and Gimelshein 2018
        (arXiv:1805.02867).
    """
    _check.floating(query=query, key=key, **({} if bias is None else {"bias": bias}))
    if query.dim() != 2:
        raise ValueError(f"query must be [B, D] but is {list(query.shape)}")
    if key.dim() != 2 or key.shape[1] != query.shape[1] or key.shape[0] == 0:
        raise ValueError(f"key must be [K, {query.shape[1]}] with K >= 1 but is {list(key.shape)}")
    if bias is not None and bias.shape != key.shape[:1]:
        raise ValueError(f"bias must be [{key.shape[0]}] but is {list(bias.shape)}")
    if target is None:
        if query.shape[0] > key.shape[0]:
            raise ValueError(f"without target each query needs its own key: {query.shape[0]} > {key.shape[0]}")
        target = torch.arange(query.shape[0], device=query.device)
    else:
        _check.index(target, "target", key.shape[0])
        if target.shape[0] != query.shape[0] or target.device != query.device:
            raise ValueError(
                f"target must be [{query.shape[0]}] on {query.device} but is {list(target.shape)} on {target.device}"
            )
    return INFO_NCE(query, key, target.long(), bias, 1 / _temperature(temperature, query))[0]


def _temperature(temperature: float | Tensor, query: Tensor) -> Tensor:
    dtype = accumulate_dtype(query.dtype)
    if not isinstance(temperature, Tensor):
        if not temperature > 0:
            raise ValueError(f"temperature must be positive but is {temperature}")
        return torch.tensor(temperature, dtype=dtype, device=query.device)
    if temperature.dim() != 0:
        raise ValueError(f"temperature must be a number or 0-d but is {list(temperature.shape)}")
    readable = temperature.device.type == "cpu" and not torch.compiler.is_compiling()
    if readable and not temperature > 0:
        raise ValueError(f"temperature must be positive but is {float(temperature)}")
    return temperature.to(query.device, dtype)


def _fake(query: Tensor, key: Tensor, target, bias, scale: Tensor):
    return query.new_empty(query.shape[0]), scale.new_empty(query.shape[0])


def _fake_backward(grad, query: Tensor, key: Tensor, target, bias, scale, lse):
    return torch.empty_like(query), torch.empty_like(key), key.new_empty(key.shape[0])


def _setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs, output[1])


def _backward(ctx: Any, grad: Tensor, _grad_lse: Tensor) -> tuple:
    query, key, target, bias, scale, lse = ctx.saved_tensors
    grad_query, grad_key, grad_bias = INFO_NCE_BACKWARD(grad.contiguous(), query, key, target, bias, scale, lse)
    grad_scale = None
    if ctx.needs_input_grad[4]:
        grad_scale = (grad_query.to(scale.dtype) * query.to(scale.dtype)).sum() / scale
    return grad_query, grad_key, None, None if bias is None else grad_bias, grad_scale


INFO_NCE = Op(
    "info_nce",
    "(Tensor query, Tensor key, Tensor target, Tensor? bias, Tensor scale) -> (Tensor, Tensor)",
    reference=reference.info_nce,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
)
INFO_NCE_BACKWARD = Op(
    "info_nce_backward",
    "(Tensor grad, Tensor query, Tensor key, Tensor target, Tensor? bias, Tensor scale, Tensor lse)"
    " -> (Tensor, Tensor, Tensor)",
    reference=reference.info_nce_backward,
    fake=_fake_backward,
)
