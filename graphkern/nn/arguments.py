"""Constructor arguments and initial values that the layers share."""

import math

import torch
from torch import Tensor, nn

from graphkern.csr import CSR

_REDUCES = {"mean": "mean", "sum": "sum", "add": "sum", "max": "max", "min": "min"}


def channels(in_channels: int | tuple[int, int]) -> tuple[int, int]:
    """(F_source, F_destination). Raises: ValueError below 1, where PyG would wait for the first input."""
    source, destination = (in_channels, in_channels) if isinstance(in_channels, int) else in_channels
    if min(source, destination) < 1:
        raise ValueError(f"in_channels must be at least 1 but is {in_channels}; lazy layers are not supported")
    return source, destination


def reduce_of(aggr: str) -> str:
    """The reduce of spmm that PyG calls aggr. Raises: NotImplementedError for another aggr."""
    if aggr not in _REDUCES:
        raise NotImplementedError(f"aggr must be one of {', '.join(_REDUCES)} but is {aggr!r}")
    return _REDUCES[aggr]


def edge_features(adj: CSR, edge_attr: Tensor, edge_dim: int | None) -> Tensor:
    """edge_attr as [E, edge_dim]; it may be [E] for one feature. Raises: ValueError for another shape."""
    if edge_dim is None:
        raise ValueError("edge_attr needs a layer with edge_dim")
    if edge_attr.dim() == 1:
        edge_attr = edge_attr[:, None]
    if edge_attr.shape != (adj.num_edges, edge_dim):
        raise ValueError(f"edge_attr must be {[adj.num_edges, edge_dim]} but is {list(edge_attr.shape)}")
    return edge_attr


def glorot_(tensor: Tensor) -> None:
    """Fill a parameter [..., A, B] uniformly within +- sqrt(6 / (A + B))."""
    bound = math.sqrt(6 / (tensor.shape[-2] + tensor.shape[-1]))
    nn.init.uniform_(tensor, -bound, bound)


def glorot_linear_(layer: nn.Linear) -> None:
    """Glorot uniform weight, and the bias that nn.Linear starts with."""
    glorot_(layer.weight)
    if layer.bias is not None:
        bound = 1 / math.sqrt(layer.in_features)
        nn.init.uniform_(layer.bias, -bound, bound)


def attention_dropout(layer: nn.Module, probability: float) -> tuple[float, int]:
    """dropout_p and seed of an attention op: the seed comes from torch's default CPU generator, in training only."""
    if not layer.training or probability == 0:
        return 0.0, 0
    return probability, int(torch.randint(2**63 - 1, (), device="cpu"))
