"""The one line that gives a PyG model our kernels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Accelerated:
    """What accelerate did with the layers of a model, by the name of the layer in it ("" is the model itself).

    fused: the class of each layer that runs on our kernels. left: why each other message-passing layer does not.
    """

    fused: dict[str, str]
    left: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{name or 'the model'}: {layer}, fused" for name, layer in self.fused.items()]
        lines += [f"{name or 'the model'}: left as it is: {reason}" for name, reason in self.left.items()]
        return "\n".join(lines) or "no message-passing layer"


def accelerate(model: Model) -> Model:
    """Let the convolutions of a PyTorch Geometric model run on fused kernels, in place.

    GCNConv, SAGEConv, GATConv, GATv2Conv, GINConv, GraphConv, RGCNConv, TransformerConv and LGConv (LightGCN) change
    their class for a subclass of their own; parameters, ``state_dict``, hooks, optimizers and references to them stay.
    They take what they took before: ``edge_index``, ``EdgeIndex``, ``SparseTensor``, ``torch.sparse`` matrices, and a
    ``graphkern.CSR``, with which values of edges are in CSR order. The CSR of a graph is built at the first call and
    kept with the object that was given, until that dies or is written to. Outputs and gradients are PyG's up to
    rounding (1e-5 in float32). Dropout of attention weights draws other random numbers.

    PyG's own code still runs in calls that need its messages: with ``return_attention_weights``, hooks on messages,
    an explainer, or features [B, N, F] of several copies of a graph.

    With ``torch.compile(model, fullgraph=True)``, to be called afterwards, the CSR is built in the compiled graph, at
    each call; a ``graphkern.CSR`` saves that. TorchScript does not compile the fused layers.

    Args:
        model: any module; its layers of exactly these classes are taken, at any depth. The model may be on any device.
    Returns: model itself. ``model.accelerated`` says what was fused and, with reasons, what was left as it is.
    Warns: UserWarning with those reasons, where a message-passing layer was left or there is none.
    Raises: ImportError without torch_geometric; TypeError if model is not a module.
    Memory: no E x F tensor in the fused layers; about 5 (E + N) indices a graph, kept.

    Example: ``model = graphkern.accelerate(torch_geometric.nn.GAT(64, 64, 2, heads=8))``
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module but is {type(model).__name__}")
    from torch_geometric.nn.conv import MessagePassing

    from graphkern.pyg.layers import FUSED, Fused

    done = Accelerated({}, {})
    for name, module in model.named_modules():
        if isinstance(module, MessagePassing) and not isinstance(module, Fused):
            fused = FUSED.get(type(module))
            reason = "there is no fused one" if fused is None else fused.why_not(module)
            if fused is None or reason is not None:
                done.left[name] = f"{type(module).__name__}: {reason}"
                continue
            fused.adopt(module)
        if isinstance(module, Fused):
            done.fused[name] = type(module).__name__
    if done.left or not done.fused:
        warnings.warn(f"graphkern.accelerate({type(model).__name__}): {done}", stacklevel=2)
    model.accelerated = done  # type: ignore[assignment]
    return model
