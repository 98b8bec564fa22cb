"""Output of the commands: JSON, errors without a traceback, and a progress bar in a terminal."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from math import isfinite
from threading import Lock
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any

from bridgeckpt.cli.words import option, say
from bridgeckpt.cli.wrapping import width_of, wrapped
from bridgeckpt.errors import BridgeckptError, PlanError
from bridgeckpt.store.sizes import format_size

if TYPE_CHECKING:
    from rich.progress import Progress

_PATIENCE = 0.5  # seconds before the progress bar appears
_INTERRUPTED = 130  # 128 + SIGINT, what a shell reports
_NOTHING_WRITTEN = "interrupted: nothing was written"


def run(arguments: argparse.Namespace) -> int:
    """Run the action that the arguments name. Every expected failure becomes one message and an exit status."""
    as_json = getattr(arguments, "json", False)
    module, _, function = arguments.action.partition("_")
    try:
        with _terminable():
            action = getattr(import_module(f"bridgeckpt.cli.{module}"), function or "run")
            status: int = action(arguments)
            return status
    except BridgeckptError as error:
        if as_json:
            print_json(error_record(error))
        _print_error(error)
        return 1
    except KeyboardInterrupt:
        if as_json:
            print_json({"ok": False, "error": "Interrupted", "message": _NOTHING_WRITTEN, "hint": None})
        print(_NOTHING_WRITTEN, file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output has ended, as in `| head`
        return 1


def _print_error(error: BridgeckptError) -> None:
    width = width_of(sys.stderr)
    for line in f"error: {error.said(option)}".splitlines():
        print("\n".join(wrapped(line, width)), file=sys.stderr)


@contextmanager
def _terminable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C within the block, so that temporary files are removed."""
    try:
        before = signal.signal(signal.SIGTERM, _terminate)
    except ValueError:  # signals can only be handled in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def error_record(error: BridgeckptError) -> dict[str, Any]:
    """An error as JSON."""
    record: dict[str, Any] = {
        "ok": False,
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "settings": error.settings,
    }
    if isinstance(error, PlanError) and error.problems:
        record["problems"] = [problem.record() for problem in error.problems]
    return record


def print_json(record: object) -> None:
    """Print one JSON document on stdout. Its sentences name the options of the command line.

    Numbers that JSON does not have become text: "NaN", "Infinity", "-Infinity".
    """
    json.dump(_plain(record), sys.stdout, indent=2, default=str, allow_nan=False)
    print()


def _plain(value: object) -> object:
    if isinstance(value, str):
        return say(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return json.dumps(value) if isinstance(value, float) and not isfinite(value) else value


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr: yields a function that takes the number of bytes just done and the total.

    The bar appears after half a second. If stderr is no terminal, or ``quiet`` is set, it yields None.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    bar = _Bar()
    try:
        yield bar.advance
    finally:
        bar.close()


@contextmanager
def steps(quiet: bool) -> Iterator[Callable[[str], None] | None]:
    """The current step on stderr: yields a function that takes the step's text; None if stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("") as status:
        yield lambda step: status.update(Text(step))


class _Bar:
    """A progress bar that several threads advance. It is created after half a second."""

    def __init__(self) -> None:
        self._due = monotonic() + _PATIENCE
        self._lock = Lock()
        self._done = 0
        self._shown: Progress | None = None

    def advance(self, nbytes: int, total: int) -> None:
        with self._lock:
            self._done += nbytes
            if self._shown is None and monotonic() >= self._due:
                self._shown = _show(total)
            if self._shown is not None:
                self._shown.update(self._shown.task_ids[0], completed=self._done)

    def close(self) -> None:
        if self._shown is not None:
            self._shown.stop()


def _show(total: int) -> Progress:
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.add_task(f"converting {format_size(total)}", total=total)
    bar.start()
    return bar
