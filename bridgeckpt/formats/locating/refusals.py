"""Why a path is no checkpoint that can be read: what is there instead, what is missing, what may have been meant."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.locating.kinds import Kind, identify
from bridgeckpt.formats.tensorflow.saved_model import GRAPH, GRAPH_AS_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

_PART = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})")
_SHOWN = 8  # names in a message


def index_of(prefix: Path) -> Path:
    """The index of the TensorBundle with this prefix."""
    return Path(f"{prefix}.index")


def prefix_of(part: Path) -> Path | None:
    """The prefix of a TensorBundle that a file of this name belongs to, or None."""
    match = _PART.fullmatch(part.name)
    return part.with_name(match[1]) if match else None


def listed(names: Iterable[str]) -> str:
    """Names for a message, the first few of many."""
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def refused(path: Path, kind: Kind) -> CheckpointError:
    """``path`` is of a kind that is not read."""
    return CheckpointError(f"{path} is {kind.what}", path=path, hint=kind.hint)


def nothing_in(folder: Path) -> CheckpointError:
    """A folder without a checkpoint that is read: what is in it."""
    for name in (GRAPH, GRAPH_AS_TEXT):
        if (folder / name).is_file():
            return refused(folder, identify(folder / name))
    content = sorted(folder.iterdir())
    for file in content:
        if prefix := prefix_of(file):
            return without_index(prefix)
    for file in filter(Path.is_file, content):
        if (kind := identify(file)).is_model:
            return CheckpointError(f"{folder} holds {file.name}, which is {kind.what}", path=file, hint=kind.hint)
    below = [prefix_of(index) for index in folder.glob("*/*.index")] + [*folder.glob("*/*.safetensors")]
    below += [*folder.glob("*/*.h5"), *folder.glob("*/*.keras")]
    below += [model.parent for depth in ("*", "*/*") for model in folder.glob(f"{depth}/{GRAPH}")]
    if below:
        hint = f"did you mean {listed(sorted(map(str, below)))}?"
    else:
        hint = f"it holds {listed(path.name for path in content)}" if content else "the folder is empty"
    return CheckpointError(f"there is no checkpoint in {folder}", path=folder, hint=hint)


def without_index(prefix: Path, given: Path | None = None) -> CheckpointError:
    """A prefix, ``given`` itself or one of the files that begin with it, without the file that names the tensors."""
    others = sorted(path.name for path in prefix.parent.glob("*") if prefix_of(path) == prefix)
    if not others:
        return _absent(given or index_of(prefix))
    return CheckpointError(
        f"{index_of(prefix)} is missing, and without it {listed(others)} cannot be read",
        path=index_of(prefix),
        hint="copy or download it into the same folder",
    )


def _absent(path: Path) -> CheckpointError:
    """A path that does not exist: which part of it, and which names are near."""
    missing = path
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    if missing.exists():
        return CheckpointError(f"{path} does not exist: {missing} is a file, not a folder", path=path)
    where = f": {missing.parent} holds no {missing.name}" if missing != path else ""
    return CheckpointError(f"{path} does not exist{where}", path=path, hint=_near(missing))


def _near(missing: Path) -> str | None:
    """The names beside a missing one that its writer may have meant."""
    from difflib import get_close_matches

    beside = {(prefix_of(path) or path).name for path in islice(missing.parent.iterdir(), 10_000)}
    wanted = (prefix_of(missing) or missing).name
    near = [name for name in sorted(beside) if name.startswith(wanted)] or get_close_matches(wanted, sorted(beside))
    if not near:
        return None
    return f"did you mean {listed(str(missing.with_name(name)) for name in near)}?"
