"""A verdict on the terminal: the lines of :mod:`bridgeckpt.verdicts.rendering`, fitted to its width and coloured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.verdicts.rendering import Tone, lines

if TYPE_CHECKING:
    from bridgeckpt.parity.verdict import Verdict

_STYLES: dict[Tone, str] = {"plain": "", "heading": "bold", "good": "bold green", "bad": "bold red", "faint": "dim"}


def show(verdict: Verdict, *, every: bool) -> None:
    """Print a verdict on stdout; in a pipe plain lines, however long."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    for line in lines(verdict, width=console.width if console.is_terminal else None, every=every):
        console.print(Text(line.text, style=_STYLES[line.tone]), soft_wrap=True)
