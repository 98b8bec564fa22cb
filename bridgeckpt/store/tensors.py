"""The records that every reader makes: names, shapes, dtypes and byte ranges of a checkpoint's tensors.

This module reads no tensor data and does not import numpy. A plan needs only these records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class DType(NamedTuple):
    """A dtype: its name in numpy or ml_dtypes, its size in bytes and its code in a safetensors header (or None).

    ``floating``: whether its elements are floating-point numbers. Only such dtypes are converted to one another.
    """

    name: str
    itemsize: int
    safetensors: str | None
    floating: bool = False


# Source of the codes: https://github.com/huggingface/safetensors (safetensors/src/tensor.rs, enum Dtype).
DTYPES: Mapping[str, DType] = {
    dtype.name: dtype
    for dtype in (
        DType("bool", 1, "BOOL"),
        DType("uint8", 1, "U8"),
        DType("int8", 1, "I8"),
        DType("uint16", 2, "U16"),
        DType("int16", 2, "I16"),
        DType("uint32", 4, "U32"),
        DType("int32", 4, "I32"),
        DType("uint64", 8, "U64"),
        DType("int64", 8, "I64"),
        DType("float16", 2, "F16", floating=True),
        DType("bfloat16", 2, "BF16", floating=True),
        DType("float32", 4, "F32", floating=True),
        DType("float64", 8, "F64", floating=True),
        DType("complex64", 8, "C64"),
        DType("complex128", 16, None),
        DType("float8_e5m2", 1, "F8_E5M2", floating=True),
        DType("float8_e4m3fn", 1, "F8_E4M3", floating=True),
        DType("float8_e4m3fnuz", 1, None, floating=True),
        DType("float8_e4m3b11fnuz", 1, None, floating=True),
        DType("float8_e5m2fnuz", 1, None, floating=True),
        DType("float4_e2m1fn", 1, None, floating=True),
        DType("int4", 1, None),
        DType("uint4", 1, None),
        DType("int2", 1, None),
        DType("uint2", 1, None),
        DType("string", 0, None),  # variable length; itemsize is not defined
    )
}


def stored_as(dtype: str) -> str:
    """The dtype in which a weight of ``dtype`` is written: those of one byte are float32, as no model loads them."""
    return "float32" if DTYPES[dtype].floating and DTYPES[dtype].itemsize == 1 else dtype


class Extent(NamedTuple):
    """A block of a tensor stored contiguously, row-major, in one file.

    ``offset`` and ``nbytes`` are in bytes. ``start`` and ``shape`` place the block in the full tensor, in elements. If
    the tensor is stored whole, ``start`` is all zeros and ``shape`` the full shape. ``crc32c`` is the unmasked CRC-32C
    of the stored bytes, or None if the format stores none.
    """

    path: Path
    offset: int
    nbytes: int
    start: tuple[int, ...]
    shape: tuple[int, ...]
    crc32c: int | None

    @classmethod
    def of_whole(
        cls, path: Path, offset: int, nbytes: int, shape: tuple[int, ...], crc32c: int | None = None
    ) -> Extent:
        """The only extent of a tensor that is stored whole."""
        return cls(path=path, offset=offset, nbytes=nbytes, start=(0,) * len(shape), shape=shape, crc32c=crc32c)


class TensorInfo(NamedTuple):
    """One tensor: ``shape`` in elements, ``dtype`` a key of :data:`DTYPES` if it is known, ``extents`` its bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    extents: tuple[Extent, ...]
    big_endian: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of storage."""
        return sum(extent.nbytes for extent in self.extents)


def in_order(info: TensorInfo) -> Sequence[int] | None:
    """The numbers of the extents in the tensor's row-major order; None if the extents interleave.

    They do not interleave if the tensor is partitioned along the first of its axes that is longer than 1.
    """
    if len(info.extents) == 1:
        return (0,)
    first = next((axis for axis, size in enumerate(info.shape) if size > 1), 0)
    if any(extent.shape[first + 1 :] != info.shape[first + 1 :] for extent in info.extents):
        return None
    return sorted(range(len(info.extents)), key=lambda number: info.extents[number].start)
