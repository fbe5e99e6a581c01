"""Mini-batches by neighbor sampling: threads in this process, the same batches for a seed, resumable."""

from graphkern.loader.batch import Batch, HeteroBatch
from graphkern.loader.features import CachedFeatures
from graphkern.loader.hetero import HeteroLinkNeighborLoader, HeteroNeighborLoader
from graphkern.loader.link import LinkNeighborLoader
from graphkern.loader.neighbor import NeighborLoader

__all__ = [
    "Batch",
    "CachedFeatures",
    "HeteroBatch",
    "HeteroLinkNeighborLoader",
    "HeteroNeighborLoader",
    "LinkNeighborLoader",
    "NeighborLoader",
]
