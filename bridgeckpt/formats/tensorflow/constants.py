"""The values of a constant in a graph (a TensorProto): where its bytes lie, or how they are decoded.

Values are stored in one of two ways: as the tensor's memory (``tensor_content``), or as a list of numbers, in which the
last one stands for all that follow. Memory, and a whole list of floats, are used where they lie. Other lists are
decoded.

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/framework/{tensor,tensor_shape}.proto;
``Tensor::FromProto`` in tensorflow/core/framework/tensor.cc
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.formats.tensorflow.bundle import dtype_of, shape_of
from bridgeckpt.formats.tensorflow.wire import BYTES, VARINT, WireError, tag
from bridgeckpt.store.source import open_file
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from bridgeckpt.formats.tensorflow.stored_wire import Span, StoredMessages

    Array = np.ndarray[Any, np.dtype[Any]]

_DTYPE, _SHAPE, _CONTENT = tag(1, VARINT), tag(2, BYTES), tag(4, BYTES)
_FIXED_LISTS = {"float32": tag(5, BYTES), "float64": tag(6, BYTES)}
_VARINT_LISTS = {
    **dict.fromkeys(("int32", "int16", "int8", "uint16", "uint8"), tag(7, BYTES)),
    "int64": tag(10, BYTES),
    "bool": tag(11, BYTES),
    **dict.fromkeys(("float16", "bfloat16"), tag(13, BYTES)),  # the bits of each number
    "uint32": tag(16, BYTES),
    "uint64": tag(17, BYTES),
}
_LISTS = _FIXED_LISTS | _VARINT_LISTS
_PIECE = 1 << 20  # bytes
_LARGEST_REPEATED = 1 << 30  # bytes that a few numbers may stand for
_LONGEST_VARINT = 10
QUANTIZED = range(11, 17)  # DataType: qint8, quint8, qint32, bfloat16, qint16, quint16
_BFLOAT16 = 14


class Constant(NamedTuple):
    """A constant.

    Attributes:
        dtype, shape: Of the tensor.
        content: Where its bytes lie, in C order; None if they are decoded from ``listed``.
        listed: Where the lists of its numbers lie, usually one.
    """

    dtype: str
    shape: tuple[int, ...]
    content: Span | None
    listed: tuple[Span, ...]

    @property
    def nbytes(self) -> int:
        """The size of the tensor in bytes."""
        return prod(self.shape) * DTYPES[self.dtype].itemsize


def read_constant(messages: StoredMessages, tensor: Span) -> Constant | None:
    """The TensorProto at a span; None if it does not hold numbers, or numbers of 8 bits with a range of their own.

    Raises:
        WireError: the bytes are not a TensorProto, or its values do not have its shape.
    """
    dtype_number = 0
    shape: tuple[int, ...] = ()
    content: Span | None = None
    lists: dict[int, list[Span]] = {}
    for key, number, payload in messages.fields(tensor):
        if key == _DTYPE:
            dtype_number = number
        elif key == _SHAPE:
            shape = shape_of(messages.read(payload))
        elif key == _CONTENT:
            content = payload
        elif key & 7 == BYTES:
            lists.setdefault(key, []).append(payload)
    if is_quantized(dtype_number) or (dtype := dtype_of(dtype_number)) not in _LISTS:
        return None
    stored = content if content is not None and content.nbytes else None
    constant = Constant(dtype, shape, stored, tuple(lists.get(_LISTS[dtype], ())))
    if stored is not None and stored.nbytes != constant.nbytes:
        raise WireError(f"it has {stored.nbytes:,} bytes, and {dtype} {list(shape)} takes {constant.nbytes:,}")
    if stored is None and constant.nbytes > max(_LARGEST_REPEATED, sum(span.nbytes for span in constant.listed)):
        raise WireError(f"it repeats a few numbers until they fill {list(shape)}")
    whole = [span for span in constant.listed if dtype in _FIXED_LISTS and span.nbytes == constant.nbytes]
    if stored is None and len(constant.listed) == 1 and whole:
        return constant._replace(content=whole[0])
    return constant


def is_quantized(dtype_number: int) -> bool:
    """Whether a DataType is one whose numbers mean nothing without the range that they were rounded in."""
    return dtype_number in QUANTIZED and dtype_number != _BFLOAT16


def decode(path: Path, constant: Constant) -> Iterator[bytes]:
    """The bytes of a constant of the file at ``path`` that is stored as a list, in pieces.

    Raises:
        WireError: the list holds more numbers than the tensor, or is cut short.
        OSError: the file cannot be read.
    """
    itemsize, left = DTYPES[constant.dtype].itemsize, constant.nbytes
    last = bytes(itemsize)
    for numbers in _numbers(path, constant):
        left -= len(numbers)
        if left < 0:
            raise WireError(f"it lists more numbers than {list(constant.shape)} has")
        last = numbers[-itemsize:] or last
        yield numbers
    repeated = last * (min(left, _PIECE) // itemsize)
    while left:
        yield repeated[:left]
        left -= min(left, len(repeated))


def stored_bytes(path: Path, constant: Constant) -> Iterator[bytes]:
    """The bytes of a small constant of the file at ``path``, however it is stored.

    Raises:
        WireError: as :func:`decode`.
        OSError: the file cannot be read.
    """
    if constant.content is None:
        yield from decode(path, constant)
    else:
        yield open_file(path).read(constant.content.start, constant.content.nbytes)


def _numbers(path: Path, constant: Constant) -> Iterator[bytes]:
    """The listed numbers as the tensor's memory, in pieces."""
    file = open_file(path)
    for span in constant.listed:
        pending = b""
        for start in range(span.start, span.end, _PIECE):
            data = pending + file.read(start, min(_PIECE, span.end - start))
            if constant.dtype in _FIXED_LISTS:
                yield data
                continue
            numbers, pending = _varints(data, constant.dtype)
            yield numbers
        if pending:
            raise WireError("its last number is cut short")


def _varints(data: bytes, dtype: str) -> tuple[bytes, bytes]:
    """The varints in ``data`` as numbers of ``dtype``, and the beginning of one that goes on after it."""
    import numpy as np

    stored = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(stored < 0x80) + 1
    if not len(ends):
        if len(data) >= _LONGEST_VARINT:
            raise WireError("it holds a number of more than 64 bits")
        return b"", data
    starts = np.concatenate(([0], ends[:-1]))
    if (ends - starts).max() > _LONGEST_VARINT:
        raise WireError("it holds a number of more than 64 bits")
    whole = stored[: ends[-1]]
    place = np.arange(len(whole)) - np.repeat(starts, ends - starts)
    parts = (whole & 0x7F).astype(np.uint64) << (7 * place).astype(np.uint64)
    values = np.add.reduceat(parts, starts)
    return values.astype(f"<u{DTYPES[dtype].itemsize}").tobytes(), data[ends[-1] :]
