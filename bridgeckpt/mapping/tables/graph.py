"""``[graph]`` of a dialect: which facts a graph of the code base shows, and in which name scopes.

Each key is a key of config.json. Its value names a kind of computation and its scope, or a list of scopes. A scope may
be that of every layer: ``n_head = { heads = "model/h{layer}/attn" }``. A scope with the names of tensors matters to the
classes that have these tensors.

``[graph.head]`` distinguishes heads with equal names and shapes. ``kernel`` is the variable that makes the logits. Each
kind of head gives the scope whose output is multiplied with the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.frozen import FrozenDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.mapping.notation.templates import Template

HEADS = ("sequence", "token", "choice", "span")  # what one row of the logits is about
COMPUTATIONS = ("epsilon", "activation", "heads")  # what can be recognised in a scope


class GraphSites(NamedTuple):
    """A fact of a graph: the kind of computation that shows it, and the name scopes of all such computations."""

    computation: str
    scopes: tuple[Template, ...]


class HeadScopes(NamedTuple):
    """How a graph shows which head it has: the kernel of the logits, and by kind of head the scope that feeds it."""

    kernel: Template
    outputs: Mapping[str, Template]


class GraphScopes(NamedTuple):
    """Where a graph shows what no tensor shows: ``facts`` by config key, and the ``head`` or None."""

    facts: Mapping[str, GraphSites] = FrozenDict()
    head: HeadScopes | None = None

    def merged_over(self, base: GraphScopes) -> GraphScopes:
        """These scopes, and those of ``base`` that are missing here."""
        return GraphScopes({**base.facts, **self.facts}, self.head or base.head)
