"""Small vectors of whole numbers that a graph computes from constants, such as the order of axes."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.elementwise import PASSED

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph

_ARITHMETIC = {
    "Add": operator.add,
    "AddV2": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "FloorMod": operator.mod,
}
_DEEPEST = 8
_MOST = 64  # numbers of a vector

Integers = tuple[int, ...]


def integers(graph: Graph, name: str, depth: int = _DEEPEST) -> Integers | None:
    """The numbers; None if they are not computed from constants alone.

    Raises:
        CheckpointError: a node is damaged.
    """
    if name not in graph or not depth:
        return None
    node = graph[name]
    if node.op == "Const":
        constant = graph.constant(name)
        return tuple(map(int, constant)) if constant is not None and all(map(_is_whole, constant)) else None
    if node.op in PASSED or node.op == "Cast":
        return integers(graph, node.operands[0], depth - 1) if node.operands else None
    operands = node.operands[:-1] if node.op == "ConcatV2" else node.operands
    values = [integers(graph, operand, depth - 1) for operand in operands]
    known = [value for value in values if value is not None]
    return _computed(node.op, known) if known and len(known) == len(values) else None


def _is_whole(value: float) -> bool:
    return value == value // 1


def _computed(op: str, values: list[Integers]) -> Integers | None:
    if op in {"ConcatV2", "Pack"}:
        return tuple([number for value in values for number in value])
    if any(len(value) != 1 for value in values):
        return None
    scalars = [value[0] for value in values]
    if op == "Range" and len(scalars) == 3 and scalars[2]:
        return tuple(range(*scalars))[:_MOST]
    if op in _ARITHMETIC and len(scalars) == 2 and (op != "FloorMod" or scalars[1]):
        return (_ARITHMETIC[op](*scalars),)
    return None
