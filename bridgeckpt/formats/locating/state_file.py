"""The ``checkpoint`` state file that TensorFlow's savers write in a folder, and the checkpoint that it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.locating.kinds import STATE_FILE
from bridgeckpt.formats.locating.refusals import index_of
from bridgeckpt.formats.locating.tensorflow_files import bundle_at, prefixes_in, step_of, v1_at
from bridgeckpt.store.source import is_file, read_head

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.locating.folder import Folder, Location

_NAME = "checkpoint"
_NAMED = re.compile(rb"""^\s*model_checkpoint_path\s*:\s*(["'])((?:(?!\1)[^\\\n]|\\.)*)\1""", re.MULTILINE)
_MAX_SIZE = 1 << 20  # it lists every checkpoint of a run, the current one first


def state_file_in(folder: Folder) -> Path | None:
    """The state file in a folder, if there is one."""
    file = folder.file(_NAME)
    return file if file is not None and folder.kind(file) is STATE_FILE else None


def find_named(state: Path, folder: Folder) -> Location | None:
    """The checkpoint that the state file of ``folder`` names. If it is absent: None, and ``folder.lost`` is set.

    An absolute path may be one of the machine that wrote the file, or of the folder that this folder was copied from.
    So a checkpoint beside the state file comes first.

    Raises:
        CheckpointError: the name cannot be read, or its index is not the file itself (a Git LFS pointer, a web page).
    """
    named = _named_by(state)
    beside, as_written = folder.path / re.split(r"[/\\]", named)[-1], folder.path / named
    for prefix in (beside, as_written) if named.startswith("/") else (as_written, beside):
        if is_file(index_of(prefix)):
            return bundle_at(prefix, folder)._replace(notes=_notes(prefix, prefixes_in(folder), state))
        if location := v1_at(prefix, folder):
            return location
    folder.lost = f"{state} names {named}, which is not there"
    return None


def _named_by(state: Path) -> str:
    r"""The ``model_checkpoint_path`` of a CheckpointState in protobuf's text format.

    It has the escapes of C: ``\"``, ``\\``, and ``\303\244`` for bytes that are not ASCII.
    """
    match = _NAMED.search(read_head(state, _MAX_SIZE))
    try:
        return match[2].decode("unicode_escape").encode("latin-1").decode() if match else ""
    except UnicodeError:
        raise CheckpointError(
            f"{state} names a checkpoint in a way that cannot be read",
            path=state,
            hint="pass the checkpoint's own path",
        ) from None


def _notes(taken: Path, prefixes: list[Path], state: Path) -> tuple[str, ...]:
    """What to tell the user if the state file names another folder, or its own folder holds a newer step."""
    if taken.parent.resolve() != state.parent.resolve():
        return (f"{state} names {taken}, which is in another folder",)
    newest = max(prefixes, key=step_of)
    if step_of(newest) <= step_of(taken):
        return ()
    return (f"took {taken.name}, which {state} names; {newest.name} is newer: pass its path to take it instead",)
