"""Contrastive cross-entropy over all keys without the score matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR
from graphkern.ops import _check
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops.info_nce import reference


def info_nce(
    query: Tensor,
    key: Tensor,
    target: Tensor | CSR | None = None,
    temperature: float | Tensor = 0.1,
    bias: Tensor | None = None,
    *,
    key_id: Tensor | None = None,
    symmetric: bool = False,
) -> Tensor:
    """Cross-entropy of each query against every key: InfoNCE, or a (sampled) softmax loss.

    logits[b, k] = query[b] . key[k] / temperature + bias[k]
    loss[b] = log sum over k of exp(logits[b, k]) - mean over b's positives p of logits[b, p]

    Args:
        query: [B, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        key: [K, D], same dtype, K >= 1. Neither is normalised here.
        target: the positives. [B] int32 or int64, one key for each query; or a B x K CSR, whose row b stores those of
            query b (as often as they shall count; a query without any has loss 0 and no gradient); None is the
            diagonal (then B <= K).
        temperature: positive number, or a 0-d tensor that may require grad.
        bias: [K], same dtype: added to the logits (a log-Q correction is -log q[k]). -inf leaves a key out.
        key_id: [K] int32 or int64, which item each key stands for. A key with the id of one of b's positives that is
            not itself one is left out of b's sum: it is no negative.
        symmetric: the mean of this loss and that of each key against all queries (B = K, the diagonal).
    Returns: [B], dtype of query. NaN in a query makes its loss NaN, in a key every loss. A query whose logits reach inf
        has loss inf (NaN if a positive's does).
    Raises: TypeError for an integer or mixed dtype; ValueError for a wrong shape or device, a target out of range,
        no keys, temperature <= 0, symmetric with a target or B != K.
    Cost: 2 B K D operations forward and 6 B K D backward, symmetric as well; one [B] log-sum-exp is kept ([K] more if
        symmetric); the logits live in blocks of a fixed size; key_id is sorted. Differentiable once, in query, key,
        temperature and bias.
    Source: van den Oord et al. 2018, eq. 4 (arXiv:1807.03748); several positives: Khosla et al. 2020, L_out
        (arXiv:2004.11362); symmetric: Radford et al. 2021 (arXiv:2103.00020); log-Q and accidental hits: Bengio and
        Senecal 2008, Yi et al. 2019 (doi:10.1145/3298689.3346996); online log-sum-exp: Milakov and Gimelshein 2018
        (arXiv:1805.02867).
    """
    _check.floating(query=query, key=key, **({} if bias is None else {"bias": bias}))
    if query.dim() != 2:
        raise ValueError(f"query must be [B, D] but is {list(query.shape)}")
    if key.dim() != 2 or key.shape[1] != query.shape[1] or key.shape[0] == 0:
        raise ValueError(f"key must be [K, {query.shape[1]}] with K >= 1 but is {list(key.shape)}")
    if bias is not None and bias.shape != key.shape[:1]:
        raise ValueError(f"bias must be [{key.shape[0]}] but is {list(bias.shape)}")
    if key_id is not None:
        _check.index_dtype(key_id, "key_id")
        if key_id.shape != key.shape[:1] or key_id.device != key.device:
            raise ValueError(
                f"key_id must be [{key.shape[0]}] on {key.device} but is {list(key_id.shape)} on {key_id.device}"
            )
        key_id = key_id.long()
    if symmetric and (target is not None or query.shape[0] != key.shape[0]):
        raise ValueError("symmetric pairs query b with key b: target must be None and B = K")
    indptr, entries = _targets(target, query, key)
    return INFO_NCE(query, key, indptr, entries, bias, key_id, symmetric, 1 / _temperature(temperature, query))[0]


def _targets(target: Tensor | CSR | None, query: Tensor, key: Tensor) -> tuple[Tensor | None, Tensor]:
    """(indptr, entries) of the positives in int64; indptr is None where each query has one."""
    if target is None:
        if query.shape[0] > key.shape[0]:
            raise ValueError(f"without target each query needs its own key: {query.shape[0]} > {key.shape[0]}")
        return None, torch.arange(query.shape[0], device=query.device)
    if isinstance(target, CSR):
        if (target.num_rows, target.num_cols) != (query.shape[0], key.shape[0]):
            shape = f"{target.num_rows} x {target.num_cols}"
            raise ValueError(f"target must be {query.shape[0]} x {key.shape[0]} but is {shape}")
        _check.same_device(target, query, "query")
        return target.indptr.long(), target.indices.long()
    _check.index(target, "target", key.shape[0])
    if target.shape[0] != query.shape[0] or target.device != query.device:
        raise ValueError(
            f"target must be [{query.shape[0]}] on {query.device} but is {list(target.shape)} on {target.device}"
        )
    return None, target.long()


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


def _fake(query: Tensor, key: Tensor, indptr, target, bias, key_id, symmetric: bool, scale: Tensor):
    lse_key = scale.new_empty(key.shape[0] if symmetric else 0)
    return query.new_empty(query.shape[0]), scale.new_empty(query.shape[0]), lse_key


def _fake_backward(grad, query: Tensor, key: Tensor, indptr, target, bias, key_id, scale: Tensor, lse, lse_key):
    return torch.empty_like(query), torch.empty_like(key), key.new_empty(key.shape[0]), torch.empty_like(scale)


def _setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, _symmetric, scale = inputs
    _, lse, lse_key = output
    ctx.mark_non_differentiable(lse, lse_key)
    ctx.save_for_backward(*tensors, scale, lse, lse_key)


def _backward(ctx: Any, grad: Tensor, _grad_lse: Tensor, _grad_lse_key: Tensor) -> tuple:
    bias = ctx.saved_tensors[4]
    grad_query, grad_key, grad_bias, grad_scale = INFO_NCE_BACKWARD(grad, *ctx.saved_tensors)
    return grad_query, grad_key, None, None, None if bias is None else grad_bias, None, None, grad_scale


INFO_NCE = Op(
    "info_nce",
    "(Tensor query, Tensor key, Tensor? indptr, Tensor target, Tensor? bias, Tensor? key_id, bool symmetric,"
    " Tensor scale) -> (Tensor, Tensor, Tensor)",
    reference=reference.info_nce,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
    triton="graphkern.ops.info_nce.triton:info_nce",
)
INFO_NCE_BACKWARD = Op(
    "info_nce_backward",
    "(Tensor grad, Tensor query, Tensor key, Tensor? indptr, Tensor target, Tensor? bias, Tensor? key_id, Tensor scale,"
    " Tensor lse, Tensor lse_key) -> (Tensor, Tensor, Tensor, Tensor)",
    reference=reference.info_nce_backward,
    fake=_fake_backward,
    triton="graphkern.ops.info_nce.triton:info_nce_backward",
)
