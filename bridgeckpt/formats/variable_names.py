"""Which tensor has which variable's name: for the view of a checkpoint by variable (``Checkpoint.by_variable``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.store.tensors import TensorInfo

_UNNAMED = "Variable"  # what TensorFlow calls a tf.Variable that was given no name


class VariableNames(NamedTuple):
    """The names of variables by the keys of their tensors.

    ``copies`` are the keys of further tensors of a variable that has its name under another key in ``names``.
    """

    names: Mapping[str, str]
    copies: Mapping[str, str]


def assign_names(tensors: Mapping[str, TensorInfo], variable_names: Mapping[str, str], without: str) -> VariableNames:
    """Give each tensor its variable's name, without the ending ``without``.

    If several keys have one name, the first key gets it. The others become ``copies`` if they have the same shape and
    dtype. A tensor keeps its key if its variable has no name, or a name that is the key of another tensor.
    """
    names: dict[str, str] = {}
    keys: dict[str, str] = {}  # by name
    copies: dict[str, str] = {}
    for key, full_name in variable_names.items():
        is_key_of_another = full_name in tensors and full_name not in variable_names
        if key not in tensors or is_key_of_another or full_name == _UNNAMED:
            continue
        name = full_name.removesuffix(without)
        first = keys.setdefault(name, key)
        if first == key:
            names[key] = name
        elif (tensors[key].dtype, tensors[key].shape) == (tensors[first].dtype, tensors[first].shape):
            copies[key] = name
    return VariableNames(names, copies)
