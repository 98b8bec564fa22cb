"""A ``.keras`` archive: a zip file with the weights as an uncompressed HDF5 file, and the model's config as JSON.

The config stays text. Keras makes objects from it and may run code in it; bridgeckpt does not.

Sources: https://github.com/keras-team/keras, keras/src/saving/saving_lib.py (the members);
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, section 4.3.7 (a member's local header).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.hdf5.window import ByteRange
from bridgeckpt.store.fileobject import FileObject
from bridgeckpt.store.lfs import open_content
from bridgeckpt.store.texts import TextError, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from zipfile import ZipInfo

    from bridgeckpt.store.contract import StoredFile

WEIGHTS = "model.weights.h5"
_CONFIG = "config.json"
_TEXTS = (_CONFIG, "metadata.json")
_MAX_TEXT = 64 << 20  # bytes; the config of a large model takes one MiB
_LOCAL_HEADER = b"PK\3\4"
_LOCAL_HEADER_SIZE = 30  # without the name and the extra field; their sizes are its last two numbers
_DAMAGED = "copy or download it again; it may be cut short"


def read_archive(path: Path) -> tuple[ByteRange, dict[str, str]]:
    """The place of the weights in the archive, and its texts by name.

    Raises:
        CheckpointError: the file is not such an archive or is damaged, or its weights are compressed or encrypted.
    """
    try:
        file = open_content(path)
        with ZipFile(FileObject(file)) as archive:
            members = {member.filename: member for member in archive.infolist()}
            texts = {name: _text(archive, members[name], path) for name in _TEXTS if name in members}
    except (BadZipFile, NotImplementedError, RuntimeError, EOFError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path) from None
    if WEIGHTS not in members:
        hint = "save it again with a newer Keras, or with tf.train.Checkpoint"
        raise CheckpointError(f"{path} holds no {WEIGHTS}: {', '.join(list(members)[:8])}", path=path, hint=hint)
    return _place(file, members[WEIGHTS]), texts


def described_layers(texts: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the layers in the config of an archive, in the order of the model; () if it lists none."""
    try:
        described: Any = parse_json(texts.get(_CONFIG, "{}"), _CONFIG)
    except TextError:  # the weights can be read without it
        return ()
    config = described.get("config") if isinstance(described, dict) else None
    layers = config.get("layers") if isinstance(config, dict) else None
    configs = [one.get("config") for one in layers if isinstance(one, dict)] if isinstance(layers, list) else []
    return tuple(str(one.get("name")) for one in configs if isinstance(one, dict))


def _text(archive: ZipFile, member: ZipInfo, path: Path) -> str:
    with archive.open(member) as file:
        text = file.read(_MAX_TEXT + 1)  # the stated size of the member is not trusted
    if len(text) > _MAX_TEXT:
        raise _damaged(path, f"its {member.filename} has more than {_MAX_TEXT:,} bytes")
    return text.decode()


def _place(file: StoredFile, member: ZipInfo) -> ByteRange:
    """The place of a member, which must be stored without compression or encryption."""
    path = file.path
    encrypted = member.flag_bits & 1
    if member.compress_type != ZIP_STORED or encrypted or member.compress_size != member.file_size:
        raise CheckpointError(
            f"{path} holds its {WEIGHTS} {'encrypted' if encrypted else 'compressed'}, as Keras never writes it",
            path=path,
            hint="unpack it first, then pass the folder",
        )
    try:
        header = file.read(member.header_offset, max(0, min(_LOCAL_HEADER_SIZE, file.size - member.header_offset)))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path) from None
    if len(header) < _LOCAL_HEADER_SIZE or not header.startswith(_LOCAL_HEADER):
        raise _damaged(path, f"there is no {WEIGHTS} at byte {member.header_offset:,}")
    name_size, extra_size = (int.from_bytes(header[start : start + 2], "little") for start in (26, 28))
    part = ByteRange(member.header_offset + _LOCAL_HEADER_SIZE + name_size + extra_size, member.file_size)
    if part.offset + part.nbytes > file.size:
        raise _damaged(path, f"its {WEIGHTS} ends at byte {part.offset + part.nbytes:,} of {file.size:,}")
    return part


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is not a valid .keras archive: {what}", path=path, hint=_DAMAGED)
