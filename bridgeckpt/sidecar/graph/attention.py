"""Whether the graph scales the scores of its attention, as every class of transformers does.

A tool may fold the scale into the kernel of the queries, and code may leave it out. No shape and no name tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.computations import GRADIENT, PRODUCTS

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph, Node

_ADDITIONS = {"Add", "AddV2", "BiasAdd"}
_PASSED = {"Identity", "Reshape", "Transpose", "Cast", "Squeeze", "ExpandDims", *_ADDITIONS}
_LONGEST = 12  # operations on the way


def unscaled_scores(graph: Graph, scope: str) -> str | None:
    """The softmax in a scope whose scores certainly have no scale; None if they have one, or if it is not clear.

    On the whole way from the two projections to the softmax nothing is done but additions and changes of shape.
    """
    for node in graph.under(scope):
        if node.op == "Softmax" and not GRADIENT.search(node.name):
            scores = _source(graph, node)
            sources = [_source(graph, graph[name]) for name in scores.operands if name in graph] if scores else []
            return node.name if len(sources) == 2 and all(sources) else None
    return None


def _source(graph: Graph, node: Node) -> Node | None:
    """The only matrix product that a node's value comes from; None if more than a sum and a shape is on the way."""
    following = [node]
    for _ in range(_LONGEST):
        products = [one for one in following if one.op in PRODUCTS]
        if products or not following:
            return products[0] if len(products) == 1 else None
        passed = [one for one in following if one.op in _PASSED or one is node]
        names = [name for one in passed for name in one.operands[: 2 if one.op in _ADDITIONS else 1]]
        following = [graph[name] for name in names if name in graph]
    return None
