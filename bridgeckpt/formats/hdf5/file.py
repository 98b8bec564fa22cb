"""HDF5 files: the places of the datasets' bytes, and the text in attributes. ``keras.py`` knows their meaning.

A dataset that is stored in one piece is an extent of the file. A dataset in chunks, compressed or not, or inside its
header is decoded into a :class:`~bridgeckpt.store.spool.Spool` when it is needed. Only hard links are followed, and
each group is visited once. A file that refers to another file (external links, external or virtual storage) is refused.
A size in the file is checked against its stored bytes before memory is allocated or a chunk decoded.

Source: https://docs.hdfgroup.org/archive/support/HDF5/doc/H5.format.html. The file is read through h5py.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from itertools import islice
from math import prod
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.hdf5.attributes import string_lengths
from bridgeckpt.formats.hdf5.chunks import DEFLATE, SHUFFLE, Chunk, Chunked, decoded
from bridgeckpt.formats.hdf5.dtypes import dtype_of
from bridgeckpt.formats.hdf5.window import ByteRange, Window
from bridgeckpt.store.dtypes import is_possible_shape
from bridgeckpt.store.lfs import open_content
from bridgeckpt.store.tensors import DTYPES, Extent, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from h5py._objects import ObjectID
    from h5py.h5d import DatasetID
    from h5py.h5g import GroupID
    from h5py.h5p import PropDCID

    from bridgeckpt.store.spool import Spool

_MAX_OBJECTS = 200_000  # groups and datasets
_MAX_ATTRIBUTE = 64 << 20  # bytes; the config of a large model takes one MiB
_MAX_RATIO = 1100  # of decoded to stored bytes; deflate's own limit is 1032
_SMALL = 1 << 12  # bytes; the ratio does not matter for a smaller chunk
_DAMAGED = "copy or download it again; it may be cut short"


class HDF5File:
    """An HDF5 file opened for reading; a context manager. With ``part``, it is only that part of ``path``.

    Raises:
        CheckpointError: the file is not HDF5, cut short, or damaged. Every method may raise it too.
    """

    def __init__(self, path: Path, part: ByteRange | None = None) -> None:
        import h5py

        self.path = path
        with self._guarded("it"):
            file = open_content(path)
            self._part = part or ByteRange(0, file.size)
            self._window = Window(file, *self._part)
            self._file = h5py.File(self._window, "r")

    def datasets(self, spool: Spool) -> list[TensorInfo]:
        """Every dataset, named by its path. Those that are not stored in one piece get a place in ``spool``."""
        import h5py

        with self._guarded("its root"):
            pending: list[tuple[str, ObjectID]] = [("", h5py.h5g.open(self._file.id, b"/"))]
        visited: set[int] = set()
        tensors: list[TensorInfo] = []
        count = 0
        while pending:
            path, item = pending.pop()
            with self._guarded(path or "its root"):
                if isinstance(item, h5py.h5d.DatasetID):
                    tensors.append(self._tensor(path, item, spool))
                elif isinstance(item, h5py.h5g.GroupID) and (address := h5py.h5o.get_info(item).addr) not in visited:
                    visited.add(address)
                    names = list(islice(item, _MAX_OBJECTS - count + 1))
                    count += len(names)
                    if count > _MAX_OBJECTS:
                        raise self._refused(f"it holds more than {_MAX_OBJECTS:,} groups and datasets")
                    prefix = f"{path}/" if path else ""
                    pending += [self._member(item, f"{prefix}{name.decode()}", name) for name in reversed(names)]
        return tensors

    def _member(self, group: GroupID, path: str, name: bytes) -> tuple[str, ObjectID]:
        """The path and the object that a group holds under ``name``."""
        import h5py

        if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            raise self._refused(f"{path} is a link to another place or file, and links are not followed")
        return path, h5py.h5o.open(group, name)

    def groups(self) -> list[str]:
        """The names of the groups in the root."""
        import h5py

        with self._guarded("its root"):
            return [name for name in self._file if self._file.get(name, getclass=True) is h5py.Group]

    def text(self, group: str, attribute: str) -> str | None:
        """The string in an attribute of a group; None if the attribute does not hold one string."""
        strings = self._strings(group, attribute)
        return strings[0] if strings is not None and len(strings) == 1 else None

    def names(self, group: str, attribute: str) -> list[str] | None:
        """The strings in an attribute of a group; None if the attribute does not hold strings.

        Keras divides a list that is too long for an object header: ``weight_names0``, ``weight_names1``, ...
        """
        strings = self._strings(group, attribute)
        if strings is not None:
            return strings
        names: list[str] = []
        number = 0
        while (part := self._strings(group, f"{attribute}{number}")) is not None:
            names += part
            number += 1
        return names if number else None

    def _strings(self, group: str, attribute: str) -> list[str] | None:
        import h5py

        with self._guarded(f"the attribute {attribute} of {group or 'its root'}"):
            if group and self._file.get(group, getclass=True) is not h5py.Group:
                return None
            holder = self._file[group or "/"]
            attributes = holder.attrs
            if attribute not in attributes:
                return None
            stored = attributes.get_id(attribute)
            kind = stored.get_type()
            if stored.get_space().get_simple_extent_type() == h5py.h5s.NULL:
                return []
            if not isinstance(kind, h5py.h5t.TypeStringID):
                # an empty list has no string type
                return [] if stored.shape == (0,) else None
            size = prod(stored.shape) * kind.get_size()
            if kind.is_variable_str():
                base = self._file.userblock_size  # addresses in the file count from here
                header = h5py.h5o.get_info(holder.id).addr
                lengths = string_lengths(
                    lambda start, size: self._window.read_at(base + start, size), header, attribute
                )
                size += sum(lengths or ())
            if size > min(_MAX_ATTRIBUTE, self._part.nbytes):
                raise self._refused(f"the attribute {attribute} of {group or 'its root'} is too large")
            value = attributes[attribute]
            values = [value] if isinstance(value, (str, bytes)) else value.reshape(-1).tolist()
            return [text.decode() if isinstance(text, bytes) else str(text) for text in values]

    def _tensor(self, name: str, dataset: DatasetID, spool: Spool) -> TensorInfo:
        import h5py

        dtype, big_endian = dtype_of(dataset)
        shape = (0,) if dataset.shape is None else tuple(dataset.shape)
        if not is_possible_shape(shape):
            raise self._refused(f"{name}: no array has the shape {list(shape)}")
        nbytes = prod(shape) * dataset.get_type().get_size()
        if dtype not in DTYPES or not nbytes:
            return TensorInfo(name, dtype, shape, self._extent(0, 0, shape) if dtype in DTYPES else (), big_endian)
        creation = dataset.get_create_plist()
        layout = creation.get_layout()
        if creation.get_external_count() or layout == h5py.h5d.VIRTUAL:
            raise self._refused(f"the values of {name} are in another file, which is not read")
        stored = dataset.get_storage_size()
        if layout == h5py.h5d.CHUNKED:
            chunked = self._chunked(name, dataset, creation)
            (offset,) = spool.reserve([(name, nbytes)], partial(_single, partial(decoded, self.path, chunked)))
            return TensorInfo(name, dtype, shape, (_whole(spool.path, offset, nbytes, shape),), big_endian)
        if stored != nbytes:
            raise self._refused(f"{name} takes {nbytes:,} bytes, and {stored:,} were written")
        if layout == h5py.h5d.COMPACT:
            value = _compact(dataset)
            (offset,) = spool.reserve([(name, nbytes)], partial(iter, [[value]]))
            return TensorInfo(name, dtype, shape, (_whole(spool.path, offset, nbytes, shape),), big_endian)
        return TensorInfo(name, dtype, shape, self._extent(dataset.get_offset(), nbytes, shape), big_endian)

    def _chunked(self, name: str, dataset: DatasetID, creation: PropDCID) -> Chunked:
        """The places of a dataset's chunks. All of them must have been written."""
        filters = tuple(creation.get_filter(number)[0] for number in range(creation.get_nfilters()))
        if not {DEFLATE, SHUFFLE}.issuperset(filters):
            raise CheckpointError(
                f"{name} in {self.path} is stored with a filter of HDF5 other than deflate and shuffle",
                path=self.path,
                hint="write it again without filters: h5repack -f NONE",
            )
        chunks: dict[tuple[int, ...], Chunk] = {}
        dataset.chunk_iter(
            lambda chunk: chunks.__setitem__(
                tuple(chunk.chunk_offset), Chunk(self._part.offset + chunk.byte_offset, chunk.size, chunk.filter_mask)
            )
        )
        size = dataset.get_type().get_size()
        chunked = Chunked(
            name=name,
            shape=tuple(dataset.shape),
            itemsize=size,
            size=tuple(creation.get_chunk()),
            filters=filters,
            chunks=chunks,
        )
        count = prod(-(-whole // step) for whole, step in zip(chunked.shape, chunked.size, strict=True))
        if len(chunks) != count or not all(start in chunks for start in chunked.starts()):
            raise self._refused(f"{name} is in {count:,} chunks, and {len(chunks):,} were written")
        if sum(chunk.nbytes for chunk in chunks.values()) > self._part.nbytes:
            raise self._refused(f"the chunks of {name} overlap")
        end = self._part.offset + self._part.nbytes
        for chunk in chunks.values():
            if chunk.offset + chunk.nbytes > end or chunked.nbytes > max(_SMALL, _MAX_RATIO * chunk.nbytes):
                raise self._refused(f"a chunk of {name} takes {chunked.nbytes:,} bytes, and {chunk.nbytes:,} are there")
        return chunked

    def _extent(self, offset: int, nbytes: int, shape: tuple[int, ...]) -> tuple[Extent, ...]:
        if offset + nbytes > self._part.nbytes:
            raise self._refused(f"a dataset ends at byte {offset + nbytes:,} of {self._part.nbytes:,}")
        return (_whole(self.path, self._part.offset + offset, nbytes, shape),)

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Turn the errors of h5py into CheckpointError. ``what`` is being read."""
        try:
            yield
        except (OSError, LookupError, RuntimeError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
            if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
                message = f"cannot read {self.path}: {error.strerror}"
                raise CheckpointError(message, path=self.path) from None
            raise self._refused(f"{what} cannot be read ({error})") from None

    def _refused(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.path} is damaged or not a checkpoint: {what}", path=self.path, hint=_DAMAGED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        self._window.close()


def _single(decode: Callable[[], Iterator[memoryview]]) -> Iterator[Iterator[memoryview]]:
    """A decoder of one dataset as the decoder of a list of datasets, which the spool needs."""
    yield decode()


def _compact(dataset: DatasetID) -> bytes:
    """The bytes of a dataset that is stored in its header, at most 64 KiB."""
    import h5py
    import numpy as np

    kind = dataset.get_type()
    values = np.empty(dataset.shape, f"V{kind.get_size()}")
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values, kind)
    return values.tobytes()


def _whole(path: Path, offset: int, nbytes: int, shape: tuple[int, ...]) -> Extent:
    return Extent.of_whole(path, offset, nbytes, shape)
