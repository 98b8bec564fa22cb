"""Finds the shipped tables that may read a checkpoint, without loading all of them.

A table takes milliseconds to load, and there are many. ``detect`` is at the top of each file. A table is excluded if
no name in the checkpoint has the fixed parts of one of its ``detect`` names.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from bridgeckpt.mapping.tables import library as tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_Parts = tuple[str, ...]  # of a name, in order: the text between its placeholders

_PLACEHOLDER = re.compile(r"\{[^}]*\}")


def shortlist(names: Mapping[str, Iterable[str]]) -> list[str]:
    """The shipped dialects whose ``detect`` names may all be in the checkpoint.

    ``names`` are the checkpoint's names by kind, "key" and "variable".
    """
    shipped = tables.names()
    wanted = {table: _wanted(_head(table, shipped)) for table in shipped}
    present: set[tuple[str, _Parts]] = set()
    for kind, names_of_kind in names.items():
        parts = {part for table_kind, of_table in wanted.values() if table_kind == kind for part in of_table}
        ends = tuple({end for *_, end in parts})
        for name in names_of_kind if ends else ():
            if name.endswith(ends):
                present.update((kind, part) for part in parts if _fits(name, part))
    return [table for table, (kind, parts) in wanted.items() if present.issuperset((kind, part) for part in parts)]


def _fits(name: str, parts: _Parts) -> bool:
    return name.endswith(parts[-1]) and all(part in name for part in parts)


def _wanted(head: Mapping[str, Any]) -> tuple[str, list[_Parts]]:
    """The kind of names that a table uses, and the fixed parts of its ``detect`` names.

    A malformed head excludes nothing: loading the table then reports what is wrong.
    """
    detect = head.get("detect", [])
    texts = [detect] if isinstance(detect, str) else detect if isinstance(detect, list) else []
    suffix = str(head.get("suffix", ""))
    parts = [
        tuple(_PLACEHOLDER.split(text + suffix)) for text in texts if isinstance(text, str) and not text.startswith("!")
    ]
    return str(head.get("names", "key")), parts


def _head(table: str, shipped: Collection[str]) -> dict[str, Any]:
    """The keys above the first section, over those of the table that it builds on."""
    try:
        head = tomllib.loads(tables.text(table).partition("\n[")[0])
    except tomllib.TOMLDecodeError:
        return {}
    base = head.get("use")
    if not isinstance(base, str) or base not in shipped:
        return head
    return {**_head(base, shipped), **head}
