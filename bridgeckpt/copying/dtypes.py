"""Dtypes while copying: plain bits for elements that only move, and conversion that turns no value into infinity."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeckpt.errors import PrecisionError
from bridgeckpt.store.dtypes import check_numeric, numpy_dtype
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from bridgeckpt.copying.geometry import Block
    from bridgeckpt.copying.odd_values import OddValues
    from bridgeckpt.store.tensors import TensorInfo

    Array = np.ndarray[Any, np.dtype[Any]]

_WIDER = ("float16", "bfloat16", "float32", "float64")  # dtypes that an error recommends, in this order


@cache
def bits_dtype(name: str) -> np.dtype[Any]:
    """The dtype in which elements of dtype ``name`` move unchanged: unsigned integers of the same width."""
    # Complex numbers stay complex: numpy has no 16-byte integer, and each half has its own byte order.
    return np.dtype(name if name.startswith("complex") else f"u{DTYPES[name].itemsize}")


def stored_dtype(info: TensorInfo) -> np.dtype[Any]:
    """The dtype in which to read a tensor's stored bytes, byte order included.

    Raises:
        CheckpointError: The elements have no fixed size.
    """
    check_numeric(info)
    return bits_dtype(info.dtype).newbyteorder(">" if info.big_endian else "<")


def convert(
    bits: Array, info: TensorInfo, dtype: str, shape: tuple[int, ...], block: Block, odd: OddValues | None, name: str
) -> Array:
    """Convert bits of tensor ``info`` to bits of ``dtype``. They are its elements ``block`` under the shape ``shape``.

    NaN and infinity stay unchanged; other values are rounded to the nearest. ``odd`` counts the values that become 0,
    for the target ``name``.

    Raises:
        PrecisionError: a finite value is too large for ``dtype``, or either dtype is not a floating-point one.
    """
    if not (DTYPES[info.dtype].floating and DTYPES[dtype].floating):
        raise PrecisionError(f"{info.name} is {info.dtype}, which is not converted to {dtype}")
    values = bits.astype(bits_dtype(info.dtype), copy=False).view(numpy_dtype(info.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        converted = values.astype(numpy_dtype(dtype))
    if not np.isfinite(converted).all():
        lost = np.isfinite(values) & ~np.isfinite(converted)
        if lost.any():
            raise _lost(values, lost, info, dtype, shape, block)
    if odd is not None and converted.itemsize < values.itemsize:
        odd.narrowed(name, values, converted)
    return converted.view(bits_dtype(dtype))


def _lost(
    values: Array, lost: Array, info: TensorInfo, dtype: str, shape: tuple[int, ...], block: Block
) -> PrecisionError:
    at = np.unravel_index(int(lost.argmax()), lost.shape)
    value = values[at]
    position = np.ravel_multi_index([int(i) + axis.start for i, axis in zip(at, block, strict=True)], shape)
    index = [int(i) for i in np.unravel_index(int(position), info.shape)]
    with np.errstate(over="ignore"):
        holds = [name for name in _WIDER if np.isfinite(np.asarray(value).astype(numpy_dtype(name)))]
    return PrecisionError(
        f"{info.name}{index} is {float(value):g}, too large for {dtype}",
        hint=f"write {' or '.join(holds[:2])}, which can hold it" if holds else None,
    )
