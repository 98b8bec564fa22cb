"""Dropout in a graph: what it is applied to. It is the identity when nothing is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.elementwise import OPERATIONS, PASSED

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node

_RANDOM = frozenset(("RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2"))
_SCALES = frozenset(("Mul", "RealDiv", "Div"))
_DEEPEST = 8  # operations between the random numbers and the mask


def under_dropout(graph: Graph, node: Node) -> str | None:
    """The tensor that a dropout is applied to, if this node is the last one of the dropout.

    TensorFlow scales the tensor and multiplies it with a mask of random zeros and ones, or selects by the mask.
    """
    inputs = [source for source in node.inputs if not source.startswith("^")]
    if node.op == "Mul":
        kept = [source for source in inputs if not _is_mask(graph, source)]
        if len(kept) != 1 or len(inputs) != 2:
            return None
        return _unscaled(graph, node, kept[0])
    if node.op in {"Select", "SelectV2"} and len(inputs) == 3 and _is_mask(graph, inputs[0]):
        return _unscaled(graph, node, inputs[1])
    return None


def _unscaled(graph: Graph, node: Node, tensor: str) -> str:
    """What the tensor was before the dropout scaled it, in the scope of the dropout."""
    scaled = _node(graph, tensor)
    scope = node.name.rpartition("/")[0]
    if scaled is None or scaled.op not in _SCALES or scaled.name.rpartition("/")[0] != scope:
        return tensor
    return next((source for source in scaled.inputs if not source.startswith("^")), tensor)


def _is_mask(graph: Graph, tensor: str, depth: int = _DEEPEST) -> bool:
    """Whether a tensor is computed from random numbers and settings."""
    node = _node(graph, tensor)
    if node is None or not depth:
        return False
    if node.op in _RANDOM:
        return True
    is_part = node.op in OPERATIONS or node.op in PASSED or node.op == "Cast"
    return is_part and any(_is_mask(graph, source, depth - 1) for source in node.operands)


def _node(graph: Graph, tensor: str) -> Node | None:
    name = tensor.partition(":")[0]
    return graph[name] if name in graph else None  # noqa: SIM401 - a graph is no dict
