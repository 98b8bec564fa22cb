"""Small constants in a graph: a TensorProto of few numbers as Python numbers, and a float32 as a short decimal.

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/framework/{tensor,tensor_shape,types}.proto
"""

from __future__ import annotations

import struct
from math import prod

from bridgeckpt.formats.tensorflow.wire import BYTES, VARINT, WireError, fields, numbers, signed, tag

_DTYPE, _SHAPE, _CONTENT = tag(1, VARINT), tag(2, BYTES), tag(4, BYTES)
_DIM, _DIM_SIZE = tag(2, BYTES), tag(1, VARINT)

# DataType number -> the code of its values for `struct`, and the tag of their packed field.
_NUMBERS = {
    1: ("f", tag(5, BYTES)),
    2: ("d", tag(6, BYTES)),
    3: ("i", tag(7, BYTES)),
    9: ("q", tag(10, BYTES)),
    10: ("?", tag(11, BYTES)),
    14: ("H", tag(13, BYTES)),  # bfloat16: the upper half of a float32
    19: ("e", tag(13, BYTES)),
}
_BFLOAT16, _FLOAT16 = 14, 19
# A constant with more elements is a weight or a table, not a setting.
_MAX_ELEMENTS = 64

Number = int | float


def small_constant(tensor: bytes) -> tuple[Number, ...] | None:
    """The elements of a TensorProto of floats of 16 to 64 bits, int32, int64 or bool, in C order.

    If fewer elements are stored than the shape has, the last one is repeated. None for another dtype, or for more
    elements than a setting has.

    Raises:
        WireError: the bytes are not a TensorProto.
    """
    dtype, count, content = 0, 1, b""
    listed: dict[int, bytes] = {}
    for key, number, payload in fields(tensor):
        if key == _DTYPE:
            dtype = number
        elif key == _SHAPE:
            count = prod(_size(dim) for dim_key, _, dim in fields(payload) if dim_key == _DIM)
        elif key == _CONTENT:
            content = payload
        else:
            listed[key] = payload
    if dtype not in _NUMBERS or count > _MAX_ELEMENTS:
        return None
    code, field = _NUMBERS[dtype]
    if dtype in (_BFLOAT16, _FLOAT16) and not content:  # the bits of each number
        content = b"".join((bits & 0xFFFF).to_bytes(2, "little") for bits in numbers(listed.get(field, b"")))
    if dtype == _BFLOAT16:
        values: list[Number] = [decimal(bytes(2) + content[at : at + 2]) for at in range(0, len(content) - 1, 2)]
    elif dtype == _FLOAT16:
        values = _unpack(content, code)
    elif content or code in "fd":
        values = _unpack(content or listed.get(field, b""), code)
    else:
        values = [signed(value) for value in numbers(listed.get(field, b""))]
    if len(values) < count:
        values += (values[-1:] or [0]) * (count - len(values))
    return tuple(values[:count])


def is_uneven_square(tensor: bytes) -> bool:
    """Whether a TensorProto certainly holds square matrices of different numbers, stored as their bytes."""
    sizes: list[int] = []
    content = b""
    for key, _, payload in fields(tensor):
        if key == _SHAPE:
            sizes = [_size(dim) for dim_key, _, dim in fields(payload) if dim_key == _DIM]
        elif key == _CONTENT:
            content = payload
    count = prod(sizes)
    if len(sizes) < 2 or sizes[-1] != sizes[-2] or count < 1 or not content or len(content) % count:
        return False
    return content != content[: len(content) // count] * count


def decimal(data: bytes) -> float:
    """A float32 (4 bytes) as the decimal with the fewest digits: 1e-12, not 9.99999996e-13, the nearest float64."""
    value: float = struct.unpack("<f", data)[0]
    for digits in range(1, 10):  # nine digits identify every float32
        short = float(f"{value:.{digits}g}")
        try:
            if struct.pack("<f", short) == data:
                return short
        except OverflowError:  # rounded up past the largest float32
            continue
    return value  # NaN: a decimal does not show its bits


def _size(dim: bytes) -> int:
    """The size in a TensorShapeProto.Dim; 0 is not stored."""
    return sum(signed(size) for key, size, _ in fields(dim) if key == _DIM_SIZE)


def _unpack(data: bytes, code: str) -> list[Number]:
    """The little-endian numbers in ``data``."""
    size = struct.calcsize(f"<{code}")
    if len(data) % size:
        raise WireError(f"{len(data)} bytes of {size}-byte numbers")
    if code == "f":
        return [decimal(data[start : start + size]) for start in range(0, len(data), size)]
    return list(struct.unpack(f"<{len(data) // size}{code}", data))
