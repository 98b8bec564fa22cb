"""Which tokens an operation takes from a tensor [batch, token, feature]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.functions import split_output

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node
    from bridgeckpt.formats.tensorflow.tensorproto import Number

ALL, BY_INPUTS = "all", ""
_TOKENS = 1  # the axis
_MASKS = ("begin_mask", "end_mask", "shrink_axis_mask", "new_axis_mask", "ellipsis_mask")

Numbers = tuple["Number", ...]


def token_of(graph: Graph, node: Node, tensor: str) -> str | None:
    """The number of the one token that is taken, ALL, or BY_INPUTS if they are not constant; None if it is unclear."""
    constants = [graph.constant(name) for name in node.operands[1:]]
    if node.op == "StridedSlice" and len(constants) == 3:
        return _strided(graph, node, constants)
    if node.op == "Slice" and len(constants) == 2:
        return _sliced(*constants)
    if node.op == "Unpack":
        at = graph.integer(node, "axis") or 0
        return str(split_output(tensor)[1]) if at == _TOKENS else None
    if node.op in {"GatherV2", "GatherNd", "Gather"} and constants:
        return _gathered(node, constants)
    return None


def first_row(graph: Graph, node: Node) -> int:
    """The first row that is taken of a table; 0 if that is not constant."""
    if node.op not in {"Slice", "StridedSlice"} or len(node.operands) < 2:
        return 0
    begin = graph.constant(node.operands[1])
    masks = (graph.integer(node, "begin_mask") or 0) | (graph.integer(node, "new_axis_mask") or 0)
    return int(begin[0]) if begin and not masks & 1 else 0


def _strided(graph: Graph, node: Node, constants: list[Numbers | None]) -> str | None:
    begin, end, _ = constants
    begins, ends, shrunk, added, ellipsis = (graph.integer(node, mask) or 0 for mask in _MASKS)
    if begin is None or end is None or ellipsis:
        return None
    cut = [at for at in range(len(begin)) if not ((begins & ends | added) >> at & 1)]
    if not cut:
        return ALL
    if cut != [_TOKENS] or added:
        return None
    first = 0 if begins >> _TOKENS & 1 else begin[_TOKENS]
    is_one = bool(shrunk >> _TOKENS & 1) or end[_TOKENS] == first + 1
    return str(first) if is_one else None


def _sliced(begin: Numbers | None, size: Numbers | None) -> str | None:
    if begin is None or size is None or len(begin) != len(size):
        return None
    cut = [at for at in range(len(begin)) if begin[at] or size[at] != -1]
    if cut == [_TOKENS] and size[_TOKENS] == 1:
        return str(begin[_TOKENS])
    return None if cut else ALL


def _gathered(node: Node, constants: list[Numbers | None]) -> str | None:
    indices = constants[0]
    if indices is None:
        return BY_INPUTS
    at = constants[1] if len(constants) > 1 else None
    is_one = node.op == "GatherV2" and at == (_TOKENS,) and len(indices) == 1
    return str(indices[0]) if is_one else None
