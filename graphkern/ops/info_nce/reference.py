from __future__ import annotations

import torch
from torch import Tensor

from graphkern.csr import row_index
from graphkern.ops._dtype import accumulate_dtype


def _positives(indptr: Tensor | None, target: Tensor, num_queries: int, num_keys: int) -> Tensor:
    """[B, K], how often each key is stored as a positive of each query."""
    row = torch.arange(num_queries, device=target.device) if indptr is None else row_index(indptr, target.shape[0])
    count = torch.zeros(num_queries, num_keys, dtype=torch.float64, device=target.device)
    return count.index_put_((row, target), count.new_ones(()), accumulate=True)


def _logits(
    query: Tensor, key: Tensor, bias: Tensor | None, key_id: Tensor | None, scale: Tensor, positives: Tensor
) -> Tensor:
    accumulate = accumulate_dtype(query.dtype)
    logits = query.to(accumulate) @ key.to(accumulate).T * scale.to(accumulate)
    if bias is not None:
        logits = logits + bias.to(accumulate)
    if key_id is not None:
        group = torch.unique(key_id, return_inverse=True)[1]
        of_group = positives.new_zeros(positives.shape).index_add_(1, group, positives)
        logits = logits.masked_fill((of_group[:, group] > 0) & (positives == 0), -torch.inf)
    return logits


def info_nce(
    query: Tensor,
    key: Tensor,
    indptr: Tensor | None,
    target: Tensor,
    bias: Tensor | None,
    key_id: Tensor | None,
    symmetric: bool,
    scale: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """logits = scale * query @ key.T + bias [B, K], -inf where a key shares its id with a positive that it is not.

    Returns loss [B] = lse - mean of the positives' logits, 0 without a positive; lse [B]; and lse_key [K], the
    log-sum-exp over the queries, if symmetric, else [0]. Symmetric: the mean of both directions.
    """
    positives = _positives(indptr, target, query.shape[0], key.shape[0])
    logits = _logits(query, key, bias, key_id, scale, positives)
    lse = torch.logsumexp(logits, dim=1)
    share = (positives / positives.sum(1, keepdim=True)).to(logits.dtype)
    mean = torch.where(positives > 0, logits * share, 0).sum(1)
    loss = torch.where(positives.sum(1) > 0, lse - mean, 0)
    lse_key = lse.new_empty(0)
    if symmetric:
        lse_key = torch.logsumexp(logits, dim=0)
        loss = (loss + lse_key - mean) / 2
    return loss.to(query.dtype), lse, lse_key


def info_nce_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    indptr: Tensor | None,
    target: Tensor,
    bias: Tensor | None,
    key_id: Tensor | None,
    scale: Tensor,
    lse: Tensor,
    lse_key: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients for query [B, D], key [K, D], bias [K] and scale []."""
    positives = _positives(indptr, target, query.shape[0], key.shape[0])
    logits = _logits(query, key, bias, key_id, scale, positives)
    num_positives = positives.sum(1, keepdim=True)
    share = torch.where(num_positives > 0, positives / num_positives, 0).to(logits.dtype)
    of_row = (grad.to(logits.dtype) * (num_positives[:, 0] > 0))[:, None]
    grad_logits = of_row * (torch.exp(logits - lse[:, None]) - share)
    if lse_key.shape[0]:
        grad_logits = (grad_logits + of_row.T * (torch.exp(logits - lse_key) - share)) / 2
    scale = scale.to(logits.dtype)
    grad_query = grad_logits @ key.to(logits.dtype) * scale
    grad_key = grad_logits.T @ query.to(logits.dtype) * scale
    grad_scale = (grad_query * query.to(logits.dtype)).sum() / scale
    return grad_query.to(query.dtype), grad_key.to(key.dtype), grad_logits.sum(0).to(key.dtype), grad_scale
