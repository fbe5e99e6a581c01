"""Datasets, splits and graphs made of tables."""

from graphkern.graph.build import HeteroGraph, bipartite, product_graph, profile_graph
from graphkern.graph.dataset import DataConfig, Dataset, InteractionSource, Nodes, NodeSource, load_dataset
from graphkern.graph.datasets import fetch
from graphkern.graph.split import Split, SplitConfig, make_split, predefined_split
from graphkern.graph.store import load_graph, save_graph
from graphkern.graph.tables import BadRow

__all__ = [
    "BadRow",
    "DataConfig",
    "Dataset",
    "HeteroGraph",
    "InteractionSource",
    "NodeSource",
    "Nodes",
    "Split",
    "SplitConfig",
    "bipartite",
    "fetch",
    "load_dataset",
    "load_graph",
    "make_split",
    "predefined_split",
    "product_graph",
    "profile_graph",
    "save_graph",
]
