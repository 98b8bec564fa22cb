"""Probe inputs: what both frameworks are run on, so that every weight is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bridgeckpt.parity.bert.stages import Depth

    Array = np.ndarray[Any, np.dtype[Any]]

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"

# Six sequences of twelve positions: full length twice, padded to several degrees, and one token alone.
_LENGTHS = (12, 12, 9, 6, 3, 1)
_KEPT = 16  # positions of the long sequence whose values are kept
_DIRECTIONS = 8
_SWEPT_ROWS = 4096  # positions that the sweep runs at a time


class Probe(NamedTuple):
    """One batch of inputs and what is kept of the outputs.

    Attributes:
        inputs: Name to array. Of a BERT ``input_ids``, ``attention_mask`` and ``token_type_ids``, int32 [batch, seq];
            of a user's own function whatever that takes.
        depth: Which stages are kept.
        positions: The positions of each sequence that are kept; None for all.
        directions: When not 0, the last axis is kept as projections on so many random vectors of +1 and -1, which
            tells a wrong row as surely as the row does, in a hundredth of the space.
    """

    inputs: Mapping[str, Array]
    depth: Depth = "fine"
    positions: tuple[int, ...] | None = None
    directions: int = 0

    def keep(self, values: Array) -> Array:
        """What is kept of a stage's values [batch, seq, features]; of those [batch, features] all."""
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
        """Which sequence and position is row ``row`` of ``rows``, for people."""
        if self.mask is None or self.mask.sum() != rows:
            return f"row {row}"
        sequence, at = (int(indices[row]) for indices in np.nonzero(self.mask))
        return f"sequence {sequence}, position {at if self.positions is None else self.positions[at]}"

    def pieces(self) -> list[Probe]:
        """The probe cut along the batch, so that a sweep over a large vocabulary runs in little memory."""
        batch, length = self.inputs[IDS].shape
        if self.depth != "embeddings":
            return [self]
        step = max(1, _SWEPT_ROWS // length)
        return [
            self._replace(inputs={name: array[at : at + step] for name, array in self.inputs.items()})
            for at in range(0, batch, step)
        ]


def probe_inputs(vocab: int, positions: int, types: int, *, seed: int = 0) -> dict[str, Probe]:
    """Probes that read every weight of a BERT.

    ``mixed`` is short, with padding and both segments, and every stage of it is kept. ``long`` is one sequence as long
    as the position table. ``sweep`` reads every row of the three embedding tables at least once; only its embeddings
    are computed. Arguments are the numbers of rows of the embedding tables.
    """
    generator = np.random.default_rng(seed)
    lengths = np.minimum(_LENGTHS, positions)
    found = {"mixed": Probe(_batch(generator, lengths, vocab, types))}
    if positions > max(lengths):
        inputs = _batch(generator, np.array([positions]), vocab, types)
        kept = np.unique(np.linspace(0, positions - 1, _KEPT).astype(int))
        found["long"] = Probe(inputs, "coarse", tuple(int(at) for at in kept))
    found["sweep"] = sweep(vocab, positions, types, seed=seed)
    return found


def sweep(vocab: int, positions: int, types: int, *, seed: int = 0) -> Probe:
    """Every row of the embedding tables: a permutation of the vocabulary laid over full-length sequences."""
    generator = np.random.default_rng(seed + 1)
    batch = -(-max(vocab, positions, types) // positions)
    ids = np.resize(generator.permutation(vocab), batch * positions).astype(np.int32)
    segments = np.resize(np.arange(types), batch * positions).astype(np.int32)
    inputs = {
        IDS: ids.reshape(batch, positions),
        MASK: np.ones((batch, positions), np.int32),
        TYPES: generator.permutation(segments).reshape(batch, positions),
    }
    return Probe(inputs, "embeddings", None, _DIRECTIONS)


def _batch(generator: np.random.Generator, lengths: Array, vocab: int, types: int) -> dict[str, Array]:
    shape = (len(lengths), int(max(lengths)))
    mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int32)
    segments = np.sort(generator.integers(0, types, shape, dtype=np.int32), axis=1)
    segments[lengths > 1, 0] = 0  # both segments in every sequence of two
    segments[np.arange(shape[0])[lengths > 1], lengths[lengths > 1] - 1] = types - 1
    return {
        IDS: generator.integers(0, vocab, shape, dtype=np.int32) * mask,
        MASK: mask,
        TYPES: segments * mask,
    }


def _directions(features: int, count: int) -> Array:
    signs: Array = np.random.default_rng(features).choice((-1.0, 1.0), (features, count))
    return signs
