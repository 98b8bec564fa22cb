"""Mapping tables that are wrong on purpose: every row of a table, in every way that comes to mind.

A mutant is the text of a TOML file, so that it goes the same way as a table that a person broke.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_HEADER = re.compile(r"\[group\.(\w+)\]")
_ROW = re.compile(r'\s*\{ tf = "([^"]*)",\s*(?:also = \["([^"]*)"\],\s*)?pt = "([^"]*)",\s*layout = "([^"]*)" \},')
_MERGED = re.compile(r"\((\w+) (\w+)\)")


class Line(NamedTuple):
    """A row of the text: its line (from 0), group, and values; ``also`` is its other spelling, empty if it has none."""

    at: int
    group: str
    tf: str
    also: str
    pt: str
    layout: str


class Mutant(NamedTuple):
    """A broken table: what was done (``kind``) to which row (``group.pt``), in words, and the text of the file."""

    kind: str
    row: str
    description: str
    toml_text: str


def rows(table_text: str) -> list[Line]:
    """The rows of a table, which stand on a line each."""
    group, found = "", []
    for at, line in enumerate(table_text.splitlines()):
        if header := _HEADER.match(line):
            group = header[1]
        elif row := _ROW.match(line):
            found.append(Line(at, group, row[1], row[2] or "", row[3], row[4]))
    return found


def mutants(table_text: str) -> list[Mutant]:
    """Every row of the table, wrong in one way at a time."""
    lines = table_text.splitlines(keepends=True)
    made = []
    for row in rows(table_text):
        for kind, changes in _changes(row, rows(table_text)):
            changed = [changes.get(at, line) if at in changes else line for at, line in enumerate(lines)]
            name = f"{row.group}.{row.pt}"
            made.append(
                Mutant(kind, name, f"{kind}: {name} = {changes[row.at].strip() or 'dropped'}", "".join(changed))
            )
    return made


def _changes(row: Line, everything: list[Line]) -> Iterator[tuple[str, dict[int, str]]]:
    yield "row dropped", {row.at: ""}
    yield "tf misspelt", {row.at: _written(row._replace(tf=row.tf + "x"))}
    if row.also:
        yield "also misspelt", {row.at: _written(row._replace(also=row.also + "x"))}
    yield "pt misspelt", {row.at: _written(row._replace(pt=row.pt + "x"))}
    left, _, right = row.layout.partition(" -> ")
    if right:
        yield "not transposed", {row.at: _written(row._replace(layout=left))}
    elif " " in left and not left.startswith("("):
        first, second = left.split()
        yield "transposed", {row.at: _written(row._replace(layout=f"{left} -> {second} {first}"))}
    yield "another axis", {row.at: _written(row._replace(layout=_another_axis(row.layout)))}
    for number, merged in enumerate(_MERGED.finditer(row.layout)):
        swapped = f"{row.layout[: merged.start()]}({merged[2]} {merged[1]}){row.layout[merged.end() :]}"
        side = "both sides" if not right else ("tf", "pt")[number]
        yield f"merge order of {side}", {row.at: _written(row._replace(layout=swapped))}
    siblings = [other for other in everything if other.group == row.group and other.at > row.at]
    for alike in (True, False):
        other = next((other for other in siblings if (other.layout == row.layout) is alike), None)
        if other is None:
            continue
        for what in ("pt", "tf", "also") if row.also and other.also else ("pt", "tf"):
            yield (
                f"{what} swapped with one of {'the same' if alike else 'another'} layout",
                {
                    row.at: _written(row._replace(**{what: getattr(other, what)})),
                    other.at: _written(other._replace(**{what: getattr(row, what)})),
                },
            )


def _another_axis(layout: str) -> str:
    """The layout with an axis of another size in the place of its last one."""
    last = re.findall(r"\w+", layout)[-1]
    return re.sub(rf"\b{last}\b", "positions" if last != "positions" else "vocab", layout)


def _written(row: Line) -> str:
    also = f'also = ["{row.also}"], ' if row.also else ""
    return f'  {{ tf = "{row.tf}", {also}pt = "{row.pt}", layout = "{row.layout}" }},\n'
