"""What the terminal shows: plain lines, a progress bar where a person watches, errors without a traceback, JSON."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any, TextIO

from bridgeckpt.errors import BridgeckptError, PlanError
from bridgeckpt.sizes import format_size

_UNLIMITED = 10_000  # columns
_WORTH_WATCHING = 1_000_000_000  # bytes
_INTERRUPTED = 130  # 128 + SIGINT, what a shell reports


def run(arguments: argparse.Namespace) -> int:
    """Run the action that the arguments name; every expected failure becomes one message and exit status 1."""
    signal.signal(signal.SIGTERM, _terminate)
    as_json = getattr(arguments, "json", False)
    module, _, function = arguments.action.partition("_")
    action: Callable[[argparse.Namespace], int] = getattr(import_module(f"bridgeckpt.cli.{module}"), function or "run")
    try:
        return action(arguments)
    except BridgeckptError as error:
        if as_json:
            print_json(error_record(error))
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        return 1


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that temporary files are removed."""
    raise KeyboardInterrupt


def error_record(error: BridgeckptError) -> dict[str, Any]:
    """An error as JSON."""
    record: dict[str, Any] = {"ok": False, "error": type(error).__name__, "message": error.message, "hint": error.hint}
    if isinstance(error, PlanError) and error.problems:
        record["problems"] = [
            {"kind": p.kind, "subject": p.subject, "details": p.details, "hint": p.hint, "tensors": p.tensors}
            for p in error.problems
        ]
    return record


def print_json(record: object) -> None:
    """One JSON document on stdout."""
    json.dump(record, sys.stdout, indent=2, default=str)
    print()


class Lines:
    """Aligned ``key  text`` lines; a repeated key is left blank."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._last = ""

    def add(self, key: str, text: str) -> None:
        """Print one line; further lines of ``text`` are indented below it."""
        for line in text.splitlines():
            print(f"{'' if key == self._last else key:<11}{line}", file=self.stream)
            self._last = key


@contextmanager
def progress(total: int, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """A progress bar of ``total`` bytes on stderr while a person watches; nothing in a pipe or for a second's work."""
    if quiet or not sys.stderr.isatty() or total < _WORTH_WATCHING:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"converting {format_size(total)}", total=total)
        yield lambda done: bar.update(task, advance=done)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout: folded to the width of a terminal, in a pipe a line for each row however long."""
    from rich.console import Console
    from rich.table import Column, Table

    grid = Table(*(Column(name, overflow="fold") for name in header), box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*row)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_UNLIMITED)
    console.print(grid)
