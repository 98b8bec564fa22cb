"""The slices of a partitioned variable in a TensorBundle: their places, their keys, and whether they are complete.

Sources, in https://github.com/tensorflow/tensorflow: tensorflow/core/framework/tensor_slice.proto,
tensorflow/core/util/saved_tensor_slice_util.cc (the key) and tensorflow/core/lib/strings/ordered_code.cc (numbers and
strings are written so that their bytes sort in the same order).
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.tensorflow.wire import BYTES, VARINT, WireError, fields, signed, tag

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXTENT, _START, _LENGTH = tag(1, BYTES), tag(1, VARINT), tag(2, VARINT)
_WHOLE = -1  # the length of a slice along an axis that it does not divide
_MAX_DIVIDED_AXES = 8  # TensorFlow's partitioners divide one


class Block(NamedTuple):
    """A part of a tensor: its start and its length along each axis."""

    start: tuple[int, ...]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return (
            "[" + ", ".join(f"{start}:{start + size}" for start, size in zip(self.start, self.shape, strict=True)) + "]"
        )


def slice_at(proto: bytes, name: str, shape: tuple[int, ...]) -> tuple[Block, bytes]:
    """The place in ``name`` of the slice that a TensorSliceProto describes, and the key of its entry.

    Raises:
        WireError: the slice is not inside a tensor of ``shape``.
    """
    spans: list[tuple[int, int]] = []
    for key, _, payload in fields(proto):
        if key == _EXTENT:
            span = {key: signed(number) for key, number, _ in fields(payload)}
            spans.append((span.get(_START, 0), span.get(_LENGTH, _WHOLE)))
    if len(spans) != len(shape):
        raise WireError(f"it has {len(shape)} axes and a slice of {len(spans)}")
    sizes = (whole if length == _WHOLE else length for (_, length), whole in zip(spans, shape, strict=True))
    block = Block(tuple(start for start, _ in spans), tuple(sizes))
    if not all(start >= 0 and 0 <= size <= whole - start for start, size, whole in zip(*block, shape, strict=True)):
        raise WireError(f"its slice {block} is not inside {list(shape)}")
    return block, _key(name, spans)


def tile(shape: tuple[int, ...], blocks: Iterable[Block]) -> bool:
    """Whether the blocks fill ``shape`` exactly, without a gap or an overlap.

    Add ones in a block to a tensor of zeros, and take differences along every axis: the result is +1 or -1 at each
    corner of the block, and 0 elsewhere. Taking differences can be undone, so blocks add up to the whole tensor if and
    only if their corners add up to its corners.
    """
    blocks = list(blocks)
    whole = Block((0,) * len(shape), shape)
    divided = [axis for axis in range(len(shape)) if any(block.shape[axis] != shape[axis] for block in blocks)]
    if len(divided) > _MAX_DIVIDED_AXES:
        raise WireError(f"it is sliced along {len(divided)} axes, more than the {_MAX_DIVIDED_AXES} supported")
    corners: Counter[tuple[int, ...]] = Counter()
    for sign, block in [(-1, whole), *((1, block) for block in blocks)]:
        spans = [(block.start[axis], block.shape[axis]) for axis in divided]
        for ends in product((0, 1), repeat=len(divided)):
            corner = tuple(start + end * size for (start, size), end in zip(spans, ends, strict=True))
            corners[corner] += sign * (-1) ** sum(ends)
    return not any(corners.values())


def _key(name: str, spans: list[tuple[int, int]]) -> bytes:
    """The key of a slice's entry: 0, the name, the number of axes, and each axis' start and length."""
    escaped = name.encode().replace(b"\0", b"\0\xff").replace(b"\xff", b"\xff\0")
    numbers = b"".join(_ordered(number) for span in spans for number in span)
    rank = len(spans).to_bytes(1, "big") if spans else b""
    return b"\0" + escaped + b"\0\1" + bytes([len(rank)]) + rank + numbers


def _ordered(number: int) -> bytes:
    """A signed number in n bytes, the smallest n so that 7n bits hold it. The first n bits are flipped."""
    magnitude = ~number if number < 0 else number
    count = magnitude.bit_length() // 7 + 1
    flipped = ((1 << count) - 1) << 7 * count
    return ((number & ((1 << 8 * count) - 1)) ^ flipped).to_bytes(count, "big")
