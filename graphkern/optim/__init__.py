"""Optimizers that touch only the rows which a sparse gradient names, in one pass."""

from graphkern.optim.rowwise_adagrad import RowwiseAdagrad
from graphkern.optim.rowwise_adam import RowwiseAdam

__all__ = ["RowwiseAdagrad", "RowwiseAdam"]
