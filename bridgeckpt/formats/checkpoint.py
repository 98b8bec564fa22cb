"""Checkpoint: what every reader hands out, in the manner of ``safetensors.safe_open``.

A subclass per format reads the names, shapes and places of the tensors when it is made; their bytes are read by
:mod:`bridgeckpt.store.reading`. An open checkpoint may be read by any number of threads, and by the children of a fork.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Self

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.slots import Slot
from bridgeckpt.store import lfs
from bridgeckpt.store.checksums import Checksums
from bridgeckpt.store.dtypes import check_numeric, numpy_dtype, swap_bytes
from bridgeckpt.store.reading import Files, Reader, read_array
from bridgeckpt.store.source import look

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    import numpy as np

    from bridgeckpt.store.spool import Spool
    from bridgeckpt.store.tensors import Extent, TensorInfo

    Array = np.ndarray[Any, np.dtype[Any]]

_NAMELESS = "Variable"  # what TensorFlow calls a tf.Variable that was given no name


class Checkpoint:
    """A checkpoint opened for reading: its index is in memory, its tensors are read one at a time.

    It pickles with its index. Whoever gets the copy opens the files when a tensor is read, and has to see them.

    Attributes:
        path: The file that was opened; for a TensorBundle its prefix (``.../bert_model.ckpt``).
        tensors: What is known of each tensor, by name, in the file's order.
        directory: The folder in which a model config and a vocabulary are looked for.
        graph_path: The ``.meta`` file beside a TensorBundle, if there is one.
        metadata: Text that the file keeps beside the tensors: a safetensors header's, a Keras file's model config.
        notes: What a person should be told about how it was found.
        copies: In a view by variable, each further tensor of a variable, and the name of the first.
        read_by_tensorflow: Whether ``tf.train.load_checkpoint`` opens ``path``.
        checksums: Those that the file does not hold, of tensors that were read from the first byte to the last.
    """

    format: str = "checkpoint"
    read_by_tensorflow: bool = False

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
        self.directory = directory or path.parent
        self.graph_path = graph_path
        self.metadata = metadata or {}
        self.notes = notes
        self.checksums = Checksums()
        self._spool = spool  # where some tensors lie once they are decoded
        self.copies: Mapping[str, str] = {}
        self._named: Mapping[str, str] = {}  # in a view by variable: name by key
        self._files = Files(spool)

    @property
    def variable_names(self) -> Mapping[str, str]:
        """The variables' own names by key, where the format keeps them beside the keys that its tensors go by.

        Raises:
            CheckpointError: what holds them is damaged or missing.
        """
        return {}

    @property
    def has_pytorch_names(self) -> bool:
        """Whether the tensors have PyTorch's names and layouts, so that no mapping table has to read them."""
        return False

    @property
    def objects(self) -> frozenset[str]:
        """The paths of the objects that were saved (``model/span_labeling``), where the format keeps them.

        Raises:
            CheckpointError: as :attr:`variable_names`.
        """
        return frozenset()

    @property
    def slots(self) -> Mapping[str, Slot]:
        """The tensors that the format itself says are optimizer state, by name, each with the weight's name.

        Raises:
            CheckpointError: as :attr:`variable_names`.
        """
        names = self._named
        stored = self._stored_slots()
        return {names.get(key, key): Slot(names.get(weight, weight), slot) for key, (weight, slot) in stored.items()}

    def by_variable(self, *, without: str = "") -> Checkpoint:
        """The same checkpoint with its tensors under their variables' own names, those without one under their keys.

        A name that several keys have is the first one's; those of the others that are alike in shape and dtype are
        ``copies``, which ought to hold the same values. An ending ``without`` is left out of the variables' names:
        Keras 2 writes ``:0`` behind them in HDF5, TensorFlow's checkpoints do not.

        Raises:
            CheckpointError: as :attr:`variable_names`.
        """
        if not self.variable_names:
            return self
        named: dict[str, str] = {}  # by key
        keys: dict[str, str] = {}  # by name
        copies: dict[str, str] = {}
        for key, name in self.variable_names.items():
            if key not in self.tensors or (name in self.tensors and name not in self.variable_names):
                continue  # nothing is stored under it, or its name is another tensor's key
            if name == _NAMELESS:
                continue
            name = name.removesuffix(without)
            first = keys.setdefault(name, key)
            if first == key:
                named[key] = name
            elif self.tensors[key][1:3] == self.tensors[first][1:3]:
                copies[key] = name
        view = copy(self)
        view.tensors = {named.get(key, key): info for key, info in self.tensors.items()}
        view.copies = copies
        view._named = named  # noqa: SLF001 - of this class
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

        bfloat16 and the small floats and integers have the dtypes of ml_dtypes; strings come as an object array of
        bytes. ``verify`` compares the stored bytes with their CRC-32C, where the format keeps one.

        Raises:
            CheckpointError: there is no such tensor, a data file is missing, too short or damaged, or no array can hold
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
        """See that every data file is there and long enough for the tensors that it should hold.

        Raises:
            CheckpointError: naming each file that is missing or too short, or a tensor that cannot be decoded.
        """
        if self._spool is not None:
            self._spool.fill()
        needed: dict[Path, int] = {}
        for info in self.tensors.values():
            for extent in info.extents:
                needed[extent.path] = max(needed.get(extent.path, 0), extent.offset + extent.nbytes)
        lacking = {path: lack for path, size in needed.items() if (lack := _lack(path, size))}
        if lacking:
            first = next(iter(lacking))
            raise CheckpointError(
                f"{self.path} is incomplete: {'; '.join(lacking.values())}",
                path=first,
                hint=f"copy or download {'it' if len(lacking) == 1 else 'them'} into {first.parent}",
            )

    def close(self) -> None:
        """Close the data files. A later :meth:`get_tensor` opens them again."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        """Whether both were opened from the same place and have the same tensors under the same names."""
        return isinstance(other, Checkpoint) and self._described() == other._described()

    def __hash__(self) -> int:
        return hash((type(self), self.path))

    def _described(self) -> tuple[object, ...]:
        """What two openings of one checkpoint have in common; where decoded tensors lie is not part of it."""
        tensors = {name: (info.dtype, info.shape) for name, info in self.tensors.items()}
        about = (self.path, self.directory, self.graph_path, self.metadata, self.notes)
        return type(self), *about, tensors, self.copies, self._named

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
                array[tuple(slice(at, at + size) for at, size in zip(extent.start, extent.shape, strict=True))] = block
        return array

    def _stored_slots(self) -> Mapping[str, Slot]:
        """:attr:`slots` by key."""
        return {}

    def _read_strings(self, info: TensorInfo, extent: Extent, verify: bool) -> list[bytes]:  # noqa: ARG002
        """The strings of ``extent``, row-major. How they are stored is for the format to say; most have none."""
        raise CheckpointError(f"{info.name} holds strings, which {self.format} has none of", path=extent.path)

    def _unknown(self, name: str) -> CheckpointError:
        from difflib import get_close_matches

        near = get_close_matches(name, self.tensors, n=3, cutoff=0.5)
        return CheckpointError(
            f'{self.path} has no tensor "{name}"',
            path=self.path,
            hint=f"the nearest names: {', '.join(near)}" if near else "keys() lists the names",
        )


def _lack(path: Path, size: int) -> str | None:
    """What is wrong with a data file that should hold at least ``size`` bytes, or None."""
    entry = look(path)
    if entry is None or not entry.is_file:
        return f"{path.name} is missing"
    found = entry.size
    if found >= size:
        return None
    if lfs.is_pointer(path):
        return f"{path.name} is {lfs.WHAT} ({lfs.HINT})"
    return f"{path.name} has {found:,} bytes of at least {size:,}"
