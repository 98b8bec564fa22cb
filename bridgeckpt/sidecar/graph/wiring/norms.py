"""The layer norms of a graph, however their operations are put together: which tensor is normalised.

The last operation of a norm adds its shift (beta), or the shift less the scaled mean. From there the way leads back to
the one tensor whose mean is taken, and to constants and variables of the norm, and to nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.elementwise import PASSED
from bridgeckpt.sidecar.graph.functions import canonical, split_output
from bridgeckpt.sidecar.graph.wiring.norm_values import is_norm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridgeckpt.formats.tensorflow.graphdef import Graph, Node
    from bridgeckpt.sidecar.graph.wiring.weights import Weight, Weights

LAST = frozenset(("Add", "AddV2", "Sub", "BiasAdd"))
_REDUCTIONS = frozenset(("Mean", "Sum", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"))
_SHAPES = frozenset(("Shape", "ShapeN", "Size", "Rank", "Const", "Fill", "OnesLike", "ZerosLike"))
_ARITHMETIC = frozenset(
    (
        *("Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "Rsqrt", "Sqrt", "Square", "SquaredDifference", "Pow"),
        *("Maximum", "Minimum", "BiasAdd", "Reciprocal", "Neg", "Cast", "ReadVariableOp", "Pack", "Prod"),
        *("StridedSlice", *_REDUCTIONS, *PASSED),
    )
)
_MOST = 80  # operations of one norm
_NEAR = 14  # operations between the shift and the mean


def shifts_of(graph: Graph, weights: Weights, node: Node) -> list[Weight]:
    """The weights that ``node`` adds, or the sum or the difference that it adds, and that are shifts of norms."""
    if node.op not in LAST:
        return []
    tensors = [*node.data]
    for tensor in node.data:
        name, _ = split_output(tensor)
        if name in graph and (inner := graph[name]).op in LAST:
            tensors += inner.data
    return [shift for tensor in tensors if (shift := weights.shift(tensor)) is not None]


def normalised(graph: Graph, weights: Weights, last: Node, part: str) -> str | None:
    """The tensor that the norm of ``part`` normalises, if the node ``last`` is its last one. None if it is no norm."""
    for candidate in _reduced(graph, weights, last):
        source = _root(graph, candidate)
        if _depends_only_on(graph, weights, last, source, part):
            return candidate if is_norm(graph, weights, last, source, part) is not False else None
    return None


def _reduced(graph: Graph, weights: Weights, last: Node) -> Iterator[str]:
    """The tensors of which a mean is taken, the nearest first."""
    queue, seen = [(last, 0)], {last.name}
    while queue:
        node, distance = queue.pop(0)
        if node.op in _REDUCTIONS and node.operands:
            yield node.inputs[0]
        if distance == _NEAR:
            continue
        for tensor in node.operands:
            if tensor in graph and tensor not in seen and not weights.read_by(tensor):
                seen.add(tensor)
                if graph[tensor].op in _ARITHMETIC:
                    queue.append((graph[tensor], distance + 1))


def _depends_only_on(graph: Graph, weights: Weights, last: Node, source: str, part: str) -> bool:
    """Whether all that leads to ``last`` begins at ``source``, at constants, and at the variables of ``part``."""
    queue, seen, roles = [*last.inputs], set[str](), set[str]()
    while queue:
        tensor = queue.pop()
        if tensor.startswith("^") or tensor in seen:
            continue
        seen.add(tensor)
        if len(seen) > _MOST:
            return False
        if read := weights.read_by(tensor):
            roles |= {weight.role for weight in read if weight.part == part}
            if all(weight.part != part for weight in read):
                return False
            continue
        if _root(graph, tensor) == source:
            continue
        name, _ = split_output(tensor)
        if name not in graph:
            return False
        node = graph[name]
        if node.op not in _SHAPES:
            if node.op not in _ARITHMETIC:
                return False
            queue += node.inputs
    return len(roles) == 2  # its scale and its shift


def _root(graph: Graph, tensor: str) -> str:
    """The tensor that a tensor is in another shape."""
    for _ in range(_NEAR):
        name, index = split_output(tensor)
        if index or name not in graph or (node := graph[name]).op not in {*PASSED, "Cast"} or not node.operands:
            break
        tensor = node.inputs[0]
    return canonical(tensor)
