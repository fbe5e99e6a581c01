"""Bayesian personalised ranking over (user, item, other item) triples without copies of their rows."""

from __future__ import annotations

from torch import Tensor

from graphkern._op import Op
from graphkern.ops import _pairs, pair_gradient
from graphkern.ops.bpr_loss.reference import bpr_loss as reference


def bpr_loss(user: Tensor, item: Tensor, u: Tensor, i: Tensor, j: Tensor, *, sparse: bool = False) -> Tensor:
    """How little each user prefers one item over another.

    loss[b] = softplus(-(user[u[b]] . (item[i[b]] - item[j[b]])))

    Args:
        user: [U, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        item: [I, D], same dtype; may be the same tensor as user: both gradients add up (two sparse ones to one that is
            not coalesced).
        u: [B] int32 or int64, rows of user.
        i, j: [B] int32 or int64, rows of item: the preferred ones, and the others.
        sparse: gradients for user and item are coalesced sparse tensors of the rows named, for SparseAdam and
            graphkern.optim (eager mode only; user and item must be leaves, as for torch's embedding). Else they are
            dense.
    Returns: [B], dtype of user. A score difference of -inf gives inf, of inf 0. NaN in a row makes the loss of its
        triples NaN, and the gradients of the rows that these name; other triples do not see it.
    Raises: TypeError for a dtype; ValueError for a wrong shape or device, or (CPU, eager) an index out of range;
        NotImplementedError for sparse under torch.compile.
    Cost: reads 3 B D values forward and backward, keeps one number a triple; dense gradients write (U + I) D values,
        sparse ones at most 3 B D; 16 bytes (on CUDA 24) for each row named by a triple while gradients are made. Rows
        add their gradients in the order of the batch. Differentiable once, in user and item.
    Source: Rendle et al. 2009, BPR-Opt (arXiv:1205.2618).
    """
    _pairs.tables(user, item, sparse)
    u, i, j = _pairs.index(user, u=u, i=i, j=j)
    return _pairs.guarded(BPR_LOSS, (user, item, u, i, j, sparse), user, item, u=u, i=i, j=j)


BPR_LOSS = Op(
    "bpr_loss",
    "(Tensor user, Tensor item, Tensor u, Tensor i, Tensor j, bool sparse) -> (Tensor, Tensor)",
    reference=reference,
    fake=_pairs.fake,
    backward=pair_gradient.backward,
    setup_context=pair_gradient.setup,
)
