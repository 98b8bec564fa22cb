"""A checkpoint's BERT on probes: opened by TensorFlow's own reader, run by its graph and in plain operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.stages import stages
from bridgeckpt.parity.tensorflow.forward import Forward
from bridgeckpt.parity.tensorflow.runtime import computing

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.parity.probes import Probe
    from bridgeckpt.parity.stages import Depth
    from bridgeckpt.parity.tensorflow.settings import Settings
    from bridgeckpt.parity.tensorflow.variables import Bert

    Array = np.ndarray[Any, np.dtype[Any]]
    Values = dict[str, dict[str, Array]]  # probe to stage to values


class Variables:
    """The variables of a TensorBundle, read by TensorFlow.

    ``shapes`` and ``dtypes`` (TensorFlow's) are by name; :meth:`load` reads the values of one.

    Raises:
        ParityError: TensorFlow cannot read it.
    """

    def __init__(self, tf: Any, prefix: Path) -> None:  # noqa: ANN401 - TensorFlow has no types
        with computing(tf, prefix.name):
            self._reader = tf.train.load_checkpoint(str(prefix))
        self.shapes: dict[str, list[int]] = self._reader.get_variable_to_shape_map()
        self.dtypes: dict[str, Any] = self._reader.get_variable_to_dtype_map()

    def load(self, name: str) -> Array:
        """The values of a variable in the checkpoint's dtype, all slices of a partitioned one."""
        values: Array = self._reader.get_tensor(name)
        return values


def run_forward(
    tf: Any,  # noqa: ANN401
    bert: Bert,
    settings: Settings,
    variables: Variables,
    probes: Mapping[str, Probe],
    dtype: Literal["float32", "float64"],
) -> Values:
    """What the forward pass computes on every probe; in float64 the coarse stages, in float32 as deep as a probe goes.

    Raises:
        ParityError: memory does not suffice, or a stage is not finite.
    """
    with computing(tf, f"the forward pass in {dtype}"):
        forward = Forward(tf, bert, variables.load, dtype)
        return {name: _on(forward, settings, probe, bert.layers, dtype) for name, probe in probes.items()}


def _on(forward: Forward, settings: Settings, probe: Probe, layers: int, dtype: str) -> dict[str, Array]:
    depth: Depth = "coarse" if dtype == "float64" and probe.depth == "fine" else probe.depth
    wanted = set(stages(layers, depth))
    kept: dict[str, list[Array]] = {}
    for piece in probe.pieces():
        for stage, values in _until(forward.run(piece.inputs, settings), depth):
            if stage in wanted:
                kept.setdefault(stage, []).append(piece.keep(values.numpy()))
    return finite({stage: np.concatenate(pieces) for stage, pieces in kept.items()}, dtype)


def _until(computed: Iterable[tuple[str, Any]], depth: Depth) -> Iterator[tuple[str, Any]]:
    """What is computed as deep as is wanted: embeddings alone, or everything."""
    for stage, values in computed:
        yield stage, values
        if depth == "embeddings":
            return


def finite(values: dict[str, Array], how: str) -> dict[str, Array]:
    """The same values.

    Raises:
        ParityError: one is not finite.
    """
    for stage, array in values.items():
        if not np.isfinite(array).all():
            wrong = int(array.size - np.isfinite(array).sum())
            raise ParityError(
                f"{stage} is not finite in TensorFlow: {wrong:,} of {array.size:,} values ({how})",
                hint="look for NaN or Inf in the checkpoint's weights: `bridgeckpt inspect SRC`",
            )
    return values
