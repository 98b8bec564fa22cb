"""Variables of TensorFlow and Keras: names, shapes, dtypes and initialisers; the parts of one variable as a whole."""

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


class VariablePart(NamedTuple):
    """A variable of TensorFlow that is the whole, or a part that begins at ``start`` in the whole (None: the whole)."""

    variable: Any
    name: str
    start: tuple[int, ...] | None

    def of(self, whole: Array) -> Array:
        """The elements of the whole that the variable holds."""
        if self.start is None:
            return whole
        shape = shape_of(self.variable) or ()
        return whole[tuple(slice(begin, begin + size) for begin, size in zip(self.start, shape, strict=True))]


class Variable(NamedTuple):
    """A whole variable, as a checkpoint holds it: its full name without ``:0``, and its parts in the program."""

    name: str
    wanted: Wanted
    parts: tuple[VariablePart, ...]


def wholes(variables: Iterable[Any]) -> dict[str, Variable]:
    """Variables by their names, in order. The parts of a partitioned variable become one.

    Args:
        variables: those of TensorFlow 1 or 2 or Keras. A PartitionedVariable, or the list of its parts, counts as one.

    Raises:
        BridgeckptError: something is not a variable, or two variables have one name.
    """
    by_name: dict[str, Variable] = {}
    for variable in _each(variables):
        piece = getattr(variable, "_save_slice_info", None)  # TensorFlow's record of the whole and the part's place
        if piece is None:
            name = name_of(variable)
            if name in by_name and by_name[name].parts[0].variable is not variable:
                raise _duplicate_name(name)
            wanted = Wanted(shape_of(variable), dtype_of(variable))
            by_name[name] = Variable(name, wanted, (VariablePart(variable, name, None),))
            continue
        part = VariablePart(variable, name_of(variable), tuple(map(int, piece.var_offset)))
        known = by_name.get(piece.full_name)
        wanted = Wanted(tuple(map(int, piece.full_shape)), dtype_of(variable))
        parts = known.parts if known is not None else ()
        if not any(part.variable is other.variable for other in parts):
            by_name[piece.full_name] = Variable(piece.full_name, wanted, (*parts, part))
    return by_name


def whole(variable: Any) -> Variable:  # noqa: ANN401 - a variable, a partitioned one, or the list of its parts
    """One variable as a whole.

    Raises:
        BridgeckptError: ``variable`` is not a variable, or it is a list of several.
    """
    variables = list(wholes([variable]).values())
    if len(variables) != 1:
        raise BridgeckptError(
            f"a list of {len(variables)} variables stands for one: {', '.join(one.name for one in variables)}",
            hint="a list may only hold the parts of one partitioned variable",
        )
    return variables[0]


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
    """Whether ``what`` is a variable of TensorFlow or Keras, and not a tensor."""
    return all(hasattr(what, key) for key in ("name", "shape", "dtype", "assign"))


def on_each_device(variable: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """The variables on the devices, for a variable of a distribution strategy; else the variable itself."""
    return tuple(getattr(variable, "values", (variable,)))


def initialisers(variable: Any) -> list[Any]:  # noqa: ANN401
    """The operations of a graph that initialise a variable, one for each device; [] for a variable of an eager program.

    A distributed variable itself would create a new operation at each request.
    """
    initializers = [getattr(one, "initializer", None) for one in on_each_device(variable)]
    operations = [getattr(one, "op", one) for one in initializers]  # a reference variable may give an output instead
    return [one for one in operations if hasattr(one, "graph") and hasattr(one, "control_inputs")]


def is_of_a_graph(variable: Any) -> bool:  # noqa: ANN401
    """Whether a variable has values only in sessions. (An eager variable of a loaded module may have initialisers.)"""
    handles = [(one, getattr(one, "handle", None)) for one in on_each_device(variable)]
    return any(bool(initialisers(one)) if handle is None else not hasattr(handle, "numpy") for one, handle in handles)


def _no_variable(what: object) -> BridgeckptError:
    return BridgeckptError(
        f"{shorten(repr(what), 80)} is not a variable of TensorFlow",
        hint="pass variables, as tf.compat.v1.trainable_variables() returns them",
    )


def name_of(variable: Any) -> str:  # noqa: ANN401 - of TensorFlow or Keras
    """The full name of a variable: its path for Keras 3, else the name without ``:0``."""
    return str(getattr(variable, "path", None) or _OUTPUT.sub("", variable.name))


def shape_of(variable: Any) -> tuple[int, ...] | None:  # noqa: ANN401
    """The shape of a variable; None if a size is unknown."""
    shape = variable.shape
    if getattr(shape, "rank", 0) is None:
        return None
    sizes = tuple(shape)
    return None if None in sizes else tuple(map(int, sizes))


def dtype_of(variable: Any) -> str:  # noqa: ANN401
    """The dtype of a variable, as its name in numpy or ml_dtypes."""
    dtype = variable.dtype
    return str(getattr(getattr(dtype, "base_dtype", dtype), "name", dtype))


def named(variables: Mapping[str, Any]) -> dict[str, Variable]:
    """Variables under given names, for example those of the ``variable_map`` of a hub module.

    Raises:
        BridgeckptError: something is not a variable, or two names differ only in ``:0``.
    """
    if wrong := [name for name in variables if not isinstance(name, str)]:
        raise BridgeckptError(f"{shorten(repr(wrong[0]), 80)} is not the name of a variable", hint="names are text")
    names = {name: _OUTPUT.sub("", name) for name in variables}
    if duplicates := [name for name in variables if names[name] != name and names[name] in variables]:
        raise _duplicate_name(names[duplicates[0]])
    return {names[name]: whole(variable)._replace(name=names[name]) for name, variable in variables.items()}


def _duplicate_name(name: str) -> BridgeckptError:
    return BridgeckptError(
        f"two variables are called {name}",
        hint="give each a name of its own, or pass the variables of one model only",
    )
