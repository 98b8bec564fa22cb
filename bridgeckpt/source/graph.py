"""Facts that only the graph knows: LayerNorm's epsilon, the activation, the number of heads, what a head classifies.

A dialect's ``[graph]`` says in which name scope each is computed. A scope that TensorFlow numbered because its name was
taken (``bert_1/encoder/...``), or that lies under another one (``tower_0/bert/...``), is looked at after the scope
itself. What is not computed in one of the known ways stays None: a fact is read, never guessed.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bridgeckpt.formats.graphdef import Graph, Node, Number
    from bridgeckpt.mapping.names import Template

_FUSED_NORMS = {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}
_FUSED_EPSILON = 1e-4  # the ops' default, which a graph may leave out
_ADDITIONS = {"Add", "AddV2"}
_PRODUCTS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "Einsum"}
_SIMPLE_ACTIVATIONS = {"Erf": "gelu", "Erfc": "gelu", "Relu": "relu", "Relu6": "relu6", "Elu": "elu", "Selu": "selu"}
_GELU_CUBE = 0.044715  # 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
_QUICK_GELU = 1.702  # x sigmoid(1.702 x)
_VARIABLES = {"Variable", "VariableV2", "VarHandleOp"}
_READS = {"Identity", "ReadVariableOp", "Cast", "Transpose"}
_NO_DATA = {"Shape", "Const", "Placeholder", "PlaceholderWithDefault", "RandomUniform", "StatelessRandomUniformV2"}
_GRADIENT = re.compile(r"(?:^|/)gradients(?:_[0-9]+)?(?:/|$)")
_REDUCTIONS = {"StridedSlice", "Slice", "Gather", "GatherV2", "Squeeze", "Mean", "Max", "Sum"}


Value = TypeVar("Value", int | float, str)


class Found(NamedTuple, Generic[Value]):
    """A fact and the node that it was read from."""

    value: Value
    node: str


class GraphFacts(NamedTuple):
    """What a graph says; None where it does not.

    Attributes:
        layer_norm_eps: What is added to the variance.
        hidden_act: The activation of the feed-forward layers, by transformers' name.
        num_attention_heads: The number of attention heads.
        head: "sequence" when a classifier reads the pooler, "token" when it reads the encoder.
        writer: The TensorFlow that wrote the graph.
        evidence: The node that each fact was read from.
    """

    layer_norm_eps: float | None = None
    hidden_act: str | None = None
    num_attention_heads: int | None = None
    head: str | None = None
    writer: str | None = None
    evidence: Mapping[str, str] = MappingProxyType({})


def read_facts(graph: Graph, scopes: Mapping[str, Template], wildcards: Mapping[str, str]) -> GraphFacts:
    """Read the facts in the name scopes that a table's ``[graph]`` gives.

    ``scopes`` may hold ``layer_norm_eps``, ``hidden_act`` and ``num_attention_heads``, the scope where each is
    computed; and ``pooler``, ``encoder`` and ``classifier`` (the variable that is a classifier's kernel) for the head.

    Raises:
        CheckpointError: a node is damaged.
    """
    epsilon = _first(graph, scopes.get("layer_norm_eps"), wildcards, _epsilon)
    activation = _first(graph, scopes.get("hidden_act"), wildcards, _activation)
    heads = _first(graph, scopes.get("num_attention_heads"), wildcards, _heads)
    head = _head(graph, scopes, wildcards) if {"classifier", "pooler", "encoder"} <= scopes.keys() else None
    found = {"layer_norm_eps": epsilon, "hidden_act": activation, "num_attention_heads": heads, "head": head}
    return GraphFacts(
        epsilon.value if epsilon else None,
        activation.value if activation else None,
        int(heads.value) if heads else None,
        head.value if head else None,
        graph.writer,
        {fact: known.node for fact, known in found.items() if known},
    )


def _first(
    graph: Graph,
    template: Template | None,
    wildcards: Mapping[str, str],
    read: Callable[[Graph, str], Found[Value] | None],
) -> Found[Value] | None:
    """What ``read`` finds in the first of the scopes in which it finds anything."""
    if template is None:
        return None
    return next(filter(None, (read(graph, scope) for scope in _scopes(graph, template, wildcards))), None)


def _pattern(scope: str) -> str:
    """A regular expression for a scope's name wherever it was entered: under another scope, or for a second time."""
    return r"(?:[^\n]*/)?" + "/".join(f"{re.escape(part)}(?:_[0-9]+)?" for part in scope.split("/"))


def _scopes(graph: Graph, template: Template, wildcards: Mapping[str, str]) -> Iterator[str]:
    """The scope itself, then the scopes like it in the order of the graph; never one that computes gradients."""
    exact = template.render(wildcards)
    yield exact
    names = "\n".join(graph)
    for match in dict.fromkeys(re.findall(f"^({_pattern(exact)})/", names, re.MULTILINE)):
        if match != exact and not _GRADIENT.search(match):
            yield match


def _epsilon(graph: Graph, scope: str) -> Found[Number] | None:
    """The constant under the square root of a LayerNorm, or the attribute of the fused op that computes it."""
    for node in graph.under(scope):
        if node.op in _FUSED_NORMS:
            epsilon = graph.number(node, "epsilon")
            return Found(_FUSED_EPSILON if epsilon is None else epsilon, node.name)
        if node.op in {"Rsqrt", "Sqrt"}:
            additions = [graph[name] for name in node.operands if name in graph and graph[name].op in _ADDITIONS]
            for name in (name for addition in additions for name in addition.operands):
                if (epsilon := _scalar(graph, name)) is not None and 0 < epsilon < 1:
                    return Found(epsilon, name)
    return None


def _scalar(graph: Graph, name: str) -> Number | None:
    """The value of a constant of one element."""
    constant = graph.constant(name)
    return constant[0] if constant is not None and len(constant) == 1 else None


def _activation(graph: Graph, scope: str) -> Found[str] | None:
    """The activation computed in the scope, or "linear" if what its dense layer makes goes right into the next one."""
    nodes = graph.under(scope)
    ops = {node.op: node.name for node in nodes}
    constants = [constant for node in nodes if (constant := _scalar(graph, node.name)) is not None]
    found = {name: ops[op] for op, name in _SIMPLE_ACTIVATIONS.items() if op in ops}
    if "Tanh" in ops:
        found["gelu_pytorch_tanh" if _near(_GELU_CUBE, constants) else "tanh"] = ops["Tanh"]
    if "Sigmoid" in ops:
        gated = "quick_gelu" if _near(_QUICK_GELU, constants) else "silu" if "Mul" in ops else "sigmoid"
        found[gated] = ops["Sigmoid"]
    if len(found) == 1:
        return Found(*found.popitem())
    product = next((node for node in nodes if node.op in _PRODUCTS), None)
    if found or product is None:
        return None
    return Found("linear", product.name) if _feeds_product(graph, product) else None


def _near(value: float, constants: list[Number]) -> bool:
    return any(abs(constant - value) < 1e-3 * value for constant in constants)


def _feeds_product(graph: Graph, node: Node) -> bool:
    """Whether the output goes into another matrix product with nothing but a bias on the way."""
    for _ in range(8):
        readers = [reader for reader in graph.readers(node.name) if not _GRADIENT.search(reader.name)]
        if any(reader.op in _PRODUCTS for reader in readers):
            return True
        onward = [reader for reader in readers if reader.op in {"BiasAdd", "Identity", "Reshape", *_ADDITIONS}]
        if len(onward) != 1:
            return False
        node = onward[0]
    return False


def _heads(graph: Graph, scope: str) -> Found[Number] | None:
    """The heads of the reshape to [batch, seq, heads, head_dim], checked by the scores' scale 1 / sqrt(head_dim)."""
    splits: dict[tuple[Number, Number], str] = {}
    scales: list[float] = []
    for node in graph.under(scope):
        if node.op == "Reshape" and len(node.operands) > 1:
            shape = _shape(graph, node.operands[1])
            if len(shape) == 4 and all(size is not None and size > 0 for size in shape[2:]):
                splits.setdefault((shape[2] or 0, shape[3] or 0), node.name)
        elif node.op in {"Mul", "RealDiv"}:
            constants = [constant for name in node.operands if (constant := _scalar(graph, name))]
            scales += [constant if node.op == "Mul" else 1 / constant for constant in constants]
    scaled = [split for split in splits if any(abs(scale * split[1] ** 0.5 - 1) < 1e-3 for scale in scales)]
    candidates = scaled or list(splits)
    if len({heads for heads, _ in candidates}) != 1:
        return None
    return Found(candidates[0][0], splits[candidates[0]])


def _shape(graph: Graph, name: str) -> tuple[Number | None, ...]:
    """A shape operand: a constant, or numbers packed into a vector, some of them computed (None)."""
    if (constant := graph.constant(name)) is not None:
        return constant
    if name not in graph or (node := graph[name]).op != "Pack":
        return ()
    return tuple(_scalar(graph, operand) for operand in node.operands)


def _head(graph: Graph, scopes: Mapping[str, Template], wildcards: Mapping[str, str]) -> Found[str] | None:
    """Walk back from the product with the classifier's kernel: what comes first, the pooler or the encoder?"""
    pooler, encoder = (re.compile(_pattern(scopes[part].render(wildcards)) + "/") for part in ("pooler", "encoder"))
    # The kernel is under the leading scope, or at the root where a head was put on top of a hub module.
    for place in (wildcards, dict.fromkeys(wildcards, "")):
        variable = scopes["classifier"].render(place)
        if variable not in graph or graph[variable].op not in _VARIABLES:
            continue
        for product, kernel in _products(graph, variable):
            for node, reduced in _upstream(graph, [name for name in product.operands if name != kernel]):
                if pooler.match(node.name):
                    return Found("sequence", node.name)
                if encoder.match(node.name):
                    return None if reduced else Found("token", node.name)
    return None


def _products(graph: Graph, variable: str) -> Iterator[tuple[Node, str]]:
    """Matrix products that read a variable, each with the operand through which it does."""
    queue = [variable]
    while queue:
        name = queue.pop(0)
        for reader in graph.readers(name):
            if reader.op in _PRODUCTS and not _GRADIENT.search(reader.name):
                yield reader, name
            elif reader.op in _READS:
                queue.append(reader.name)


def _upstream(graph: Graph, names: list[str]) -> Iterator[tuple[Node, bool]]:
    """Where data comes from, nearest first, and whether a dimension has been reduced or cut on the way."""
    queue, seen, reduced = list(names), set(names), False
    while queue:
        if (name := queue.pop(0)) not in graph:
            continue
        node = graph[name]
        yield node, reduced
        if node.op in _NO_DATA:
            continue
        reduced = reduced or node.op in _REDUCTIONS
        data = node.operands[:1] if node.op in {"Reshape", *_REDUCTIONS} else node.operands
        queue += [name for name in data if name not in seen]
        seen.update(data)
