from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from graphkern.ops.pair_gradient.reference import scores


def bpr_loss(user: Tensor, item: Tensor, u: Tensor, i: Tensor, j: Tensor, sparse: bool) -> tuple[Tensor, Tensor]:
    """loss [B] = softplus(-score), and its derivative by the score [B] in the dtype that sums are kept in. sparse says
    which gradients autograd makes."""
    score = scores(user, item, u, i, j)
    return -functional.logsigmoid(score).to(user.dtype), -torch.sigmoid(-score)
