"""What a file is, told by its content rather than its name: the kinds that are read, and those refused by name.

Only the first bytes are looked at (and of a table its last), and nothing is unpacked or unpickled.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.tensorflow.saved_model import GRAPH, GRAPH_AS_TEXT, HUB_MARK
from bridgeckpt.formats.tensorflow.sstable import FOOTER_SIZE, MAGIC, entries
from bridgeckpt.formats.tensorflow.wire import BYTES, VARINT, tag

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_HEAD_SIZE = 4096
_UNPACK = "unpack it first, then pass the folder"


class Kind(NamedTuple):
    """What a file is, as the end of the sentence "FILE is ...", and what to do with one that is not read."""

    what: str
    hint: str | None = None
    is_model: bool = True  # rather than something that lies beside one


BUNDLE_INDEX = Kind("the index of a TensorBundle")
STATE_FILE = Kind("a checkpoint state file", is_model=False)
SAFETENSORS = Kind("a safetensors file")
SAFETENSORS_INDEX = Kind("the index of safetensors shards")
HDF5 = Kind("an HDF5 file")
HDF5_INDEX = Kind("the index of HDF5 shards")
KERAS_ARCHIVE = Kind("a .keras archive")

V1_CHECKPOINT = Kind("a TensorFlow V1 checkpoint (the format before 2017)")
EMPTY = Kind("an empty file", "copy or download it again", is_model=False)
LFS_POINTER = Kind("a Git LFS pointer, not the file itself", "run `git lfs pull` in the repository that it came from")
WEB_PAGE = Kind("a web page saved as a file", "the download was not allowed or not found: download the file itself")
SAVED_MODEL = Kind(
    "a SavedModel",
    "its variables/variables.index is missing: copy or download the whole folder; a frozen one, without variables, is "
    "not read",
)
HUB_MODULE = Kind("a TF1 hub module (saved_model.pb with tfhub_module.pb)", SAVED_MODEL.hint)
UNKNOWN = Kind("no checkpoint", "pass a checkpoint's prefix, or the folder that holds it", is_model=False)

_TORCH = Kind("a PyTorch checkpoint (a pickle)", "it is PyTorch's already; pickles run code and are never opened here")
_NUMPY = Kind("a numpy file (.npy, .npz)", UNKNOWN.hint, is_model=False)
_ONNX = Kind("an ONNX model", "convert the checkpoint that it was made from")
_TFLITE = Kind("a TensorFlow Lite model", "it may be quantized: convert the checkpoint that it was made from")
_GRAPH = Kind("a TensorFlow graph (.pb)", "a frozen graph is not read: convert the checkpoint that it was made from")
_JSON = Kind("a JSON file", "pass the folder that holds it, if a checkpoint is there too", is_model=False)
_TEXT = Kind("a text file", _JSON.hint, is_model=False)

_ZIP, _GZIP, _TAR = Kind("a zip archive", _UNPACK), Kind("a gzip archive", _UNPACK), Kind("a tar archive", _UNPACK)
_CUT_ZIP = Kind("a zip archive that is damaged or was cut short", "copy or download it again")
_COMPRESSED = Kind("a compressed archive", _UNPACK)

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HDF5_STARTS = (0, 512, 1024, 2048)  # it may lie behind a block of the user's
_BY_FIRST_BYTES = (
    (b"version https://git-lfs", LFS_POINTER),
    (b"\x1f\x8b", _GZIP),
    (b"BZh", _COMPRESSED),
    (b"\xfd7zXZ", _COMPRESSED),
    (b"\x28\xb5\x2f\xfd", _COMPRESSED),
    (b"7z\xbc\xaf", _COMPRESSED),
    (b"\x93NUMPY", _NUMPY),
)


def identify(path: Path) -> Kind:
    """What the regular file ``path`` is.

    Raises:
        OSError: it cannot be read.
        CheckpointError: it is a table that is damaged.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_SIZE)
        size = file.seek(0, 2)
        file.seek(max(0, size - len(MAGIC)))
        tail = file.read(len(MAGIC))
    if not head:
        return EMPTY
    if size >= FOOTER_SIZE and tail == MAGIC:
        return _table(path)
    for first, kind in _BY_FIRST_BYTES:
        if head.startswith(first):
            return kind
    if any(head.startswith(_HDF5_SIGNATURE, start) for start in _HDF5_STARTS):
        return HDF5
    if head.startswith(b"PK\3\4"):
        return _archive(path)
    if head[257:262] == b"ustar":
        return _TAR
    if head[4:8] == b"TFL3":
        return _TFLITE
    if re.match(rb"\x80[\2-\5]", head):
        return _TORCH
    if int.from_bytes(head[:8], "little") <= size - 8 and head[8:9] == b"{":
        return SAFETENSORS
    if told := _message(path, head) or _text(head):
        return told
    return SAFETENSORS if path.suffix == ".safetensors" else UNKNOWN  # one that is damaged: its reader says how


def _table(path: Path) -> Kind:
    if path.name.endswith(".index"):
        return BUNDLE_INDEX
    # Under the empty key a V1 checkpoint has a SavedTensorSlices (a message in field 1), a bundle a number in field 1.
    key, value = next(entries(path), (b"", b""))
    return V1_CHECKPOINT if not key and value[:1] == bytes([tag(1, BYTES)]) else BUNDLE_INDEX


def _archive(path: Path) -> Kind:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except BadZipFile:
        return _CUT_ZIP
    except NotImplementedError:  # of a version of zip that Python does not read
        return _ZIP
    if any(name.endswith("data.pkl") for name in names):
        return _TORCH
    if any(name.endswith("model.weights.h5") for name in names):
        return KERAS_ARCHIVE
    if names and all(name.endswith(".npy") for name in names):
        return _NUMPY
    return _ZIP


def _message(path: Path, head: bytes) -> Kind | None:
    """The protobuf files of the trade, told apart by their first fields."""
    if path.name in (GRAPH, GRAPH_AS_TEXT):
        return HUB_MODULE if (path.parent / HUB_MARK).is_file() else SAVED_MODEL
    if head.startswith(bytes([tag(1, VARINT), 1, tag(2, BYTES)])):  # schema version 1, then a graph
        return SAVED_MODEL
    if path.suffix == ".onnx" and head[0] == tag(1, VARINT):  # its version
        return _ONNX
    if path.suffix == ".pb" and head[0] == tag(1, BYTES):  # its first node
        return _GRAPH
    return None


def _text(head: bytes) -> Kind | None:
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < _HEAD_SIZE else "ignore").lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        return None
    if any(character < " " and character not in "\t\r\n\f\x1b" for character in text):
        return None
    for is_kind, kind in _TEXTS:
        if is_kind(text):
            return kind
    return _TEXT


_TEXTS: tuple[tuple[Callable[[str], object], Kind], ...] = (
    (re.compile(r"<(!doctype html|html|head|\?xml)", re.IGNORECASE).match, WEB_PAGE),
    (re.compile(r"(all_)?model_checkpoint_path\s*:").match, STATE_FILE),
    (re.compile(r'\{.*"weight_map"\s*:\s*\{\s*"[^"]*"\s*:\s*\[?\s*"[^"]*\.h5"', re.DOTALL).match, HDF5_INDEX),
    (re.compile(r'\{.*"weight_map"\s*:', re.DOTALL).match, SAFETENSORS_INDEX),
    (re.compile(r"\{\s*[\"}]").match, _JSON),
    (re.compile(r"node\s*\{").match, _GRAPH),
)
