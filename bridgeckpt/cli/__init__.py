"""The command line ``bridgeckpt``: this room owns its options, colours and exit statuses.

A module is imported when a command needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted."""
    import gc

    from bridgeckpt.cli.arguments import parser
    from bridgeckpt.cli.console import run

    arguments = parser().parse_args(argv)
    was_enabled = gc.isenabled()
    gc.disable()  # a short run makes many small objects and few cycles
    try:
        return run(arguments)
    finally:
        if was_enabled:
            gc.enable()


def script() -> NoReturn:
    """The program: run :func:`main` and end the process.

    The process ends at once, because all files are written and closed by then. An orderly shutdown of the interpreter
    and numpy would take a tenth of the time of converting a BERT-base.
    """
    status = 1
    try:
        status = main()
        if sys.stdout is not None:  # it is None when the shell closed it, as with >&-
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has ended
        pass
    except OSError as error:
        status = 1
        print(f"error: cannot write to {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
    os._exit(status)
