"""The form of training state: names that hold a weight's name, and shapes that are made of a weight's shape."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bridgeckpt.formats.training.words import names_an_average, names_an_optimizer

Shapes = Mapping[str, Sequence[int]]

_ENDINGS = ("/.ATTRIBUTES/VARIABLE_VALUE", ":0")  # of keys in a checkpoint of objects, and of variables in HDF5
_PART = re.compile(r"/part_\d+\Z")  # of a partitioned variable: some optimizers name their state after the part
_SEVERAL = 4  # layers


class Form(NamedTuple):
    """How a tensor may be named after a weight: ``<front><weight>/<word>``; ``front`` or ``word`` may be empty."""

    name: str
    weight: str
    front: str
    word: str


def bare(name: str) -> str:
    """A name without what a format appends to it."""
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name


class Paths:
    """Tensors by their bare names, to look for weights in longer names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        for name in names:
            self._names.setdefault(bare(name), name)
        self._firsts = {path.partition("/")[0] for path in self._names}  # cheaper to compare than ends of names

    def forms(self, name: str) -> list[Form]:
        """The ways in which ``name`` may be named after another tensor, the longest weight first."""
        path = bare(name)
        above, _, word = path.rpartition("/")
        found = [*self._forms(name, path, ""), *self._forms(name, above, word)]
        for weight, known in _known_ends(above, word):
            found += self._forms(name, weight, known)
        return sorted(found, key=lambda form: len(form.front)) if len(found) > 1 else found

    def _forms(self, name: str, path: str, word: str) -> Iterator[Form]:
        """The forms with a given word: the weight's path is an end of ``path``."""
        parts = path.split("/")
        for at, part in enumerate(parts):
            if part in self._firsts and (at or word):
                end = "/".join(parts[at:])
                weight = self._names.get(end) or self._names.get(_PART.sub("", end))
                if weight is not None and weight != name:
                    yield Form(name, weight, "".join([f"{scope}/" for scope in parts[:at]]), word)


def _known_ends(above: str, last: str) -> Iterator[tuple[str, str]]:
    """Other ways to divide a name into a weight and a word, for known words: ``kernel_accum``, ``kernel/Adam/m``.

    TensorFlow names state of embeddings on TPUs in the second way.
    """
    weight, _, scope = above.rpartition("/")
    if names_an_optimizer(scope):
        yield weight, f"{scope}/{last}"
    words = last.split("_")
    for count in range(1, len(words)):
        word = "_".join(words[count:])
        if names_an_optimizer(word) or names_an_average(word):
            yield "/".join(filter(None, (above, "_".join(words[:count])))), word


def may_be_state(shape: Sequence[int], weight: Sequence[int], name: str) -> bool:
    """Whether an optimizer may keep a tensor of ``shape`` for a weight: as a whole, or only some of it.

    That is some of the axes (Adafactor), the square of one (Shampoo), one number (NovoGrad), or the part of a
    partitioned variable that ``name`` says.
    """
    if tuple(shape) == tuple(weight) or not shape:
        return True
    if _PART.search(name.rpartition("/")[0]) and len(shape) == len(weight):
        return all(own <= whole for own, whole in zip(shape, weight, strict=True))
    square = len(shape) == 2 and shape[0] == shape[1] and shape[0] in weight
    return square or _has_some_axes([size for size in shape if size != 1], weight)


def _has_some_axes(sizes: Sequence[int], weight: Sequence[int]) -> bool:
    """Whether ``sizes`` are those of some axes of the weight, in their order, but not of all."""
    rest = iter(weight)
    return 0 < len(sizes) < len(weight) and all(size in rest for size in sizes)


def are_row_and_column(states: Iterable[Sequence[int]], weight: Sequence[int]) -> bool:
    """Whether ``states`` are a weight's two factors: one without its last axis, one without the axis before."""
    whole = tuple(weight)
    return sorted(map(tuple, states)) == sorted([whole[:-1], (*whole[:-2], *whole[-1:])])


def is_spread(weights: Collection[str], shapes: Shapes, everything: Collection[str]) -> bool:
    """Whether ``weights`` are what an optimizer trains, rather than some kernels of which a model uses more.

    They are matrices and vectors, and half of ``everything``, or kernels, biases and norms of several layers.
    """
    layers: dict[str, set[bool]] = {}
    for weight in weights:
        layers.setdefault(bare(weight).rpartition("/")[0], set()).add(len(shapes[weight]) > 1)
    kinds = [frozenset(kinds) for kinds in layers.values()]
    if len(frozenset().union(*kinds)) < 2:
        return False
    several = len(layers) >= _SEVERAL and {frozenset({False}), frozenset({False, True})} <= {*kinds}
    return several or 2 * len(weights) >= len(everything)
