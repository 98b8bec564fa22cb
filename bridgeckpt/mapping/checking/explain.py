"""Explains one name: which row of a table has it, what it becomes, and how its axes move."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bridgeckpt.mapping.notation.templates import Template
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
    """Everything that ``table`` says about a TensorFlow or PyTorch name; empty when the table does not have it."""
    return [*_rows(table, name), *_slots(table, name), *_others(table, name)]


def _rows(table: Table, name: str) -> list[Explanation]:
    """The rows that have ``name``, each once. If several match, those whose wildcards match the least text.

    A wildcard matches any text: ``{scope}output_weights`` also matches all longer names that end in output_weights.
    """
    candidates: list[tuple[int, Explanation]] = []
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
                        becomes=_render_names(other, values),
                        why=row.layout.text,
                        row=row,
                    ),
                )
                for template in templates
                if (values := _match(template, name, table)) is not None
            ]
            candidates += sorted(matches, key=itemgetter(0))[:1]
    shortest = min((length for length, _ in candidates), default=0)
    return [explanation for length, explanation in candidates if length == shortest]


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
    """The explanation of a name that is in no row."""
    return Explanation(name=name, kind=kind, spelling=spelling or name, becomes=becomes, why=why, row=None)


def _match(template: Template, name: str, table: Table) -> dict[str, str | int] | None:
    """The values of the placeholders of ``template`` if it matches ``name``, else None."""
    match = template.pattern({}).fullmatch(name)
    if match is None:
        return None
    values = match.groupdict()
    if any(not values[index].isdecimal() for index in values.keys() & table.model.indices.keys()):
        return None
    return {key: int(value) if key in table.model.indices else value for key, value in values.items()}


def _render_names(templates: tuple[Template, ...], values: dict[str, str | int]) -> tuple[str, ...]:
    """The names of the other side. A placeholder whose value is unknown stays in the name."""
    names = []
    for template in templates:
        unknown = {key: f"{{{key}}}" for key in (*template.wildcards, *template.indices) if key not in values}
        names.append(template.text if unknown and template.has_counter else template.render({**values, **unknown}))
    return tuple(names)
