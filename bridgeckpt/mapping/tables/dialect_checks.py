"""Checks of a whole dialect: it can be recognised, and each tensor has one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridgeckpt.mapping.tables.document import Section
    from bridgeckpt.mapping.tables.records import Row, Table


def check_detect(table: Table, root: Section) -> None:
    """Refuse a dialect without names in ``detect``, or with wildcards that ``detect`` does not bind.

    A wildcard that is only in names with ``!`` need not be bound.

    Raises:
        TableError: ``detect`` is empty or a wildcard is not bound; the message names the wildcard.
    """
    bound = {name for template in table.detect for name in template.wildcards}
    others = [row for group in table.groups.values() for rows in group.alternative_prefixes for row in rows]
    spellings = [spelling for row in (*table.rows, *others) for spelling in (row.tf, *row.also)]
    needed = {name for spelling in spellings for template in spelling for name in template.wildcards}
    needed |= set(table.wildcards) - {name for template in table.absent for name in template.wildcards}
    if not table.detect or needed - bound:
        unbound = ", ".join(f"{{{name}}}" for name in sorted(needed - bound))
        message = f'"detect" does not bind {unbound}' if table.detect else '"detect" has no name without "!"'
        hint = "put each wildcard in a name that every checkpoint of the dialect holds"
        raise root.error("detect", message, "detect", hint=hint)


def refuse_duplicates(table: Table, root: Section) -> None:
    """Refuse two rows of one class for one tensor.

    Raises:
        TableError: a tensor has two rows; the message names both.
    """
    for architecture in table.model.architectures.values():
        for first, second, name in _duplicates(table.rows_of(architecture)):
            message = f'"{name}" is in two rows: {first.where} and {second.where}'
            raise root.error("duplicate-name", message, "group", second.group, hint="every tensor has one row")


def _duplicates(rows: Iterable[Row]) -> Iterator[tuple[Row, Row, str]]:
    seen: dict[tuple[str, str], Row] = {}
    for row in rows:
        for side, templates in (("tf", row.tf), ("pt", row.pt)):
            for template in templates:
                other = seen.setdefault((side, template.text), row)
                if other is not row:
                    yield other, row, template.text
