"""What a graph computes with each single number of a tensor, found by computing it, whatever operations it uses.

A function of one number, as an activation or a scale, is a part of the graph between one tensor and another one, in
which all other leaves are constants. It is evaluated at a few points (:data:`POINTS`), and
:mod:`bridgeckpt.sidecar.graph.candidates` knows functions by their values there. Dropout is left out: it is the
identity when nothing is trained.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.dropout import under_dropout
from bridgeckpt.sidecar.graph.elementwise import FILLED, OPERATIONS, PASSED, guarded

if TYPE_CHECKING:
    from collections.abc import Collection

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node
    from bridgeckpt.sidecar.graph.elementwise import Operation

POINTS = (
    *(-300.0, -20.0, -8.0, -4.0, -3.0, -2.5, -2.0, -1.5, -1.0, -0.75, -0.5, -0.25, -0.1, -0.01, 0.0),
    *(0.01, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 8.0, 20.0, 300.0),
)
_LEAKY_SLOPE = 0.2  # the op's default, which a graph may leave out
_DEEPEST = 40  # operations on one way; an activation has about ten
_FLOATS = {1: False, 2: False, 14: True, 19: True}  # DataType: whether a number of this type has only 16 bits
_CONSTANTS = ("Const", "Identity", "Cast")  # also those that a tool moved to another scope

Values = tuple[float, ...]


class Function(NamedTuple):
    """A function of each number of the tensor ``source``.

    Attributes:
        source: The tensor, as inputs of nodes name it.
        values: The function's values at POINTS; not a number where it overflows.
        is_rounded: Whether a constant in it has only 16 bits, so that the values are only near those of its formula.
    """

    source: str
    values: Values
    is_rounded: bool = False


def function_of(graph: Graph, output: str) -> Function | None:
    """The function that makes ``output``, of the last tensor that all of it is computed from.

    ``source`` is ``output`` itself if that is no function of one tensor, as a sum of two. None for a constant.

    Raises:
        CheckpointError: a node is damaged.
    """
    return Functions(graph).of(output)


def function_between(graph: Graph, source: str, output: str) -> Function | None:
    """The function that makes ``output`` of ``source``; None if that is more than operations on single numbers.

    Raises:
        CheckpointError: a node is damaged.
    """
    found = Functions(graph, source=source).of(output)
    return found if found is not None and found.source == canonical(source) else None


class _TooDeepError(Exception):
    """More operations than a function of one number has."""


class _Value(NamedTuple):
    """What a tensor is: a function of ``source``, or a constant without one."""

    source: str | None
    values: Values
    is_rounded: bool = False


class Functions:
    """The functions that make tensors of a graph, each computed once.

    ``source`` is taken as given, as is all that is no known operation. So is, if ``inside`` names nodes, what is
    computed by any other but constants.
    """

    def __init__(self, graph: Graph, inside: Collection[str] | None = None, source: str | None = None) -> None:
        self.inside = graph if inside is None else inside
        self._graph = graph
        self.source = canonical(source) if source is not None else None
        self._known: dict[str, _Value] = {}
        self._depth = 0

    def of(self, output: str) -> Function | None:
        """The function that makes ``output``, as :func:`function_of`.

        Raises:
            CheckpointError: a node is damaged.
        """
        self._depth = 0
        try:
            found = self._value(output)
        except _TooDeepError:
            return Function(canonical(output), POINTS)
        return Function(found.source, found.values, found.is_rounded) if found.source is not None else None

    def _value(self, tensor: str) -> _Value:
        tensor = canonical(tensor)
        known = self._known.get(tensor)
        if known is None:
            self._depth += 1
            if self._depth > _DEEPEST:
                raise _TooDeepError
            known = self._known[tensor] = self._computed(tensor) or _Value(tensor, POINTS)
            self._depth -= 1
        return known

    def _computed(self, tensor: str) -> _Value | None:
        """None if the tensor is not computed from others by operations on single numbers."""
        name, index = split_output(tensor)
        if tensor == self.source or name not in self._graph:
            return None
        node = self._graph[name]
        if name not in self.inside and node.op not in _CONSTANTS:
            return None
        inputs = [source for source in node.inputs if not source.startswith("^")]
        if node.op == "Const":
            return self._constant(node)
        if node.op in FILLED:
            return _Value(None, (FILLED[node.op],) * len(POINTS))
        if node.op == "Fill":
            return self._value(inputs[1]) if len(inputs) > 1 else None
        if node.op == "Cast":
            return self._value(inputs[0]) if inputs and self._graph.dtype(node, "DstT") in _FLOATS else None
        if node.op == "IdentityN":  # as TensorFlow writes a function with a gradient of its own
            return self._value(inputs[index]) if index < len(inputs) else None
        if node.op in PASSED:
            return self._value(inputs[0]) if inputs else None
        if node.op == "Merge":
            return self._merged(inputs)
        operation = self._operation(node)
        return self._applied(node, operation, inputs) if operation is not None and inputs else None

    def _constant(self, node: Node) -> _Value | None:
        constant = self._graph.constant(node.name)
        if constant is None or len(constant) != 1:
            return None
        rounded = _FLOATS.get(self._graph.dtype(node, "dtype") or 0, False)
        return _Value(None, (float(constant[0]),) * len(POINTS), is_rounded=rounded)

    def _operation(self, node: Node) -> Operation | None:
        if node.op == "LeakyRelu":
            stored = self._graph.number(node, "alpha")
            return partial(_leaky_relu, _LEAKY_SLOPE if stored is None else stored)
        return OPERATIONS.get(node.op)

    def _applied(self, node: Node, operation: Operation, inputs: list[str]) -> _Value | None:
        """The operation on its operands; None if they come from more than one tensor, as the sum of two layers."""
        operands = [self._value(source) for source in inputs]
        sources = {operand.source for operand in operands} - {None}
        if len(sources) > 1:
            kept = under_dropout(self._graph, node)
            return self._value(kept) if kept is not None else None
        try:
            values = tuple([guarded(operation, *at) for at in zip(*(one.values for one in operands), strict=True)])
        except TypeError:  # a damaged graph: another number of operands
            return None
        rounded = any(operand.is_rounded for operand in operands)
        return _Value(next(iter(sources), None), values, is_rounded=rounded)

    def _merged(self, inputs: list[str]) -> _Value | None:
        """The branch of a condition that does not drop out; both are equal then."""
        branches = [self._value(source) for source in inputs]
        return branches[0] if len({(branch.source, branch.values) for branch in branches}) == 1 else None


def canonical(tensor: str) -> str:
    """The one name of a tensor that :class:`Function` has: without the number of a first output."""
    name, index = split_output(tensor)
    return f"{name}:{index}" if index else name


def _leaky_relu(slope: float, x: float) -> float:
    return x if x > 0 else slope * x


def split_output(tensor: str) -> tuple[str, int]:
    """The node of a tensor, and the number of its output: ``name``, ``name:1``; in functions ``name:output:1``."""
    name, _, rest = tensor.partition(":")
    number = rest.rpartition(":")[2]
    return name, int(number) if number.isdigit() else 0
