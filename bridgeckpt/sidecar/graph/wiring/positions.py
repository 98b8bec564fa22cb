"""Masks by position: whether what is added to attention's scores hides tokens because of where they are.

Such a mask, as a causal one, compares numbers of positions, keeps a band of a matrix, or is a constant matrix. A mask
of padding comes from the inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node

_COMPARISONS = frozenset(("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"))
_COUNTED = frozenset(("Range", "Cumsum"))  # numbers of positions
_SHAPES = frozenset(("Shape", "ShapeN", "Size", "Rank", "Const"))
_MOST = 200  # operations of a mask


def hides_by_position(graph: Graph, mask: str) -> bool:
    """Whether the node ``mask`` is certainly computed from such a mask.

    Raises:
        CheckpointError: a node is damaged.
    """
    if len({*(graph.constant(mask) or ())}) > 1:  # a constant that is no number, as a bias for each place
        return True
    queue, seen = [mask], {mask}
    while queue and len(seen) < _MOST:
        name = queue.pop()
        if name not in graph:
            continue
        node = graph[name]
        if node.op == "MatrixBandPart" or (node.op == "Const" and graph.is_uneven_square(name)):
            return True
        if node.op in _COMPARISONS and _compares_places(graph, node):
            return True
        if node.op not in _SHAPES:
            queue += [operand for operand in node.operands if operand not in seen]
            seen.update(node.operands)
    return False


def _compares_places(graph: Graph, node: Node) -> bool:
    """Whether numbers of positions are compared with each other, or with constants."""
    sides = [_made_of(graph, operand) for operand in node.operands]
    are_known = all(_COUNTED & side or side == {"Const"} for side in sides)
    return are_known and any(_COUNTED & side for side in sides)


def _made_of(graph: Graph, name: str) -> set[str]:
    """What counts positions, shapes and constants that a tensor is made of, by operation; nothing if of an input."""
    queue, seen, found = [name], {name}, set[str]()
    while queue and len(seen) < _MOST:
        name = queue.pop()
        if name not in graph or (not (node := graph[name]).operands and node.op not in _SHAPES):
            return set()
        if node.op in _COUNTED or node.op in _SHAPES:
            found.add(node.op)
        else:
            queue += [operand for operand in node.operands if operand not in seen]
            seen.update(node.operands)
    return found
