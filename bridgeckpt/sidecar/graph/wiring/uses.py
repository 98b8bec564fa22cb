"""Where a graph uses the parts of a model, and what each use reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.computations import GRADIENT, PRODUCTS
from bridgeckpt.sidecar.graph.wiring.norms import shift_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.formats.tensorflow.graphdef import Graph, Node
    from bridgeckpt.sidecar.graph.wiring.terms import Combination
    from bridgeckpt.sidecar.graph.wiring.tracing import Tracer
    from bridgeckpt.sidecar.graph.wiring.weights import Weights

_READS = frozenset(("Identity", "ReadVariableOp", "Cast", "Reshape", "Sub"))  # between a norm's shift and its last node
_LONGEST = 6


class Use(NamedTuple):
    """One use of a part: the ``node`` that applies it, and what it ``reads``."""

    node: str
    reads: Combination


def uses_of(graph: Graph, weights: Weights, tracer: Tracer, norms: Mapping[str, str]) -> dict[str, list[Use]]:
    """All uses by part. ``norms`` are the nodes of the shifts of layer norms, by part.

    Raises:
        CheckpointError: a node is damaged.
    """
    uses: dict[str, list[Use]] = {}
    for part, node, tensor in _products(graph, weights):
        uses.setdefault(part, []).append(Use(node.name, tracer.combination(tensor)))
    for part, shift in norms.items():
        if part not in tracer.norms:  # no product reads it
            for node in _ends(graph, weights, shift, part):
                tracer.combination(node.name)
    traced: set[str] = set()
    while pending := {(part, node) for part, ends in tracer.norms.items() for node in ends.keys() - traced}:
        for part, name in sorted(pending):
            traced.add(name)
            uses.setdefault(part, []).append(Use(name, tracer.combination(tracer.norms[part][name])))
    return uses


def _products(graph: Graph, weights: Weights) -> Iterator[tuple[str, Node, str]]:
    for node in graph.with_ops(PRODUCTS):
        inputs = [source for source in node.inputs if not source.startswith("^")]
        if GRADIENT.search(node.name) or len(inputs) != 2:
            continue
        for kernel, other in (inputs[::-1], inputs):
            if (weight := weights.kernel(kernel)) is not None:
                yield weight.part, node, other
                break


def _ends(graph: Graph, weights: Weights, shift: str, part: str) -> Iterator[Node]:
    """The last nodes of a norm, found from its shift."""
    names = [shift]
    for _ in range(_LONGEST):
        readers = [node for name in names for node in graph.readers(name) if not GRADIENT.search(node.name)]
        ends = [node for node in readers if node.op != "Sub" or node.operands[0] not in names]
        ends = [node for node in ends if _adds_shift_of(graph, weights, node, part)]
        if ends:
            yield from ends
            return
        names = [node.name for node in readers if node.op in _READS]


def _adds_shift_of(graph: Graph, weights: Weights, node: Node, part: str) -> bool:
    shift = shift_of(graph, weights, node)
    return shift is not None and shift.part == part
