"""Values on their way into variables: in a session, at once, or as what an initialiser returns."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.variables import initialisers
from bridgeckpt.warmstart.report import WarmStartError
from bridgeckpt.wording import shape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from bridgeckpt.tf.variables import Part, Variable
    from bridgeckpt.warmstart.answer import Found

    Array = np.ndarray[Any, np.dtype[Any]]

_AT_ONCE = 32 << 20  # bytes of values that are fed at once


def feed(session: Any, variables: Iterable[Variable], found: Mapping[str, Found]) -> None:  # noqa: ANN401
    """Set variables of a graph in a session; the graph may be finalised, and nothing is added to it.

    Initialisers are run with their values fed, as ``Variable.load`` of TensorFlow does; some at a time, since a session
    looks through the whole graph for each set that it is asked for the first time.

    Raises:
        CheckpointError: a tensor is damaged.
        PrecisionError: a value does not fit the variable's dtype.
        WarmStartError: nor its shape, which is known in part only.
    """
    initializers: list[Any] = []
    values: dict[Any, Array] = {}  # by the input of their initialiser
    for variable in variables:
        value = found[variable.name].read(variable.wanted.dtype)
        check_shapes(variable, value)
        for part in variable.parts:
            its_value = part.of(value)
            for initializer in initialisers(part.variable):
                key = initializer.inputs[1].ref()
                if key in values:  # two variables that were given one tensor to start from
                    _run(session, initializers, values)
                initializers.append(initializer)
                values[key] = its_value
        if sum(value.nbytes for value in values.values()) >= _AT_ONCE:
            _run(session, initializers, values)
    _run(session, initializers, values)


def _run(session: Any, initializers: list[Any], values: dict[Any, Array]) -> None:  # noqa: ANN401
    """Run initialisers, and forget them and their values."""
    session.run(initializers, {key.deref(): value for key, value in values.items()})
    initializers.clear()
    values.clear()


def read_all(variables: Iterable[Variable], found: Mapping[str, Found]) -> None:
    """Read every value once and forget it, so that what cannot be read is known before a variable is set.

    Raises:
        CheckpointError: a tensor is damaged.
        PrecisionError: a value does not fit the variable's dtype.
        WarmStartError: nor its shape, which is known in part only.
    """
    for variable in variables:
        check_shapes(variable, found[variable.name].read(variable.wanted.dtype))


def check_shapes(variable: Variable, value: Array) -> None:
    """See that a value has a shape that its variable may have, where that is known in part only.

    Raises:
        WarmStartError: it has not.
    """
    if variable.wanted.shape is None:
        for part in variable.parts:
            shape = part.variable.shape
            if not shape.is_compatible_with(value.shape):
                raise WarmStartError(
                    f"{variable.name} is {shape}, and the checkpoint has {shape_text(value.shape)} for it",
                    hint="new= declares variables that are to keep their initial values",
                )


def assign(variables: Iterable[Variable], found: Mapping[str, Found]) -> None:
    """Set variables of an eager program, one after another.

    Raises:
        CheckpointError: a tensor is damaged.
        PrecisionError: a value does not fit the variable's dtype.
    """
    for variable in variables:
        value = found[variable.name].read(variable.wanted.dtype)
        for part in variable.parts:
            part.variable.assign(part.of(value))


def initialize_with(variables: Iterable[Variable], found: Mapping[str, Found]) -> None:
    """Replace the initialisers of variables of a graph: each reads its value when it is run, in this process."""
    for variable in variables:
        whole = _Whole(found[variable.name], variable)
        for part in variable.parts:
            _replace_initializer(part, whole)


class _Whole:
    """A value that is read for the first of a variable's parts, and forgotten with the last."""

    def __init__(self, found: Found, variable: Variable) -> None:
        self._found, self._variable = found, variable
        self._lock = Lock()  # TensorFlow runs initialisers in several threads
        self._value: Array | None = None
        self._waiting = len(variable.parts)

    def read(self) -> Array:
        with self._lock:
            value = self._value if self._value is not None else self._found.read(self._variable.wanted.dtype)
            self._waiting = self._waiting - 1 or len(self._variable.parts)
            self._value = value if self._waiting < len(self._variable.parts) else None
            return value


def _replace_initializer(part: Part, whole: _Whole) -> None:
    tf, variable = tensorflow(), part.variable

    def read() -> Array:
        return part.of(whole.read())

    # On the CPU of the variable's own machine, whatever the initialiser is built within.
    with variable.graph.as_default(), tf.control_dependencies(None), tf.device(variable.device), tf.device("/cpu:0"):
        value = tf.numpy_function(read, [], variable.dtype.base_dtype, name="warm_start")
        value.set_shape(variable.shape)
        assigned = variable.assign(value, read_value=False)
    # What tf.compat.v1.train.init_from_checkpoint sets; there is no public way.
    variable._initializer_op = getattr(assigned, "op", assigned)  # noqa: SLF001
    variable._initial_value = value  # noqa: SLF001
