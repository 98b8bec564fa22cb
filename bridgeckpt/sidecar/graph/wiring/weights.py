"""The variables of a model in a graph: which part each belongs to, and where operations read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.tensorflow.function_calls import CALLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.formats.tensorflow.graphdef import Graph

_READS = frozenset(
    ("Identity", "ReadVariableOp", "Cast", "Reshape", "Transpose", "Squeeze", "ExpandDims", "StopGradient", "Snapshot")
)
_NUMBER = re.compile(r"_[0-9]+\Z")
_HANDLES = frozenset(("VarHandleOp",))
_LONGEST = 12  # operations between a variable and its use
WEIGHT, BIAS = "weight", "bias"


class Weight(NamedTuple):
    """A variable of a part; ``role`` is the parameter's name in it. ``is_tied``: it is that of another part, too."""

    part: str
    role: str
    dimensions: int
    is_tied: bool = False


class WeightNodes:
    """The variables of a model by the names of their nodes; ``norms`` are the parts that are layer norms."""

    def __init__(self, graph: Graph, weights: Mapping[str, tuple[Weight, ...]]) -> None:
        self._graph = graph
        self._weights = {**_of_handles(graph, weights), **weights}
        self._known: dict[str, tuple[Weight, ...]] = {}
        self._with_bias = {weight.part for each in weights.values() for weight in each if weight.role == BIAS}
        self.norms = {
            weight.part
            for each in weights.values()
            for weight in each
            if weight.role == WEIGHT and weight.dimensions == 1
        }

    def read_by(self, tensor: str) -> tuple[Weight, ...]:
        """The weights whose variable a tensor is, in another shape perhaps; () if it is anything else."""
        name = tensor.partition(":")[0]
        known = self._known.get(name)
        if known is None:
            self._known[name] = ()  # while it is looked for: a function may call itself
            known = self._known[name] = self._read_by(name)
        return known

    def _read_by(self, name: str) -> tuple[Weight, ...]:
        for _ in range(_LONGEST):
            if name in self._weights:
                return self._weights[name]
            if name not in self._graph:
                outside = {self.read_by(tensor) for tensor in self._graph.outside(name)}
                return outside.pop() if len(outside) == 1 else ()
            if (node := self._graph[name]).op not in _READS or not node.operands:
                return ()
            name = node.operands[0]
        return ()

    def kernel(self, tensor: str) -> Weight | None:
        """The weight with which a product with this tensor is a part's. A tied one is the part that only ties it."""
        found = [weight for weight in self.read_by(tensor) if weight.role == WEIGHT and weight.dimensions > 1]
        return max(found, key=lambda weight: weight.is_tied, default=None)

    def table(self, tensor: str) -> Weight | None:
        """The weight that a tensor is as a table, from which rows are taken."""
        found = [weight for weight in self.read_by(tensor) if weight.role == WEIGHT and weight.dimensions > 1]
        return min(found, key=lambda weight: weight.is_tied, default=None)

    def shift(self, tensor: str) -> Weight | None:
        """The weight that a tensor is as the shift (beta) of a norm."""
        found = (weight for weight in self.read_by(tensor) if weight.role == BIAS)
        return next((weight for weight in found if weight.part in self.norms), None)

    def biases(self, tensor: str) -> list[Weight]:
        """The weights that a tensor is as a bias."""
        return [weight for weight in self.read_by(tensor) if weight.role == BIAS]

    def variables_of(self, part: str) -> list[tuple[str, str]]:
        """The nodes of a part's variables, each with its role."""
        return [(name, one.role) for name, each in self._weights.items() for one in each if one.part == part]

    def has_bias(self, part: str) -> bool:
        """Whether a part has a bias."""
        return part in self._with_bias


def _of_handles(graph: Graph, weights: Mapping[str, tuple[Weight, ...]]) -> dict[str, tuple[Weight, ...]]:
    """The weights by nodes that have other names than their variables.

    Keras 3 exports each variable twice, and its functions read the second, with a number at its end.
    """
    if not graph.has_functions:
        return {}
    read = {
        tensor.partition(":")[0] for node in graph.with_ops(CALLS) if graph.calls(node.name) for tensor in node.data
    }
    found: dict[str, tuple[Weight, ...]] = {}
    for node in graph.with_ops(_HANDLES):
        variable = graph.string(node, "shared_name") or node.name
        if variable not in weights and node.name in read:
            variable = _NUMBER.sub("", variable)
            variable = "" if variable in read else variable
        if variable in weights:
            found[node.name] = weights[variable]
    return found
