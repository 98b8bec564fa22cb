"""The layers that names of variables tell, and pairs of a program's layers with a checkpoint's by their order.

Keras calls the first dense layer of a program ``dense`` and the next ones ``dense_1``, ``dense_2``, also in another
model. So the layers of a model have other numbers if another model was built before, and equal names may be other
layers. What stays the same is the order of the layers in the model. ``load_weights`` of Keras goes by it too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from bridgeckpt.formats.layer_places import Place

    Shape = tuple[int, ...] | None

_NUMBER = re.compile(r"(.*?)_([1-9][0-9]*)")
_WRAPPED = re.compile(r"(?:forward|backward)_")  # Bidirectional calls its two layers so


class KerasLayer(NamedTuple):
    """A layer that owns variables: its name with the names of all that it is in.

    Attributes:
        name: The name, up to the last ``/`` of its variables' names.
        kind: The name without the numbers of Keras.
        numbers: These numbers, from the outside in; 0 for a name without one.
        shapes: The shapes of its variables, by the last part of their names.
        place: Its place in the model, if that is known: in a file, that of the layer of the model that it is in.
    """

    name: str
    kind: str
    numbers: tuple[int, ...]
    shapes: frozenset[tuple[str, Shape]]
    place: Place | None

    @property
    def group(self) -> tuple[str, frozenset[tuple[str, Shape]]]:
        """What layers that can stand for each other have in common."""
        return self.kind, self.shapes

    @property
    def is_numbered(self) -> bool:
        """Whether Keras gave a number to it, or to what it is in. The first has none, but could have one."""
        return bool(self.numbers)


class LayerPairs(NamedTuple):
    """The name of the checkpoint's layer for each of the program's, and the program's layers that order cannot tell.

    ``by_order`` says whether the order of the layers in both models is the same, None if that is not known.
    """

    names: Mapping[str, str]
    open: tuple[KerasLayer, ...]
    by_order: bool | None


def layers_of(
    shapes: Mapping[str, Shape], places: Mapping[str, Place], classes: Collection[str] | None
) -> list[KerasLayer]:
    """The layers of variables, in the order of the first variable of each.

    ``classes`` are the names that Keras numbers: those of classes in snake case. None: any name may be one.
    """
    inside: defaultdict[str, dict[str, Shape]] = defaultdict(dict)
    found: dict[str, Place | None] = {}
    for variable, shape in shapes.items():
        name, _, last = variable.rpartition("/")
        inside[name][last] = shape
        found.setdefault(name, places.get(variable))
    layers = []
    for name, variables in inside.items():
        numbers = tuple(number for part in name.split("/") if (number := _split(part, classes)[1]) is not None)
        layers.append(KerasLayer(name, kind_of(name, classes), numbers, frozenset(variables.items()), found[name]))
    return layers


def is_numbered(part: str, classes: Collection[str] | None) -> bool:
    """Whether a part of a name is one that Keras numbers, with a number or without."""
    return _split(part, classes)[1] is not None


def pair_by_order(
    program: Iterable[KerasLayer], stored: Iterable[KerasLayer], *, same_order: bool | None
) -> LayerPairs:
    """Pair layers of one kind whose variables have equal shapes, if both sides have as many of them.

    The program's layers are in the order of its model. Pairs that do not keep the order of the layers of other kinds,
    or that take the parts of one layer from several, are no pairs. If ``same_order`` does not say that the order of the
    layers of both models is the same, the order in which the layers were built, their numbers, must agree with it.
    """
    ours, theirs = _grouped(program), _grouped(stored)
    pairs: list[tuple[KerasLayer, KerasLayer]] = []
    opened: list[KerasLayer] = []
    for group, layers in ours.items():
        others = theirs.get(group, [])
        ordered = others if len(others) == 1 else _ordered(others)
        if ordered is not None and len(ordered) == len(layers) and (same_order or _built_alike(layers, ordered)):
            pairs += zip(layers, ordered, strict=True)
        elif layers[0].is_numbered:
            opened += layers
    if any(one.name != other.name for one, other in pairs) and not _is_one_order(pairs):
        opened += [one for one, _ in pairs if one.is_numbered]
        pairs = [(one, other) for one, other in pairs if not one.is_numbered]
    return LayerPairs({one.name: other.name for one, other in pairs}, tuple(opened), same_order)


def kind_of(name: str, classes: Collection[str] | None) -> str:
    """A name without the numbers of Keras."""
    parts = [_split(part, classes) for part in name.split("/")]
    return "/".join(base if number is None else f"{base}_*" for base, number in parts)


def _split(part: str, classes: Collection[str] | None) -> tuple[str, int | None]:
    """A part of a name without the number of Keras, and that number; None if Keras does not number such names."""
    match = _NUMBER.fullmatch(part)
    base, number = (match[1], int(match[2])) if match else (part, 0)
    if classes is None or base in classes or _WRAPPED.sub("", base, count=1) in classes:
        return base, number
    return part, None


def _grouped(layers: Iterable[KerasLayer]) -> dict[tuple[str, frozenset[tuple[str, Shape]]], list[KerasLayer]]:
    groups: defaultdict[tuple[str, frozenset[tuple[str, Shape]]], list[KerasLayer]] = defaultdict(list)
    for layer in layers:
        groups[layer.group].append(layer)
    return groups


def _ordered(layers: list[KerasLayer]) -> list[KerasLayer] | None:
    """Layers of a file in the order of the model; None if it is not known.

    Inside a layer of the model, such as a nested model, a file has the frozen layers last. There, their order is known
    only if their numbers have the same.
    """
    placed = [(layer.place, layer) for layer in layers if layer.place is not None]
    if len(placed) != len(layers):
        return None
    inside: defaultdict[Place, list[tuple[int, ...]]] = defaultdict(list)
    for place, layer in placed:
        inside[place].append(layer.numbers)
    if any(numbers != sorted(numbers) for numbers in inside.values()):
        return None
    return [layer for _, layer in sorted(placed, key=lambda pair: pair[0])]


def _built_alike(layers: list[KerasLayer], others: list[KerasLayer]) -> bool:
    """Whether the numbers of two lists of layers rise and fall alike."""
    by_number = [sorted(range(len(side)), key=lambda at: side[at].numbers) for side in (layers, others)]
    return by_number[0] == by_number[1]


def _is_one_order(pairs: list[tuple[KerasLayer, KerasLayer]]) -> bool:
    """Whether pairs of all kinds keep one order, and what is inside a layer stays together."""
    in_order = sorted(((one.place, other.place) for one, other in pairs if one.place and other.place))
    if any(after[1] < before[1] for before, after in pairwise(in_order)):
        return False
    owners: dict[str, str] = {}
    for one, other in pairs:
        for ours, theirs in zip(_owners(one.name), _owners(other.name), strict=True):
            if owners.setdefault(ours, theirs) != theirs:
                return False
    return len(set(owners.values())) == len(owners)


def _owners(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]
