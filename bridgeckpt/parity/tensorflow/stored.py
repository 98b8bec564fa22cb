"""The variables of a checkpoint: read by TensorFlow itself, or from files that it has no reader for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bridgeckpt.errors import ParityError
from bridgeckpt.formats.tensorflow.objectgraph import OBJECT_GRAPH
from bridgeckpt.parity.tensorflow.runtime import computing
from bridgeckpt.store.dtypes import numpy_dtype

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint

    Array = np.ndarray[Any, np.dtype[Any]]
    Values = dict[str, dict[str, Array]]


class Variables(Protocol):
    """The variables of a checkpoint: ``shapes`` and ``dtypes`` (TensorFlow's or numpy's) by name, and their values.

    ``same`` gives, by name, the first name of a variable that has several.
    """

    @property
    def shapes(self) -> Mapping[str, Sequence[int]]:
        """The shape of each variable."""

    @property
    def dtypes(self) -> Mapping[str, Any]:
        """The dtype of each variable."""

    @property
    def same(self) -> Mapping[str, str]:
        """The first name of each variable that has several."""

    def load(self, name: str) -> Array:
        """The values of a variable in the checkpoint's dtype."""


class TensorFlowVariables:
    """The variables of a checkpoint, read by TensorFlow; those of an object graph have their full names.

    Raises:
        ParityError: TensorFlow cannot read it.
    """

    def __init__(self, tf: Any, prefix: Path) -> None:  # noqa: ANN401 - TensorFlow has no types
        with computing(tf, prefix.name):
            self._reader = tf.train.load_checkpoint(str(prefix))
        shapes, dtypes = self._reader.get_variable_to_shape_map(), self._reader.get_variable_to_dtype_map()
        self._keys = {name: [name] for name in shapes} | (_full_names(self._reader) if OBJECT_GRAPH in shapes else {})
        self.shapes = {name: shapes[keys[0]] for name, keys in self._keys.items()}
        self.dtypes: dict[str, Any] = {name: dtypes[keys[0]] for name, keys in self._keys.items()}
        self.same = {other: keys[0] for name, keys in self._keys.items() for other in (name, *keys)}

    def load(self, name: str) -> Array:
        """The values of a variable in the checkpoint's dtype, all slices of a partitioned one.

        Raises:
            ParityError: the checkpoint holds several variables of this name that differ.
        """
        first, *others = self._keys[name]
        values: Array = self._reader.get_tensor(first)
        for key in others:
            if not np.array_equal(values, self._reader.get_tensor(key)):
                raise ParityError(
                    f"two variables are called {name}, and differ: {first} and {key}",
                    hint="record the model through a function of your own: `bridgeckpt.record(fn, inputs, path)`",
                )
        return values


class StoredVariables:
    """The variables of a file that TensorFlow itself has no reader for: HDF5 and safetensors."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._view = checkpoint.by_variable(without=":0")
        numbers = {name: of for name, of in self._view.tensors.items() if of.dtype != "string"}
        self.shapes = {name: list(of.shape) for name, of in numbers.items()}
        self.dtypes: dict[str, Any] = {name: numpy_dtype(of.dtype) for name, of in numbers.items()}
        self.same: Mapping[str, str] = self._view.copies

    def load(self, name: str) -> Array:
        """The values of a variable in the file's dtype."""
        return self._view.get_tensor(name)


def _full_names(reader: Any) -> dict[str, list[str]]:  # noqa: ANN401
    """The keys of each variable of an object graph by its full name; several if a model is saved twice."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(OBJECT_GRAPH))
    named: dict[str, list[str]] = {}
    for of in (of for node in graph.nodes for of in node.attributes if of.full_name):
        if reader.has_tensor(of.checkpoint_key):
            named.setdefault(of.full_name, []).append(of.checkpoint_key)
    return named


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
                hint="look for NaN or Inf in the checkpoint's weights",
            )
    return values
