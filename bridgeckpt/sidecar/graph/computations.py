"""What the nodes of one name scope compute: the epsilon of a LayerNorm, the activation, the number of heads.

Each function takes a graph and a scope. It returns a fact with the node that it was read from, or None if the scope
does not compute it in a known way: nothing is guessed. :data:`READERS` are the functions by their names in tables.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridgeckpt.formats.tensorflow.graphdef import Graph, Node
    from bridgeckpt.formats.tensorflow.tensorproto import Number

GRADIENT = re.compile(r"(?:^|/)gradients(?:_[0-9]+)?(?:/|$)")
PRODUCTS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "Einsum"}

_FUSED_NORMS = {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}
_FUSED_EPSILON = 1e-4  # the ops' default, which a graph may leave out
_ADDITIONS = {"Add", "AddV2"}
_CLIPS = {"Maximum", "Minimum"}
_SIMPLE_ACTIVATIONS = {"Erf": "gelu", "Erfc": "gelu", "Relu": "relu", "Relu6": "relu6", "Elu": "elu", "Selu": "selu"}
_GELU_CUBE = 0.044715  # 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
_NEAR = 4e-3  # relative; a bfloat16 has 8 bits
_QUICK_GELU = 1.702  # x sigmoid(1.702 x)

Value = TypeVar("Value", bound=str | float, covariant=True)


class GraphFact(NamedTuple, Generic[Value]):
    """A fact and the node that it was read from."""

    value: Value
    node: str


def epsilon(graph: Graph, scope: str) -> GraphFact[Number] | None:
    """The epsilon of a LayerNorm: the constant under its square root, or the attribute of the fused op."""
    for node in graph.under(scope):
        if node.op in _FUSED_NORMS:
            value = graph.number(node, "epsilon")
            return GraphFact(_FUSED_EPSILON if value is None else value, node.name)
        if node.op in {"Rsqrt", "Sqrt"}:
            for name in _summands(graph, node):
                if (constant := _scalar(graph, name)) is not None and 0 < constant < 1:
                    return GraphFact(constant, name)
    return None


def _summands(graph: Graph, root: Node) -> list[str]:
    """The operands of the additions under a square root. Keras clips the sum from both sides first."""
    nodes = [root]
    for skipped in ({root.op}, _CLIPS, _CLIPS):
        nodes = [
            source
            for node in nodes
            for source in ([graph[name] for name in node.operands if name in graph] if node.op in skipped else [node])
        ]
    return [name for node in nodes if node.op in _ADDITIONS for name in node.operands]


def _scalar(graph: Graph, name: str) -> Number | None:
    """The value of a constant of one element."""
    constant = graph.constant(name)
    return constant[0] if constant is not None and len(constant) == 1 else None


def activation(graph: Graph, scope: str) -> GraphFact[str] | None:
    """The activation in the scope, or "linear" if the output of its dense layer goes directly into the next one."""
    nodes = graph.under(scope)
    ops = {node.op: node.name for node in nodes}
    constants = [constant for node in nodes if (constant := _scalar(graph, node.name)) is not None]
    activations = {name: ops[op] for op, name in _SIMPLE_ACTIVATIONS.items() if op in ops}
    if "Tanh" in ops:
        if not _has_near(_GELU_CUBE, constants) and any(_is_power(node) for node in nodes):
            return None  # a gelu whose constant cannot be read, or something else
        activations["gelu_pytorch_tanh" if _has_near(_GELU_CUBE, constants) else "tanh"] = ops["Tanh"]
    if "Sigmoid" in ops:
        is_product = any(node.op == "Mul" and ops["Sigmoid"] in node.operands for node in nodes)
        gated = "quick_gelu" if _has_near(_QUICK_GELU, constants) else "silu" if is_product else "sigmoid"
        activations[gated] = ops["Sigmoid"]
    if len(activations) == 1:
        return GraphFact(*activations.popitem())
    product = next((node for node in nodes if node.op in PRODUCTS), None)
    if activations or product is None or "Softmax" in ops:  # with attention, the first product is a projection
        return None
    return GraphFact("linear", product.name) if _feeds_product(graph, product) else None


def _is_power(node: Node) -> bool:
    return node.op in {"Pow", "Square"} or (node.op == "Mul" and len(set(node.operands)) < len(node.operands))


def _has_near(value: float, constants: list[Number]) -> bool:
    return any(abs(constant - value) < _NEAR * value for constant in constants)


def _feeds_product(graph: Graph, node: Node) -> bool:
    """Whether the output goes into another matrix product, with only a bias in between."""
    for _ in range(8):
        readers = [reader for reader in graph.readers(node.name) if not GRADIENT.search(reader.name)]
        if any(reader.op in PRODUCTS for reader in readers):
            return True
        following = [reader for reader in readers if reader.op in {"BiasAdd", "Identity", "Reshape", *_ADDITIONS}]
        if len(following) != 1:
            return False
        node = following[0]
    return False


def heads(graph: Graph, scope: str) -> GraphFact[int] | None:
    """The number of heads in the reshape to [batch, seq, heads, head_dim]; the scale 1 / sqrt(head_dim) checks it."""
    splits: dict[tuple[Number, Number], str] = {}
    heads_only: dict[tuple[Number, Number], str] = {}  # reshapes in which head_dim is not constant
    scales: list[float] = []
    for node in graph.under(scope):
        if node.op == "Reshape" and len(node.operands) > 1:
            shape = _shape(graph, node.operands[1])
            if len(shape) == 4 and all(size is not None and size > 0 for size in shape[2:]):
                splits.setdefault((shape[2] or 0, shape[3] or 0), node.name)
            elif len(shape) == 4 and (shape[2] or 0) > 0 and shape.count(None) == 3:
                heads_only.setdefault((shape[2] or 0, 0), node.name)
        elif node.op in {"Mul", "RealDiv"}:
            constants = [constant for name in node.operands if (constant := _scalar(graph, name))]
            scales += [constant if node.op == "Mul" else 1 / constant for constant in constants]
    scaled = [split for split in splits if any(abs(scale * split[1] ** 0.5 - 1) < 1e-3 for scale in scales)]
    candidates = scaled or list(splits) or list(heads_only)
    if len({number for number, _ in candidates}) != 1:
        return None
    return GraphFact(int(candidates[0][0]), {**heads_only, **splits}[candidates[0]])


def _shape(graph: Graph, name: str) -> tuple[Number | None, ...]:
    """A shape operand: a constant, or scalars packed into a vector; None for a size that is not constant."""
    if (constant := graph.constant(name)) is not None:
        return constant
    if name not in graph or (node := graph[name]).op != "Pack":
        return ()
    return tuple(_scalar(graph, operand) for operand in node.operands)


READERS: Mapping[str, Callable[[Graph, str], GraphFact[str | float] | None]] = {
    "epsilon": epsilon,
    "activation": activation,
    "heads": heads,
}
