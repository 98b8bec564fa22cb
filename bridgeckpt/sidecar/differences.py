"""Where two of the sources that state values of a model say different things: a description, configs beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.decisions import same_value
from bridgeckpt.store.texts import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.store.texts import JSON


class Disagreement(NamedTuple):
    """Two statements of one value: that of ``by`` is taken, that of ``other_by`` is not."""

    key: str
    value: object
    by: str
    other: object
    other_by: str

    @property
    def text(self) -> Sentence:
        """What is said of it."""
        return Sentence(
            "{key} = {value}, as {by} says, although {other_by} says {other}; {config:FILE} decides it",
            key=self.key,
            value=shown(self.value),
            by=self.by,
            other_by=self.other_by,
            other=shown(self.other),
        )


def differences(
    values: JSON, origins: Mapping[str, str], name: str, others: Iterable[tuple[JSON, str]], table: Table
) -> Iterator[Disagreement]:
    """The values that a conversion needs, and that one of the ``others``, each with its name, states differently."""
    config = table.model.config
    needed = dict.fromkeys((*table.model.size_keys, *config.options.values(), *config.needed))
    for other, other_by in others:
        for key in needed:
            both = key in values and key in other and None not in (values[key], other[key])
            if both and not same_value(table, key, values[key], other[key]):
                yield Disagreement(key, values[key], origins.get(key, name), other[key], other_by)
