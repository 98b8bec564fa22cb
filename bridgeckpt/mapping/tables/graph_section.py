"""Loads ``[graph]`` of a dialect into the records of :mod:`bridgeckpt.mapping.tables.graph`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.mapping.tables.graph import COMPUTATIONS, HEADS, GraphScopes, GraphSites, HeadScopes

if TYPE_CHECKING:
    from bridgeckpt.mapping.tables.document import Section
    from bridgeckpt.mapping.tables.groups import Naming

_HEAD, _KERNEL = "head", "kernel"


def load_graph(section: Section, naming: Naming) -> GraphScopes:
    """Load ``[graph]``.

    Raises:
        TableError: a key is not in the model's config, a computation is unknown, or a scope is malformed.
    """
    section.allow_only(*sorted(naming.model.config_keys), _HEAD)
    facts = {key: _computed(section, key, naming) for key in section if key != _HEAD}
    return GraphScopes(facts, _head(section.table(_HEAD), naming) if _HEAD in section else None)


def _computed(graph: Section, key: str, naming: Naming) -> GraphSites:
    value = graph.data[key]
    if not isinstance(value, dict) or len(value) != 1:
        hint = f'as in  {{ {COMPUTATIONS[0]} = "scope" }}; the known ones are {", ".join(COMPUTATIONS)}'
        raise graph.error("schema", f'"{key}" in [graph] is not one computation and its scope', key, hint=hint)
    section = graph.table(key)
    section.allow_only(*COMPUTATIONS)
    (computation,) = section
    scopes = (naming.template(section, computation, scope) for scope in section.texts(computation))
    return GraphSites(computation, tuple(scopes))


def _head(section: Section, naming: Naming) -> HeadScopes:
    section.allow_only(_KERNEL, *HEADS)
    outputs = {kind: naming.template(section, kind, section.text(kind)) for kind in section if kind != _KERNEL}
    if not outputs:
        hint = f"give the scope of one or more of {', '.join(HEADS)}"
        raise section.error("schema", f"there is no kind of head in [{'.'.join(map(str, section.key))}]", hint=hint)
    return HeadScopes(naming.template(section, _KERNEL, section.text(_KERNEL)), outputs)
