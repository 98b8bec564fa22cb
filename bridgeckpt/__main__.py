"""``python -m bridgeckpt`` is the command line."""

import sys

from bridgeckpt.cli import main

if __name__ == "__main__":
    sys.exit(main())
