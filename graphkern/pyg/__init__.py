"""PyTorch Geometric's models over our layers."""

from graphkern.pyg.accelerate import Accelerated, accelerate

__all__ = ["Accelerated", "accelerate"]
