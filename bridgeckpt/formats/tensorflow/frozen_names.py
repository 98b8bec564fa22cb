"""Which constants of a frozen graph are weights, and the names of their variables.

Freezing turns each variable into a constant. A graph has other constants too: shapes, axes, epsilons. What is known:

* TensorFlow 1 reads a variable through an operation of its own, ``NAME/read`` or ``.../ReadVariableOp``. Freezing
  makes it an Identity, and the constant keeps the variable's name.
* TensorFlow 2 names the constant after the operation that reads it: ``dense/MatMul/ReadVariableOp/resource``. What the
  operation does with it says which weight of the layer it is, as long as it is one of Keras' own layers.
* Optimizers of graphs replace these operations by constants with the operations' names, or take them out. If all were
  taken out, the weights are the constants of numbers with a fraction, with at least one axis, and with a name that
  TensorFlow does not give by itself.

Source: tensorflow/python/framework/convert_to_constants.py, graph_util_impl.py (``remove_training_nodes``) and
tensorflow/core/grappler/optimizers/constant_folding.cc of https://github.com/tensorflow/tensorflow
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_READ = "/read"  # of a variable of TensorFlow 1
_READ_OP = re.compile(r"/ReadVariableOp(?:_\d+)?(?:/resource)?$")
_LOOKUP = re.compile(r"(?P<layer>.+)/embedding_lookup/(?:\d+|resource)")
_LOOKUPS = {"Gather", "GatherV2", "ResourceGather"}
# The operation of a layer of Keras that reads a weight, and the weight.
_KERNEL = re.compile(r"(?P<layer>.+?)/(?:MatMul|Tensordot|(?:einsum/)?Einsum|Conv[12]D)(?:_\d+)?")
_BIAS = re.compile(r"(?P<layer>.+)/BiasAdd(?:_\d+)?")
_GAMMA = re.compile(r"(?P<layer>.+?)(?:/batchnorm)?/mul(?:_\d+)?")
_BETA = re.compile(r"(?P<layer>.+)/batchnorm(?:/sub)?")
_SUM = re.compile(r"(?P<layer>.+)/add(?:_\d+)?")
# Names that TensorFlow gives to constants by itself, and those of folded ones.
_UNNAMED = re.compile(
    r"(?:.*/)?(?:Const|zeros|ones|zeros_like|ones_like|[xy]|axis|shape|Fill|eye|range|mask|input|value)(?:_\d+)?"
    r"|.*__cf__.*|ConstantFolding/.*"
)


class Reader(NamedTuple):
    """An operation that reads a constant as its ``slot``-th input."""

    name: str
    op: str
    slot: int


class Numbers(NamedTuple):
    """The number of axes of a constant, and whether its numbers have a fraction."""

    axes: int
    has_fraction: bool


def weights_of(
    constants: Mapping[str, Numbers], readers: Mapping[str, Sequence[Reader]], *, has_variables: bool
) -> dict[str, str]:
    """The names of the variables by the names of the constants that hold them.

    Args:
        constants: What is known of each, by name.
        readers: The operations that read each constant.
        has_variables: Whether the graph has variables too. Then its constants are no weights unless read as such.
    """
    named = {name for name in constants if not _UNNAMED.fullmatch(name)}
    found = {name for name in constants if _is_read(name, readers.get(name, ()))}
    if any(_READ_OP.search(name) or any(map(_is_read_op, readers.get(name, ()))) for name in found):
        # Tables of such variables are read where they are looked up.
        found |= {name for name in named if _is_table(constants[name], readers.get(name, ()))}
    if not found and not has_variables:
        found = {name for name in named if constants[name].axes and constants[name].has_fraction}
    return _variables([name for name in constants if name in found])


def _is_read(name: str, readers: Iterable[Reader]) -> bool:
    """Whether a constant is read as a variable is, or stands for such a read."""
    if name.endswith(_READ) or _READ_OP.search(name):
        return True
    return any(_is_read_op(reader) or (reader.op == "Identity" and reader.name == name + _READ) for reader in readers)


def _is_read_op(reader: Reader) -> bool:
    return reader.op == "Identity" and _READ_OP.search(reader.name) is not None


def _is_table(numbers: Numbers, readers: Iterable[Reader]) -> bool:
    looked_up = any(reader.op in _LOOKUPS and reader.slot == 0 for reader in readers)
    return looked_up and numbers.axes == 2 and numbers.has_fraction


def _variables(names: Sequence[str]) -> dict[str, str]:
    """The variable of each constant; its own name if another constant has that variable's."""
    operations = {name: _READ_OP.sub("", name) for name in names if _READ_OP.search(name)}
    scaled = {match["layer"] for operation in operations.values() if (match := _GAMMA.fullmatch(operation))}
    variables: dict[str, str] = {}
    taken = set(names)
    for name in names:
        variable = _weight(operations[name], scaled) if name in operations else _named(name)
        if variable is None or variable in taken:
            variable = name
        taken.add(variable)
        variables[name] = variable
    return variables


def _named(name: str) -> str:
    if match := _LOOKUP.fullmatch(name):
        return f"{match['layer']}/embeddings"
    return name.removesuffix(_READ)


def _weight(operation: str, scaled: set[str]) -> str | None:
    """The weight that an operation of one of Keras' layers reads; ``scaled`` are the layers with a gamma."""
    for pattern, weight in ((_KERNEL, "kernel"), (_BIAS, "bias"), (_GAMMA, "gamma"), (_BETA, "beta")):
        if match := pattern.fullmatch(operation):
            return f"{match['layer']}/{weight}"
    match = _SUM.fullmatch(operation)
    return match and f"{match['layer']}/{'beta' if match['layer'] in scaled else 'bias'}"
