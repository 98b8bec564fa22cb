"""The inputs that a BERT is run on, so that every weight is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.reference.probes import IDS, MASK, TYPES, Probe
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.parity.request import RecordingRequest

    Array = np.ndarray[Any, np.dtype[Any]]

# Six sequences of twelve positions: full length twice, padded to several degrees, and one token alone.
_LENGTHS = (12, 12, 9, 6, 3, 1)
_KEPT = 16  # positions of the long sequence whose values are kept
_DIRECTIONS = 8


def probes_of(request: RecordingRequest, directory: Path, rows: tuple[int, int, int]) -> dict[str, Probe]:
    """Random probes; or the user's texts, in place of the probes that go through the layers.

    Args:
        request: What the recording is asked for.
        directory: Where the tokenizer is, if the request does not say.
        rows: Rows of the tables of words, positions and types.

    Raises:
        ParityError: the tokenizer is missing, or is of another model.
    """
    probes = probe_inputs(*rows, seed=request.seed)
    if request.texts is None:
        return probes
    from bridgeckpt.parity.reference.texts import text_probe

    vocab, positions, _ = rows
    probe = text_probe(request.texts, request.tokenizer or directory, positions)
    largest = int(probe.inputs[IDS].max())
    if largest >= vocab:
        raise ParityError(
            f"the tokenizer makes token {largest}, and the model has {vocab} rows",
            hint=Sentence("give the tokenizer of this checkpoint with {tokenizer:FOLDER}"),
        )
    return {"texts": probe, "sweep": probes["sweep"]}


def probe_inputs(vocab: int, positions: int, types: int, *, seed: int = 0) -> dict[str, Probe]:
    """Probes that read every weight of a BERT.

    ``mixed`` is short, with padding and both segments, and every stage of it is kept. ``long`` is one sequence as long
    as the position table. ``sweep`` reads every row of the three embedding tables at least once; only its embeddings
    are computed. Arguments are the numbers of rows of the embedding tables.
    """
    generator = np.random.default_rng(seed)
    lengths = np.minimum(_LENGTHS, positions)
    probes = {"mixed": Probe(_batch(generator, lengths, vocab, types))}
    if positions > max(lengths):
        inputs = _batch(generator, np.array([positions]), vocab, types)
        kept = np.unique(np.linspace(0, positions - 1, _KEPT).astype(int))
        probes["long"] = Probe(inputs, "coarse", tuple(int(position) for position in kept))
    probes["sweep"] = sweep(vocab, positions, types, seed=seed)
    return probes


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
