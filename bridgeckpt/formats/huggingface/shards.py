"""The index of a checkpoint in several files: ``weight_map`` says in which of them, all in its folder, a tensor is.

Hugging Face and Keras both write JSON of this form; Keras' names are of groups of tensors, and its files may be lists.

Sources: https://github.com/huggingface/huggingface_hub, src/huggingface_hub/serialization;
https://github.com/keras-team/keras, keras/src/saving/saving_lib.py (``ShardedH5IOStore``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Container

_MAX_SIZE = 100_000_000  # bytes
CUT_SHORT = "copy or download it again; it may be cut short"


def read_weight_map(path: Path, kind: str) -> dict[str, tuple[str, ...]]:
    """The names of the files by the names in the index ``path``; ``kind`` is what errors call it.

    Raises:
        CheckpointError: it cannot be read, or names files that are not beside it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path) from None
    if len(text) > _MAX_SIZE:
        raise malformed(path, kind, f"it has more than {_MAX_SIZE:,} bytes")
    weight_map = json_object(text, path, kind).get("weight_map")
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


def stored_name(name: str, held: Container[str]) -> str | None:
    """The name in ``held``, the tensors of a shard, that the index calls ``name``.

    transformers' TensorFlow classes write the variable's full name in the index (``tf_bert_model/bert/...``) and leave
    its first part, the model's name, out of the shards.
    """
    return next((one for one in (name, name.partition("/")[2]) if one in held), None)


def json_object(text: bytes, path: Path, kind: str) -> dict[str, Any]:
    """The JSON object that ``text`` is; its names can be written as UTF-8.

    Raises:
        CheckpointError: it is none.
    """
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        "".join(value).encode()  # an escape such as \ud800 is no character: a name with it could not be written
    except (ValueError, RecursionError) as error:
        raise malformed(path, kind, f"its JSON is not readable ({error})") from None
    return value


def malformed(path: Path, kind: str, what: str) -> CheckpointError:
    """An error: ``path`` is not what ``kind`` says it should be."""
    return CheckpointError(f"{path} is not a valid {kind}: {what}", path=path, hint=CUT_SHORT)
