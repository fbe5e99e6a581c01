"""Text of nodes, its embeddings, and their alignment with graph embeddings."""

from graphkern.align.losses import TextProjection, node_alignment, shuffled_rows
from graphkern.align.node_text import item_texts, user_texts
from graphkern.align.text import TextConfig, TextEncoder

__all__ = [
    "TextConfig",
    "TextEncoder",
    "TextProjection",
    "item_texts",
    "node_alignment",
    "shuffled_rows",
    "user_texts",
]
