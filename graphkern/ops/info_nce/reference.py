from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops._dtype import accumulate_dtype


def _logits(query: Tensor, key: Tensor, bias: Tensor | None, scale: Tensor) -> Tensor:
    accumulate = accumulate_dtype(query.dtype)
    logits = query.to(accumulate) @ key.to(accumulate).T * scale.to(accumulate)
    return logits if bias is None else logits + bias.to(accumulate)


def info_nce(query: Tensor, key: Tensor, target: Tensor, bias: Tensor | None, scale: Tensor) -> tuple[Tensor, Tensor]:
    """logits = scale * query @ key.T + bias [B, K]. Returns loss [B] = lse - logits[target], and lse [B]."""
    logits = _logits(query, key, bias, scale)
    lse = torch.logsumexp(logits, dim=1)
    loss = lse - logits.gather(1, target.long()[:, None])[:, 0]
    return loss.to(query.dtype), lse


def info_nce_backward(
    grad: Tensor, query: Tensor, key: Tensor, target: Tensor, bias: Tensor | None, scale: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for query [B, D], key [K, D] and bias [K]."""
    probability = torch.exp(_logits(query, key, bias, scale) - lse[:, None])
    one_hot = torch.zeros_like(probability).scatter_(1, target.long()[:, None], 1)
    grad_logits = grad.to(probability.dtype)[:, None] * (probability - one_hot)
    scaled = grad_logits * scale.to(probability.dtype)
    grad_query = (scaled @ key.to(scaled.dtype)).to(query.dtype)
    grad_key = (scaled.T @ query.to(scaled.dtype)).to(key.dtype)
    return grad_query, grad_key, grad_logits.sum(0).to(key.dtype)
