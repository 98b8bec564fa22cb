"""Following one name through a table: which row speaks of it, what it becomes, and how its axes move."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bridgeckpt.mapping.notation.names import Template
    from bridgeckpt.mapping.tables.records import Row, Table


class Explanation(NamedTuple):
    """What a table does with one name, and the ``spelling`` in the table that the name matches.

    ``row`` is None for a tensor that is a slot, ignored, tied or derived.
    """

    name: str
    kind: str
    spelling: str
    becomes: tuple[str, ...]
    why: str
    row: Row | None


def explain(table: Table, name: str) -> list[Explanation]:
    """Everything that ``table`` says about a TensorFlow or PyTorch name; empty when it knows nothing of it."""
    return [*_rows(table, name), *_slots(table, name), *_others(table, name)]


def _rows(table: Table, name: str) -> list[Explanation]:
    """The rows that speak of ``name``, each once; of several, those whose wildcards stand for the least text.

    A wildcard matches anything: ``{scope}output_weights`` is also every other name that ends so.
    """
    found: list[tuple[int, Explanation]] = []
    for row in (row for group in table.groups.values() for row in group.rows):
        spellings = [template for spelling in (row.tf, *row.also) for template in spelling]
        for kind, templates, other in (
            ("TensorFlow tensor", spellings, row.pt),
            ("PyTorch parameter", row.pt, row.tf),
        ):
            matches = [
                (
                    sum(len(value) for value in values.values() if isinstance(value, str)),
                    Explanation(
                        name=name,
                        kind=kind,
                        spelling=template.text,
                        becomes=_spelled(other, values),
                        why=row.layout.text,
                        row=row,
                    ),
                )
                for template in templates
                if (values := _match(template, name, table)) is not None
            ]
            found += sorted(matches, key=itemgetter(0))[:1]
    least = min((free for free, _ in found), default=0)
    return [explanation for free, explanation in found if free == least]


def _slots(table: Table, name: str) -> Iterator[Explanation]:
    for slot, templates in table.slots.items():
        for template in templates:
            before, _, after = template.text.partition("{tf}")
            if name.startswith(before) and name.endswith(after):
                weight = name[len(before) : len(name) - len(after)]
                if _rows(table, weight):
                    why = f"optimizer state {slot} of {weight}: not converted"
                    yield _without_row(name, "slot", why, spelling=template.text)


def _others(table: Table, name: str) -> Iterator[Explanation]:
    for entry in table.ignored:
        if entry.matches(name):
            yield _without_row(name, "ignored", entry.reason, spelling=entry.pattern)
    for tied in table.model.tied:
        if tied.pt.text == name:
            yield _without_row(name, "tied", "the same parameter under another name", becomes=(tied.to.text,))
    for derived in table.model.derived:
        if derived.pt.text == name:
            yield _without_row(name, "derived", f"{derived.value}: {derived.reason}")


def _without_row(
    name: str, kind: str, why: str, *, spelling: str | None = None, becomes: tuple[str, ...] = ()
) -> Explanation:
    """What a table says of a name that none of its rows has."""
    return Explanation(name=name, kind=kind, spelling=spelling or name, becomes=becomes, why=why, row=None)


def _match(template: Template, name: str, table: Table) -> dict[str, str | int] | None:
    """What the placeholders of ``template`` stand for when it is ``name``."""
    match = template.pattern({}).fullmatch(name)
    if match is None:
        return None
    found = match.groupdict()
    if any(not found[index].isdecimal() for index in found.keys() & table.model.indices.keys()):
        return None
    return {key: int(value) if key in table.model.indices else value for key, value in found.items()}


def _spelled(templates: tuple[Template, ...], values: dict[str, str | int]) -> tuple[str, ...]:
    """The names of the other side; what this side does not tell stays a placeholder."""
    spelled = []
    for template in templates:
        unknown = {key: f"{{{key}}}" for key in (*template.wildcards, *template.indices) if key not in values}
        spelled.append(template.text if unknown and template.counters else template.render({**values, **unknown}))
    return tuple(spelled)
