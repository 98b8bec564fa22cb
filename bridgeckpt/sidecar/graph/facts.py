"""Facts that only the graph shows: LayerNorm's epsilon, the activation, the number of heads, what a head classifies.

A dialect's ``[graph]`` says what is computed in which name scopes; :mod:`bridgeckpt.sidecar.graph.sites` reads them. A
fact is left out if it is not computed in a known way, or if similar scopes differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.sidecar.graph.classifier import REDUCED, ClassifiedHead, classify_head
from bridgeckpt.sidecar.graph.computations import PRODUCTS, GraphFact, Unlike
from bridgeckpt.sidecar.graph.sites import GraphSite, are_equal, read_sites, scope_pattern, similar_scopes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.tables.graph import GraphScopes, HeadScopes

    Value = str | float


class GraphFacts(NamedTuple):
    """The facts of a graph.

    Attributes:
        values: The values that it computes with, by config key: at the first place that shows one.
        head: What one row of a classifier's logits is about ("sequence", "token"); None if the graph does not show it.
        unlike: How the graph computes a classifier, if no class does: a key of UNLIKE_ANY_CLASS.
        writer: The version of TensorFlow that wrote the graph.
        evidence: The node that each value, and the ``head``, was read from.
        sites: By config key, what each place shows.
        unclear: By config key, why the graph does not decide it, or not at every place.
    """

    values: Mapping[str, Value] = FrozenDict()
    head: str | None = None
    unlike: str | None = None
    writer: str | None = None
    evidence: Mapping[str, str] = FrozenDict()
    sites: Mapping[str, tuple[GraphSite, ...]] = FrozenDict()
    unclear: Mapping[str, str] = FrozenDict()


def read_facts(graph: Graph, scopes: GraphScopes, wildcards: Mapping[str, str]) -> GraphFacts:
    """Read the facts in the name scopes that a table's ``[graph]`` gives.

    Raises:
        CheckpointError: a node is damaged.
    """
    sites = _sites(graph, scopes, wildcards)
    if not any(sites.values()):  # a layer that was built in one model, and is used in another, whose scope it has there
        sites = _sites(graph, scopes, dict.fromkeys(wildcards, ""))
    differing = {key: text for key, found in sites.items() if (text := _differing(found))}
    unread = {key: text for key, found in sites.items() if key not in differing and (text := _not_understood(found))}
    known: dict[str, GraphFact[Value]] = {}
    for key, found in sites.items():
        shown = [site.fact for site in found if isinstance(site.fact, GraphFact)]
        if shown and key not in differing:
            known[key] = shown[0]
    found_head = _head(graph, scopes.head, wildcards) if scopes.head is not None else None
    head = found_head.fact if found_head is not None and found_head.unlike != REDUCED else None
    evidence = {key: fact.node for key, fact in known.items()} | ({"head": head.node} if head else {})
    return GraphFacts(
        values={key: fact.value for key, fact in known.items()},
        head=head.value if head else None,
        unlike=found_head.unlike if found_head is not None else None,
        writer=graph.writer,
        evidence=evidence,
        sites={key: found for key, found in sites.items() if key not in differing},
        unclear=differing | unread,
    )


def _sites(graph: Graph, scopes: GraphScopes, wildcards: Mapping[str, str]) -> dict[str, tuple[GraphSite, ...]]:
    """What each place shows, by config key."""
    return {key: tuple(read_sites(graph, computed, wildcards)) for key, computed in scopes.facts.items()}


def _differing(sites: Sequence[GraphSite]) -> str:
    """The values of similar scopes that differ, so that it is not known which is the model's; "" if none do."""
    for site in sites:
        for other in sites:
            if (site.template, site.layer) == (other.template, other.layer) and not _agree(site, other):
                return f"the graph computes with {_said(site)} and {_said(other)}"
    return ""


def _agree(site: GraphSite, other: GraphSite) -> bool:
    if isinstance(site.fact, GraphFact) and isinstance(other.fact, GraphFact):
        return are_equal(site.fact.value, other.fact.value)
    return site.fact == other.fact


def _said(site: GraphSite) -> str:
    value = site.fact.value if isinstance(site.fact, GraphFact) else "another function"
    return f"{value} ({site.fact.node})"


def _not_understood(sites: Sequence[GraphSite]) -> str:
    """The first node that computes in a way that is not understood; "" if there is none."""
    nodes = (site.fact.node for site in sites if isinstance(site.fact, Unlike) and not site.fact.nearest)
    return next((f"the graph computes it in a way that is not understood ({node})" for node in nodes), "")


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
    layers = list(similar_scopes(graph, layer)) if name == "kernel" else []  # a Keras layer has its own scope
    return kernels, layers, {kind: scope_pattern(scope.render(wildcards)) for kind, scope in scopes.outputs.items()}
