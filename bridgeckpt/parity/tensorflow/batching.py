"""Probes on a function of fixed sizes: they are padded to these sizes and run in pieces, and the padding is dropped."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeckpt.parity.reference.probes import IDS, MASK
from bridgeckpt.parity.tensorflow.nodes import UnusableGraph

if TYPE_CHECKING:
    from bridgeckpt.parity.reference.probes import Probe

    Array = np.ndarray[Any, np.dtype[Any]]


def in_batches(
    probe: Probe,
    batch: int | None,
    length: int | None,
    compute: Callable[[dict[str, Array]], dict[str, Array]],
    pooled: Container[str],
) -> dict[str, Array]:
    """The kept values of every stage that ``compute`` returns, for the whole probe.

    Args:
        probe: Of at most ``length`` positions.
        batch: The number of sequences of the function; None for any.
        length: The number of positions of the function; None for any.
        compute: Stage to values, from inputs [batch, seq]: [batch, seq, features] or [batch * seq, features].
        pooled: The stages whose values are [batch, features].

    Raises:
        UnusableGraph: a stage has another shape.
    """
    pieces = []
    for piece in probe.pieces():
        rows = piece.inputs[IDS].shape[0]
        step = batch or rows
        for start in range(0, rows, step):
            inputs = {name: array[start : start + step] for name, array in piece.inputs.items()}
            asked = inputs[IDS].shape
            run = (step, length or asked[1])
            computed = compute({name: _padded(name, array, run) for name, array in inputs.items()})
            pieces.append(
                {stage: probe.keep(_trim(stage, of, run, asked, stage in pooled)) for stage, of in computed.items()}
            )
    return {stage: np.concatenate([piece[stage] for piece in pieces]) for stage in pieces[0]}


def _padded(name: str, array: Array, shape: tuple[int, int]) -> Array:
    rows, length = array.shape
    padded = np.pad(array, [(0, shape[0] - rows), (0, shape[1] - length)])
    if name == MASK:
        padded[rows:, 0] = 1  # the softmax of a sequence of padding alone is not defined
    return padded


def _trim(stage: str, values: Array, run: tuple[int, int], asked: tuple[int, ...], is_pooled: bool) -> Array:
    """Values without padding, [batch, seq, features] or [batch, features]."""
    if is_pooled:
        if values.ndim != 2 or len(values) != run[0]:
            raise UnusableGraph(f"{stage} is {list(values.shape)} there, and not [{run[0]}, features]")
        return values[: asked[0]]
    if values.size % (run[0] * run[1]) or values.shape[:1] not in {run[:1], (run[0] * run[1],)}:
        raise UnusableGraph(f"{stage} is {list(values.shape)} there, and not [{run[0]}, {run[1]}, features]")
    return np.reshape(values, (*run, -1))[: asked[0], : asked[1]]
