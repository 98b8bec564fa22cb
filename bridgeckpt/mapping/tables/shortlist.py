"""Which of the shipped tables may read a checkpoint, found without loading them: there are many, and one is needed.

A table takes milliseconds to load. What it is recognised by stands at its top, and a name that ends otherwise than all
names of the checkpoint rules it out.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from bridgeckpt.mapping.tables import library as tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def plausible(names: Mapping[str, Iterable[str]]) -> list[str]:
    """The shipped dialects of whose ``detect`` names every one may be there.

    ``names`` are the checkpoint's by what a table may speak of: "key" and "variable".
    """
    ends = {table: _ends(_head(table)) for table in tables.names()}
    found: set[tuple[str, str]] = set()
    for which, present in names.items():
        wanted = tuple({end for kind, some in ends.values() if kind == which for end in some})
        for name in present if wanted else ():
            if name.endswith(wanted):
                found.update((which, end) for end in wanted if name.endswith(end))
    return [table for table, (which, some) in ends.items() if found.issuperset((which, end) for end in some)]


def _ends(head: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Which names a table speaks of, and what those that it is recognised by end in.

    A head that is not well formed rules nothing out: loading the table says what is wrong with it.
    """
    detect = head.get("detect", [])
    texts = [detect] if isinstance(detect, str) else detect if isinstance(detect, list) else []
    suffix = str(head.get("suffix", ""))
    ends = [text.rpartition("}")[2] + suffix for text in texts if isinstance(text, str) and text[:1] != "!"]
    return str(head.get("names", "key")), ends


def _head(table: str) -> dict[str, Any]:
    """The keys above the first section, under those of the table that it builds on."""
    text = tables.find(table).read_text(encoding="utf-8", errors="replace")
    try:
        head = tomllib.loads(text.partition("\n[")[0])
    except tomllib.TOMLDecodeError:
        return {}
    lender = head.get("use")
    if not isinstance(lender, str) or lender not in tables.names():
        return head
    return {**_head(lender), **head}
