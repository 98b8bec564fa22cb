"""Which constants of a frozen graph are weights, and the names of their variables.

Freezing turns each variable into a constant. A graph has other constants too: shapes, axes, epsilons. What is known:

* TensorFlow 1 reads a variable through an operation of its own, ``NAME/read`` or ``.../ReadVariableOp``. Freezing
  makes it an Identity, and the constant keeps the variable's name.
* TensorFlow 2 names the constant after the operation that reads it: ``dense/MatMul/ReadVariableOp/resource``. What the
  operation does with it says which weight of the layer it is, as long as it is one of Keras' own layers.
  A SavedModel that was loaded and frozen has names such as ``unknown_12``, and a tool may leave ``Const_12``: then the
  operation is searched for.
* Optimizers of graphs replace these operations by constants with the operations' names, or take them out. If all were
  taken out, the weights are the constants of numbers with a fraction, with at least one axis, and with a name that
  TensorFlow does not give by itself.

Source: tensorflow/python/framework/convert_to_constants.py, graph_util_impl.py (``remove_training_nodes``) and
tensorflow/core/grappler/optimizers/constant_folding.cc of https://github.com/tensorflow/tensorflow
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.tensorflow.stored_graph import PRODUCTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_ADDED, _GAMMA_NAME, _KERNEL = "added", "/gamma", "kernel"
_READ = "/read"  # of a variable of TensorFlow 1
_RESOURCE = "/resource"
_READ_OP = re.compile(rf"/ReadVariableOp(?:_\d+)?(?:{_RESOURCE})?$")
_LOOKUP = re.compile(r"(?P<layer>.+)/(?:embedding_lookup|Gather(?:V2)?)(?:/(?:\d+|resource))?")
# An argument of a function that a SavedModel was loaded as, or a constant that nobody named.
_ANONYMOUS = re.compile(r"(?:unknown|Const)(?:_\d+)?")
_BETWEEN = re.compile(r"Func/")  # what is passed to a function that became part of the graph
_CALLS = re.compile(r"^(?:(?:Stateful)?PartitionedCall(?:_\d+)?/)+")
_LONGEST = 8  # operations between functions
_LOOKUPS, _SLICES = {"Gather", "GatherV2", "ResourceGather"}, {"Slice", "StridedSlice"}
# The operation of a layer of Keras that reads a weight, and the weight.
_WEIGHTS = (
    (re.compile(r"(?P<layer>.+?)/(?:MatMul|Tensordot|(?:einsum/)?Einsum|Conv[12]D)(?:_\d+)?"), _KERNEL),
    (re.compile(r"(?P<layer>.+)/BiasAdd(?:_\d+)?"), "bias"),
    (re.compile(r"(?P<layer>.+?)(?:/batchnorm)?/mul(?:_\d+)?"), "gamma"),
    (re.compile(r"(?P<layer>.+)/batchnorm(?:/sub)?"), "beta"),
    (re.compile(r"(?P<layer>.+)/add(?:_\d+)?"), _ADDED),
)
# Names that TensorFlow gives to constants by itself, and those of folded ones.
_UNNAMED = re.compile(
    r"(?:.*/)?(?:Const|zeros|ones|zeros_like|ones_like|[xy]|axis|shape|Fill|eye|range|mask|input|value)(?:_\d+)?"
    r"|.*__cf__.*|ConstantFolding/.*"
)


class ReadingOperation(NamedTuple):
    """An operation that reads a constant as its ``slot``-th input; ``transposes``: and transposes its second input."""

    name: str
    op: str
    slot: int
    transposes: bool = False

    @property
    def reads_variable(self) -> bool:
        """Whether it was the operation that read a variable."""
        return self.op == "Identity" and _READ_OP.search(self.name) is not None

    @property
    def looks_up(self) -> bool:
        """Whether rows are looked up in what it reads."""
        return self.op in _LOOKUPS and self.slot == 0


class Numbers(NamedTuple):
    """The number of axes of a constant, and whether its numbers have a fraction."""

    axes: int
    has_fraction: bool


class Weights(NamedTuple):
    """The weights of a graph.

    Attributes:
        names: The name of each variable by the name of the constant that holds it.
        derived: The constants that have the names of operations, so that the variables' names were derived.
        folded: The tables of numbers that an optimizer of graphs computed from other constants.
        transposed: The kernels that a tool stored transposed, by the products that transpose them back.
    """

    names: dict[str, str]
    derived: list[str]
    folded: list[str]
    transposed: dict[str, str]


def weights_of(
    constants: Mapping[str, Numbers], readers: Mapping[str, Sequence[ReadingOperation]], *, has_variables: bool
) -> Weights:
    """The constants that are weights.

    Args:
        constants: What is known of each, by name.
        readers: The operations that read each node.
        has_variables: Whether the graph has variables too. Then its constants are no weights unless read as such.
    """
    named = {name for name in constants if not _UNNAMED.fullmatch(name)}
    uses = {name: list(_uses(name, readers)) for name in constants}
    found = {name for name in constants if _is_read(name, uses[name])}
    if any(_READ_OP.search(name) or any(use.reads_variable for use in uses[name]) for name in found):
        # Tables of such variables are read where they are looked up.
        found |= {name for name in named if _is_table(constants[name]) and any(use.looks_up for use in uses[name])}
    if not found and not has_variables:
        found = {name for name in named if constants[name].axes and constants[name].has_fraction}
    operations = {name: _operation(name, uses[name]) for name in constants if name in found}
    derived = [name for name, operation in operations.items() if operation is not None and not _says_name(operation)]
    was_folded = any(name.endswith(_READ) or (_READ_OP.search(name) and not name.endswith(_RESOURCE)) for name in found)
    folded = [name for name in constants if name not in found and _is_table(constants[name])] if was_folded else []
    names = _variables(operations, readers)
    kernels = [name for name, variable in names.items() if variable.rpartition("/")[2] == _KERNEL]
    transposed = {product: names[name] for name in kernels if (product := _transposing(name, readers)) is not None}
    return Weights(names, derived, folded, transposed)


def _uses(name: str, readers: Mapping[str, Sequence[ReadingOperation]]) -> Iterator[ReadingOperation]:
    """The readers of a node, and those of the operations between functions, which only pass it on."""
    queue, passed = [name], 0
    for node in queue:
        for reader in readers.get(node, ()):
            yield reader
            if reader.op == "Identity" and _BETWEEN.match(reader.name) and passed < _LONGEST:
                passed += 1
                queue.append(reader.name)


def _is_read(name: str, uses: Iterable[ReadingOperation]) -> bool:
    """Whether a constant is read as a variable is, or stands for such a read."""
    if name.endswith(_READ) or _READ_OP.search(name):
        return True
    return any(use.reads_variable or _is_read_by_name(name, use) for use in uses)


def _is_read_by_name(name: str, use: ReadingOperation) -> bool:
    """Whether an operation reads a constant under the name of its variable."""
    return use.op == "Identity" and (
        use.name == name + _READ or (_says_name(use.name) and _ANONYMOUS.fullmatch(name) is not None)
    )


def _says_name(operation: str) -> bool:
    """Whether the name of an operation is that of the variable that it reads, and ``/read``."""
    return operation.endswith(_READ)


def _transposing(name: str, readers: Mapping[str, Sequence[ReadingOperation]]) -> str | None:
    """The first of the matrix products of a constant, if each transposes it. Layers multiply by a kernel as it is."""
    reads = [name, *(reader.name for reader in readers.get(name, ()) if reader.op == "Identity")]
    products = [reader for read in reads for reader in readers.get(read, ()) if reader.op in PRODUCTS]
    return (
        products[0].name if products and all(product.slot == 1 and product.transposes for product in products) else None
    )


def _is_table(numbers: Numbers) -> bool:
    return numbers.axes >= 2 and numbers.has_fraction


def _operation(name: str, uses: Iterable[ReadingOperation]) -> str | None:
    """The operation that a constant is named after, or that reads one without a name; None if it has a name."""
    if _READ_OP.search(name) or _LOOKUP.fullmatch(name):
        return name
    if not _ANONYMOUS.fullmatch(name):
        return None
    return next((use.name for use in uses if use.reads_variable or use.looks_up or _is_read_by_name(name, use)), name)


def _variables(
    operations: Mapping[str, str | None], readers: Mapping[str, Sequence[ReadingOperation]]
) -> dict[str, str]:
    """The variable of each constant, given its operation; its own name if another constant has that variable's."""
    derived = {name: _weight(operation, readers) for name, operation in operations.items() if operation is not None}
    gammas = {name.removesuffix(_GAMMA_NAME) for name in derived.values() if name and name.endswith(_GAMMA_NAME)}
    counts = Counter(derived.values())
    variables: dict[str, str] = {}
    taken = set(operations)
    for name, operation in operations.items():
        variable = derived.get(name, name.removesuffix(_READ))
        if variable is None or counts[variable] > 1:  # which of them has that name is not known
            variable = _CALLS.sub("", operation or name) if _ANONYMOUS.fullmatch(name) else name
        layer, _, weight = variable.rpartition("/")
        if weight == _ADDED:
            variable = f"{layer}/{'beta' if layer in gammas else 'bias'}"
        variables[name] = name if variable in taken else variable
        taken.add(variable)
    return variables


def _weight(operation: str, readers: Mapping[str, Sequence[ReadingOperation]]) -> str | None:
    """The weight that an operation of one of Keras' layers reads; "added" for one that may be a bias or a beta."""
    within = _CALLS.sub("", operation)
    if _says_name(within):
        return within.removesuffix(_READ)
    if match := _LOOKUP.fullmatch(within):
        several = f"{operation.rpartition('/')[0]}/Gather_1" in readers
        return None if several else f"{match['layer']}/embeddings"
    read = _READ_OP.sub("", within)
    for pattern, weight in _WEIGHTS:
        if match := pattern.fullmatch(read):
            is_table = weight == _KERNEL and f"{_READ_OP.sub('', operation).rpartition('/')[0]}/one_hot" in readers
            return f"{match['layer']}/{'embeddings' if is_table else weight}"
    uses = readers.get(operation.removesuffix(_RESOURCE), ())
    return f"{read}/embeddings" if uses and all(use.op in _SLICES for use in uses) else None
