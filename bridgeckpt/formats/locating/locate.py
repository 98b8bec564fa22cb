"""From any path people pass to the checkpoint that they mean: a folder, a state file, a prefix or one of its files."""

from __future__ import annotations

import re
from glob import escape
from typing import TYPE_CHECKING, Literal, NamedTuple

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.locating import refusals
from bridgeckpt.formats.locating.kinds import (
    BUNDLE_INDEX,
    EMPTY,
    HDF5,
    HDF5_INDEX,
    HUB_MODULE,
    KERAS_ARCHIVE,
    LFS_POINTER,
    SAFETENSORS,
    SAFETENSORS_INDEX,
    SAVED_MODEL,
    STATE_FILE,
    V1_CHECKPOINT,
    WEB_PAGE,
    identify,
)
from bridgeckpt.formats.tensorflow.saved_model import saved_model_at

if TYPE_CHECKING:
    from pathlib import Path

_STATE_NAME = "checkpoint"
_STATE_PATH = re.compile(rb"""^\s*model_checkpoint_path\s*:\s*(["'])((?:(?!\1)[^\\\n]|\\.)*)\1""", re.MULTILINE)
_STATE_SIZE = 1 << 20  # it lists every checkpoint of a run, the current one first
_USUAL = ("tf_model.h5", "tf_model.h5.index.json", "task.weights.h5", "model.weights.h5", "model.weights.json")
_KERAS_KINDS = (HDF5, HDF5_INDEX, KERAS_ARCHIVE)
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_STEP = re.compile(r"[-_.](\d+)(\.ckpt)?$")


class Found(NamedTuple):
    """A checkpoint's format, its prefix (TensorBundle) or file (all others), and what to say of the choice."""

    format: Literal["tensorbundle", "v1", "keras", "safetensors"]
    path: Path
    notes: tuple[str, ...] = ()


def is_address(path: Path) -> bool:
    """Whether it is a URL rather than a path, as in ``gs://bucket/model.ckpt``; a drive of Windows has one letter."""
    return re.match(r"[a-z][a-z0-9+.-]+:/", str(path)) is not None


def locate(path: Path) -> Found:
    """The checkpoint that ``path`` stands for.

    Raises:
        CheckpointError: there is none, or it is of a kind that is not read.
    """
    if is_address(path):
        raise CheckpointError(f"{path} is an address, not a path", hint="copy the checkpoint to this machine first")
    try:
        path = path.expanduser()
        if refusals.index_of(path).is_file():
            return _bundle(path)
        if path.is_dir():
            return _in_folder(path)
        if prefix := refusals.prefix_of(path):
            return _v1(prefix) or _bundle(prefix)
        if path.exists():
            return _file(path)
        if found := _v1(path):
            return found
        raise refusals.without_index(path, given=path)
    except OSError as error:
        raise CheckpointError(f"cannot read {error.filename or path}: {error.strerror}", path=path) from None
    except RuntimeError as error:  # a home that does not exist, as in ~nobody/model
        raise CheckpointError(f"{path}: {error}", path=path) from None


def _bundle(prefix: Path, notes: tuple[str, ...] = ()) -> Found:
    index = refusals.index_of(prefix)
    if not index.is_file():
        raise refusals.without_index(prefix)
    if (kind := identify(index)) in (EMPTY, LFS_POINTER, WEB_PAGE):
        raise refusals.refused(index, kind)
    return Found("tensorbundle", prefix, notes)  # any other content is a damaged index: the reader says where


def _file(path: Path) -> Found:
    if not path.is_file():
        raise CheckpointError(f"{path} is neither a file nor a folder", path=path)
    kind = identify(path)
    if kind is STATE_FILE:
        return _in_folder(path.parent, state=path)
    if kind in (SAFETENSORS, SAFETENSORS_INDEX):
        return Found("safetensors", path)
    if kind in _KERAS_KINDS:
        return Found("keras", path)
    if kind is V1_CHECKPOINT:
        return Found("v1", path)
    if kind in (SAVED_MODEL, HUB_MODULE) and (found := _saved_model(path.parent)):
        return found
    if kind is BUNDLE_INDEX:
        raise CheckpointError(
            f"{path} is the index of a TensorBundle, but its name does not end in .index",
            path=path,
            hint="give it and its data file their names back: NAME.index and NAME.data-00000-of-00001",
        )
    raise refusals.refused(path, kind)


def _in_folder(folder: Path, state: Path | None = None) -> Found:
    """The checkpoint of a folder: the one its state file names, else the newest TensorBundle, else another format."""
    prefixes = sorted(index.with_suffix("") for index in folder.glob("?*.index") if index.is_file())
    if state is None and (folder / _STATE_NAME).is_file() and identify(folder / _STATE_NAME) is STATE_FILE:
        state = folder / _STATE_NAME
    told: list[str] = []
    if state is not None:
        named = _named_by(state)
        # An absolute path may be of the machine that wrote it, whatever its system, or of the folder that this one was
        # copied from: what lies beside the state file comes first.
        beside = folder / re.split(r"[/\\]", named)[-1]
        for prefix in (beside, folder / named) if named.startswith("/") else (folder / named, beside):
            if refusals.index_of(prefix).is_file():
                return _bundle(prefix, _notes_on(prefix, prefixes, state))
            if found := _v1(prefix):
                return found
        told.append(f"{state} names {named}, which is not there")
    if prefixes:
        newest = max(prefixes, key=lambda prefix: (_step(prefix), refusals.index_of(prefix).stat().st_mtime))
        if len(prefixes) > 1:
            told.append(f"{folder} holds {refusals.listed(prefix.name for prefix in prefixes)}")
        return _bundle(newest, (f"{'; '.join(told)}: took {newest.name}, the newest",) if told else ())
    found = _saved_model(folder) or _keras(folder) or _safetensors(folder) or _only_v1(folder)
    return found or _nothing(folder, told)


def _v1(prefix: Path) -> Found | None:
    """The V1 checkpoint with this prefix: one file of this name, or shards; None if there is none."""
    files = [prefix] if prefix.is_file() else sorted(prefix.parent.glob(f"{escape(prefix.name)}-?????-of-?????"))
    return Found("v1", files[0]) if files and identify(files[0]) is V1_CHECKPOINT else None


def _only_v1(folder: Path) -> Found | None:
    """The V1 checkpoint in a folder that holds no other."""
    files = [file for file in folder.iterdir() if file.is_file() and identify(file) is V1_CHECKPOINT]
    prefixes = sorted({file.with_name(_SHARD.sub("", file.name)) for file in files}, key=lambda one: (_step(one), one))
    if not prefixes:
        return None
    held = refusals.listed(prefix.name for prefix in prefixes)
    notes = (f"{folder} holds {held}: took {prefixes[-1].name}, the newest",) if len(prefixes) > 1 else ()
    found = _v1(prefixes[-1])
    return found._replace(notes=notes) if found else None


def _saved_model(folder: Path) -> Found | None:
    """The variables of the SavedModel in a folder. A frozen one has none, and is refused by name."""
    saved = saved_model_at(folder)
    if saved is None or not refusals.index_of(saved.variables).is_file():
        return None
    return _bundle(saved.variables)


def _keras(folder: Path) -> Found | None:
    """transformers' file or index of shards, a KerasHub preset's, the only other index, or the only file."""
    usual = [file for name in _USUAL if _is_keras(file := folder / name)]
    indexes = [file for pattern in ("*.weights.json", "*.h5.index.json") for file in folder.glob(pattern)]
    files = [file for pattern in ("*.h5", "*.hdf5", "*.keras") for file in folder.glob(pattern)]
    for candidates in (usual[:1], list(filter(_is_keras, indexes)), list(filter(_is_keras, files))):
        if len(candidates) == 1:
            return _beside_safetensors(folder, Found("keras", candidates[0]))
        if candidates:
            held = refusals.listed(sorted(file.name for file in candidates))
            raise CheckpointError(f"{folder} holds {held}", path=folder, hint="pass one of them")
    return None


def _is_keras(file: Path) -> bool:
    return file.is_file() and identify(file) in _KERAS_KINDS


def _beside_safetensors(folder: Path, found: Found) -> Found:
    """``found``, and what to say if the folder holds safetensors too, which are as often PyTorch's as TensorFlow's."""
    others = sorted(file.name for file in folder.glob("*.safetensors"))
    if not others:
        return found
    note = f"{folder} holds {found.path.name} and {refusals.listed(others)}: took {found.path.name}, TensorFlow's"
    return found._replace(notes=(note,))


def _safetensors(folder: Path) -> Found | None:
    """The only index of shards, the only file, or the one with the usual name."""
    indexes, files = list(folder.glob("*.safetensors.index.json")), list(folder.glob("*.safetensors"))
    usual = [file for file in files if file.name == "model.safetensors"]
    for candidates in (indexes, usual, files):
        if len(candidates) == 1:
            return _file(candidates[0])
    if not files:
        return None
    raise CheckpointError(
        f"{folder} holds {refusals.listed(sorted(file.name for file in files))} and no index of them",
        path=folder,
        hint="pass one of them, or add the .safetensors.index.json that names them",
    )


def _nothing(folder: Path, told: list[str]) -> Found:
    error = refusals.nothing_in(folder)
    if told:
        raise CheckpointError(f"{'; '.join(told)}; {error.message}", path=folder, hint=error.hint)
    raise error


def _named_by(state: Path) -> str:
    r"""The ``model_checkpoint_path`` of a CheckpointState in protobuf's text format.

    Its escapes are those of C: ``\"``, ``\\``, and ``\303\244`` for bytes that are not ASCII.
    """
    with state.open("rb") as file:
        match = _STATE_PATH.search(file.read(_STATE_SIZE))
    try:
        return match[2].decode("unicode_escape").encode("latin-1").decode() if match else ""
    except UnicodeError:
        raise CheckpointError(
            f"{state} names a checkpoint in a way that cannot be read",
            path=state,
            hint="pass the checkpoint's own path",
        ) from None


def _notes_on(taken: Path, prefixes: list[Path], state: Path) -> tuple[str, ...]:
    """What to say when the state file leads to another folder, or its folder holds a newer step."""
    if taken.parent.resolve() != state.parent.resolve():
        return (f"{state} names {taken}, which is in another folder",)
    newest = max(prefixes, key=_step)
    if _step(newest) <= _step(taken):
        return ()
    return (f"took {taken.name}, which {state} names; {newest.name} is newer: pass its path to take it instead",)


def _step(prefix: Path) -> int:
    """The training step that a prefix ends in (``model.ckpt-300``), or -1."""
    match = _STEP.search(prefix.name)
    return int(match[1]) if match else -1
