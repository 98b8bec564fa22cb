"""The kind of a file, recognised by its first bytes rather than its name; and the kinds that no reader opens.

The kinds that a format opens are in its row of the registry. Only the beginning of a file is read, the last bytes of a
table, and the directory of a zip archive. Nothing is unpacked or unpickled.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.tensorflow.sstable import FOOTER_SIZE, MAGIC, entries
from bridgeckpt.store import lfs
from bridgeckpt.store.fileobject import FileObject
from bridgeckpt.store.source import open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_HEAD_SIZE = 4096
_TAIL_SIZE = len(MAGIC)
_ZIP_START = b"PK\3\4"
_UNPACK = "unpack it first, then pass the folder"
_BESIDE = "pass the folder that holds it, if a checkpoint is there too"
_TEXT_GRAPH = (
    "if training wrote it, the weights are in the checkpoint beside it; a frozen graph is read in protobuf's binary "
    "format: google.protobuf.text_format.Parse(text, tf.compat.v1.GraphDef()).SerializeToString()"
)
_NEVER_OPENED = "pickles can run code, so they are never opened here"
_ORIGINAL = "convert the checkpoint that it was made from"


class FileStart:
    """The beginning of a file, and what it shows. It is read once, then passed to each :class:`FileKind`."""

    def __init__(self, path: Path) -> None:
        file = open_file(path)
        self.path = path
        self.size = file.size
        self.head = file.read(0, min(_HEAD_SIZE, file.size))
        self.tail = file.read(max(0, file.size - _TAIL_SIZE), min(_TAIL_SIZE, file.size))

    @cached_property
    def text(self) -> str | None:
        """The beginning as text, without leading space; None if it is not text."""
        try:
            text = self.head.decode("utf-8", errors="strict" if len(self.head) < _HEAD_SIZE else "ignore")
        except UnicodeDecodeError:
            return None
        text = text.lstrip("\ufeff \t\r\n")
        return None if any(character < " " and character not in "\t\r\n\f\x1b" for character in text) else text

    @cached_property
    def table_entry(self) -> tuple[bytes, bytes] | None:
        """The first key and value of a table of LevelDB's format; None for other files.

        Raises:
            CheckpointError: the table is damaged.
        """
        return next(entries(self.path), (b"", b"")) if self.is_table else None

    @property
    def is_table(self) -> bool:
        """Whether it ends like a table of LevelDB's format."""
        return self.size >= FOOTER_SIZE and self.tail == MAGIC

    @cached_property
    def zip_names(self) -> list[str] | None:
        """The names in a zip archive; None if it is damaged, empty for other files."""
        if not self.head.startswith(_ZIP_START):
            return []
        from zipfile import BadZipFile, ZipFile

        try:
            with ZipFile(FileObject(open_file(self.path))) as archive:
                return archive.namelist()
        except BadZipFile:
            return None
        except NotImplementedError:  # a version of zip that Python does not read
            return []


class FileKind(NamedTuple):
    """A kind of file.

    Attributes:
        what: The end of the sentence "FILE is ...".
        hint: What to do with such a file, if no reader opens it.
        matches: Whether a file is of this kind.
        is_model: Whether it is a model, and not a file that accompanies one.
        by_name: Whether ``matches`` looks at the name too. Kinds that are recognised by content alone are tried first.
        suffix: A file of unknown content with this suffix is taken for this kind. It is damaged, and the reader's error
            says how.
    """

    what: str
    hint: str | None = None
    matches: Callable[[FileStart], object] = lambda _: False
    is_model: bool = True
    by_name: bool = False
    suffix: str | None = None


def starts_with(*signatures: bytes) -> Callable[[FileStart], bool]:
    """A test of the first bytes of a file."""
    return lambda start: start.head.startswith(signatures)


def text_matches(pattern: str, flags: int = 0) -> Callable[[FileStart], object]:
    """A test of the beginning of a text. The pattern is compiled when it is first used."""
    return lambda start: start.text and re.match(pattern, start.text, flags)


def zip_holds(ending: str) -> Callable[[FileStart], bool]:
    """A test for a zip archive that holds a name with this ending."""
    return lambda start: any(name.endswith(ending) for name in start.zip_names or ())


def _is_numpy(start: FileStart) -> bool:
    names = start.zip_names or [""]
    return start.head.startswith(b"\x93NUMPY") or all(name.endswith(".npy") for name in names)


def _is_pickle(start: FileStart) -> bool:
    return re.match(rb"\x80[\2-\5]", start.head) is not None


EMPTY = FileKind(
    what="an empty file", hint="copy or download it again", matches=lambda start: not start.head, is_model=False
)
LFS_POINTER = FileKind(what=lfs.WHAT, hint=lfs.HINT, matches=starts_with(lfs.FIRST_BYTES))
WEB_PAGE = FileKind(
    what="a web page saved as a file",
    hint="the download was not allowed or not found: download the file itself",
    matches=text_matches(r"<(!doctype html|html|head|\?xml)", re.IGNORECASE),
)
STATE_FILE = FileKind(
    "a checkpoint state file", matches=text_matches(r"(all_)?model_checkpoint_path\s*:"), is_model=False
)
UNKNOWN = FileKind(what="no checkpoint", hint="pass a checkpoint's prefix, or the folder that holds it", is_model=False)

# Tried in this order: signatures after the kinds of the formats, the others after the kinds recognised by name.
_SIGNATURES = (
    LFS_POINTER,
    FileKind(what="a gzip archive", hint=_UNPACK, matches=starts_with(b"\x1f\x8b")),
    FileKind(
        what="a compressed archive",
        hint=_UNPACK,
        matches=starts_with(b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"),
    ),
    FileKind(
        what="a PyTorch checkpoint (a pickle)",
        hint=f"it is a PyTorch file already; {_NEVER_OPENED}",
        matches=zip_holds("data.pkl"),
    ),
    FileKind(
        what="a PaddlePaddle checkpoint",
        hint="no table converts it: ask for the TensorFlow checkpoint that it was made from",
        matches=lambda start: start.path.suffix in {".pdparams", ".pdiparams"},
    ),
    FileKind(
        what="a pickle (an old PyTorch checkpoint, or objects of another Python program)",
        hint=f"if it is a PyTorch file, torch.load reads it; {_NEVER_OPENED}",
        matches=_is_pickle,
    ),
    FileKind(
        what="a Flax checkpoint",
        hint="transformers 4 reads it: from_pretrained(FOLDER, from_flax=True)",
        matches=lambda start: start.path.suffix == ".msgpack",
    ),
    FileKind(what="a numpy file (.npy, .npz)", hint=UNKNOWN.hint, matches=_is_numpy, is_model=False),
    FileKind(
        what="a zip archive that is damaged or was cut short",
        hint="copy or download it again",
        matches=lambda start: start.zip_names is None,
    ),
    FileKind(what="a zip archive", hint=_UNPACK, matches=starts_with(_ZIP_START)),
    FileKind(what="a tar archive", hint=_UNPACK, matches=lambda start: start.head[257:262] == b"ustar"),
    FileKind(
        what="a TensorFlow Lite model",
        hint=f"it may be quantized: {_ORIGINAL}",
        matches=lambda start: start.head[4:8] == b"TFL3",
    ),
)
_OTHERS = (
    FileKind(
        what="an ONNX model",
        hint=_ORIGINAL,
        matches=lambda start: start.path.suffix == ".onnx" and start.head[:1] == b"\x08",
    ),
    WEB_PAGE,
    STATE_FILE,
    FileKind(what="a TensorFlow graph as text (.pbtxt)", hint=_TEXT_GRAPH, matches=text_matches(r"node\s*\{")),
    FileKind(
        what="the description of a Keras model, without its weights",
        hint=_BESIDE,
        matches=lambda start: start.path.name == "keras_metadata.pb",
        is_model=False,
    ),
    FileKind(what="a JSON file", hint=_BESIDE, matches=text_matches(r"\{\s*[\"}]"), is_model=False),
    FileKind(what="a text file", hint=_BESIDE, matches=lambda start: start.text is not None, is_model=False),
)


def identify(path: Path, opened: Sequence[FileKind]) -> FileKind:
    """The kind of the regular file ``path``. ``opened`` are the kinds that formats open, in order of precedence.

    Raises:
        OSError: the file cannot be read.
        CheckpointError: the file is a damaged table.
    """
    start = FileStart(path)
    by_content = [kind for kind in opened if not kind.by_name]
    by_name = [kind for kind in opened if kind.by_name]
    for kind in (EMPTY, *by_content, *_SIGNATURES, *by_name, *_OTHERS):
        if kind.matches(start):
            return kind
    return next((kind for kind in opened if kind.suffix and kind.suffix == path.suffix), UNKNOWN)
