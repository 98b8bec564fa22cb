"""Whether a name scope computes a layer norm, and with which epsilon, found by computing it on a few short vectors.

What is computed from one tensor and one or two parameters, by means over the features and operations on single numbers,
can be a layer norm: (x - mean) / sqrt(variance + epsilon) * gamma + beta. Of vectors that hardly vary, the epsilon
decides the result. With it, all other results have to be those of the layer norm.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.dense import is_parameter
from bridgeckpt.sidecar.graph.elementwise import OPERATIONS, PASSED, guarded
from bridgeckpt.sidecar.graph.functions import canonical, split_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node

    Vector = tuple[float, ...]

FUSED_NORMS = frozenset(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"))
FUSED_EPSILON = 1e-4  # the ops' default, which a graph may leave out
_FEATURES = 4
_STILL = (1 + 2e-7, 1 - 2e-7, 1 + 2e-7, 1 - 2e-7)  # a variance of 4e-14
_VECTORS = (_STILL, (0.3, -1.2, 2.0, 0.7), (4e-4, -3e-4, 0.0, 2e-4), (-20.0, 31.0, 5.0, -2.0))
_FIRST, _SECOND = (0.5, 1.25, -0.75, 2.0), (-1.5, 0.25, 3.0, 0.6)  # gamma and beta, or beta and gamma
_LAST_AXES = {-1, 1, 2, 3}  # axes that may be the last one; the first one is not
_INPUT = tuple([number for vector in _VECTORS for number in vector])
_NUMBERS = len(_INPUT)
_NEAR = 1e-6
_SMALLEST = 1e-17  # what is left of no epsilon
_MOST = 60  # operations of a norm

Result = tuple[float | None, str]  # the epsilon, None if it is no layer norm, and the last node


def layer_norm(graph: Graph, nodes: Sequence[Node]) -> Result | None:
    """What the nodes of a scope make of one tensor and parameters; None if they do nothing of the kind."""
    read = {operand for node in nodes for operand in node.operands}
    for node in reversed(nodes):
        if node.name not in read and node.op in OPERATIONS and (norm := _Norm.ending_in(graph, nodes, node)):
            return norm.epsilon, node.name
    return None


class _NotUnderstoodError(Exception):
    """An operation that is none of a norm's, or a tensor too many."""


class _Norm:
    """A part of a graph that computes ``output`` from one tensor and parameters, evaluated for all vectors at once.

    Attributes:
        computed: What it computes of each vector.
    """

    def __init__(self, graph: Graph, nodes: Sequence[Node], output: str) -> None:
        self._graph = graph
        self._inside = {node.name for node in nodes}
        self._source = ""
        self._parameters: list[str] = []
        self._values: dict[str, Vector] = {}
        self._has_mean = False
        self.computed = _vectors(self._value(output))

    @classmethod
    def ending_in(cls, graph: Graph, nodes: Sequence[Node], last: Node) -> _Norm | None:
        """The norm whose last node is this; None if it is something else, or not understood."""
        try:
            norm = cls(graph, nodes, last.name)
        except _NotUnderstoodError:
            return None
        return norm if norm._source and norm._has_mean and norm._parameters else None

    @property
    def epsilon(self) -> float | None:
        """The epsilon of a layer norm that this is, 0 without one; None if it is none."""
        found = self._with(_FIRST, _SECOND)
        return self._with(_SECOND, _FIRST) if found is None else found

    def _with(self, gamma: Vector, beta: Vector) -> float | None:
        inverse = (self.computed[0][0] - beta[0]) / gamma[0] / (_STILL[0] - _mean(_STILL))
        if not math.isfinite(inverse) or not inverse:
            return None
        epsilon = inverse**-2 - _variance(_STILL)
        for x, computed in zip(_VECTORS[1:], self.computed[1:], strict=True):
            root = math.sqrt(_variance(x) + max(epsilon, 0.0))
            wanted = [(one - _mean(x)) / root * scale + shift for one, scale, shift in zip(x, gamma, beta, strict=True)]
            pairs = zip(wanted, computed, strict=True)
            if not all(math.isclose(one, other, rel_tol=_NEAR, abs_tol=_NEAR) for one, other in pairs):
                return None
        return epsilon if epsilon > _SMALLEST else 0.0

    def _value(self, tensor: str) -> Vector:
        tensor = canonical(tensor)
        if tensor not in self._values:
            if len(self._values) > _MOST:
                raise _NotUnderstoodError
            self._values[tensor] = self._computed(tensor)
        return self._values[tensor]

    def _computed(self, tensor: str) -> Vector:
        name, index = split_output(tensor)
        if name in self._graph and (constant := self._graph.constant(name)) is not None and len(constant) == 1:
            return (float(constant[0]),) * _NUMBERS
        if is_parameter(self._graph, tensor):
            return self._parameter(tensor)
        if name not in self._inside or index:
            return self._input(tensor)
        node = self._graph[name]
        inputs = [one for one in node.inputs if not one.startswith("^")]
        if not inputs:
            raise _NotUnderstoodError
        if node.op in PASSED or node.op == "Cast":
            return self._value(inputs[0])
        if node.op == "Mean":
            return self._averaged(inputs)
        if node.op in FUSED_NORMS:
            return self._fused(node, inputs)
        operation = OPERATIONS.get(node.op)
        if operation is None:
            raise _NotUnderstoodError
        operands = [self._value(one) for one in inputs]
        try:
            return tuple([guarded(operation, *numbers) for numbers in zip(*operands, strict=True)])
        except TypeError:  # a damaged graph: another number of operands
            raise _NotUnderstoodError from None

    def _parameter(self, tensor: str) -> Vector:
        root = _root(self._graph, tensor)
        if root not in self._parameters:
            self._parameters.append(root)
        if len(self._parameters) > 2:
            raise _NotUnderstoodError
        return (_FIRST, _SECOND)[self._parameters.index(root)] * len(_VECTORS)

    def _input(self, tensor: str) -> Vector:
        self._source = self._source or tensor
        if tensor != self._source:
            raise _NotUnderstoodError
        return _INPUT

    def _averaged(self, inputs: list[str]) -> Vector:
        axes = self._graph.constant(split_output(inputs[1])[0]) if len(inputs) > 1 else None
        if axes is None or len(axes) != 1:
            raise _NotUnderstoodError
        self._has_mean = True
        values = self._value(inputs[0])
        if axes[0] not in _LAST_AXES:
            return values
        return tuple([mean for vector in _vectors(values) for mean in (_mean(vector),) * _FEATURES])

    def _fused(self, node: Node, inputs: list[str]) -> Vector:
        """A batch norm of one channel for each vector: it normalises, and scales by constants that are 1 and 0."""
        self._has_mean = True
        stored = self._graph.number(node, "epsilon")
        epsilon = FUSED_EPSILON if stored is None else stored
        vectors = _vectors(self._value(inputs[0]))
        return tuple([(x - _mean(one)) / math.sqrt(_variance(one) + epsilon) for one in vectors for x in one])


def _vectors(values: Vector) -> list[Vector]:
    return [values[at : at + _FEATURES] for at in range(0, len(values), _FEATURES)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return _mean([(value - mean) ** 2 for value in values])


def _root(graph: Graph, tensor: str) -> str:
    """The variable that a parameter is read from."""
    for _ in range(_MOST):
        name = tensor.partition(":")[0]
        if name not in graph or not graph[name].operands:
            return name
        tensor = graph[name].operands[0]
    return tensor
