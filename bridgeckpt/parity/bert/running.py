"""A checkpoint's BERT run on probes by the forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bridgeckpt.parity.bert.forward import Forward
from bridgeckpt.parity.bert.stages import stages
from bridgeckpt.parity.tensorflow.runtime import computing
from bridgeckpt.parity.tensorflow.stored import Variables, finite

if TYPE_CHECKING:
    from bridgeckpt.parity.bert.settings import Settings
    from bridgeckpt.parity.bert.variables import Bert
    from bridgeckpt.parity.reference.probes import Probe

    Array = np.ndarray[Any, np.dtype[Any]]
    Values = dict[str, dict[str, Array]]  # probe to stage to values


def run_forward(
    tf: Any,  # noqa: ANN401
    bert: Bert,
    settings: Settings,
    variables: Variables,
    probes: Mapping[str, Probe],
    dtype: Literal["float32", "float64"],
) -> Values:
    """What the forward pass computes on every probe: in float64 coarse stages, in float32 those of the probe's depth.

    Raises:
        ParityError: there is not enough memory, or a stage is not finite.
    """
    with computing(tf, f"the forward pass in {dtype}"):
        forward = Forward(tf, bert, variables.load, dtype)
        return {name: _on(forward, settings, probe, bert.layers, dtype) for name, probe in probes.items()}


def _on(forward: Forward, settings: Settings, probe: Probe, layers: int, dtype: str) -> dict[str, Array]:
    depth: str = "coarse" if dtype == "float64" and probe.depth == "fine" else probe.depth
    wanted = set(stages(layers, depth))
    kept: dict[str, list[Array]] = {}
    for piece in probe.pieces():
        for stage, values in _until(forward.run(piece.inputs, settings), depth):
            if stage in wanted:
                kept.setdefault(stage, []).append(piece.keep(values.numpy()))
    return finite({stage: np.concatenate(pieces) for stage, pieces in kept.items()}, dtype)


def _until(computed: Iterable[tuple[str, Any]], depth: str) -> Iterator[tuple[str, Any]]:
    """What is computed up to a depth: the embeddings alone, or everything."""
    for stage, values in computed:
        yield stage, values
        if depth == "embeddings":
            return
