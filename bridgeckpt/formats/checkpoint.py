"""Checkpoint: the result of every reader, similar to ``safetensors.safe_open``.

Each format has a subclass, which reads the names, shapes and places of the tensors when it is made.
:mod:`bridgeckpt.store.reading` reads their bytes. Any number of threads may read an open checkpoint, and child
processes after a fork.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Self

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.companions import companion_folder
from bridgeckpt.formats.data_files import check_data_files
from bridgeckpt.formats.descriptions import IN_ARCHIVE, IN_HDF5
from bridgeckpt.formats.slots import Slot
from bridgeckpt.formats.training.state import TrainingState, find_state
from bridgeckpt.formats.variable_names import assign_names
from bridgeckpt.store.checksums import Checksums
from bridgeckpt.store.dtypes import check_numeric, numpy_dtype, swap_bytes
from bridgeckpt.store.reading import Files, Reader, read_array
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    import numpy as np

    from bridgeckpt.formats.layer_places import Place
    from bridgeckpt.store.spool import Spool
    from bridgeckpt.store.tensors import Extent, TensorInfo

    Array = np.ndarray[Any, np.dtype[Any]]


class Checkpoint:
    """A checkpoint opened for reading. Its index is in memory, and its tensors are read one at a time.

    It pickles with its index. Another process that gets the copy opens the same files when it reads a tensor.

    Attributes:
        path: The file that was opened, or the prefix of a TensorBundle (``.../bert_model.ckpt``).
        tensors: The record of each tensor, by name, in the file's order.
        directory: The folder that may hold a model config and a vocabulary.
        graph_path: The graph file (a ``.meta`` beside a TensorBundle, a ``saved_model.pb``), if there is one.
        metadata: Text that is stored with the tensors: from a safetensors header, or a Keras file's model config.
        notes: What to tell the user about the choice of the file.
        warnings: What the choice of the file may have got wrong.
        copies: In a view by variable, the key of each further tensor of a variable, with the variable's name.
        constants: In a frozen graph, the constant that each variable became, by the variable's name.
        gaps: Why the file may lack variables of the model, or their names; None if nothing says that it does.
        read_by_tensorflow: Whether ``tf.train.load_checkpoint`` opens ``path``.
        checksums: Checksums that the file does not store, of tensors that were read completely.
    """

    format: str = "checkpoint"
    read_by_tensorflow: bool = False
    gaps: str | None = None
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        tensors: Mapping[str, TensorInfo],
        *,
        directory: Path | None = None,
        graph_path: Path | None = None,
        metadata: Mapping[str, str] | None = None,
        notes: tuple[str, ...] = (),
        spool: Spool | None = None,
    ) -> None:
        self.path = path
        self.tensors = tensors
        self.directory = companion_folder(directory or path.parent)
        self.graph_path = graph_path
        self.metadata = metadata or {}
        self.notes = notes
        self.constants: Mapping[str, str] = {}
        self.checksums = Checksums()
        self._spool = spool  # holds the tensors that have to be decoded
        self.copies: Mapping[str, str] = {}
        self._names: Mapping[str, str] = {}  # in a view by variable: name by key
        self._files = Files(spool)

    @property
    def variable_names(self) -> Mapping[str, str]:
        """The names of the variables by key, if the format stores them beside the keys of the tensors.

        Raises:
            CheckpointError: the part of the file that holds them is damaged or missing.
        """
        return {}

    @property
    def descriptions(self) -> Mapping[str, str]:
        """Keras' descriptions of the model inside the checkpoint, as text, each under the name of its place."""
        return {name: self.metadata[name] for name in (IN_HDF5, IN_ARCHIVE) if name in self.metadata}

    @property
    def remarks(self) -> tuple[str, ...]:
        """All that a user should know about the choice of the file."""
        return (*self.notes, *self.warnings)

    @property
    def is_pruned(self) -> bool:
        """Whether it is a whole frozen graph: freezing keeps the layers that the outputs need, and no others."""
        return bool(self.constants) and self.gaps is None

    @property
    def has_pytorch_names(self) -> bool:
        """Whether the tensors have PyTorch's names and layouts, so that they need no mapping table."""
        return False

    @property
    def objects(self) -> frozenset[str]:
        """The paths of the objects that were saved (``model/span_labeling``), if the format stores them.

        Raises:
            CheckpointError: as :attr:`variable_names`.
        """
        return frozenset()

    @property
    def slots(self) -> Mapping[str, Slot]:
        """The tensors that the format itself marks as optimizer state, by name, each with its weight's name.

        Raises:
            CheckpointError: as :attr:`variable_names`.
        """
        names = self._names
        stored = self._stored_slots()
        return {names.get(key, key): Slot(names.get(weight, weight), slot) for key, (weight, slot) in stored.items()}

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The names of all layers of Keras' model in order, also those without tensors, if the format has them."""
        return ()

    @property
    def layers_with_weights(self) -> frozenset[int]:
        """The places of the layers with weights among all layers of Keras' model, if the format has them so.

        Raises:
            CheckpointError: as :attr:`variable_names`.
        """
        return frozenset()

    @property
    def layer_places(self) -> Mapping[str, Place]:
        """The place of each tensor's layer in ``model.layers`` of Keras, by name, if the format has that order.

        Raises:
            CheckpointError: as :attr:`variable_names`.
        """
        places: dict[str, Place] = {}
        for key, place in self._stored_places().items():
            places.setdefault(self._names.get(key, key), place)
        return places

    def training_state(self) -> TrainingState:
        """The tensors that training left: optimizer state, moving averages and bookkeeping, by their names and shapes.

        Raises:
            CheckpointError: as :attr:`variable_names`.
        """
        return find_state({name: info.shape for name, info in self.tensors.items()}, self.slots, self.integers)

    @property
    def integers(self) -> frozenset[str]:
        """The tensors that are not of floating-point numbers, by name: of integers, for instance, or text."""
        return frozenset(
            name for name, info in self.tensors.items() if info.dtype not in DTYPES or not DTYPES[info.dtype].floating
        )

    def by_variable(self, *, without: str = "") -> Checkpoint:
        """The same checkpoint with its tensors under the names of their variables; without a name, under their keys.

        If several keys have one name, the first key gets it. The others become ``copies`` if they have the same shape
        and dtype; they should hold the same values. The ending ``without`` is removed from names: Keras 2 writes ``:0``
        at the end of names in HDF5, TensorFlow's checkpoints do not.

        Raises:
            CheckpointError: as :attr:`variable_names`.
        """
        if not self.variable_names:
            return self
        variables = assign_names(self.tensors, self.variable_names, without)
        view = copy(self)
        view.tensors = {variables.names.get(key, key): info for key, info in self.tensors.items()}
        view.copies = variables.copies
        view._names = variables.names  # noqa: SLF001 - of this class
        return view

    def with_copies(self, copies: Mapping[str, str]) -> Checkpoint:
        """The same checkpoint with other ``copies``."""
        view = copy(self)
        view.copies = copies
        return view

    def keys(self) -> list[str]:
        """Every tensor's name, in the file's order."""
        return list(self.tensors)

    @property
    def nbytes(self) -> int:
        """Bytes of storage of all tensors."""
        return sum(info.nbytes for info in self.tensors.values())

    def get_tensor(self, name: str, *, verify: bool = True) -> Array:
        """The tensor ``name`` as a C-ordered array in native byte order, with the shape and dtype of ``tensors[name]``.

        bfloat16 and the small floats and integers have the dtypes of ml_dtypes. Strings are an object array of bytes.
        ``verify`` compares the stored bytes with their CRC-32C, if the format stores one.

        Raises:
            CheckpointError: there is no such tensor; a data file is missing, too short or damaged; or no array can hold
                the dtype.
        """
        info = self.tensors.get(name)
        if info is None:
            raise self._unknown(name)
        self._files.check_fits(info)
        if info.dtype == "string":
            return self._strings(info, verify)
        check_numeric(info)
        extend = None
        if verify and any(extent.crc32c is not None for extent in info.extents):
            import google_crc32c

            extend = google_crc32c.extend
        array = read_array(info, Reader(info, self._files, extend), numpy_dtype(info.dtype))
        if info.big_endian:
            swap_bytes(array)
        return array

    def check_files(self) -> None:
        """Check that every data file is there and long enough for its tensors, and decode those that need it.

        Raises:
            CheckpointError: files are missing or too short (the message names each), or a tensor cannot be decoded.
        """
        if self._spool is not None:
            self._spool.fill()
        check_data_files(self.path, self.tensors.values())

    def check_places(self) -> None:
        """Check as :meth:`check_files` does, but decode nothing.

        Raises:
            CheckpointError: files are missing or too short. The message names each.
        """
        spool = self._spool
        in_files = (info for info in self.tensors.values() if not (spool and spool.is_at(info.extents[0].path)))
        check_data_files(self.path, in_files)

    def close(self) -> None:
        """Close the data files. A later :meth:`get_tensor` opens them again."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        """Whether both were opened from the same path and have the same tensors under the same names."""
        return isinstance(other, Checkpoint) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self), self.path))

    def _identity(self) -> tuple[object, ...]:
        """What equal checkpoints have in common; the places of decoded tensors are not part of it."""
        tensors = {name: (info.dtype, info.shape) for name, info in self.tensors.items()}
        attributes = (self.path, self.directory, self.graph_path, self.metadata, self.notes)
        return type(self), *attributes, tensors, self.copies, self._names

    def __len__(self) -> int:
        return len(self.tensors)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def __repr__(self) -> str:
        return f"<{self.format} {str(self.path)!r}: {len(self.tensors):,} tensors>"

    def pieces(self, extent: Extent, name: str) -> Iterator[bytes]:
        """The stored bytes of an extent of tensor ``name``, in order, in pieces of at most 1 MiB.

        Raises:
            CheckpointError: the file is missing or too short.
        """
        return self._files.pieces(extent, name)

    def _strings(self, info: TensorInfo, verify: bool) -> Array:
        """The strings of a tensor as an array of Python's bytes."""
        import numpy as np

        array = np.empty(info.shape, np.dtype(object))
        for extent in info.extents:
            whole = extent.shape == info.shape
            block = array if whole else np.empty(extent.shape, array.dtype)
            block.reshape(-1)[:] = self._read_strings(info, extent, verify)
            if not whole:
                spans = zip(extent.start, extent.shape, strict=True)
                array[tuple(slice(start, start + size) for start, size in spans)] = block
        return array

    def _stored_slots(self) -> Mapping[str, Slot]:
        """:attr:`slots` by key."""
        return {}

    def _stored_places(self) -> Mapping[str, Place]:
        """:attr:`layer_places` by key."""
        return {}

    def _read_strings(self, info: TensorInfo, extent: Extent, verify: bool) -> list[bytes]:  # noqa: ARG002
        """The strings of ``extent``, row-major. Formats that store strings override this."""
        raise CheckpointError(f"{info.name} holds strings, which {self.format} does not have", path=extent.path)

    def _unknown(self, name: str) -> CheckpointError:
        from difflib import get_close_matches

        near = get_close_matches(name, self.tensors, n=3, cutoff=0.5)
        return CheckpointError(
            f'{self.path} has no tensor "{name}"',
            path=self.path,
            hint=f"the nearest names: {', '.join(near)}" if near else "keys() lists the names",
        )
