"""Which variables the model without a head is computed from, as a graph shows it, whatever the variables are called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.computations import GRADIENT
from bridgeckpt.sidecar.graph.sites import scope_pattern

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.tables.graph import HeadScopes

_WRITES = ("Assign", "Apply", "ResourceApply", "Save", "Restore")  # training and saving: no part of the model


class Reach(NamedTuple):
    """Variables that the model is computed from, and variables that it is not computed from. Others are not shown."""

    inside: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()


def reach_of(
    graph: Graph, scopes: HeadScopes, wildcards: Mapping[str, str], unknown: Collection[str], known: Collection[str]
) -> Reach:
    """What a graph shows of variables that are ``unknown``: whether the scopes that feed heads are computed from them.

    Only if all the ``known`` variables of the model are found in this way, others are certain to be no part of it.
    """
    queue = [name for scope in scopes.outputs.values() for name in _ends(graph, scope_pattern(scope.render(wildcards)))]
    seen = set(queue)
    while queue:
        name = queue.pop()
        if name not in graph or GRADIENT.search(name) or (node := graph[name]).op.startswith(_WRITES):
            continue
        sources = {*node.operands} - seen
        queue += sources
        seen |= sources
    inside = frozenset(name for name in unknown if name in seen)
    complete = bool(seen) and seen >= {*known}
    return Reach(inside, frozenset(name for name in unknown if complete and name in graph) - inside)


def _ends(graph: Graph, scope: str) -> Iterator[str]:
    """The nodes in a scope, of its layers those of the last one alone."""
    numbered = re.compile(rf"{scope}/(?:[^/\n]*?(\d+)/)?")
    found = {name: match[1] for name in graph if (match := numbered.match(name))}
    last = max((int(layer) for layer in found.values() if layer is not None), default=None)
    yield from (name for name, layer in found.items() if layer is not None and int(layer) == last)
    if last is None:
        yield from found
