"""The activation in a name scope: the function between a dense layer and the next layer, found by computing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.candidates import nearest, scale_of
from bridgeckpt.sidecar.graph.computations import GRADIENT, GraphFact, Unlike
from bridgeckpt.sidecar.graph.dense import dense_of, is_dense
from bridgeckpt.sidecar.graph.elementwise import PASSED
from bridgeckpt.sidecar.graph.functions import Functions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridgeckpt.formats.tensorflow.graphdef import Graph, Node
    from bridgeckpt.sidecar.graph.functions import Function

_NORMS = {"Mean", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}  # what a norm does with its input
_NO_DATA = {"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"}  # what reads a tensor, but not its numbers
_LONGEST = 8


def activation(graph: Graph, scope: str) -> GraphFact[str] | Unlike | None:
    """The activation after the dense layer in a scope, "linear" if there is none.

    None if the scope shows no dense layer whose output goes on, or several with different activations.
    """
    nodes = [node for node in graph.under(scope) if not GRADIENT.search(node.name)]
    found: dict[str, GraphFact[str] | Unlike] = {}
    for node, function in _ends(graph, nodes):
        like = nearest(function)
        if like.is_equal:
            found.setdefault(like.name, GraphFact(like.name, node.name))
        else:
            found.setdefault("", Unlike(node.name, f"{like.name}, from which it differs by {like.difference:.2g}"))
    if found:
        return found.popitem()[1] if len(found) == 1 else None
    return _not_understood(graph, nodes)


def _not_understood(graph: Graph, nodes: Sequence[Node]) -> Unlike | None:
    """What computes with the output of the only dense layer in a scope, in a way that is not understood."""
    layers = [node for node in nodes if is_dense(graph, node)]
    if len(layers) != 1:
        return None
    outputs = {node.name for node in nodes if node is layers[0] or dense_of(graph, node.name) is layers[0]}
    using = (node for node in nodes if node.name not in outputs and node.op not in PASSED and node.op not in _NO_DATA)
    return next((Unlike(node.name) for node in using if outputs.intersection(node.operands)), None)


def _ends(graph: Graph, nodes: Sequence[Node]) -> Iterator[tuple[Node, Function]]:
    """The last nodes that compute a function of the output of a dense layer, each number by itself."""
    functions = Functions(graph, {node.name for node in nodes})
    readers = _readers(nodes)
    for node in nodes:
        inside = readers.get(node.name, ())
        if inside and not any(reader.op in _NORMS or is_dense(graph, reader) for reader in inside):
            continue
        function = functions.of(node.name)
        product = dense_of(graph, function.source) if function is not None else None
        if function is None or product is None or product.name not in functions.inside:
            continue
        if inside or scale_of(function) != 1 or _feeds_dense(graph, node):
            yield node, function


def _readers(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    """The nodes of a scope that read the numbers of each of them."""
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for operand in {*node.operands} if node.op not in _NO_DATA else ():
            readers.setdefault(operand, []).append(node)
    return readers


def _feeds_dense(graph: Graph, node: Node) -> bool:
    """Whether an output goes into another dense layer, with only changes of its shape in between."""
    for _ in range(_LONGEST):
        readers = [reader for reader in graph.readers(node.name) if not GRADIENT.search(reader.name)]
        if any(is_dense(graph, reader) for reader in readers):
            return True
        following = [reader for reader in readers if reader.op in PASSED]
        if len(following) != 1:
            return False
        node = following[0]
    return False
