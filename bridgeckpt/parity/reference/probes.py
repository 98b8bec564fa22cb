"""Probes: the inputs that both frameworks are run on, and which part of the outputs is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"

_ROWS_AT_ONCE = 4096  # positions of a probe of one stage that are run at a time


class Probe(NamedTuple):
    """One batch of inputs and what is kept of the outputs.

    Attributes:
        inputs: Name to array: ``input_ids``, ``attention_mask`` and ``token_type_ids``, int32 [batch, seq]; or the
            arguments of a user's own function.
        depth: Which stages are kept: "fine" ones, only "coarse" ones, or the name of the one stage that is computed.
        positions: The positions of each sequence that are kept; None for all.
        directions: If not 0, the last axis is replaced by its projections on this number of random vectors of +1 and
            -1. They show a wrong row as surely as the row itself, in a hundredth of the space.
    """

    inputs: Mapping[str, Array]
    depth: str = "fine"
    positions: tuple[int, ...] | None = None
    directions: int = 0

    @property
    def only(self) -> str | None:
        """The one stage that is computed; None for the whole model."""
        return None if self.depth in ("fine", "coarse") else self.depth

    def keep(self, values: Array) -> Array:
        """The part of a stage's values [batch, seq, features] that is kept; [batch, features] is kept whole."""
        if self.positions is not None and values.ndim > 2:
            values = values[:, list(self.positions)]
        if self.directions:
            projected: Array = values.astype(np.float64) @ _directions(values.shape[-1], self.directions)
            return projected
        return values

    def rows(self, values: Array) -> Array:
        """Kept values as [rows, features], padded positions left out. A stage without features is a column."""
        mask = self.mask
        if mask is not None and values.ndim > 2 and values.shape[:2] == mask.shape:
            values = values[mask]
            return values.reshape(len(values), -1)
        return values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)

    @property
    def mask(self) -> Array | None:
        """Which of the kept positions hold a token, bool [batch, kept]; None of a function's inputs without a mask."""
        if MASK not in self.inputs:
            return None
        mask: Array = self.inputs[MASK].astype(bool)
        return mask if self.positions is None else mask[:, list(self.positions)]

    def place(self, row: int, rows: int) -> str:
        """The sequence and position of row ``row`` of ``rows``, as text."""
        if self.mask is None or self.mask.sum() != rows:
            return f"row {row}"
        sequence, at = (int(indices[row]) for indices in np.nonzero(self.mask))
        return f"sequence {sequence}, position {at if self.positions is None else self.positions[at]}"

    def pieces(self) -> list[Probe]:
        """The probe divided along the batch: a probe of one stage may have many sequences, which need much memory."""
        if self.only is None:
            return [self]
        batch, length = self.inputs[IDS].shape
        step = max(1, _ROWS_AT_ONCE // length)
        return [
            self._replace(inputs={name: array[at : at + step] for name, array in self.inputs.items()})
            for at in range(0, batch, step)
        ]


def _directions(features: int, count: int) -> Array:
    signs: Array = np.random.default_rng(features).choice((-1.0, 1.0), (features, count))
    return signs
