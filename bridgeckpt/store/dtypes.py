"""Stored elements as numpy holds them: dtypes, shapes that can be, byte order, and checksums."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import CheckpointError
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.tensors import DTYPES, Extent, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_MAX_RANK = 32  # numpy 1's limit; TensorFlow's own operations stop at 8

_MAX_SIZE = 1 << 58  # elements of at most 16 bytes whose number of bytes numpy can still count


def is_possible_shape(shape: Sequence[int]) -> bool:
    """Whether numpy can hold an array of this shape; an empty one may be as impossible as another."""
    return len(shape) <= _MAX_RANK and min(shape, default=0) >= 0 and prod(filter(None, shape)) < _MAX_SIZE


def check_crc(found: int, extent: Extent, name: str) -> None:
    """Compare a computed CRC-32C with the stored one.

    Raises:
        CheckpointError: they differ.
    """
    if found != extent.crc32c:
        raise CheckpointError(
            f"{name} is damaged: its {extent.nbytes:,} bytes at byte {extent.offset:,} of {extent.path} "
            f"have CRC-32C {found:08x}, not {extent.crc32c:08x}",
            path=extent.path,
            hint=Sentence("copy or download the file again; to read it as it is, pass {verify:False}"),
        )


def check_numeric(info: TensorInfo) -> None:
    """See that a tensor's elements are numbers, of a fixed size.

    Raises:
        CheckpointError: they are not, as in TensorFlow's strings and variants.
    """
    if info.dtype not in DTYPES or not DTYPES[info.dtype].itemsize:
        raise CheckpointError(f"{info.name} is of dtype {info.dtype}, which is no array of numbers")


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype of a key of ``DTYPES``; ml_dtypes is imported only for one that numpy lacks.

    Raises:
        CheckpointError: the installed ml_dtypes is too old to have it.
    """
    import numpy as np

    try:
        dtype = np.dtype(name)
    except TypeError:
        import ml_dtypes

        if not hasattr(ml_dtypes, name):
            hint = "install a newer ml_dtypes"
            raise CheckpointError(f"ml_dtypes {ml_dtypes.__version__} has no {name}", hint=hint) from None
        dtype = np.dtype(getattr(ml_dtypes, name))
    return dtype


def swap_bytes(array: Array) -> None:
    """Reverse each element's bytes in place (each half of a complex one's: it is two numbers)."""
    width = array.itemsize // 2 if array.dtype.kind == "c" else array.itemsize
    if width > 1:
        array.reshape(-1).view(f"u{width}").byteswap(inplace=True)
