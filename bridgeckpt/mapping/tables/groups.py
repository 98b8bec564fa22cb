"""The ``[group.NAME]`` sections of a dialect: rows under a pair of prefixes, own and borrowed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.mapping.notation.layout import Layout
from bridgeckpt.mapping.notation.templates import Template
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.document import Document
from bridgeckpt.mapping.tables.model import check_axes, parse_at, reason
from bridgeckpt.mapping.tables.records import Group, Row, Where

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridgeckpt.mapping.notation.sides import Side
    from bridgeckpt.mapping.tables.document import Section
    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.mapping.tables.records import Spelling

    Texts = tuple[str, ...]


class Naming(NamedTuple):
    """The placeholders that a dialect's names may have: indices and wildcards; and the ``suffix`` of tf names."""

    model: ModelTable
    wildcards: Mapping[str, str]
    suffix: str

    def template(
        self, section: Section, key: str, text: str, placeholders: Mapping[str, str] | None = None
    ) -> Template:
        """Parse a name. Besides the indices it may hold ``placeholders``, by default the wildcards.

        Raises:
            TableError: the name is malformed or has an unknown placeholder.
        """
        allowed = self.wildcards if placeholders is None else placeholders
        template = parse_at(section, key, Template.parse, text, self.model.indices)
        for name in template.wildcards:
            if name not in allowed:
                known = ", ".join(f"{{{known}}}" for known in (*self.model.indices, *allowed))
                raise section.error(
                    "schema", f'name "{text}" has an unknown {{{name}}}', key, hint=f"known here: {known}"
                )
        return template


class _Row(NamedTuple):
    """A row as written: its names are without the prefixes of the group, so another group can borrow it."""

    section: Section
    where: Where
    tf: Texts
    pt: Texts
    also: tuple[Texts, ...]
    layout: Layout


def read_document(path: Path) -> Document:
    """Parse a dialect's file; it is parsed again only after it is modified."""
    return _read(path, path.stat().st_mtime_ns)


@cache
def _read(path: Path, _modified: int) -> Document:
    return Document(path, tables.label(path)[1])


def load_group(source: Document, name: str, naming: Naming, files: dict[str, bytes]) -> Group:
    """Load one group of a dialect; adds the files that it borrows from to ``files``.

    Raises:
        TableError: the group or a row is malformed, or it borrows from a group that does not exist.
    """
    section, model = source.root.table("group").table(name), naming.model
    if not any(name in (*a.groups, *a.optional) for a in model.architectures.values()):
        hint = f"add it to [architectures] in {tables.label(model.path)[1]}"
        raise section.error("reference", f'no class of {model.name} has the group "{name}"', hint=hint)
    written, pt = _rows(source, name, ()), section.text("pt")
    files.update((row.section.document.label, row.section.document.source) for row in written)
    rows, *others = (
        tuple(_with_prefixes(row, name, prefix, pt, naming) for row in written)
        for prefix in (section.text("tf"), *section.texts("also", ()))
    )
    refused = reason(section, "refused") if "refused" in section else None
    return Group(
        name=name,
        pt=pt,
        optional=section.flag("optional"),
        refused=refused,
        rows=rows,
        alternative_prefixes=tuple(others),
    )


def _with_prefixes(row: _Row, group: str, prefix: str, pt: str, naming: Naming) -> Row:
    """The row with the prefixes of its group in front of its names."""
    section = row.section
    check_axes(section, row.layout, (*naming.model.dims, *naming.model.indices))
    tf, *also = (
        tuple(naming.template(section, "tf", prefix + text + naming.suffix) for text in spelling)
        for spelling in (row.tf, *row.also)
    )
    targets = tuple(naming.template(section, "pt", pt + text, {}) for text in row.pt)
    for spelling in (tf, *also):
        _check_indices(row, spelling, targets, naming.model)
    return Row(
        group=group,
        tf=tf,
        pt=targets,
        also=tuple(also),
        layout=row.layout,
        optional=section.flag("optional"),
        fill=section.number("fill"),
        orientation=reason(section, "orientation") if "orientation" in section else None,
        where=row.where,
    )


def _rows(source: Document, name: str, borrowers: Texts) -> list[_Row]:
    """The rows of a group: borrowed rows (or the own row with the same pt in their place), then the other own rows."""
    section = source.root.table("group").table(name)
    section.allow_only("tf", "pt", "rows", "use", "also", "optional", "refused")
    borrower = f"{source.label} [group.{name}]"
    if borrower in borrowers:
        circle = " -> ".join((*borrowers, borrower))
        raise section.error("reference", f'the group "{name}" borrows from itself: {circle}', "use")
    borrowed = _borrowed(source, section, (*borrowers, borrower)) if "use" in section else []
    own = [
        _row(row, Where(source.label, row.line, number, name)) for number, row in enumerate(section.tables("rows"), 1)
    ]
    replacing = {row.pt: row for row in own}
    kept = [replacing.get(row.pt, row) for row in borrowed]
    return [*kept, *(row for row in own if not any(row is other for other in kept))]


def _borrowed(source: Document, section: Section, borrowers: Texts) -> list[_Row]:
    table, _, group = section.text("use").rpartition(".")
    if not table:
        hint = f'name a table and its group, as in "{tables.names()[0]}.GROUP"'
        raise section.error("reference", f'"use" is "{section.text("use")}"', "use", hint=hint)
    path = parse_at(section, "use", tables.find, table, source.path.parent)
    other = read_document(path)
    if group not in other.root.table("group"):
        hint = f"its groups: {', '.join(other.root.table('group'))}"
        raise section.error("reference", f'{table} has no group "{group}"', "use", hint=hint)
    return _rows(other, group, borrowers)


def _row(section: Section, where: Where) -> _Row:
    section.allow_only("tf", "pt", "layout", "also", "optional", "fill", "orientation")
    tf, pt = section.texts("tf"), section.texts("pt")
    layout = parse_at(section, "layout", Layout.parse, section.text("layout"))
    if isinstance(section.data["tf"], str):
        return _Row(
            section=section,
            where=where,
            tf=tf,
            pt=pt,
            also=tuple((text,) for text in section.texts("also", ())),
            layout=layout,
        )
    also = section.data.get("also", [])
    if not all(isinstance(spelling, list) and len(spelling) == len(tf) for spelling in also):
        raise section.error("schema", f'"also" is not a list of lists of {len(tf)} names, as "tf" is one', "also")
    return _Row(
        section=section,
        where=where,
        tf=tf,
        pt=pt,
        also=tuple(tuple(map(str, spelling)) for spelling in also),
        layout=layout,
    )


def _check_indices(row: _Row, tf: Spelling, pt: Spelling, model: ModelTable) -> None:
    """Refuse names with different indices, and lists that do not fit the ``[axis]`` of the layout."""
    sides = (("tf", tf, row.layout.tf), ("pt", pt, row.layout.pt))
    for key, templates, side in sides:
        if fault := _list_fault(templates, side, model):
            raise row.section.error("index-mismatch", f'"{key}" {fault} in "{row.layout.text}"', key)
    indices = [{index for template in names for index in template.indices} - {side.listed} for _, names, side in sides]
    if indices[0] != indices[1]:
        one_sided = min(indices[0] ^ indices[1])
        message = f'{{{one_sided}}} is in only one of "{tf[0].text}" and "{pt[0].text}"'
        hint = "each value of an index names one tensor on both sides, unless the index is an [axis] of the layout"
        raise row.section.error("index-mismatch", message, hint=hint)


def _list_fault(templates: Spelling, side: Side, model: ModelTable) -> str | None:
    """Why these names do not fit ``side``, or None."""
    if side.listed is None:
        return f"is a list of {len(templates)} without an [axis]" if len(templates) != 1 else None
    if side.listed in model.indices:
        fits = len(templates) == 1 and side.listed in templates[0].indices
        return None if fits else f"is not one name with {{{side.listed}}}"
    size = model.dims[side.listed]
    if not size.keys and not size.free and size.evaluate({}) != len(templates):
        return f"lists {len(templates)}, and {side.listed} is {size.text}"
    return None
