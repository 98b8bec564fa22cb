"""Values that a person should know of, counted while tensors are copied: NaN, infinity, and numbers that became 0.

A piece is judged while it is in the cache, by the largest of its bits read as integers: only the exponent of NaN and of
infinity has all bits set, so that both are above every number. That costs two passes over the piece and no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

# Of a floating-point dtype: the bytes of an element, and the bits of positive infinity.
_INFINITY = {
    "float16": (2, 0x7C00),
    "bfloat16": (2, 0x7F80),
    "float32": (4, 0x7F80_0000),
    "float64": (8, 0x7FF0_0000_0000_0000),
}


class OddCount(NamedTuple):
    """How many values of a tensor are NaN or infinite, and how many became 0 in another dtype (``vanished``)."""

    nan: int = 0
    infinite: int = 0
    vanished: int = 0


class OddValues:
    """Collects the counts of tensors, by name. Several threads may count, each for tensors of its own."""

    def __init__(self) -> None:
        self._counts: dict[str, OddCount] = {}

    @property
    def counts(self) -> dict[str, OddCount]:
        """The counts of the tensors that have any, by name."""
        return dict(sorted(self._counts.items()))

    def judge(self, name: str, dtype: str, data: bytes | memoryview | Array) -> None:
        """Count NaN and infinity among the elements of a piece of a tensor, given as its bytes."""
        nan, infinite = not_finite(dtype, data)
        if nan or infinite:
            self._add(name, OddCount(nan, infinite))

    def judge_batch(self, tensors: Iterable[tuple[str, str, bytes]]) -> None:
        """:meth:`judge` for many small tensors, each a name, a dtype and its bytes."""
        batches: dict[str, list[tuple[str, bytes]]] = {}
        for name, dtype, data in tensors:
            if dtype in _INFINITY:
                batches.setdefault(dtype, []).append((name, data))
        for dtype, batch in batches.items():
            if any(not_finite(dtype, b"".join([data for _, data in batch]))):
                for name, data in batch:
                    self.judge(name, dtype, data)

    def narrowed(self, name: str, values: Array, converted: Array) -> None:
        """Count the elements that are 0 after a conversion, and were not before."""
        import numpy as np

        vanished = int(np.count_nonzero(values)) - int(np.count_nonzero(converted))
        if vanished:
            self._add(name, OddCount(vanished=vanished))

    def _add(self, name: str, more: OddCount) -> None:
        known = self._counts.get(name, OddCount())
        self._counts[name] = OddCount(*(a + b for a, b in zip(known, more, strict=True)))


def not_finite(dtype: str, data: bytes | memoryview | Array) -> tuple[int, int]:
    """How many of the elements are NaN, and how many are infinite; ``data`` are their bytes, or an array of them."""
    import numpy as np

    if dtype not in _INFINITY:
        return 0, 0
    width, infinity = _INFINITY[dtype]
    sign = 1 << (8 * width - 1)
    stored = data.reshape(-1).view(np.uint8) if isinstance(data, np.ndarray) else data
    bits = np.frombuffer(stored, f"u{width}")
    if not bits.size or (bits.view(f"i{width}").max() < infinity and bits.max() < sign | infinity):
        return 0, 0
    magnitudes = bits & bits.dtype.type(sign - 1)
    return int(np.count_nonzero(magnitudes > infinity)), int(np.count_nonzero(magnitudes == infinity))
