"""All the places at which a graph computes one thing, as every layer's activation, and what each of them shows.

A dialect's ``[graph]`` gives the scopes. If none of them shows anything, similar scopes are read: scopes that
TensorFlow numbered because the name was taken (``bert_1/encoder/...``), scopes under another scope
(``tower_0/bert/...``) or in a function, and applied hub modules (``module_apply_tokens/bert/...``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.activation import activations
from bridgeckpt.sidecar.graph.computations import GRADIENT, GraphFact, Unlike, epsilon, heads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.notation.templates import Template
    from bridgeckpt.mapping.tables.graph import GraphSites

    Fact = GraphFact[str | float] | Unlike

Read = Callable[["Graph", Sequence[str]], Sequence["Fact | None"]]

# What each of several scopes shows, by the names of computations in tables.
READERS: Mapping[str, Read] = {
    "epsilon": lambda graph, scopes: [epsilon(graph, scope) for scope in scopes],
    "activation": activations,
    "heads": lambda graph, scopes: [heads(graph, scope) for scope in scopes],
}
_NEAR = 0.01  # relative; an epsilon of 16 bits has fewer digits
_FIRST = 700_000_000  # a number of a layer that no model has


class GraphSite(NamedTuple):
    """What one place shows. ``template`` is the scope in the table, ``layer`` the number of the layer or None."""

    template: str
    layer: int | None
    fact: Fact


def read_sites(graph: Graph, sites: GraphSites, wildcards: Mapping[str, str]) -> list[GraphSite]:
    """What each place shows, in the order of the table and of the layers. Several if similar scopes differ.

    Raises:
        CheckpointError: a node is damaged.
    """
    read = READERS[sites.computation]
    found: dict[GraphSite, None] = {}
    for template in sites.scopes:
        exact = [(layer, scope) for layer, scope in _scopes(graph, template, wildcards)]
        facts = _read(graph, template, exact, read)
        found |= dict.fromkeys(facts or _read(graph, template, list(_similar(graph, template, wildcards)), read))
    return list(found)


def _read(
    graph: Graph,
    template: Template,
    scopes: list[tuple[int | None, str]],
    read: Read,
) -> list[GraphSite]:
    """What these scopes show, of those of one layer with equal facts the first."""
    found: dict[tuple[int | None, object], GraphSite] = {}
    facts = read(graph, [scope for _, scope in scopes])
    for (layer, _), fact in zip(scopes, facts, strict=True):
        if fact is not None:
            value = fact.value if isinstance(fact, GraphFact) else fact.nearest
            found.setdefault((layer, value), GraphSite(template.text, layer, fact))
    return list(found.values())


def are_equal(one: str | float, other: str | float) -> bool:
    """Whether two values are the same, apart from the rounding of a float."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_NEAR)
    return one == other


def _scopes(graph: Graph, template: Template, wildcards: Mapping[str, str]) -> Iterator[tuple[int | None, str]]:
    """The scopes with exactly the names of the table, each with its layer."""
    if not template.indices:
        yield None, template.render(wildcards)
        return
    for layer in count():
        scope = template.render({**wildcards, **dict.fromkeys(template.indices, layer)})
        if not graph.has_scope(scope):
            return
        yield layer, scope


def _similar(graph: Graph, template: Template, wildcards: Mapping[str, str]) -> Iterator[tuple[int | None, str]]:
    """The similar scopes in the order of the graph, each with its layer, without those that compute gradients."""
    rendered = template.render({**wildcards, **dict.fromkeys(template.indices, _FIRST)})
    pattern = scope_pattern(rendered)
    numbers = [int(number) for number in re.findall(r"7\d{8}", pattern)] if template.indices else []
    for place, number in enumerate(numbers):
        pattern = pattern.replace(str(number), "(?P<layer>[0-9]+)" if not place else "(?P=layer)", 1)
    for match in re.finditer(rf"^(?:{pattern})$", "\n".join(graph.scopes), re.MULTILINE):
        if match[0] != rendered and not GRADIENT.search(match[0]):
            yield int(match["layer"]) - (numbers[0] - _FIRST) if numbers else None, match[0]


def scope_pattern(scope: str) -> str:
    """A regular expression for a scope and similar ones: numbered, under another scope, or in an applied hub module."""
    parts = (rf"{re.escape(part)}(?:_apply_[^/\n]+)?(?:_[0-9]+)?" for part in scope.split("/"))
    return r"(?:[^\n]*/)?" + "/".join(parts)


def similar_scopes(graph: Graph, scope: str) -> Iterator[str]:
    """The scopes similar to this one, in the order of the graph, without those that compute gradients."""
    names = "\n".join(graph.scopes)
    for match in re.findall(f"^({scope_pattern(scope)})$", names, re.MULTILINE):
        if match != scope and not GRADIENT.search(match):
            yield match
