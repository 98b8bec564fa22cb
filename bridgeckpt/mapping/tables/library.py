"""Finds mapping tables: shipped tables by name, a user's own by path.

A table is named by its path under ``mappings/`` without the suffix: ``bert/google``. The wheel has that folder
inside the package; in a checkout it is beside the package.
"""

from __future__ import annotations

import os
from pathlib import Path

from bridgeckpt.mapping.notation.errors import LintError

MODEL = "model"  # the file with this name is the PyTorch side of a folder; all others are dialects
RULES = "transformers/general"  # except this one: rules for many models (bridgeckpt.mapping.tables.rules)


def folder() -> Path:
    """The folder of the shipped tables."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "mappings"
    return installed if installed.is_dir() else package.parent / "mappings"


def names() -> list[str]:
    """The shipped dialects, sorted: ``["bert/google", ...]``."""
    stems = (f"{path.parent.name}/{path.stem}" for path in folder().glob("*/*.toml") if path.stem != MODEL)
    return sorted(name for name in stems if name != RULES)


def models() -> list[Path]:
    """The files of the shipped models."""
    return sorted(folder().glob(f"*/{MODEL}.toml"))


def find(name: str | os.PathLike[str], beside: Path | None = None) -> Path:
    """The file of a table, given its name or a path (relative to the folder ``beside``, if given).

    Raises:
        TableError: the table does not exist (the hint names a similar one) or cannot be read.
    """
    try:
        return _find(name, beside)
    except OSError as error:
        raise _unreadable(error.filename, error) from error


def _unreadable(path: str | Path, error: OSError) -> LintError:
    return LintError("reference", f"cannot read {path}: {error.strerror}", hint="check the path and its permissions")


def _find(name: str | os.PathLike[str], beside: Path | None) -> Path:
    given = Path(name)
    path = beside / given if beside else given
    if path.suffix == ".toml" or not isinstance(name, str):
        if path.is_file():
            return path
        raise LintError("reference", f"there is no mapping table {path}", hint="give the path of a .toml file")
    shipped = folder() / f"{name}.toml"
    if shipped.is_file():
        return shipped
    if path.is_file():
        return path
    from difflib import get_close_matches  # only for messages

    near = get_close_matches(str(name), names(), 1, cutoff=0.4)
    raise LintError(
        "reference",
        f'there is no mapping table "{name}"',
        hint=(f"did you mean {near[0]}? " if near else "")
        + f"The tables here are {', '.join(names())}; for your own, give the path of a .toml file",
    )


def text(name: str | os.PathLike[str]) -> str:
    """The text of a table, without parsing it.

    Raises:
        TableError: the table does not exist or cannot be read.
    """
    path = find(name)
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise _unreadable(path, error) from error


def label(path: Path) -> tuple[str, str]:
    """The name of the table in ``path``, and the file's name in messages."""
    if path.parent.parent == folder():
        name = f"{path.parent.name}/{path.stem}"
        return name, f"mappings/{name}.toml"
    return str(path), str(path)
