"""The elements of two tensors, compared exactly and in bounded memory.

Both tensors stream through the copying engine in pieces of 1 MiB, whatever their size and the order of their axes.
Tensors of one dtype are compared by their bits, so that every NaN and the sign of every zero counts. Tensors of two
dtypes are compared by their values in float64, where NaN equals NaN. That is exact except for 64-bit integers against
another kind of dtype.
"""

from __future__ import annotations

from math import isnan, nan, prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bridgeckpt.copying.engine import Copier
from bridgeckpt.store.checked_files import Sources
from bridgeckpt.store.dtypes import numpy_dtype
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridgeckpt.aligning.pairs import Pair
    from bridgeckpt.copying.job import Job

    Array = np.ndarray[Any, np.dtype[Any]]


class Gap(NamedTuple):
    """How much two tensors differ; the fields are those of :class:`bridgeckpt.comparing.difference.Compared`."""

    differing: int
    largest: float
    where: tuple[int, ...]
    values: tuple[float, float]
    scale: float
    nans: int
    rounded: bool


def compare(pairs: Iterable[Pair], *, verify: bool) -> Iterator[Gap | None]:
    """How much the tensors of each pair, which have the same shape, differ; None if they are equal.

    Raises:
        CheckpointError: a tensor is damaged, cut short or missing.
    """
    with Sources(verify=verify) as sources:
        a, b = Copier(sources), Copier(sources)  # each has its own buffers: both stream at the same time
        for pair in pairs:
            tally = _Tally()
            for offset, piece_a, piece_b in _together(_pieces(a, pair.a), _pieces(b, pair.b)):
                tally.add(offset, piece_a, piece_b)
            yield tally.result(pair)


def _pieces(copier: Copier, job: Job) -> Iterator[Array]:
    dtype = numpy_dtype(job.dtype)
    return (np.frombuffer(piece, np.uint8).view(dtype) for piece in copier.stream(job))


def _together(one: Iterator[Array], other: Iterator[Array]) -> Iterator[tuple[int, Array, Array]]:
    """The offset and the elements of both, in pieces that are equally long."""
    offset, a, b = 0, next(one, None), next(other, None)
    while a is not None and b is not None:
        count = min(len(a), len(b))
        yield offset, a[:count], b[:count]
        offset, a, b = offset + count, a[count:], b[count:]
        a = a if len(a) else next(one, None)
        b = b if len(b) else next(other, None)


class _Tally:
    """The comparison of a pair, added up piece by piece."""

    def __init__(self) -> None:
        self._seen = 0
        self._count = self._nans = self._unrounded = 0
        self._scale = self._largest = 0.0
        self._position: int | None = None
        self._values = (0.0, 0.0)

    def add(self, offset: int, a: Array, b: Array) -> None:
        """Compare the elements of both sides from ``offset`` on."""
        self._seen += len(a)
        differs = _differs(a, b)
        self._scale = max(self._scale, _largest(a))
        if not differs.any():
            return
        self._scale = max(self._scale, _largest(b))
        where = np.flatnonzero(differs)
        self._count += len(where)
        self._unrounded += _unrounded(a, b)
        one, other = _common(a[where], b[where])
        with np.errstate(invalid="ignore", over="ignore"):
            apart = _distance(one, other)
        lone = np.isnan(one) != np.isnan(other)
        self._nans += int(lone.sum())
        apart[np.isnan(one) & np.isnan(other)] = 0  # NaNs of different bits
        apart[lone] = nan
        worst = int((lone if lone.any() else apart).argmax())
        largest = float(apart[worst])
        if self._position is None or (not isnan(self._largest) and (isnan(largest) or largest > self._largest)):
            self._position, self._largest = offset + int(where[worst]), largest
            self._values = one[worst].item(), other[worst].item()

    def result(self, pair: Pair) -> Gap | None:
        """The difference over all pieces; None if there is none."""
        if self._seen != prod(pair.a.shape):  # never pass in silence if the engine skips elements
            raise AssertionError(f"{self._seen} elements of {pair.name} were compared, of {pair.a.shape}")
        if self._position is None:
            return None
        index = tuple(int(place) for place in np.unravel_index(self._position, pair.a.shape))
        rounded = pair.a.dtype != pair.b.dtype and not self._unrounded
        return Gap(
            differing=self._count,
            largest=self._largest,
            where=index,
            values=self._values,
            scale=self._scale,
            nans=self._nans,
            rounded=rounded,
        )


def _differs(a: Array, b: Array) -> Array:
    """Where elements differ: by their bits if both have one dtype, else by value."""
    if a.dtype == b.dtype:
        bits = f"V{a.itemsize}" if a.itemsize > 8 else f"u{a.itemsize}"
        return np.asarray(a.view(bits) != b.view(bits))
    return _unequal(*_common(a, b))


def _unequal(a: Array, b: Array) -> Array:
    return np.asarray((a != b) & ~(np.isnan(a) & np.isnan(b)))


def _common(a: Array, b: Array) -> tuple[Array, Array]:
    """Both in the dtype to compare in: an integer one for integers, complex128 for complex numbers, else float64."""
    kinds = {a.dtype.kind, b.dtype.kind}
    dtype = np.result_type(a, b) if kinds <= set("biu") else np.dtype("complex128" if "c" in kinds else "float64")
    dtype = np.dtype("uint8") if dtype.kind == "b" else dtype
    return a.astype(dtype), b.astype(dtype)


def _distance(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":  # the difference of two signed integers may fit only an unsigned one
        return (np.maximum(a, b) - np.minimum(a, b)).view(f"u{a.itemsize}").astype(np.float64)
    return np.asarray(np.abs(a - b))


def _largest(a: Array) -> float:
    """The largest finite absolute value."""
    sizes = np.abs(a if a.dtype.kind in "fc" else a.astype(np.float64))
    largest = float(sizes.max())
    return largest if np.isfinite(largest) else float(sizes.max(where=np.isfinite(sizes), initial=0))


def _unrounded(a: Array, b: Array) -> int:
    """How many elements of the wider dtype, rounded to the narrower one, differ from the other side."""
    wide, narrow = (a, b) if a.itemsize > b.itemsize else (b, a)
    floating = all(name in DTYPES and DTYPES[name].floating for name in (a.dtype.name, b.dtype.name))
    if not floating or wide.itemsize == narrow.itemsize:
        return len(a)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = wide.astype(narrow.dtype)
    return int(_unequal(*_common(rounded, narrow)).sum())
