"""What a classifier's kernel is multiplied with: one vector per sequence or one per token. That shows its class.

The kernels of a sequence classifier and of a token classifier may have the same name and the same shape.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.computations import GRADIENT, PRODUCTS, GraphFact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node

_VARIABLES = {"Variable", "VariableV2", "VarHandleOp", "Const"}  # a constant in a frozen graph
_READS = {"Identity", "ReadVariableOp", "Cast", "Transpose", "Reshape"}  # tf.tensordot reshapes its operands
_NO_DATA = {"Shape", "Const", "Placeholder", "PlaceholderWithDefault", "RandomUniform", "StatelessRandomUniformV2"}
REDUCED, BENT, ALTERED = "reduced", "bent", "altered"
# What a graph does with a head of each of these kinds; no class does.
UNLIKE_ANY_CLASS = {
    REDUCED: "puts it on single tokens or on their mean",
    BENT: "puts an activation on its result",
    ALTERED: "puts it on something that it computes in between, or on a layer before the last",
}
_BENDING = {"Tanh", "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Erf", "Erfc"}
_STRAIGHT = {"Identity", "Reshape", "BiasAdd", "Add", "AddV2"}
_EACH_TOKEN = {"token", "span"}  # heads with logits for every token: no token is selected before the product
_SCALING = {"Mul", "RealDiv", "Div"}  # dropout scales, too
_ALTERING = {*_BENDING, *_SCALING, *PRODUCTS, "Add", "AddV2", "AddN", "Sub", "Neg", "Abs", "Maximum", "Minimum"}
_ALTERING |= {"Square", "SquaredDifference", "Sqrt", "Rsqrt", "Pow", "Exp", "Log", "Sigmoid", "Softmax", "Sin", "Cos"}
_DROPOUT = re.compile(r"(?:^|/)[^/]*dropout[^/]*/", re.IGNORECASE)
_DRAWN = ("random_uniform/RandomUniform", "stateless_random_uniform/StatelessRandomUniformV2")  # for a dropout
_REDUCTIONS = {"StridedSlice", "Slice", "Gather", "GatherV2", "Squeeze", "Mean", "Max", "Sum"}


class ClassifiedHead(NamedTuple):
    """The kind of a head, with the node that shows it; ``unlike`` any class is how the graph computes it, if it is."""

    fact: GraphFact[str]
    unlike: str | None


def classify_head(
    graph: Graph, kernels: list[str], layers: list[str], outputs: Mapping[str, str]
) -> ClassifiedHead | None:
    """The kind of head whose output is the nearest before the product with a kernel.

    ``kernels`` are names that the variable may have. A function takes the variable as an argument; there the product is
    in the scope of its layer, one of ``layers``. ``outputs`` are regular expressions of scopes by kind of head.
    """
    patterns = {kind: re.compile(f"{scope}/") for kind, scope in outputs.items()}
    for product, kernel in chain(_products(graph, kernels), _products_in(graph, layers)):
        for node, changes in _upstream(graph, [name for name in product.operands if name != kernel]):
            kind = next((kind for kind, pattern in patterns.items() if pattern.match(node.name)), None)
            if kind is not None:
                each = kind in _EACH_TOKEN
                unlike = REDUCED if each and REDUCED in changes else ALTERED if ALTERED in changes else None
                if unlike is None and each and _has_later_layer(graph, outputs[kind], node):
                    unlike = ALTERED
                if unlike is None and _is_bent(graph, product):
                    unlike = BENT
                return ClassifiedHead(GraphFact(kind, node.name), unlike)
    return None


def _has_later_layer(graph: Graph, scope: str, output: Node) -> bool:
    """Whether a node is the output of a layer in ``scope`` that another layer follows."""
    numbered = re.compile(rf"({scope}/[^/\n]*?)(\d+)/")
    layer = next((match for node, _ in _upstream(graph, [output.name]) if (match := numbered.match(node.name))), None)
    if layer is None:
        return False
    others = (match for name in graph if name.startswith(layer[1]) and (match := numbered.match(name)))
    return any(other[1] == layer[1] and int(other[2]) > int(layer[2]) for other in others)


def _is_bent(graph: Graph, product: Node) -> bool:
    """Whether the result of a product goes through a function that bends it: then it is no logits.

    A sigmoid or a softmax makes probabilities of logits, and does not count.
    """
    queue, seen = [product.name], {product.name}
    while queue:
        for reader in graph.readers(queue.pop()):
            if reader.op in _BENDING:
                return True
            if reader.op in _STRAIGHT and reader.name not in seen and not GRADIENT.search(reader.name):
                seen.add(reader.name)
                queue.append(reader.name)
    return False


def _products(graph: Graph, kernels: list[str]) -> Iterator[tuple[Node, str]]:
    """Matrix products that read a variable, each with the operand that leads to the variable."""
    queue = [name for name in kernels if name in graph and graph[name].op in _VARIABLES]
    while queue:
        name = queue.pop(0)
        for reader in graph.readers(name):
            if reader.op in PRODUCTS and not GRADIENT.search(reader.name):
                yield reader, name
            elif reader.op in _READS:
                queue.append(reader.name)


def _products_in(graph: Graph, layers: list[str]) -> Iterator[tuple[Node, str]]:
    """Matrix products in the scope of a layer, each with the last operand, which is the kernel."""
    for layer in layers:
        yield from ((node, node.operands[-1]) for node in graph.under(layer) if node.op in PRODUCTS and node.operands)


def _upstream(graph: Graph, names: list[str]) -> Iterator[tuple[Node, frozenset[str]]]:
    """The nodes that data comes from, nearest first, each with what is done with its data: REDUCED, ALTERED."""
    queue, seen = [(name, frozenset[str]()) for name in names], set(names)
    while queue:
        name, changes = queue.pop(0)
        if name not in graph:
            continue
        node = graph[name]
        yield node, changes
        if node.op in _NO_DATA:
            continue
        if node.op in _REDUCTIONS:
            changes |= {REDUCED}
        elif node.op in _ALTERING and not (node.op in _SCALING and _is_dropout(graph, node)):
            changes |= {ALTERED}
        sources = node.operands[:1] if node.op in {"Reshape", *_REDUCTIONS} else node.operands
        queue += [(source, changes) for source in sources if source not in seen]
        seen.update(sources)


def _is_dropout(graph: Graph, node: Node) -> bool:
    scope = node.name[: node.name.rfind("/") + 1]
    return bool(_DROPOUT.search(node.name)) or any(f"{scope}{drawn}" in graph for drawn in _DRAWN)
