"""A SavedModel loaded by TensorFlow, and its functions run on probes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.bert.functions import Function, functions_of, variables_of
from bridgeckpt.parity.bert.signatures import POSITIONS, named_outputs, stages_of
from bridgeckpt.parity.hints import OWN_FUNCTION
from bridgeckpt.parity.reference.probes import IDS, TYPES
from bridgeckpt.parity.tensorflow.batching import in_batches
from bridgeckpt.parity.tensorflow.metagraphs import read_meta_graph
from bridgeckpt.parity.tensorflow.runtime import first_line

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from bridgeckpt.parity.reference.probes import Probe

    Array = np.ndarray[Any, np.dtype[Any]]

_LAYER = re.compile(r"(?:^|/)layer(?:_\._|_|/)(\d+)/")  # transformer/layer_0/, encoder/layer_._0/


class LoadedModel:
    """A SavedModel, loaded, whose functions can be run on probes.

    Args:
        tf: The module ``tensorflow``.
        folder: The SavedModel.
        saved: The names and shapes of its variables on disk, for TensorFlow does not list all that TensorFlow 1 saved.

    Attributes:
        found: The functions to run.
        variables: Each variable that they read: the name that it had in Python, which others may share, and its shape.
        layers: How many layers those names tell of; None if they do not.
        unknown: The outputs that are no stages, as far as the functions were run.

    Raises:
        ParityError: it cannot be loaded, or takes something else.
        UnusableGraph: its file cannot be read.
    """

    def __init__(
        self,
        tf: Any,  # noqa: ANN401 - TensorFlow has no types
        folder: Path,
        saved: Sequence[tuple[str, tuple[int, ...]]] = (),
    ) -> None:
        self._tf = tf
        tags = list(read_meta_graph(tf, folder / "saved_model.pb").meta_info_def.tags)
        try:
            self._loaded = tf.saved_model.load(str(folder), tags)  # the variables live as long as this
        except (AttributeError, KeyError, OSError, TypeError) as error:  # of other versions, most often
            raise ParityError(
                f"TensorFlow {tf.__version__} cannot load the SavedModel {folder.name}: {first_line(error)}",
                hint=f"record it with the version of TensorFlow that wrote it; or {OWN_FUNCTION}",
            ) from error
        self.found = functions_of(tf, self._loaded, folder.name)
        self.variables = variables_of(self._loaded) or list(saved)
        layers = {int(match[1]) for match in (_LAYER.search(name) for name, _ in self.variables) if match}
        self.layers = 1 + max(layers) if layers else None
        self.unknown: list[str] = []

    @property
    def takes_types(self) -> bool:
        """Whether every function takes token types."""
        return all(TYPES in one.roles for one in self.found)

    @property
    def lengths(self) -> list[int]:
        """The sequence lengths that functions are made for."""
        return [one.shape[1] for one in self.found if one.shape[1] is not None]

    def fits(self, probe: Probe) -> bool:
        """Whether a probe can be padded to the sequence length that each function is made for."""
        return all(probe.inputs[IDS].shape[1] <= length for length in self.lengths)

    def settle(self, probe: Probe) -> tuple[str, ...]:
        """Leave out the functions that return no stage that those before do not; the stages of those that stay.

        Raises:
            UnusableGraph: a stage has another shape than that of its name.
            ParityError: no function returns a stage.
        """
        stages: set[str] = set()
        kept, unknown = [], []
        for one in self.found:
            returned = self._stages(one, probe)
            if returned.keys() - stages:
                kept.append(one)
                stages |= returned.keys()
            unknown += [name for name in self.unknown if name not in unknown]
        if not kept:
            raise ParityError(
                f"no output goes by a name that tells what it is: {', '.join(unknown)}",
                hint=f"where you know what it is, {OWN_FUNCTION}",
            )
        self.found, self.unknown = kept, unknown
        return tuple(stages)

    def run(self, probe: Probe) -> dict[str, Array]:
        """What is kept of every stage that a function returns; of one that several return, the first one's.

        Raises:
            UnusableGraph: a stage has another shape than that of its name.
        """
        stages: dict[str, Array] = {}
        for one in self.found:
            stages = self._stages(one, probe) | stages
        if probe.depth == "embeddings":
            return {"embeddings": stages["embeddings"]}
        return stages

    def _stages(self, one: Function, probe: Probe) -> dict[str, Array]:
        return in_batches(probe, *one.shape, lambda inputs: self._call(one, inputs))

    def _call(self, one: Function, inputs: Mapping[str, Array]) -> dict[str, Array]:
        tf = self._tf
        places = tf.range(inputs[IDS].shape[1])[None] + tf.zeros_like(inputs[IDS])
        values, roles = {**inputs, POSITIONS: places}, iter(one.roles)

        def fed(leaf: Any) -> Any:  # noqa: ANN401
            return tf.cast(values[next(roles)], leaf.dtype) if isinstance(leaf, tf.TensorSpec) else leaf

        args, kwargs = tf.nest.map_structure(fed, one.arguments)
        stages, self.unknown = stages_of(named_outputs(one.call(*args, **kwargs)), self.layers)
        return stages
