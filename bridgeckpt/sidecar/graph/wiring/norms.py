"""The layer norms of a graph, however their operations are put together: which tensor is normalised.

The last operation of a norm adds its shift (beta), or the shift less the scaled mean. From there the way leads back to
the one tensor whose mean is taken, and to constants and variables of the norm, and to nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.computations import GRADIENT
from bridgeckpt.sidecar.graph.elementwise import PASSED
from bridgeckpt.sidecar.graph.functions import canonical, split_output
from bridgeckpt.sidecar.graph.wiring.norm_values import is_norm
from bridgeckpt.sidecar.graph.wiring.weights import BIAS, WEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node
    from bridgeckpt.sidecar.graph.wiring.weights import Weight, WeightNodes

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
_PASSING = frozenset((*PASSED, "Cast", "ReadVariableOp"))
_WRITES = ("Assign", "Apply", "ResourceApply", "Save", "Restore", "IsVariable", "VarIsInit")
_SQUARES = frozenset(("Square", "Pow", "Mul"))
_READS = 6  # operations between a variable and its use
_MOST = 80  # operations of one norm
_NEAR = 14  # operations between the shift and the mean


def shifts_of(graph: Graph, weights: WeightNodes, node: Node) -> list[Weight]:
    """The weights that ``node`` adds, or the sum or the difference that it adds, and that are shifts of norms."""
    if node.op not in LAST:
        return []
    tensors = [*node.data]
    for tensor in node.data:
        name, _ = split_output(tensor)
        if name in graph and (inner := graph[name]).op in LAST:
            tensors += inner.data
    return [shift for tensor in tensors if (shift := weights.shift(tensor)) is not None]


class Normalised(NamedTuple):
    """The tensor ``source`` that is normalised. ``is_norm``: as a layer norm does; None if that is not computed."""

    source: str
    is_norm: bool | None


def normalised(graph: Graph, weights: WeightNodes, last: Node, part: str) -> Normalised | None:
    """What the variables of the norm ``part`` make at the node ``last``; None if it comes from more than one tensor."""
    for candidate in _reduced(graph, weights, last):
        source = _root(graph, candidate)
        roles = _roles_of_one(graph, weights, last, source, part)
        if BIAS in roles:
            verdict = is_norm(graph, weights, last, source, part)
            return Normalised(candidate, verdict if len(roles) == 2 or verdict is not None else False)
    return None


def _reduced(graph: Graph, weights: WeightNodes, last: Node) -> Iterator[str]:
    """The tensors of which a mean is taken, the nearest first."""
    queue, seen = [(last, 0)], {last.name}
    while queue:
        node, distance = queue.pop(0)
        if node.op in _REDUCTIONS and node.operands:
            yield node.inputs[0]
            squared = graph[node.operands[0]] if node.operands[0] in graph else node  # noqa: SIM401 - a graph is no dict
            if squared.op in _SQUARES and squared.operands:
                yield squared.inputs[0]
        if distance == _NEAR:
            continue
        for tensor in node.operands:
            if tensor in graph and tensor not in seen and not weights.read_by(tensor):
                seen.add(tensor)
                if graph[tensor].op in _ARITHMETIC:
                    queue.append((graph[tensor], distance + 1))


def _roles_of_one(graph: Graph, weights: WeightNodes, last: Node, source: str, part: str) -> set[str]:
    """The roles of the variables of ``part`` that lead to ``last``; none if more than ``source`` does."""
    queue, seen, roles = [*last.inputs], set[str](), set[str]()
    while queue:
        tensor = queue.pop()
        if tensor.startswith("^") or tensor in seen:
            continue
        seen.add(tensor)
        if len(seen) > _MOST:
            return set()
        if read := weights.read_by(tensor):
            roles |= {weight.role for weight in read if weight.part == part}
            if all(weight.part != part for weight in read):
                return set()
            continue
        if _root(graph, tensor) == source:
            continue
        name, _ = split_output(tensor)
        if name not in graph:
            return set()
        node = graph[name]
        if node.op not in _SHAPES:
            if node.op not in _ARITHMETIC:
                return set()
            queue += node.inputs
    return roles


def _root(graph: Graph, tensor: str) -> str:
    """The tensor that a tensor is in another shape."""
    for _ in range(_NEAR):
        name, index = split_output(tensor)
        if index or name not in graph or (node := graph[name]).op not in {*PASSED, "Cast"} or not node.operands:
            break
        tensor = node.inputs[0]
    return canonical(tensor)


def unshifted(graph: Graph, weights: WeightNodes, part: str) -> str | None:
    """The node that reads the scale of a norm, if nothing reads its shift. Functions are not looked at."""
    if graph.has_functions:
        return None
    readers = {role: _reader(graph, name) for name, role in weights.variables_of(part)}
    return readers.get(WEIGHT) if readers.get(BIAS, "") is None else None


def _reader(graph: Graph, variable: str) -> str | None:
    """An operation that computes with a variable."""
    names = [variable]
    for _ in range(_READS):
        readers = [node for nodes in graph.readers_of(names).values() for node in nodes if _computes(node)]
        passing = [node.name for node in readers if node.op in _PASSING]
        if len(passing) < len(readers):
            return next(node.name for node in readers if node.op not in _PASSING)
        if not passing:
            return None
        names = passing
    return names[0]


def _computes(node: Node) -> bool:
    return not node.op.startswith(_WRITES) and not GRADIENT.search(node.name)
