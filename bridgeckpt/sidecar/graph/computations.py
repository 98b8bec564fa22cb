"""What the nodes of one name scope compute: the epsilon of a LayerNorm, the number of heads.

Each function takes a graph and a scope. It returns a fact with the node that it was read from, or None if the scope
does not compute it in a known way: nothing is guessed.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from bridgeckpt.sidecar.graph.layer_norm import FUSED_EPSILON, FUSED_NORMS, layer_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node
    from bridgeckpt.formats.tensorflow.tensorproto import Number

GRADIENT = re.compile(r"(?:^|/)(?:gradients|gradient_tape)(?:_[0-9]+)?(?:/|$)")
PRODUCTS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "Einsum"}

_NEAR = 0.01  # relative: a vector that hardly varies shows the epsilon to a few digits
_ADDITIONS = {"Add", "AddV2"}
_CLIPS = {"Maximum", "Minimum"}

Value = TypeVar("Value", bound=str | float, covariant=True)


class GraphFact(NamedTuple, Generic[Value]):
    """A fact and the node that it was read from."""

    value: Value
    node: str


class Unlike(NamedTuple):
    """A node that computes what no config expresses: the ``nearest`` that one does, "" if it is not understood."""

    node: str
    nearest: str = ""


def epsilon(graph: Graph, scope: str) -> GraphFact[Number] | Unlike | None:
    """The epsilon of a LayerNorm: the constant under its square root, or the attribute of the fused op."""
    nodes = graph.under(scope)
    read, norm = _constant_epsilon(graph, nodes), layer_norm(graph, nodes)
    if norm is None:
        return read
    computed, last = norm
    if computed is None:
        return Unlike(last, "a layer norm")
    if not computed or (read is not None and math.isclose(computed, read.value, rel_tol=_NEAR)):
        return read
    return GraphFact(float(f"{computed:.3g}"), last)


def _constant_epsilon(graph: Graph, nodes: Sequence[Node]) -> GraphFact[Number] | None:
    for node in nodes:
        if node.op in FUSED_NORMS:
            value = graph.number(node, "epsilon")
            return GraphFact(FUSED_EPSILON if value is None else value, node.name)
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
