"""A converted folder as a verification meets it: that it is a model at all, and what its conversion said of itself."""

from __future__ import annotations

import json
from pathlib import Path

from bridgeckpt.errors import ParityError

REPORT = "conversion_report.json"


def check_folder(folder: Path) -> None:
    """See that there is a model in ``folder``, before anything is done that takes long.

    Raises:
        ParityError: there is none.
    """
    if not (folder / "config.json").is_file():
        what = "has no config.json" if folder.is_dir() else "is not a folder" if folder.exists() else "does not exist"
        raise ParityError(f"{folder} is not a model: it {what}", hint="give the folder that `bridgeckpt convert` made")


def told(folder: Path, *keys: str) -> object:
    """What the report of the conversion says under ``keys``, one inside the other; None if it says nothing.

    A folder that was not converted here has no report, and somebody may have edited one: neither is an error.
    """
    try:
        found: object = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def which_model(folder: Path) -> tuple[str | None, bool]:
    """Which model of its checkpoint ``folder`` is: the scope, None if nothing tells, and whether it is the averages."""
    scope = told(folder, "table", "wildcards", "scope")
    return scope if isinstance(scope, str) else None, told(folder, "source", "ema") is True
