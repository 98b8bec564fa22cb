"""The index of a checkpoint in several files: ``weight_map`` says in which of them, all in its folder, a tensor is.

Hugging Face and Keras both write JSON of this form; Keras' names are of groups of tensors, and its files may be lists.

Sources: https://github.com/huggingface/huggingface_hub, src/huggingface_hub/serialization;
https://github.com/keras-team/keras, keras/src/saving/saving_lib.py (``ShardedH5IOStore``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.store.texts import JSON, TextError, parse_json, read_bytes

if TYPE_CHECKING:
    from collections.abc import Container

_MAX_SIZE = 100_000_000  # bytes
CUT_SHORT = "copy or download it again; it may be cut short"


def read_weight_map(path: Path, kind: str) -> dict[str, tuple[str, ...]]:
    """The names of the files by the names in the index ``path``; ``kind`` is what errors call it.

    Raises:
        CheckpointError: it cannot be read, or names files that are not beside it.
    """
    weight_map = json_object(read_description(path, kind), path, kind).get("weight_map")
    if not isinstance(weight_map, dict):
        raise malformed(path, kind, "it has no weight_map of file names by tensor")
    files: dict[str, tuple[str, ...]] = {}
    for name, value in weight_map.items():
        held_by = value if isinstance(value, list) else [value]
        for file_name in held_by:
            if not isinstance(file_name, str):
                raise malformed(path, kind, "it has no weight_map of file names by tensor")
            if Path(file_name).name != file_name:
                raise malformed(path, kind, f'it names the file "{file_name}", which is not in its own folder')
        files[name] = tuple(held_by)
    return files


def read_description(path: Path, kind: str) -> bytes:
    """The content of a text that describes a checkpoint; ``kind`` is what errors call it.

    Raises:
        CheckpointError: it cannot be read, or is too large to be one.
    """
    try:
        return read_bytes(path, _MAX_SIZE)
    except TextError as error:
        if error.fault == "too large":
            raise malformed(path, kind, f"it {error.what}") from None
        raise CheckpointError(error.message, path=path) from None


def stored_name(name: str, held: Container[str]) -> str | None:
    """The name in ``held``, the tensors of a shard, that the index calls ``name``.

    transformers' TensorFlow classes write the variable's full name in the index (``tf_bert_model/bert/...``) and leave
    its first part, the model's name, out of the shards.
    """
    return next((one for one in (name, name.partition("/")[2]) if one in held), None)


def json_object(text: str | bytes, path: Path, kind: str) -> JSON:
    """The JSON object that ``text`` is; its names can be written as UTF-8.

    Raises:
        CheckpointError: it is none.
    """
    try:
        value = parse_json(text, kind)
        "".join(value).encode()  # an escape such as \ud800 is no character: a name with it could not be written
    except (TextError, UnicodeEncodeError) as error:
        what = error.what if isinstance(error, TextError) else str(error)
        raise malformed(path, kind, f"its JSON is not readable ({what})") from None
    return value


def malformed(path: Path, kind: str, what: str) -> CheckpointError:
    """An error: ``path`` is not what ``kind`` says it should be."""
    return CheckpointError(f"{path} is not a valid {kind}: {what}", path=path, hint=CUT_SHORT)
