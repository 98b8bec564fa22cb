"""One side of a layout: the dimensions of the tensors on it, and the axes merged into each dimension."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Term(NamedTuple):
    """A dimension of a tensor: the axes merged into it (slowest first; empty for ``1``), and its padding axis."""

    axes: tuple[str, ...]
    pad: str | None = None

    def __str__(self) -> str:
        if self.pad:
            return f"({self.axes[0]} + {self.pad})"
        if not self.axes:
            return "1"
        return self.axes[0] if len(self.axes) == 1 else f"({' '.join(self.axes)})"

    def size(self, sizes: Mapping[str, int]) -> int:
        """Number of elements along this dimension."""
        return prod(sizes[axis] for axis in self.axes) + (sizes[self.pad] if self.pad else 0)


class Side(NamedTuple):
    """One half of a layout: the axis that runs over a list of tensors (or None), and the dimensions of each of them."""

    listed: str | None
    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return " ".join([f"[{self.listed}]"] * bool(self.listed) + [str(term) for term in self.terms])

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes inside each tensor, slowest first, without the listed one and without padding."""
        return tuple(axis for term in self.terms for axis in term.axes)

    @property
    def pads(self) -> dict[str, str]:
        """The axis that counts the padding, by padded axis."""
        return {term.axes[0]: term.pad for term in self.terms if term.pad}

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Shape of each tensor on this side."""
        return tuple(term.size(sizes) for term in self.terms)

    def split_shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Shape with one dimension per axis, to which the tensor is reshaped before axes move."""
        pads = self.pads
        return tuple(sizes[axis] + (sizes[pads[axis]] if axis in pads else 0) for axis in self.axes)
