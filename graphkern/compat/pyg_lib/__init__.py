"""pyg_lib served by graphkern's ops: matrix products of segments and groups, softmax, sorting, sampling.

Signatures, results and the meaning of arguments are those of pyg-lib 0.6. `register` defines the operators
``torch.ops.pyg.*`` besides, which PyTorch Geometric's loaders call; the functions here do without. What is not offered
(clustering, splines, nearest neighbors, distributed sampling) is absent, so that callers who look for it see that.
"""

from graphkern.compat.pyg_lib import ops, sampler
from graphkern.compat.pyg_lib._operators import register, unregister

__version__ = "0.6.0+graphkern"

__all__ = ["__version__", "ops", "register", "sampler", "unregister"]
