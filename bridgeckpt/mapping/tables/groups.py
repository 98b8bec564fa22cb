"""The ``[group.NAME]`` sections of a dialect: rows under a pair of prefixes, borrowed rows included."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.mapping.notation.layout import Layout
from bridgeckpt.mapping.notation.names import Template
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.document import Document
from bridgeckpt.mapping.tables.model import check_axes, parse_at, reason
from bridgeckpt.mapping.tables.records import Group, Row, Where

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridgeckpt.mapping.notation.layout import Side
    from bridgeckpt.mapping.tables.document import Section
    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.mapping.tables.records import Spelling

    Texts = tuple[str, ...]


class Naming(NamedTuple):
    """What the names of a dialect may hold: the indices of its model and its wildcards; and what ends each tf name."""

    model: ModelTable
    wildcards: Mapping[str, str]
    suffix: str

    def template(
        self, section: Section, key: str, text: str, placeholders: Mapping[str, str] | None = None
    ) -> Template:
        """Parse a name; ``placeholders`` are allowed beside the indices, by default the wildcards.

        Raises:
            TableError: the name is malformed or has a placeholder that means nothing here.
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
    """A row as it is written: its names lack the prefixes of the group, so that another group can borrow it."""

    section: Section
    where: Where
    tf: Texts
    pt: Texts
    also: tuple[Texts, ...]
    layout: Layout


def document(path: Path) -> Document:
    """A dialect's file; parsed once for all tables that borrow from it, until it is modified."""
    return _document(path, path.stat().st_mtime_ns)


@cache
def _document(path: Path, _modified: int) -> Document:
    return Document(path, tables.label(path)[1])


def load_group(source: Document, name: str, naming: Naming, files: dict[str, bytes]) -> Group:
    """Load one group of a dialect; the files that it borrows from are added to ``files``.

    Raises:
        TableError: the group or one of its rows is not well formed, or borrows from what is not there.
    """
    section, model = source.root.table("group").table(name), naming.model
    if not any(name in (*a.groups, *a.optional) for a in model.architectures.values()):
        hint = f"add it to [architectures] in {tables.label(model.path)[1]}"
        raise section.error("reference", f'no class of {model.name} has the group "{name}"', hint=hint)
    written, pt = _rows(source, name, ()), section.text("pt")
    files.update((row.section.document.label, row.section.document.source) for row in written)
    rows, *others = (
        tuple(_placed(row, name, prefix, pt, naming) for row in written)
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


def _placed(row: _Row, group: str, prefix: str, pt: str, naming: Naming) -> Row:
    """A row under the prefixes of its group."""
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
    """The rows of a group: borrowed ones, own ones in the place of those with the same pt, then its other own ones."""
    section = source.root.table("group").table(name)
    section.only("tf", "pt", "rows", "use", "also", "optional", "refused")
    place = f"{source.label} [group.{name}]"
    if place in borrowers:
        circle = " -> ".join((*borrowers, place))
        raise section.error("reference", f'the group "{name}" borrows from itself: {circle}', "use")
    borrowed = _borrowed(source, section, (*borrowers, place)) if "use" in section else []
    own = [_row(row, Where(source.label, row.line, at, name)) for at, row in enumerate(section.tables("rows"), 1)]
    replacing = {row.pt: row for row in own}
    kept = [replacing.get(row.pt, row) for row in borrowed]
    return [*kept, *(row for row in own if not any(row is other for other in kept))]


def _borrowed(source: Document, section: Section, borrowers: Texts) -> list[_Row]:
    table, _, group = section.text("use").rpartition(".")
    if not table:
        hint = f'name a table and its group, as in "{tables.names()[0]}.GROUP"'
        raise section.error("reference", f'"use" is "{section.text("use")}"', "use", hint=hint)
    path = parse_at(section, "use", tables.find, table, source.path.parent)
    other = document(path)
    if group not in other.root.table("group"):
        hint = f"its groups: {', '.join(other.root.table('group'))}"
        raise section.error("reference", f'{table} has no group "{group}"', "use", hint=hint)
    return _rows(other, group, borrowers)


def _row(section: Section, where: Where) -> _Row:
    section.only("tf", "pt", "layout", "also", "optional", "fill", "orientation")
    tf, pt = section.texts("tf"), section.texts("pt")
    layout = parse_at(section, "layout", Layout.parse, section.text("layout"))
    if isinstance(section.data["tf"], str):
        return _Row(section, where, tf, pt, tuple((text,) for text in section.texts("also", ())), layout)
    also = section.data.get("also", [])
    if not all(isinstance(spelling, list) and len(spelling) == len(tf) for spelling in also):
        raise section.error("schema", f'"also" is not a list of lists of {len(tf)} names, as "tf" is one', "also")
    return _Row(section, where, tf, pt, tuple(tuple(map(str, spelling)) for spelling in also), layout)


def _check_indices(row: _Row, tf: Spelling, pt: Spelling, model: ModelTable) -> None:
    """Refuse names that run over different indices, and lists that do not fit the ``[axis]`` of the layout."""
    sides = (("tf", tf, row.layout.tf), ("pt", pt, row.layout.pt))
    for key, templates, side in sides:
        if fault := _list_fault(templates, side, model):
            raise row.section.error("index-mismatch", f'"{key}" {fault} in "{row.layout.text}"', key)
    running = [{index for template in names for index in template.indices} - {side.listed} for _, names, side in sides]
    if running[0] != running[1]:
        alone = min(running[0] ^ running[1])
        message = f'{{{alone}}} is in only one of "{tf[0].text}" and "{pt[0].text}"'
        hint = "each value of an index names one tensor on both sides, unless the layout has it as an [axis]"
        raise row.section.error("index-mismatch", message, hint=hint)


def _list_fault(templates: Spelling, side: Side, model: ModelTable) -> str | None:
    """Why these names are not the tensors of ``side``, or None."""
    if side.listed is None:
        return f"is a list of {len(templates)} without an [axis]" if len(templates) != 1 else None
    if side.listed in model.indices:
        fits = len(templates) == 1 and side.listed in templates[0].indices
        return None if fits else f"is not one name with {{{side.listed}}}"
    size = model.dims[side.listed]
    if not size.keys and not size.free and size.evaluate({}) != len(templates):
        return f"lists {len(templates)}, and {side.listed} is {size.text}"
    return None
