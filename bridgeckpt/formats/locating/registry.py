"""The formats that can be read, one row each. A new format is a module with its reader, and a row here.

A row says how to recognise files of a format, which checkpoint in a folder to take, and which class reads it. The class
says what such a checkpoint can do. It is imported when a file needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.locating import frozen_files, huggingface_files, keras_files, kinds, tensorflow_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.locating.folder import Folder, Location
    from bridgeckpt.formats.locating.kinds import FileKind


class FormatExistsError(ValueError):
    """A format with this name, or one that opens the same kind of file, is registered already."""


class NoFormatError(LookupError):
    """No format opens this kind of file."""


class FileFormat(NamedTuple):
    """One row.

    Attributes:
        name: Its name in code.
        readers: Kind of file to the subclass of ``Checkpoint`` that opens it, as ``module:class``. It is called as
            ``reader(path, notes=...)``.
        find: Finds the checkpoint of this format in a folder, or None.
        precedence: Formats with lower numbers are tried first, in a folder and on a file's content.
        patterns: The names of its files, to suggest some when the user passed the folder above.
        find_by_file: Finds the checkpoint that a file of one of its kinds means, or None. Without it, the checkpoint is
            the file itself.
    """

    name: str
    readers: Mapping[FileKind, str]
    find: Callable[[Folder], Location | None]
    precedence: int
    patterns: tuple[str, ...] = ()
    find_by_file: Callable[[Path, Folder], Location | None] | None = None


_TENSOR_BUNDLE = "bridgeckpt.formats.tensorflow.bundle:TensorBundle"
_ROWS = (
    FileFormat(
        name="tensor_bundle",
        readers={tensorflow_files.BUNDLE_INDEX: _TENSOR_BUNDLE},
        find=tensorflow_files.find_bundle,
        precedence=10,
        patterns=tensorflow_files.INDEX_PATTERNS,
        find_by_file=tensorflow_files.misnamed_index,
    ),
    FileFormat(
        name="saved_model",
        readers={tensorflow_files.HUB_MODULE: _TENSOR_BUNDLE, tensorflow_files.SAVED_MODEL: _TENSOR_BUNDLE},
        find=tensorflow_files.find_saved_model,
        precedence=20,
        find_by_file=tensorflow_files.saved_model_of,
    ),
    FileFormat(
        name="keras",
        readers={
            keras_files.HDF5: "bridgeckpt.formats.hdf5.keras:KerasFile",
            keras_files.HDF5_INDEX: "bridgeckpt.formats.hdf5.keras:KerasShards",
            keras_files.KERAS_ARCHIVE: "bridgeckpt.formats.hdf5.keras:KerasArchive",
        },
        find=keras_files.find,
        precedence=30,
        patterns=keras_files.PATTERNS,
    ),
    FileFormat(
        name="safetensors",
        readers={
            huggingface_files.SAFETENSORS: "bridgeckpt.formats.huggingface.safetensors:Safetensors",
            huggingface_files.SAFETENSORS_INDEX: "bridgeckpt.formats.huggingface.safetensors:Safetensors",
        },
        find=huggingface_files.find,
        precedence=40,
        patterns=huggingface_files.PATTERNS,
    ),
    FileFormat(
        name="v1",
        readers={tensorflow_files.V1_CHECKPOINT: "bridgeckpt.formats.tensorflow.v1:V1Checkpoint"},
        find=tensorflow_files.find_v1,
        precedence=50,
    ),
    FileFormat(
        name="frozen_graph",
        readers={frozen_files.FROZEN_GRAPH: "bridgeckpt.formats.tensorflow.frozen_graph:FrozenGraph"},
        find=frozen_files.find,
        precedence=60,
        patterns=frozen_files.PATTERNS,
    ),
)


class Registry:
    """Formats by name, in order of precedence."""

    def __init__(self, formats: Iterable[FileFormat] = ()) -> None:
        self._formats: dict[str, FileFormat] = {}
        for row in formats:
            self.add(row)

    def add(self, row: FileFormat) -> None:
        """Add a format.

        Raises:
            FormatExistsError: another format has its name, or opens one of its kinds of files.
        """
        if row.name in self._formats:
            raise FormatExistsError(f'there is a format "{row.name}" already')
        for kind in row.readers:
            if (other := self.of_kind(kind)) is not None:
                raise FormatExistsError(f'{kind.what} is opened by the format "{other.name}" already')
        self._formats[row.name] = row

    def of_kind(self, kind: FileKind) -> FileFormat | None:
        """The format that opens files of this kind, if one does."""
        return next((row for row in self._formats.values() if kind in row.readers), None)

    @property
    def formats(self) -> list[FileFormat]:
        """All formats, in the order in which they are tried."""
        return sorted(self._formats.values(), key=lambda row: row.precedence)

    def identify(self, path: Path) -> FileKind:
        """The kind of the regular file ``path``.

        Raises:
            OSError: the file cannot be read.
            CheckpointError: the file is a damaged table.
        """
        return kinds.identify(path, [kind for row in self.formats for kind in row.readers])

    def open(self, location: Location) -> Checkpoint:
        """Open the checkpoint at ``location``.

        Raises:
            NoFormatError: no format opens files of this kind.
            CheckpointError: the checkpoint is damaged.
        """
        from importlib import import_module

        row = self.of_kind(location.kind)
        if row is None:
            raise NoFormatError(f"no format opens {location.kind.what}")
        module, _, name = row.readers[location.kind].partition(":")
        reader: Callable[..., Checkpoint] = getattr(import_module(module), name)
        checkpoint = reader(location.path, notes=location.notes)
        checkpoint.warnings = location.warnings
        return checkpoint


FORMATS = Registry(_ROWS)
