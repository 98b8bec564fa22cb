"""Masks by position: whether what is added to attention's scores hides tokens because of where they are.

Such a mask, as a causal one, compares numbers of positions with each other, keeps a band of a matrix, or is a constant
matrix. A mask of padding comes from the inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph

_COMPARISONS = frozenset(("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"))
_COUNTED = frozenset(("Range", "Cumsum"))  # numbers of positions
_SHAPES = frozenset(("Shape", "ShapeN", "Size", "Rank", "Const"))
_MOST = 200  # operations of a mask


def hides_by_position(graph: Graph, mask: str) -> bool:
    """Whether the node ``mask`` is certainly computed from such a mask.

    Raises:
        CheckpointError: a node is damaged.
    """
    queue, seen = [mask], {mask}
    while queue and len(seen) < _MOST:
        name = queue.pop()
        if name not in graph:
            continue
        node = graph[name]
        if node.op == "MatrixBandPart" or (node.op == "Const" and graph.is_uneven_square(name)):
            return True
        if (
            node.op in _COMPARISONS
            and len(node.operands) == 2
            and all(_is_counted(graph, one) for one in node.operands)
        ):
            return True
        if node.op not in _SHAPES:
            queue += [operand for operand in node.operands if operand not in seen]
            seen.update(node.operands)
    return False


def _is_counted(graph: Graph, name: str) -> bool:
    """Whether a tensor is made of numbers of positions, and of no input."""
    queue, seen, found = [name], {name}, False
    while queue and len(seen) < _MOST:
        name = queue.pop()
        if name not in graph or (not (node := graph[name]).operands and node.op not in _SHAPES):
            return False
        if node.op in _COUNTED:
            found = True
        elif node.op not in _SHAPES:
            queue += [operand for operand in node.operands if operand not in seen]
            seen.update(node.operands)
    return found
