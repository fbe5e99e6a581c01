"""Graph layers and encoders over the ops."""

from graphkern.nn.gcn_conv import GCNConv
from graphkern.nn.lightgcn import LightGCN
from graphkern.nn.sage_conv import SAGEConv

__all__ = ["GCNConv", "LightGCN", "SAGEConv"]
