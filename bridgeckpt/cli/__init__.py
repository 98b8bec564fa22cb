"""The command line: ``bridgeckpt convert | inspect | mappings``. Nothing is imported before a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 refused or failed, 2 wrong usage."""
    import gc

    from bridgeckpt.cli.arguments import parser
    from bridgeckpt.cli.console import run

    arguments = parser().parse_args(argv)
    gc.disable()  # a short run makes many small objects and no cycles worth collecting
    try:
        return run(arguments)
    finally:
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
