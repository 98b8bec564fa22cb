"""What a dialect as a whole must hold to: it can be recognised, and each tensor has one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridgeckpt.mapping.tables.document import Section
    from bridgeckpt.mapping.tables.records import Row, Table


def check_detect(table: Table, root: Section) -> None:
    """Refuse a dialect that cannot be recognised, or whose wildcards would stay open when it is.

    A wildcard that only names it does not hold have may stay open, where nothing else has it.

    Raises:
        TableError: naming what is not bound.
    """
    bound = {name for template in table.detect for name in template.wildcards}
    others = [row for group in table.groups.values() for rows in group.alternative_prefixes for row in rows]
    spellings = [spelling for row in (*table.rows, *others) for spelling in (row.tf, *row.also)]
    needed = {name for spelling in spellings for template in spelling for name in template.wildcards}
    needed |= set(table.wildcards) - {name for template in table.absent for name in template.wildcards}
    if not table.detect or needed - bound:
        opened = ", ".join(f"{{{name}}}" for name in sorted(needed - bound))
        message = f'"detect" does not bind {opened}' if table.detect else '"detect" names nothing that is there'
        hint = "write each wildcard into a name that every checkpoint of the dialect holds"
        raise root.error("detect", message, "detect", hint=hint)


def refuse_duplicates(table: Table, root: Section) -> None:
    """Refuse two rows of one class that speak of one tensor.

    Raises:
        TableError: naming both.
    """
    for architecture in table.model.architectures.values():
        for first, second, name in _shared(table.rows_of(architecture)):
            message = f'"{name}" is in two rows: {first.where} and {second.where}'
            raise root.error("duplicate-name", message, "group", second.group, hint="every tensor has one row")


def _shared(rows: Iterable[Row]) -> Iterator[tuple[Row, Row, str]]:
    seen: dict[tuple[str, str], Row] = {}
    for row in rows:
        for side, templates in (("tf", row.tf), ("pt", row.pt)):
            for template in templates:
                other = seen.setdefault((side, template.text), row)
                if other is not row:
                    yield other, row, template.text
