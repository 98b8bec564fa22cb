"""Finds the shipped tables that may read a checkpoint, without loading all of them.

A table takes milliseconds to load, and there are many. ``detect`` is at the top of each file. A table is excluded if
no name in the checkpoint has the ending of one of its ``detect`` names.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from bridgeckpt.mapping.tables import library as tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


def shortlist(names: Mapping[str, Iterable[str]]) -> list[str]:
    """The shipped dialects whose ``detect`` names may all be in the checkpoint.

    ``names`` are the checkpoint's names by kind, "key" and "variable".
    """
    shipped = tables.names()
    ends = {table: _ends(_head(table, shipped)) for table in shipped}
    present: set[tuple[str, str]] = set()
    for kind, names_of_kind in names.items():
        wanted = tuple({end for table_kind, table_ends in ends.values() if table_kind == kind for end in table_ends})
        for name in names_of_kind if wanted else ():
            if name.endswith(wanted):
                present.update((kind, end) for end in wanted if name.endswith(end))
    return [
        table for table, (kind, table_ends) in ends.items() if present.issuperset((kind, end) for end in table_ends)
    ]


def _ends(head: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The kind of names that a table uses, and the fixed endings of its ``detect`` names.

    A malformed head excludes nothing: loading the table then reports what is wrong.
    """
    detect = head.get("detect", [])
    texts = [detect] if isinstance(detect, str) else detect if isinstance(detect, list) else []
    suffix = str(head.get("suffix", ""))
    ends = [text.rpartition("}")[2] + suffix for text in texts if isinstance(text, str) and text[:1] != "!"]
    return str(head.get("names", "key")), ends


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
