"""Facts that only the graph knows: LayerNorm's epsilon, the activation, the number of heads, what a head classifies.

A dialect's ``[graph]`` says in which name scope each is computed. A scope that TensorFlow numbered because its name was
taken (``bert_1/encoder/...``), that lies under another one (``tower_0/bert/...``) or in a function, or that is a hub
module being applied (``module_apply_tokens/bert/...``), is looked at when the scope itself tells nothing. What is not
computed in one of the known ways stays None, and so does what two of these places tell differently.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.classifier import classified
from bridgeckpt.sidecar.graph.computations import GRADIENT, Found, Value, activation, epsilon, heads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.notation.names import Template


class GraphFacts(NamedTuple):
    """What a graph says; None where it does not.

    Attributes:
        layer_norm_eps: What is added to the variance.
        hidden_act: The activation of the feed-forward layers, by transformers' name.
        num_attention_heads: The number of attention heads.
        head: "sequence" when a classifier reads the pooler, "token" when it reads the encoder.
        writer: The TensorFlow that wrote the graph.
        evidence: The node that each fact was read from.
        notes: What is None because two places tell it differently.
    """

    layer_norm_eps: float | None = None
    hidden_act: str | None = None
    num_attention_heads: int | None = None
    head: str | None = None
    writer: str | None = None
    evidence: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()


def read_facts(graph: Graph, scopes: Mapping[str, Template], wildcards: Mapping[str, str]) -> GraphFacts:
    """Read the facts in the name scopes that a table's ``[graph]`` gives.

    ``scopes`` may hold ``layer_norm_eps``, ``hidden_act`` and ``num_attention_heads``, the scope where each is
    computed (``hidden_act``'s may be that of a whole layer); and ``pooler``, ``encoder`` and ``classifier`` (the
    variable that is a classifier's kernel) for the head.

    Raises:
        CheckpointError: a node is damaged.
    """
    notes: list[str] = []

    def fact(name: str, read: Callable[[Graph, str], Found[Value] | None]) -> Found[Value] | None:
        if name not in scopes:
            return None
        found = _found(graph, scopes[name].render(wildcards), read)
        if len({each.value for each in found}) > 1:
            told = " and ".join(f"{value} ({node})" for value, node in {each.value: each for each in found}.values())
            notes.append(f"{name} is not taken from the graph, which computes with {told}")
            return None
        return found[0] if found else None

    eps, act, number = (
        fact("layer_norm_eps", epsilon),
        fact("hidden_act", activation),
        fact("num_attention_heads", heads),
    )
    head = _head(graph, scopes, wildcards) if {"classifier", "pooler", "encoder"} <= scopes.keys() else None
    known = {"layer_norm_eps": eps, "hidden_act": act, "num_attention_heads": number, "head": head}
    return GraphFacts(
        eps.value if eps else None,
        act.value if act else None,
        int(number.value) if number else None,
        head.value if head else None,
        graph.writer,
        {name: each.node for name, each in known.items() if each},
        tuple(notes),
    )


def _found(graph: Graph, scope: str, read: Callable[[Graph, str], Found[Value] | None]) -> list[Found[Value]]:
    """What ``read`` finds in the scope itself, else in every scope like it."""
    if there := read(graph, scope):
        return [there]
    return [found for like in _like(graph, scope) if (found := read(graph, like))]


def _pattern(scope: str) -> str:
    """A regular expression for a scope's name wherever it was entered: under another scope, or for a second time."""
    parts = (rf"{re.escape(part)}(?:_apply_[^/\n]+)?(?:_[0-9]+)?" for part in scope.split("/"))
    return r"(?:[^\n]*/)?" + "/".join(parts)


def _like(graph: Graph, scope: str) -> Iterator[str]:
    """The scopes like this one in the order of the graph; never one that computes gradients."""
    names = "\n".join(graph)
    for match in dict.fromkeys(re.findall(f"^({_pattern(scope)})/", names, re.MULTILINE)):
        if match != scope and not GRADIENT.search(match):
            yield match


def _head(graph: Graph, scopes: Mapping[str, Template], wildcards: Mapping[str, str]) -> Found[str] | None:
    # The kernel is under the leading scope, or at the root where a head was put on top of a hub module.
    places = (wildcards, dict.fromkeys(wildcards, ""))
    kernels = list(dict.fromkeys(scopes["classifier"].render(place) for place in places))
    layer, _, name = kernels[0].rpartition("/")
    layers = list(_like(graph, layer)) if name == "kernel" else []  # Keras' layers have a scope of their own
    pooler, encoder = (_pattern(scopes[part].render(wildcards)) for part in ("pooler", "encoder"))
    return classified(graph, kernels, layers, pooler, encoder)
