"""The activation in a name scope: the function between a dense layer and the next layer, found by computing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.candidates import nearest, scale_of
from bridgeckpt.sidecar.graph.computations import GRADIENT, GraphFact, Unlike
from bridgeckpt.sidecar.graph.dense import dense_of, is_dense
from bridgeckpt.sidecar.graph.elementwise import PASSED
from bridgeckpt.sidecar.graph.functions import Functions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node
    from bridgeckpt.sidecar.graph.functions import Function

_NORMS = {"Mean", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}  # what a norm does with its input
_NO_DATA = {"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"}  # what reads a tensor, but not its numbers
_FURTHEST = 12  # operations behind a scope


class _End(NamedTuple):
    """A function of the output of a dense layer, and the node that computes it; whether the next layer reads that."""

    node: str
    function: Function
    is_last: bool


def activations(graph: Graph, scopes: Sequence[str]) -> list[GraphFact[str] | Unlike | None]:
    """The activation after the dense layer in each scope, "linear" if there is none.

    None if a scope shows no dense layer whose output goes on, or several with different activations.
    """
    scoped = [[node for node in graph.under(scope) if not GRADIENT.search(node.name)] for scope in scopes]
    ends = [list(_ends(graph, nodes)) for nodes in scoped]
    behind = _followed(graph, [end for found in ends for end in found if not end.is_last])
    return [
        _activation(graph, nodes, [behind.get(end.node, end) for end in found])
        for nodes, found in zip(scoped, ends, strict=True)
    ]


def _activation(graph: Graph, nodes: Sequence[Node], ends: Sequence[_End]) -> GraphFact[str] | Unlike | None:
    found: dict[str, GraphFact[str] | Unlike] = {}
    for node, function, is_last in ends:
        if not is_last and scale_of(function) == 1:
            continue  # the output of the layer itself, and it is not known what reads it
        like = nearest(function)
        if like.is_equal:
            found.setdefault(like.name, GraphFact(like.name, node))
        else:
            found.setdefault("", Unlike(node, f"{like.name}, from which it differs by {like.difference:.2g}"))
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


def _ends(graph: Graph, nodes: Sequence[Node]) -> Iterator[_End]:
    """The last nodes of a scope that compute a function of the output of a dense layer, each number by itself."""
    functions = Functions(graph, {node.name for node in nodes})
    readers = _readers(nodes)
    for node in nodes:
        inside = readers.get(node.name, ())
        is_last = any(_begins_layer(graph, reader) for reader in inside)
        if inside and not is_last:
            continue
        function = functions.of(node.name)
        product = dense_of(graph, function.source) if function is not None else None
        if function is not None and product is not None and product.name in functions.inside:
            yield _End(node.name, function, is_last)


def _begins_layer(graph: Graph, node: Node) -> bool:
    return node.op in _NORMS or is_dense(graph, node)


def _readers(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    """The nodes of a scope that read the numbers of each of them."""
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for operand in {*node.operands} if node.op not in _NO_DATA else ():
            readers.setdefault(operand, []).append(node)
    return readers


def _followed(graph: Graph, ends: Sequence[_End]) -> dict[str, _End]:
    """By the node that ends a scope, what the next layer reads, if that is a function of the same layer's output."""
    found: dict[str, _End] = {}
    reached = {end.node: {end.node: end.function} for end in ends}  # by start, what to go on from
    functions = {end.node: Functions(graph, source=end.function.source) for end in ends}
    for _ in range(_FURTHEST):
        wanted = {name for frontier in reached.values() for name in frontier}
        if not wanted:
            break
        readers = graph.readers_of(wanted)
        for end in ends:
            following: dict[str, Function] = {}
            for name, function in reached[end.node].items():
                reading = [one for one in readers[name] if one.op not in _NO_DATA and not GRADIENT.search(one.name)]
                if any(_begins_layer(graph, reader) for reader in reading):
                    is_same = function.values == end.function.values
                    found.setdefault(end.node, _End(end.node if is_same else name, function, is_last=True))
                    break
                following |= {one.name: made for one in reading if (made := _made(functions[end.node], one.name))}
            reached[end.node] = following if end.node not in found else {}
    return found


def _made(functions: Functions, tensor: str) -> Function | None:
    """The function of the source that a tensor is, if it is one."""
    function = functions.of(tensor)
    return function if function is not None and function.source == functions.source else None
