"""The command line: ``bridgeckpt convert | inspect | mappings``. Nothing is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted."""
    import gc

    from bridgeckpt.cli.arguments import parser
    from bridgeckpt.cli.console import run

    arguments = parser().parse_args(argv)
    collecting = gc.isenabled()
    gc.disable()  # a short run makes many small objects and no cycles worth collecting
    try:
        return run(arguments)
    finally:
        if collecting:
            gc.enable()


def script() -> NoReturn:
    """The program: run :func:`main` and end the process.

    It ends at once, since everything is written and closed by then: taking the interpreter and numpy down in order
    would take a tenth of the time that converting a BERT-base does.
    """
    status = main()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
