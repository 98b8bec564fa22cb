"""Facts that only the graph knows, such as LayerNorm's epsilon, the activation, the heads, what a head classifies.

A dialect's ``[graph]`` says what is computed in which name scope. A scope that TensorFlow numbered because its name was
taken (``bert_1/encoder/...``), that lies under another one (``tower_0/bert/...``) or in a function, or that is a hub
module being applied (``module_apply_tokens/bert/...``), is looked at when the scope itself tells nothing. What is not
computed in one of the known ways is not told, and neither is what two of these places tell differently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.sidecar.graph.classifier import classified
from bridgeckpt.sidecar.graph.computations import GRADIENT, READERS, GraphFact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.tables.graph import Computed, GraphScopes, HeadScopes

    Value = str | float


class GraphFacts(NamedTuple):
    """What a graph says.

    Attributes:
        values: What it computes with, by config key.
        head: What one row of a classifier's logits is about ("sequence", "token"), None where it does not say.
        writer: The TensorFlow that wrote the graph.
        evidence: The node that each of ``values`` was read from, and the ``head``.
        notes: What is not in ``values`` because two places tell it differently.
    """

    values: Mapping[str, Value] = FrozenDict()
    head: str | None = None
    writer: str | None = None
    evidence: Mapping[str, str] = FrozenDict()
    notes: tuple[str, ...] = ()


def read_facts(graph: Graph, scopes: GraphScopes, wildcards: Mapping[str, str]) -> GraphFacts:
    """Read the facts in the name scopes that a table's ``[graph]`` gives.

    Raises:
        CheckpointError: a node is damaged.
    """
    known: dict[str, GraphFact[Value]] = {}
    notes: list[str] = []
    for key, computed in scopes.facts.items():
        found = _find(graph, computed, wildcards)
        if len({fact.value for fact in found}) == 1:
            known[key] = found[0]
        elif found:
            told = " and ".join(f"{value} ({node})" for value, node in {fact.value: fact for fact in found}.values())
            notes.append(f"{key} is not taken from the graph, which computes with {told}")
    head = _head(graph, scopes.head, wildcards) if scopes.head is not None else None
    evidence = {key: fact.node for key, fact in known.items()} | ({"head": head.node} if head else {})
    return GraphFacts(
        values={key: fact.value for key, fact in known.items()},
        head=head.value if head else None,
        writer=graph.writer,
        evidence=evidence,
        notes=tuple(notes),
    )


def _find(graph: Graph, computed: Computed, wildcards: Mapping[str, str]) -> list[GraphFact[Value]]:
    """What is computed in the scope itself, else in every scope like it."""
    read, scope = READERS[computed.computation], computed.scope.render(wildcards)
    if fact := read(graph, scope):
        return [fact]
    return [fact for like in _like(graph, scope) if (fact := read(graph, like))]


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


def _head(graph: Graph, scopes: HeadScopes, wildcards: Mapping[str, str]) -> GraphFact[str] | None:
    # The kernel is under the leading scope, or at the root where a head was put on top of a hub module.
    places = (wildcards, dict.fromkeys(wildcards, ""))
    kernels = list(dict.fromkeys(scopes.kernel.render(place) for place in places))
    layer, _, name = kernels[0].rpartition("/")
    layers = list(_like(graph, layer)) if name == "kernel" else []  # Keras' layers have a scope of their own
    outputs = {kind: _pattern(scope.render(wildcards)) for kind, scope in scopes.outputs.items()}
    return classified(graph, kernels, layers, outputs)
