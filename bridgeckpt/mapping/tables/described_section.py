"""Loads ``[described]`` of a dialect into the records of :mod:`bridgeckpt.mapping.tables.described`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.mapping.tables.described import DescribedLayer, DescribedLayers
from bridgeckpt.mapping.tables.graph import HEADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridgeckpt.mapping.tables.described import Sum
    from bridgeckpt.mapping.tables.document import Section
    from bridgeckpt.mapping.tables.groups import Naming

_HEADS, _USE, _UNLESS, _DEPTH = _KEYS = "heads", "use", "unless", "depth"
_PLUS = re.compile(r" \+ (?![^{}]*\})")  # not the one of {layer + 1}


def load_described(
    section: Section, naming: Naming, borrow: Callable[[Section, str], DescribedLayers]
) -> DescribedLayers:
    """Load ``[described]``; ``borrow`` gives the section of another table, which ``use`` names.

    Raises:
        TableError: a group is not one of the model, a key is unknown, or a name is malformed.
    """
    groups = {name for a in naming.model.architectures.values() for name in a.all_groups}
    section.allow_only(*sorted(groups), *_KEYS)
    own = [group for group in section if group not in _KEYS]
    layers = [layer for group in own for layer in _layers(section.table(group), group, naming)]
    heads = section.table(_HEADS)
    heads.allow_only(*HEADS)
    kinds = {kind: tuple(naming.template(heads, kind, text) for text in heads.texts(kind)) for kind in heads}
    described = DescribedLayers(tuple(layers), kinds, section.texts(_UNLESS, ()), section.text(_DEPTH, ""))
    return described.merged_over(borrow(section, section.text(_USE))) if _USE in section else described


def _layers(section: Section, group: str, naming: Naming) -> Iterator[DescribedLayer]:
    for name in section:
        layer = section.table(name)
        layer.allow_only("reads", "first", "states", "must", "never")
        states = layer.table("states")
        yield DescribedLayer(
            group=group,
            name=naming.template(section, name, name),
            reads=_sums(layer, "reads", naming),
            first=_sums(layer, "first", naming),
            states={key: states.text(key) for key in states},
            must=layer.table("must").data,
            never=layer.texts("never", ()),
        )


def _sums(layer: Section, key: str, naming: Naming) -> tuple[Sum, ...] | None:
    if key not in layer:
        return None
    texts = [_PLUS.split(text) for text in layer.texts(key)]
    return tuple(tuple(naming.template(layer, key, term) for term in terms) for terms in texts)
