"""``[graph]`` of a dialect: the facts that a graph of the code base gives, and the name scopes that hold them.

A key is a key of config.json, and says what is computed and in which scope: ``n_head = { heads = "model/h0/attn" }``.
``[graph.head]`` tells heads apart whose names and shapes are alike: ``kernel`` is the variable that makes the logits,
and each kind of head gives the scope whose output that kernel is multiplied with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.frozen import FrozenDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.mapping.notation.names import Template

HEADS = ("sequence", "token", "choice", "span")  # what one row of the logits is about
COMPUTATIONS = ("epsilon", "activation", "heads")  # what can be recognised in a scope


class Computed(NamedTuple):
    """A fact of a graph: the kind of computation that gives it, and the name scope of that computation."""

    computation: str
    scope: Template


class HeadScopes(NamedTuple):
    """How a graph tells which head it has: the kernel of the logits, and by kind of head the scope that feeds it."""

    kernel: Template
    outputs: Mapping[str, Template]


class GraphScopes(NamedTuple):
    """Where a graph says what no tensor does: ``facts`` by config key, and the ``head``, None where it cannot tell."""

    facts: Mapping[str, Computed] = FrozenDict()
    head: HeadScopes | None = None

    def over(self, base: GraphScopes) -> GraphScopes:
        """These, and those of ``base`` that are not among them."""
        return GraphScopes({**base.facts, **self.facts}, self.head or base.head)
