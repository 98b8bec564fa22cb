"""Facts that only the graph shows: LayerNorm's epsilon, the activation, the number of heads, what a head classifies.

A dialect's ``[graph]`` says what is computed in which name scope. If that scope shows nothing, similar scopes are read:
scopes that TensorFlow numbered because the name was taken (``bert_1/encoder/...``), scopes under another scope
(``tower_0/bert/...``) or in a function, and applied hub modules (``module_apply_tokens/bert/...``). A fact is left out
if it is not computed in a known way, or if two scopes differ.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.sidecar.graph.classifier import REDUCED, ClassifiedHead, classify_head
from bridgeckpt.sidecar.graph.computations import GRADIENT, PRODUCTS, READERS, GraphFact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.tables.graph import GraphScopes, GraphSite, HeadScopes

    Value = str | float


class GraphFacts(NamedTuple):
    """The facts of a graph.

    Attributes:
        values: The values that it computes with, by config key.
        head: What one row of a classifier's logits is about ("sequence", "token"); None if the graph does not show it.
        unlike: How the graph computes a classifier, if no class does: a key of UNLIKE_ANY_CLASS.
        writer: The version of TensorFlow that wrote the graph.
        evidence: The node that each value, and the ``head``, was read from.
        notes: Facts that are not in ``values`` because two scopes differ.
    """

    values: Mapping[str, Value] = FrozenDict()
    head: str | None = None
    unlike: str | None = None
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
        facts = _find(graph, computed, wildcards)
        if len({fact.value for fact in facts}) == 1:
            known[key] = facts[0]
        elif facts:
            listed = " and ".join(f"{value} ({node})" for value, node in {fact.value: fact for fact in facts}.values())
            notes.append(f"{key} is not taken from the graph, which computes with {listed}")
    found = _head(graph, scopes.head, wildcards) if scopes.head is not None else None
    head = found.fact if found is not None and found.unlike != REDUCED else None
    evidence = {key: fact.node for key, fact in known.items()} | ({"head": head.node} if head else {})
    return GraphFacts(
        values={key: fact.value for key, fact in known.items()},
        head=head.value if head else None,
        unlike=found.unlike if found is not None else None,
        writer=graph.writer,
        evidence=evidence,
        notes=tuple(notes),
    )


def _find(graph: Graph, computed: GraphSite, wildcards: Mapping[str, str]) -> list[GraphFact[Value]]:
    """The fact in the scope itself, else the facts in all similar scopes."""
    read, scope = READERS[computed.computation], computed.scope.render(wildcards)
    if fact := read(graph, scope):
        return [fact]
    return [fact for similar in _similar_scopes(graph, scope) if (fact := read(graph, similar))]


def scope_pattern(scope: str) -> str:
    """A regular expression for a scope and similar ones: numbered, under another scope, or in an applied hub module."""
    parts = (rf"{re.escape(part)}(?:_apply_[^/\n]+)?(?:_[0-9]+)?" for part in scope.split("/"))
    return r"(?:[^\n]*/)?" + "/".join(parts)


def _similar_scopes(graph: Graph, scope: str) -> Iterator[str]:
    """The scopes similar to this one, in the order of the graph, without those that compute gradients."""
    names = "\n".join(graph)
    for match in dict.fromkeys(re.findall(f"^({scope_pattern(scope)})/", names, re.MULTILINE)):
        if match != scope and not GRADIENT.search(match):
            yield match


def _head(graph: Graph, scopes: HeadScopes, wildcards: Mapping[str, str]) -> ClassifiedHead | None:
    return classify_head(graph, *_places(graph, scopes, wildcards))


def read_own_head(graph: Graph, scopes: HeadScopes, wildcards: Mapping[str, str]) -> str | None:
    """What a kernel of no known head makes: a kind of head, or how it is unlike any. None if no graph shows it."""
    kernels, similar, outputs = _places(graph, scopes, wildcards)
    layers = [layer for layer in similar if any(node.op in PRODUCTS for node in graph.under(layer))]
    least = min((layer.count("/") for layer in layers), default=0)
    # Layers of the model may have the same names, and are deeper.
    found = classify_head(graph, kernels, [layer for layer in layers if layer.count("/") == least], outputs)
    if found is None:
        return None
    return found.unlike or found.fact.value


def _places(
    graph: Graph, scopes: HeadScopes, wildcards: Mapping[str, str]
) -> tuple[list[str], list[str], dict[str, str]]:
    """The names that a head's kernel may have, the scopes of its layer, and by kind of head those that feed it."""
    # The kernel is under the leading scope, or at the root if the head is on top of a hub module.
    bindings = (wildcards, dict.fromkeys(wildcards, ""))
    kernels = list(dict.fromkeys(scopes.kernel.render(binding) for binding in bindings))
    layer, _, name = kernels[0].rpartition("/")
    layers = list(_similar_scopes(graph, layer)) if name == "kernel" else []  # a Keras layer has its own scope
    return kernels, layers, {kind: scope_pattern(scope.render(wildcards)) for kind, scope in scopes.outputs.items()}
