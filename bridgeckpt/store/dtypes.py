"""Stored elements in numpy: dtypes, possible shapes, byte order; and the check of checksums."""

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
    """Whether numpy can hold an array of this shape. Axes of length 0 do not make a shape possible."""
    return len(shape) <= _MAX_RANK and min(shape, default=0) >= 0 and prod(filter(None, shape)) < _MAX_SIZE


def check_crc(computed: int, extent: Extent, name: str) -> None:
    """Compare a computed CRC-32C of tensor ``name`` with the stored one.

    Raises:
        CheckpointError: the two differ.
    """
    if computed != extent.crc32c:
        raise CheckpointError(
            f"{name} is damaged: its {extent.nbytes:,} bytes at byte {extent.offset:,} of {extent.path} "
            f"have CRC-32C {computed:08x}, not {extent.crc32c:08x}",
            path=extent.path,
            hint=Sentence("copy or download the file again; to read it as it is, pass {verify:False}"),
        )


def check_numeric(info: TensorInfo) -> None:
    """Check that a tensor's elements are numbers of a fixed size.

    Raises:
        CheckpointError: the elements are something else, such as TensorFlow's strings and variants.
    """
    if info.dtype not in DTYPES or not DTYPES[info.dtype].itemsize:
        raise CheckpointError(f"{info.name} is of dtype {info.dtype}, which is not a dtype of numbers")


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype of a key of ``DTYPES``. ml_dtypes is imported only for a dtype that numpy lacks.

    Raises:
        CheckpointError: the installed ml_dtypes is too old to have the dtype.
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
    """Reverse the bytes of each element in place. A complex element is two numbers, each reversed by itself."""
    width = array.itemsize // 2 if array.dtype.kind == "c" else array.itemsize
    if width > 1:
        array.reshape(-1).view(f"u{width}").byteswap(inplace=True)
