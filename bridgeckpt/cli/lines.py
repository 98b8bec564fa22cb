"""Lines and tables for people: aligned, wrapped to the width of a terminal, and warnings that stand out in one.

In a pipe each line is whole and plain, so that it can be searched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from bridgeckpt.cli.words import say

WARNING = "warning"
_INDENT = 11  # columns of a key
_LEAST = 40  # columns of text: in a narrower terminal, lines are wrapped by the terminal itself
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


def width_of(stream: TextIO) -> int | None:
    """The width of a stream that is a terminal, in columns; None of any other."""
    if not stream.isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns


def wrapped(line: str, width: int | None) -> Iterator[str]:
    """A line in pieces of at most ``width`` columns. Further pieces are indented as the line is, or as its text is.

    Names and paths are not broken: they can be copied.
    """
    if width is None or len(line) <= width or width < _LEAST:
        yield line
        return
    from textwrap import wrap

    key = re.match(r" *(?:[a-z]+ {2,})?", line)  # as in "  missing    bert/embeddings"
    at = key.end() if key else 0
    yield from wrap(
        line[at:],
        width,
        initial_indent=line[:at],
        subsequent_indent=" " * at,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout. In a terminal, cells are wrapped to its width; in a pipe, each row is one line."""
    from rich.console import Console
    from rich.table import Column, Table

    grid = Table(*(Column(name, overflow="fold") for name in header), box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*row)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_UNLIMITED)
    console.print(grid)
