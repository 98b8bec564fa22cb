"""Whether operations normalise a tensor as a layer norm does, found by computing them on a few numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.elementwise import FILLED, OPERATIONS, PASSED, guarded
from bridgeckpt.sidecar.graph.functions import canonical, split_output

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node
    from bridgeckpt.sidecar.graph.wiring.weights import WeightNodes

# The features of one token; so large that no epsilon counts. And a scale and a shift.
_FEATURES = (-310.0, 45.0, 260.0, 18.0)
_SCALE = (1.5, 0.5, -0.75, 2.0)
_SHIFT = (0.25, -1.5, 0.75, 2.0)
_NEAR = 2e-3
_DEEPEST = 30
_FUSED = frozenset(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"))

Vector = tuple[float, ...]  # a number for each feature; all the same for what has no features


def is_norm(graph: Graph, weights: WeightNodes, last: Node, source: str, part: str) -> bool | None:
    """Whether ``last`` is the layer norm of ``source``. None if an operation on the way is not known.

    Raises:
        CheckpointError: a node is damaged.
    """
    found = _Norm(graph, weights, source, part).value(last.name)
    if found is None:
        return None
    plain = _normalised(_FEATURES)
    expected = [scale * one + shift for scale, one, shift in zip(_SCALE, plain, _SHIFT, strict=True)]
    return all(abs(one - other) < _NEAR for one, other in zip(found, expected, strict=True))


def _normalised(features: Vector) -> Vector:
    mean = sum(features) / len(features)
    deviation = math.sqrt(sum((one - mean) ** 2 for one in features) / len(features))
    return tuple([(one - mean) / deviation if deviation else 0.0 for one in features])


class _Norm:
    """The values of tensors on the way, each computed once; None where one is not known."""

    def __init__(self, graph: Graph, weights: WeightNodes, source: str, part: str) -> None:
        self._graph, self._weights, self._part = graph, weights, part
        self._known: dict[str, Vector | None] = {canonical(source): _FEATURES}
        self._depth = 0

    def value(self, tensor: str) -> Vector | None:
        tensor = canonical(tensor)
        if tensor not in self._known:
            self._depth += 1
            self._known[tensor] = self._computed(tensor) if self._depth < _DEEPEST else None
            self._depth -= 1
        return self._known[tensor]

    def _computed(self, tensor: str) -> Vector | None:
        for weight in self._weights.read_by(tensor):
            return (_SCALE if weight.role == "weight" else _SHIFT) if weight.part == self._part else None
        name, index = split_output(tensor)
        if name not in self._graph or index:
            return None
        node = self._graph[name]
        if node.op == "Const":
            constant = self._graph.constant(name)
            return (float(constant[0]),) * len(_FEATURES) if constant and len({*constant}) == 1 else None
        if node.op in FILLED:
            return (FILLED[node.op],) * len(_FEATURES)
        inputs = node.data
        if node.op == "Fill":
            return self.value(inputs[1])
        if node.op in PASSED or node.op == "Cast":
            return self.value(inputs[0])
        operands = [self.value(one) for one in (inputs[:1] if node.op in {"Mean", "Sum"} else inputs[:3])]
        known = [operand for operand in operands if operand is not None]
        return self._applied(node, known) if known and len(known) == len(operands) else None

    def _applied(self, node: Node, operands: list[Vector]) -> Vector | None:
        if node.op == "Mean":
            return (sum(operands[0]) / len(_FEATURES),) * len(_FEATURES)
        if node.op in _FUSED and len(operands) == 3:
            return tuple([s * x + b for x, s, b in zip(_normalised(operands[0]), *operands[1:], strict=True)])
        if node.op in OPERATIONS:
            return tuple([guarded(OPERATIONS[node.op], *at) for at in zip(*operands, strict=True)])
        return None
