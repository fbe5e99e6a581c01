"""Functions made of several reductions by an index."""

from graphkern.compat.torch_scatter.composite.logsumexp import scatter_logsumexp
from graphkern.compat.torch_scatter.composite.softmax import scatter_log_softmax, scatter_softmax
from graphkern.compat.torch_scatter.composite.std import scatter_std

__all__ = ["scatter_log_softmax", "scatter_logsumexp", "scatter_softmax", "scatter_std"]
