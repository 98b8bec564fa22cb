"""``bridgeckpt verify``: compare, print the verdict, write the page."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bridgeckpt.cli.console import print_json, steps
from bridgeckpt.cli.given import given
from bridgeckpt.cli.lines import Lines
from bridgeckpt.cli.record import read_texts
from bridgeckpt.cli.words import option
from bridgeckpt.errors import ParityError
from bridgeckpt.options import RecordOptions, hints_of
from bridgeckpt.parity import verifying
from bridgeckpt.parity.reference.reference import is_reference
from bridgeckpt.parity.showing.page import PAGE, is_page, render
from bridgeckpt.parity.showing.rendering import Tone, lines
from bridgeckpt.sentences import Sentence, Setting, joined
from bridgeckpt.store.file import check_output
from bridgeckpt.store.source import write_text

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.verdict import Verdict

_STYLES: dict[Tone, str] = {
    "plain": "",
    "heading": "bold",
    "good": "bold green",
    "bad": "bold red",
    "doubtful": "yellow",
    "faint": "dim",
}

_OF_RECORDING = ("texts", "seed", "ema")  # options that are only for a recording, besides those of `RecordOptions`


def run(arguments: argparse.Namespace) -> int:
    """Verify as the arguments say: 0 if the model passes, 1 if it fails."""
    if arguments.html is not None:
        check_output(arguments.html, PAGE, is_page)
    _check_recording(arguments)
    texts = read_texts(arguments.texts)
    with steps(quiet=arguments.json) as step:
        verdict = verifying.verify(
            arguments.source,
            arguments.folder,
            device=arguments.device,
            dtypes=arguments.dtypes,
            atol=arguments.atol,
            rtol=arguments.rtol,
            texts=texts,
            seed=arguments.seed or 0,
            ema=arguments.ema,
            any_checkpoint=arguments.any_checkpoint,
            strict=arguments.strict,
            progress=step,
            **given(arguments, RecordOptions),
        )
    if not arguments.json:
        _show(verdict, every=arguments.all)
    if arguments.html is not None:
        write_text(arguments.html, render(verdict, f"{arguments.source} and {arguments.folder}", option))
    if arguments.json:
        print_json({"ok": verdict.passed, **verdict.record()})
    elif arguments.html is not None:
        Lines(sys.stdout).add("page", str(arguments.html))
    return 0 if verdict.passed else 1


def _check_recording(arguments: argparse.Namespace) -> None:
    """Refuse options of recording if the reference is recorded already.

    Raises:
        ParityError: such options are given. The message names them.
    """
    names = [name for name in (*_OF_RECORDING, *hints_of(RecordOptions)) if getattr(arguments, name) is not None]
    if names and is_reference(arguments.source):
        options = joined(" and ", map(Setting, names))
        raise ParityError(
            Sentence(
                "{options} would have no effect: {path} is a recorded reference", options=options, path=arguments.source
            ),
            hint=Sentence("leave out {options}, or record again with it", options=options),
        )


def _show(verdict: Verdict, *, every: bool) -> None:
    """Print a verdict on stdout. In a pipe, long lines are not wrapped."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    for line in lines(
        verdict,
        width=console.width if console.is_terminal else None,
        every=every,
        words=option,
        unfolding="--all shows each",
    ):
        console.print(Text(line.text, style=_STYLES[line.tone]), soft_wrap=True)
