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
    from bridgeckpt.mapping.tables.document import Section
    from bridgeckpt.mapping.tables.groups import Naming

HEADS = ("sequence", "token", "choice", "span")  # what one row of the logits is about
COMPUTATIONS = ("epsilon", "activation", "heads")  # what can be recognised in a scope
_HEAD, _KERNEL = "head", "kernel"


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


def load_graph(section: Section, naming: Naming) -> GraphScopes:
    """Load ``[graph]``.

    Raises:
        TableError: a key is in no config of the model, or names no computation, or a scope is malformed.
    """
    section.only(*sorted(naming.model.config_keys), _HEAD)
    facts = {key: _computed(section, key, naming) for key in section if key != _HEAD}
    return GraphScopes(facts, _head(section.table(_HEAD), naming) if _HEAD in section else None)


def _computed(graph: Section, key: str, naming: Naming) -> Computed:
    written = graph.data[key]
    if not isinstance(written, dict) or len(written) != 1:
        hint = f'as in  {{ {COMPUTATIONS[0]} = "scope" }}; known are {", ".join(COMPUTATIONS)}'
        raise graph.error("schema", f'"{key}" in [graph] is not one computation and its scope', key, hint=hint)
    section = graph.table(key)
    section.only(*COMPUTATIONS)
    (computation,) = section
    return Computed(computation, naming.template(section, computation, section.text(computation)))


def _head(section: Section, naming: Naming) -> HeadScopes:
    section.only(_KERNEL, *HEADS)
    outputs = {kind: naming.template(section, kind, section.text(kind)) for kind in section if kind != _KERNEL}
    if not outputs:
        hint = f"give the scope of one or more of {', '.join(HEADS)}"
        raise section.error("schema", f"no kind of head stands in [{'.'.join(map(str, section.key))}]", hint=hint)
    return HeadScopes(naming.template(section, _KERNEL, section.text(_KERNEL)), outputs)
