"""graphkern: fused kernels for graph learning in PyTorch, and a recommender built on them."""

from graphkern import _native, _op, compat, ops, optim
from graphkern._use import use
from graphkern.csr import CSR
from graphkern.ops import *  # noqa: F403
from graphkern.pyg import accelerate

__version__ = "0.1.0"
__all__ = ["CSR", "accelerate", "compat", "optim", "use", *ops.__all__]

_native.load()
_op.fill_in()
