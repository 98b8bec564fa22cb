"""``python -m bridgeckpt`` is the command line."""

from bridgeckpt.cli import script

if __name__ == "__main__":
    script()
