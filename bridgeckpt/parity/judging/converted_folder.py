"""A converted folder before it is loaded: whether it is a model, and what the report of its conversion says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridgeckpt.errors import ParityError
from bridgeckpt.formats.huggingface.safetensors_files import INDEX_NAME
from bridgeckpt.sentences import Sentence
from bridgeckpt.store import lfs
from bridgeckpt.store.source import is_file, look, members
from bridgeckpt.store.texts import TextError, read_config, read_json

REPORT, CONFIG, WEIGHTS = "conversion_report.json", "config.json", "model.safetensors"
ASKED = "as asked"  # what a report says of a value that the user gave
_LARGEST = 1 << 30  # bytes; it has a line for each tensor, of which there may be a million


def check_folder(folder: Path) -> None:
    """Check that there is a model in ``folder``, before anything that takes long.

    Raises:
        ParityError: there is no model.
    """
    if not is_file(folder / CONFIG):
        entry = look(folder)
        what = "does not exist" if entry is None else "has no config.json" if entry.is_folder else "is not a folder"
        is_inside = entry is not None and entry.is_file and is_file(folder.parent / CONFIG)
        hint = f"give its folder, {folder.parent}" if is_inside else Sentence("give the folder that {run:convert} made")
        raise ParityError(f"{folder} is not a model: it {what}", hint=hint)
    for entry in members(folder):
        if entry.is_file and lfs.is_pointer(entry.path):
            raise ParityError(f"{entry.path} is {lfs.WHAT}", hint=lfs.HINT)


def from_report(folder: Path, *keys: str) -> object:
    """What the report of the conversion says under ``keys``, one inside the other; None if it says nothing.

    A folder that bridgeckpt did not convert has no report, and a report may have been edited: neither is an error.
    """
    try:
        value: object = read_json(folder / REPORT, _LARGEST)
    except TextError:
        return None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def weights_of(folder: Path) -> Path:
    """What transformers reads the weights from: one file, also where an index names others; else the folder."""
    return folder / WEIGHTS if is_file(folder / WEIGHTS) and is_file(folder / INDEX_NAME) else folder


def config_of(folder: Path) -> dict[str, Any]:
    """The folder's config.json.

    Raises:
        ParityError: it cannot be read.
    """
    try:
        return read_config(folder / CONFIG)
    except TextError as error:
        raise ParityError(f"{folder / CONFIG} is not a readable config ({error})") from None


def given_by_user(folder: Path, key: str) -> object:
    """The value of a key of config.json, if the user gave it to the conversion; else None.

    It counts only as long as config.json has it: people correct that file by hand.
    """
    value = from_report(folder, "config", key, "value")
    if value is None or from_report(folder, "config", key, "from") != ASKED:
        return None
    try:
        return value if read_config(folder / CONFIG).get(key) == value else None
    except TextError:
        return None


def which_model(folder: Path) -> tuple[str | None, bool]:
    """The model that ``folder`` was converted from: its scope if known, and whether its averages were converted."""
    scope = from_report(folder, "table", "wildcards", "scope")
    return scope if isinstance(scope, str) else None, from_report(folder, "source", "ema") is True
