"""Lines in pieces that fit the width of a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TextIO

_LEAST = 40  # columns of text: in a narrower terminal, lines are wrapped by the terminal itself
_COPIED = " " * 15  # how far the lines of a table to paste are indented in an error: further than its sentences


def width_of(stream: TextIO) -> int | None:
    """The width of a stream that is a terminal, in columns; None of any other."""
    if not stream.isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns


def wrapped(line: str, width: int | None) -> Iterator[str]:
    """A line in pieces of at most ``width`` columns. Further pieces are indented as the line is, or as its text is.

    Names and paths are not broken, and neither are lines of a table to paste: they can be copied.
    """
    if width is None or len(line) <= width or width < _LEAST or line.startswith(_COPIED):
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
