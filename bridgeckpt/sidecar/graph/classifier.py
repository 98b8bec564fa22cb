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

    from bridgeckpt.formats.tensorflow.graphdef import Graph, Node

_VARIABLES = {"Variable", "VariableV2", "VarHandleOp", "Const"}  # a constant in a frozen graph
_READS = {"Identity", "ReadVariableOp", "Cast", "Transpose", "Reshape"}  # tf.tensordot reshapes its operands
_NO_DATA = {"Shape", "Const", "Placeholder", "PlaceholderWithDefault", "RandomUniform", "StatelessRandomUniformV2"}
REDUCED = "reduced"  # of some tokens, or of their mean: no class has such a head
BENT = "bent"  # its result goes through an activation: no class has such a head
_BENDING = {"Tanh", "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Erf", "Erfc"}
_STRAIGHT = {"Identity", "Reshape", "BiasAdd", "Add", "AddV2"}
_EACH_TOKEN = {"token", "span"}  # heads with logits for every token: no token is selected before the product
_REDUCTIONS = {"StridedSlice", "Slice", "Gather", "GatherV2", "Squeeze", "Mean", "Max", "Sum"}


class ClassifiedHead(NamedTuple):
    """The kind of a head, with the node that shows it, and the product with its kernel."""

    fact: GraphFact[str]
    product: Node


def classify_head(
    graph: Graph, kernels: list[str], layers: list[str], outputs: Mapping[str, str]
) -> ClassifiedHead | None:
    """The kind of head whose output is the nearest before the product with a kernel.

    ``kernels`` are names that the variable may have. A function takes the variable as an argument; there the product is
    in the scope of its layer, one of ``layers``. ``outputs`` are regular expressions of scopes by kind of head. If
    tokens are selected or averaged before the product, the kind is :data:`REDUCED`.
    """
    patterns = {kind: re.compile(f"{scope}/") for kind, scope in outputs.items()}
    for product, kernel in chain(_products(graph, kernels), _products_in(graph, layers)):
        for node, is_reduced in _upstream(graph, [name for name in product.operands if name != kernel]):
            kind = next((kind for kind, pattern in patterns.items() if pattern.match(node.name)), None)
            if kind is not None:
                fact = GraphFact(REDUCED if is_reduced and kind in _EACH_TOKEN else kind, node.name)
                return ClassifiedHead(fact, product)
    return None


def is_bent(graph: Graph, product: Node) -> bool:
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


def _upstream(graph: Graph, names: list[str]) -> Iterator[tuple[Node, bool]]:
    """The nodes that data comes from, nearest first, and whether a dimension was reduced or cut before."""
    queue, seen, is_reduced = list(names), set(names), False
    while queue:
        if (name := queue.pop(0)) not in graph:
            continue
        node = graph[name]
        yield node, is_reduced
        if node.op in _NO_DATA:
            continue
        is_reduced = is_reduced or node.op in _REDUCTIONS
        sources = node.operands[:1] if node.op in {"Reshape", *_REDUCTIONS} else node.operands
        queue += [name for name in sources if name not in seen]
        seen.update(sources)
