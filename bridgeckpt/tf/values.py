"""Three ways to put values into variables: feed them in a session, assign them at once, or replace the initialisers."""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, Any

from bridgeckpt.copying.odd_values import not_finite
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.variables import initialisers
from bridgeckpt.warmstart.report import WarmStartError
from bridgeckpt.wording import shape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from bridgeckpt.tf.variables import Variable, VariablePart
    from bridgeckpt.warmstart.answer import StoredValue

    Array = np.ndarray[Any, np.dtype[Any]]

_LOGGER = logging.getLogger("bridgeckpt")
_BATCH = 32 << 20  # bytes of values that are fed in one run of the session


def feed(session: Any, variables: Iterable[Variable], stored: Mapping[str, StoredValue]) -> None:  # noqa: ANN401
    """Set variables of a graph in a session. The graph may be finalised, and nothing is added to it.

    The initialisers are run with their values fed, as ``Variable.load`` of TensorFlow does. They are run in batches,
    because the session searches the whole graph for each new set of operations.

    Raises:
        CheckpointError: a tensor is damaged.
        PrecisionError: a value does not fit the variable's dtype.
        WarmStartError: a value does not fit the variable's shape, which was known in part only.
    """
    initializers: list[Any] = []
    feeds: dict[Any, Array] = {}  # by the input of the initialiser
    for variable in variables:
        value = _read(variable, stored[variable.name])
        check_shapes(variable, value)
        for part in variable.parts:
            part_value = part.of(value)
            for initializer in initialisers(part.variable):
                key = initializer.inputs[1].ref()
                if key in feeds:  # two variables were created with the same initial tensor
                    _run(session, initializers, feeds)
                initializers.append(initializer)
                feeds[key] = part_value
        if sum(array.nbytes for array in feeds.values()) >= _BATCH:
            _run(session, initializers, feeds)
    _run(session, initializers, feeds)


def _read(variable: Variable, stored: StoredValue) -> Array:
    """The value of a variable; one with NaN or infinity is logged, as a conversion warns of it."""
    value = stored.read(variable.wanted.dtype)
    nan, infinite = not_finite(variable.wanted.dtype, value)
    if nan or infinite:
        _LOGGER.warning("%s starts from %d NaN and %d infinite values of the checkpoint", variable.name, nan, infinite)
    return value


def _run(session: Any, initializers: list[Any], feeds: dict[Any, Array]) -> None:  # noqa: ANN401
    """Run initialisers, then empty both collections."""
    session.run(initializers, {key.deref(): array for key, array in feeds.items()})
    initializers.clear()
    feeds.clear()


def read_all(variables: Iterable[Variable], stored: Mapping[str, StoredValue]) -> None:
    """Read every value once and discard it, so that errors come before any variable is set.

    Raises:
        CheckpointError: a tensor is damaged.
        PrecisionError: a value does not fit the variable's dtype.
        WarmStartError: a value does not fit the variable's shape, which was known in part only.
    """
    for variable in variables:
        check_shapes(variable, stored[variable.name].read(variable.wanted.dtype))


def check_shapes(variable: Variable, value: Array) -> None:
    """Check the shape of a value against that of its variable, if the latter is known in part only.

    Raises:
        WarmStartError: the shapes are not compatible.
    """
    if variable.wanted.shape is None:
        for part in variable.parts:
            shape = part.variable.shape
            if not shape.is_compatible_with(value.shape):
                raise WarmStartError(
                    f"{variable.name} is {shape}, and the checkpoint has {shape_text(value.shape)} for it",
                    hint="new= declares the variables that keep their initial values",
                )


def assign(variables: Iterable[Variable], stored: Mapping[str, StoredValue]) -> None:
    """Set variables of an eager program, one after another.

    Raises:
        CheckpointError: a tensor is damaged.
        PrecisionError: a value does not fit the variable's dtype.
    """
    for variable in variables:
        value = _read(variable, stored[variable.name])
        for part in variable.parts:
            part.variable.assign(part.of(value))


def initialize_with(variables: Iterable[Variable], stored: Mapping[str, StoredValue]) -> None:
    """Replace the initialisers of variables of a graph. Each new one reads its value in this process when it runs."""
    for variable in variables:
        whole = _Whole(stored[variable.name], variable)
        for part in variable.parts:
            _replace_initializer(part, whole)


class _Whole:
    """The value of a variable: read for the first of its parts that asks, and discarded after the last."""

    def __init__(self, stored: StoredValue, variable: Variable) -> None:
        self._stored, self._variable = stored, variable
        self._lock = Lock()  # TensorFlow runs initialisers in several threads
        self._value: Array | None = None
        self._waiting = len(variable.parts)

    def read(self) -> Array:
        with self._lock:
            value = self._value if self._value is not None else _read(self._variable, self._stored)
            self._waiting = self._waiting - 1 or len(self._variable.parts)
            self._value = value if self._waiting < len(self._variable.parts) else None
            return value


def _replace_initializer(part: VariablePart, whole: _Whole) -> None:
    tf, variable = tensorflow(), part.variable

    def read() -> Array:
        return part.of(whole.read())

    # The initialiser is placed on the CPU of the variable's machine, outside of the caller's scopes.
    with variable.graph.as_default(), tf.control_dependencies(None), tf.device(variable.device), tf.device("/cpu:0"):
        value = tf.numpy_function(read, [], variable.dtype.base_dtype, name="warm_start")
        value.set_shape(variable.shape)
        assigned = variable.assign(value, read_value=False)
    # tf.compat.v1.train.init_from_checkpoint sets the same attributes; there is no public way.
    variable._initializer_op = getattr(assigned, "op", assigned)  # noqa: SLF001
    variable._initial_value = value  # noqa: SLF001
