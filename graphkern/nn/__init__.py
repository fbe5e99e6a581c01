"""Graph layers and encoders over the ops."""

from graphkern.nn.gat_conv import GATConv
from graphkern.nn.gatv2_conv import GATv2Conv
from graphkern.nn.gcn_conv import GCNConv
from graphkern.nn.gin_conv import GINConv
from graphkern.nn.graphs import with_self_loops
from graphkern.nn.lightgcn import LightGCN
from graphkern.nn.rgcn_conv import RGCNConv
from graphkern.nn.sage_conv import SAGEConv
from graphkern.nn.transformer_conv import TransformerConv

__all__ = [
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "LightGCN",
    "RGCNConv",
    "SAGEConv",
    "TransformerConv",
    "with_self_loops",
]
