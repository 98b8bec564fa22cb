"""Where a graph uses the parts of a model, and what each use reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.computations import GRADIENT, PRODUCTS
from bridgeckpt.sidecar.graph.wiring.norms import LAST, shifts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node
    from bridgeckpt.sidecar.graph.wiring.terms import Combination
    from bridgeckpt.sidecar.graph.wiring.tracing import Tracer
    from bridgeckpt.sidecar.graph.wiring.weights import WeightNodes


class PartUse(NamedTuple):
    """One use of a part: the ``node`` that applies it, and what it ``reads``."""

    node: str
    reads: Combination


def uses_of(graph: Graph, weights: WeightNodes, tracer: Tracer) -> dict[str, list[PartUse]]:
    """All uses by part.

    Raises:
        CheckpointError: a node is damaged.
    """
    uses: dict[str, list[PartUse]] = {}
    for part, node, tensor in _products(graph, weights):
        uses.setdefault(part, []).append(PartUse(node.name, tracer.combination(tensor)))
    if weights.norms - tracer.norms.keys():  # no product reads them
        for node in graph.with_ops(LAST):
            if not GRADIENT.search(node.name) and shifts_of(graph, weights, node):
                tracer.combination(node.name)
    traced: set[str] = set()
    while pending := {(part, node) for part, ends in tracer.norms.items() for node in ends.keys() - traced}:
        for part, name in sorted(pending):
            traced.add(name)
            uses.setdefault(part, []).append(PartUse(name, tracer.combination(tracer.norms[part][name])))
    return uses


def _products(graph: Graph, weights: WeightNodes) -> Iterator[tuple[str, Node, str]]:
    for node in graph.with_ops(PRODUCTS):
        inputs = [source for source in node.inputs if not source.startswith("^")]
        if GRADIENT.search(node.name) or len(inputs) != 2:
            continue
        for kernel, other in (inputs[::-1], inputs):
            if (weight := weights.kernel(kernel)) is not None:
                yield weight.part, node, other
                break
