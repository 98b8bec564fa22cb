"""The command line: ``bridgeckpt convert | inspect | mappings``. Nothing is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
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
    status = 1
    try:
        status = main()
        if sys.stdout is not None:  # it is None when the shell closed it, as with >&-
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone
        pass
    except OSError as error:
        status = 1
        print(f"error: cannot write to {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
    os._exit(status)
