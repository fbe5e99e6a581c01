from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops.pair_gradient.reference import scores


def bce_loss(user: Tensor, item: Tensor, u: Tensor, i: Tensor, label: Tensor, sparse: bool) -> tuple[Tensor, Tensor]:
    """loss [B] = softplus(score) - label * score, and its derivative by the score [B] in the dtype that sums are kept
    in, which is that of label. sparse says which gradients autograd makes."""
    score = scores(user, item, u, i, None)
    share = torch.where(score > 0, 1 - label, -label)  # of max(score, 0) - label * score
    return (share * score + (-score.abs()).exp().log1p()).to(user.dtype), torch.sigmoid(score) - label
