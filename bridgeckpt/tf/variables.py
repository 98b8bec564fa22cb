"""Variables of a TensorFlow program: their names and shapes, partitioned ones as the whole that they are parts of."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.warmstart.answer import Wanted

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_OUTPUT = re.compile(r":\d+\Z")


class Part(NamedTuple):
    """A variable of TensorFlow, and where in the whole it begins; None where it is the whole."""

    variable: Any
    name: str
    start: tuple[int, ...] | None

    def of(self, whole: Array) -> Array:
        """What the variable holds of the whole."""
        if self.start is None:
            return whole
        shape = shape_of(self.variable) or ()
        return whole[tuple(slice(at, at + size) for at, size in zip(self.start, shape, strict=True))]


class Variable(NamedTuple):
    """A variable as a checkpoint holds it: its full name without ``:0``, and the parts that TensorFlow has it in."""

    name: str
    wanted: Wanted
    parts: tuple[Part, ...]


def wholes(variables: Iterable[Any]) -> dict[str, Variable]:
    """Variables by their names, in order; parts of one partitioned variable are one.

    Args:
        variables: of TensorFlow 1 or 2 or Keras; a PartitionedVariable, or its list of parts, is one of them.

    Raises:
        BridgeckptError: something is no variable, or two have one name.
    """
    found: dict[str, Variable] = {}
    for variable in _each(variables):
        piece = getattr(variable, "_save_slice_info", None)  # TensorFlow's own word on what is a part of what
        if piece is None:
            name = name_of(variable)
            if name in found and found[name].parts[0].variable is not variable:
                raise _twice(name)
            wanted = Wanted(shape_of(variable), dtype_of(variable))
            found[name] = Variable(name, wanted, (Part(variable, name, None),))
            continue
        part = Part(variable, name_of(variable), tuple(map(int, piece.var_offset)))
        known = found.get(piece.full_name)
        wanted = Wanted(tuple(map(int, piece.full_shape)), dtype_of(variable))
        parts = known.parts if known is not None else ()
        if not any(part.variable is other.variable for other in parts):
            found[piece.full_name] = Variable(piece.full_name, wanted, (*parts, part))
    return found


def whole(variable: Any) -> Variable:  # noqa: ANN401 - a variable, a partitioned one, or the list of its parts
    """One variable.

    Raises:
        BridgeckptError: it is none, or a list of several.
    """
    found = list(wholes([variable]).values())
    if len(found) != 1:
        raise BridgeckptError(
            f"a list of {len(found)} variables stands for one: {', '.join(one.name for one in found)}",
            hint="only the parts of one partitioned variable are one",
        )
    return found[0]


def _each(variables: Iterable[Any]) -> Iterator[Any]:
    if isinstance(variables, (str, os.PathLike)) or not isinstance(variables, Iterable):
        raise _no_variable(variables)
    for variable in [variables] if is_variable(variables) else variables:
        if isinstance(variable, (list, tuple)) or hasattr(variable, "_get_variable_list"):  # a PartitionedVariable
            yield from variable
        elif is_variable(variable):
            yield variable
        else:
            raise _no_variable(variable)


def is_variable(what: Any) -> bool:  # noqa: ANN401
    """Whether it is a variable of TensorFlow or Keras; a tensor is none."""
    return all(hasattr(what, key) for key in ("name", "shape", "dtype", "assign"))


def on_each_device(variable: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """The variables that a variable of a distribution strategy stands for; any other one is itself."""
    return tuple(getattr(variable, "values", (variable,)))


def initialisers(variable: Any) -> list[Any]:  # noqa: ANN401
    """The operations of a graph that initialise a variable, one a device; [] for a variable of an eager program.

    That of a distributed variable itself is a new operation each time it is asked for.
    """
    found = [getattr(one, "initializer", None) for one in on_each_device(variable)]
    operations = [getattr(one, "op", one) for one in found]  # of a reference variable it may be an output
    return [one for one in operations if hasattr(one, "graph") and hasattr(one, "control_inputs")]


def is_of_a_graph(variable: Any) -> bool:  # noqa: ANN401
    """Whether a variable has values in sessions only; one of a loaded module may have initialisers all the same."""
    handles = [(one, getattr(one, "handle", None)) for one in on_each_device(variable)]
    return any(bool(initialisers(one)) if handle is None else not hasattr(handle, "numpy") for one, handle in handles)


def _no_variable(what: object) -> BridgeckptError:
    return BridgeckptError(
        f"{shorten(repr(what), 80)} is no variable of TensorFlow",
        hint="pass variables, as tf.compat.v1.trainable_variables() returns them",
    )


def name_of(variable: Any) -> str:  # noqa: ANN401 - of TensorFlow or Keras
    """The full name of a variable: without ``:0``, and for Keras 3 its path."""
    return str(getattr(variable, "path", None) or _OUTPUT.sub("", variable.name))


def shape_of(variable: Any) -> tuple[int, ...] | None:  # noqa: ANN401
    """The shape of a variable; None if it is not all known."""
    shape = variable.shape
    if getattr(shape, "rank", 0) is None:
        return None
    sizes = tuple(shape)
    return None if None in sizes else tuple(map(int, sizes))


def dtype_of(variable: Any) -> str:  # noqa: ANN401
    """The dtype of a variable, by the name that numpy and ml_dtypes have for it."""
    dtype = variable.dtype
    return str(getattr(getattr(dtype, "base_dtype", dtype), "name", dtype))


def named(variables: Mapping[str, Any]) -> dict[str, Variable]:
    """Variables under names that somebody else gives them, as the ``variable_map`` of a hub module does.

    Raises:
        BridgeckptError: something is no variable, or two have one name but for ``:0``.
    """
    if wrong := [name for name in variables if not isinstance(name, str)]:
        raise BridgeckptError(f"{shorten(repr(wrong[0]), 80)} is no name of a variable", hint="names are text")
    own = {name: _OUTPUT.sub("", name) for name in variables}
    if twice := [name for name in variables if own[name] != name and own[name] in variables]:
        raise _twice(own[twice[0]])
    return {own[name]: whole(variable)._replace(name=own[name]) for name, variable in variables.items()}


def _twice(name: str) -> BridgeckptError:
    return BridgeckptError(
        f"two variables are called {name}",
        hint="give each a name of its own, or pass those of one model only",
    )
