"""Lines and tables for people: aligned, wrapped to the width of a terminal, and warnings that stand out in one.

In a pipe each line is whole and plain, so that it can be searched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TextIO

from bridgeckpt.cli.words import say
from bridgeckpt.cli.wrapping import width_of, wrapped

WARNING = "warning"
_INDENT = 11  # columns of a key
_PARTS = re.compile(r"[^/.]*[/.]|[^/.]+")  # of a name
_GAP = 2  # columns between the columns of a table
_UNLIMITED = 10_000  # columns
_YELLOW, _PLAIN = "\033[1;33m", "\033[0m"


class Lines:
    """Aligned ``key  text`` lines; a repeated key is left blank, unless it is a warning's."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._last = ""
        self._width = width_of(stream)
        self._colours = self._width is not None and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def add(self, key: str, text: str, *, whole: bool = False) -> None:
        """Print one line; further lines of ``text`` are indented below it.

        ``whole``: the text is there to be copied, so it is not wrapped.
        """
        if key == WARNING:
            self._last = ""
        for line in say(text).splitlines():
            for piece in wrapped(line, None if whole or self._width is None else self._width - _INDENT):
                print(f"{self._head(key)}{piece}", file=self.stream)
                self._last = key

    def _head(self, key: str) -> str:
        head = f"{'' if key == self._last else key:<{_INDENT}}"
        return f"{_YELLOW}{head}{_PLAIN}" if key == WARNING and self._colours else head


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout. In a terminal, cells are wrapped to its width; in a pipe, each row is one line.

    The first column holds names. They are broken at slashes and dots only, and only if they leave no room for the rest.
    """
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_UNLIMITED)
    others = sum(_GAP + max(len(row[place]) for row in [header, *rows]) for place in range(1, len(header)))
    longest = max((len(part) for name, *_ in rows for part in _PARTS.findall(name)), default=0)
    room = max(console.width - others, console.width // 3, min(longest + _GAP, console.width // 2))
    grid = Table(*(Column(name, overflow="fold") for name in header), box=None, pad_edge=False, header_style="bold")
    grid.columns[0].no_wrap = longest + _GAP <= room
    for name, *cells in rows:
        grid.add_row("\n  ".join(_broken(name, room)), *cells)
    console.print(grid)


def _broken(name: str, room: int) -> Iterator[str]:
    """A name in pieces that end with a slash or a dot. All but the first are shorter, as they are indented."""
    piece = ""
    for part in _PARTS.findall(name):
        if piece and len(piece) + len(part) > room:
            yield piece
            piece, room = "", room - 2
        piece += part
    yield piece
