"""Dense layers in a graph: products with a parameter, and what they make once the bias is added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.elementwise import PASSED

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node

PRODUCTS = frozenset(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"))
_ADDITIONS = frozenset(("Add", "AddV2", "BiasAdd"))
_VARIABLES = frozenset(("Variable", "VariableV2", "VarHandleOp", "ReadVariableOp", "_ReadVariablesOp"))
_ON_THE_WAY = PASSED | {"Cast", "ConcatV2", "Concat", "Dequantize", "Enter", "Pack"}  # parts are put together, too
_LONGEST = 8


def is_parameter(graph: Graph, tensor: str) -> bool:
    """Whether a tensor is a variable, or a constant that was one. What a function is given may be one."""
    for _ in range(_LONGEST):
        name = tensor.partition(":")[0]
        if name not in graph:
            return True  # an argument of a function
        node = graph[name]
        if node.op in _VARIABLES:
            return True
        if node.op == "Const":
            constant = graph.constant(name)
            return constant is None or len(constant) > 1
        if node.op not in _ON_THE_WAY or not node.operands:
            return False
        tensor = node.operands[0]
    return False


def is_dense(graph: Graph, node: Node) -> bool:
    """Whether a node multiplies with a parameter, as opposed to the products in attention."""
    return node.op in PRODUCTS and any(is_parameter(graph, operand) for operand in node.operands)


def dense_of(graph: Graph, tensor: str) -> Node | None:
    """The product of the dense layer whose output this tensor is: the product itself, or its sum with a bias."""
    name = tensor.partition(":")[0]
    node = graph[name] if name in graph else None  # noqa: SIM401 - a graph is no dict
    if node is not None and node.op in _ADDITIONS and len(node.operands) == 2:
        first, second = node.operands
        if is_parameter(graph, first):
            first, second = second, first
        node = _behind(graph, first) if is_parameter(graph, second) else None
    return node if node is not None and is_dense(graph, node) else None


def _behind(graph: Graph, tensor: str) -> Node | None:
    """The node that computes a tensor, apart from its shape."""
    for _ in range(_LONGEST):
        name = tensor.partition(":")[0]
        if name not in graph:
            return None
        node = graph[name]
        if node.op not in PASSED or not node.operands:
            return node
        tensor = node.operands[0]
    return None
