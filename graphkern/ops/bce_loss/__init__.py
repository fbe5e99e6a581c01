"""Binary cross-entropy over (user, item) pairs without copies of their rows."""

from __future__ import annotations

from torch import Tensor

from graphkern._op import Op
from graphkern.ops import _pairs, pair_gradient
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops.bce_loss.reference import bce_loss as reference


def bce_loss(user: Tensor, item: Tensor, u: Tensor, i: Tensor, label: Tensor, *, sparse: bool = False) -> Tensor:
    """Cross-entropy of labels against the scores of user-item pairs taken as logits.

    score[b] = user[u[b]] . item[i[b]];  loss[b] = softplus(score[b]) - label[b] * score[b]

    Args:
        user: [U, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        item: [I, D], same dtype; may be the same tensor as user, whose gradients then add up.
        u, i: [B] int32 or int64, rows of user and of item.
        label: [B], any floating dtype, in [0, 1] (not checked); gets no gradient.
        sparse: as for bpr_loss.
    Returns: [B], dtype of user. NaN in a row makes the loss of its pairs NaN; a score of inf gives inf (NaN for label
        1), one of -inf gives NaN for label 0 and inf else.
    Raises: TypeError for a dtype; ValueError for a wrong shape or device, or (CPU, eager) an index out of range;
        NotImplementedError for sparse under torch.compile.
    Cost: reads 2 B D values forward and backward, keeps one number a pair; dense gradients write (U + I) D values,
        sparse ones at most 2 B D; 16 bytes (on CUDA 24) for each row named by a pair while gradients are made.
        Differentiable once, in user and item.
    Source: He et al. 2017, eq. 7 (arXiv:1708.05031).
    """
    _pairs.tables(user, item, sparse)
    u, i = _pairs.index(user, u=u, i=i)
    if not isinstance(label, Tensor) or not label.is_floating_point():
        got = label.dtype if isinstance(label, Tensor) else type(label).__name__
        raise TypeError(f"label must be a floating Tensor but is {got}")
    if label.shape != u.shape or label.device != user.device:
        raise ValueError(f"label must be {list(u.shape)} on {user.device} but is {list(label.shape)} on {label.device}")
    label = label.detach().to(accumulate_dtype(user.dtype))
    return _pairs.guarded(BCE_LOSS, (user, item, u, i, label, sparse), user, item, u=u, i=i)


BCE_LOSS = Op(
    "bce_loss",
    "(Tensor user, Tensor item, Tensor u, Tensor i, Tensor label, bool sparse) -> (Tensor, Tensor)",
    reference=reference,
    fake=_pairs.fake,
    backward=pair_gradient.backward,
    setup_context=pair_gradient.setup,
)
