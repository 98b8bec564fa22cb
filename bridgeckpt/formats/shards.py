"""The index of a checkpoint in several files: ``weight_map`` says which file in the same folder holds each tensor.

Hugging Face and Keras both write JSON of this form. Keras lists groups of tensors, and may list several files for one.

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
    """The file names in the index ``path``, by tensor or group. ``kind`` is what errors call the index.

    Raises:
        CheckpointError: the index cannot be read, or names a file in another folder.
    """
    weight_map = json_object(read_description(path, kind), path, kind).get("weight_map")
    if not isinstance(weight_map, dict):
        raise malformed(path, kind, "it has no weight_map of file names by tensor")
    files: dict[str, tuple[str, ...]] = {}
    for name, value in weight_map.items():
        file_names = value if isinstance(value, list) else [value]
        for file_name in file_names:
            if not isinstance(file_name, str):
                raise malformed(path, kind, "it has no weight_map of file names by tensor")
            if Path(file_name).name != file_name:
                raise malformed(path, kind, f'it names the file "{file_name}", which is not in its own folder')
        files[name] = tuple(file_names)
    return files


def read_description(path: Path, kind: str) -> bytes:
    """The content of a text file that describes a checkpoint. ``kind`` is what errors call the file.

    Raises:
        CheckpointError: the file cannot be read, or is too large.
    """
    try:
        return read_bytes(path, _MAX_SIZE)
    except TextError as error:
        if error.fault == "too large":
            raise malformed(path, kind, f"it {error.what}") from None
        raise CheckpointError(error.message, path=path, hint=error.hint) from None


def stored_name(name: str, held: Container[str]) -> str | None:
    """The name in ``held``, the tensors of the shards, that the index calls ``name``; or None.

    transformers' TensorFlow classes write a variable's full name in the index (``tf_bert_model/bert/...``). In the
    shards they leave out its first part, the model's name.
    """
    return next((candidate for candidate in (name, name.partition("/")[2]) if candidate in held), None)


def json_object(text: str | bytes, path: Path, kind: str) -> JSON:
    """Parse a JSON object. Its keys can be encoded as UTF-8. ``path`` and ``kind`` are for errors.

    Raises:
        CheckpointError: the text is not such an object.
    """
    try:
        value = parse_json(text, kind)
        "".join(value).encode()  # an escape such as \ud800 is not a character, so a name with it cannot be written
    except (TextError, UnicodeEncodeError) as error:
        what = error.what if isinstance(error, TextError) else str(error)
        raise malformed(path, kind, f"its JSON is not readable ({what})") from None
    return value


def malformed(path: Path, kind: str, what: str) -> CheckpointError:
    """An error: the file at ``path`` is not a valid ``kind``. ``what`` says why."""
    return CheckpointError(f"{path} is not a valid {kind}: {what}", path=path, hint=CUT_SHORT)
