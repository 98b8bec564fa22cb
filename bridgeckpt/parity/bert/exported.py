"""A SavedModel loaded by TensorFlow, and its functions run on probes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.bert.functions import ExportedFunction, functions_of, variables_of
from bridgeckpt.parity.bert.signatures import POSITIONS, named_outputs, stages_of
from bridgeckpt.parity.bert.stages import POOLED
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
        functions: The functions to run.
        variables: The variables that they read: the name of each in Python, which others may share, and its shape.
        layers: The number of layers by those names; None if they do not say.
        unknown: The outputs of the functions that were run and that do not mean a stage.

    Raises:
        ParityError: it cannot be loaded, or has no function that takes token ids and their mask.
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
        self.functions = functions_of(tf, self._loaded, folder.name)
        self.variables = variables_of(self._loaded) or list(saved)
        layers = {int(match[1]) for match in (_LAYER.search(name) for name, _ in self.variables) if match}
        self.layers = 1 + max(layers) if layers else None
        self.unknown: list[str] = []

    @property
    def takes_types(self) -> bool:
        """Whether every function takes token types."""
        return all(TYPES in function.roles for function in self.functions)

    @property
    def lengths(self) -> list[int]:
        """The sequence lengths that functions are made for."""
        return [function.shape[1] for function in self.functions if function.shape[1] is not None]

    def fits(self, probe: Probe) -> bool:
        """Whether a probe can be padded to the sequence length that each function is made for."""
        return all(probe.inputs[IDS].shape[1] <= length for length in self.lengths)

    def choose(self, probe: Probe) -> tuple[str, ...]:
        """Keep the functions that return a stage which those before them do not; returns the stages of those kept.

        Raises:
            UnusableGraph: a stage has another shape than that of its name.
            ParityError: no function returns a stage.
        """
        stages: set[str] = set()
        kept, unknown = [], []
        for function in self.functions:
            returned = self._stages(function, probe)
            if returned.keys() - stages:
                kept.append(function)
                stages |= returned.keys()
            unknown += [name for name in self.unknown if name not in unknown]
        if not kept:
            raise ParityError(
                f"no output has a name that says which stage it is: {', '.join(unknown)}",
                hint=f"if you know which, {OWN_FUNCTION}",
            )
        self.functions, self.unknown = kept, unknown
        return tuple(stages)

    def run(self, probe: Probe) -> dict[str, Array]:
        """What is kept of every stage that a function returns; if several return it, the values of the first.

        Raises:
            UnusableGraph: a stage has another shape than that of its name.
        """
        stages: dict[str, Array] = {}
        for function in self.functions:
            stages = self._stages(function, probe) | stages
        if probe.only is not None:
            return {probe.only: stages[probe.only]}
        return stages

    def _stages(self, function: ExportedFunction, probe: Probe) -> dict[str, Array]:
        return in_batches(probe, *function.shape, lambda inputs: self._call(function, inputs), POOLED)

    def _call(self, function: ExportedFunction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        tf = self._tf
        places = tf.range(inputs[IDS].shape[1])[None] + tf.zeros_like(inputs[IDS])
        values, roles = {**inputs, POSITIONS: places}, iter(function.roles)

        def fed(leaf: Any) -> Any:  # noqa: ANN401
            return tf.cast(values[next(roles)], leaf.dtype) if isinstance(leaf, tf.TensorSpec) else leaf

        args, kwargs = tf.nest.map_structure(fed, function.arguments)
        stages, self.unknown = stages_of(named_outputs(function.call(*args, **kwargs)), self.layers)
        return stages
