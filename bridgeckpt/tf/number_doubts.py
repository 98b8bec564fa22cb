"""Layers that have the number of a layer of the checkpoint, or its place, and may be another one; and the refusal."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.layer_places import POSITION, is_saved_path
from bridgeckpt.warmstart.layers import layers_of
from bridgeckpt.warmstart.report import WarmStartError
from bridgeckpt.warmstart.stored import VALUE
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bridgeckpt.formats.layer_places import Place
    from bridgeckpt.tf.keras_sides import LayerSides
    from bridgeckpt.tf.options import ResolvedOptions
    from bridgeckpt.tf.start import Start
    from bridgeckpt.warmstart.layers import KerasLayer, LayerPairs

_SHOWN = 8  # layers in a hint that is there to be pasted


class Guess(NamedTuple):
    """A variable and the tensor that it starts from, by their names; whether they have the same place of their kind."""

    variable: str
    tensor: str
    same_place: bool


def guesses(sides: LayerSides, pairs: LayerPairs, start: Start, settled: Mapping[int, str]) -> list[Guess]:
    """The variables that start from a tensor because of a number or a position alone."""
    names = {key: name for name, key in sides.stored.items()}
    ours, theirs = _of_kind(sides.program), _of_kind(sides.checkpoint)
    layers = {layer.name: layer for layer in sides.checkpoint}
    opened = {layer.name: layer for layer in pairs.open}
    program = {id(one.parts[0].variable): name for name, one in sides.variables.items()}
    by_path = _ByPath(sides, start, by_order=pairs.by_order)
    found = []
    for name, value in start.matching.values.items():
        variable, source = id(start.variables[name].parts[0].variable), value.sources[0]
        if variable in settled:
            continue
        if source in (start.keys[name], start.keys[name] + VALUE) and (source.endswith(VALUE) or is_saved_path(source)):
            if (guess := by_path.guess(name, source)) is not None:
                found.append(guess)
            continue
        mine = opened.get(program.get(variable, "").rpartition("/")[0])
        stored = layers.get(names.get(source, "").rpartition("/")[0])
        if mine is not None and stored is not None:
            of_kind = ours[mine.kind], theirs[stored.kind]
            same = _same_place(mine, of_kind[0], stored, of_kind[1], by_order=pairs.by_order is True)
            found.append(Guess(name, names[source], same))
    return found


class _ByPath:
    """Judges variables that are compared by paths: by positions in a model, or by numbers within a list of layers."""

    def __init__(self, sides: LayerSides, start: Start, *, by_order: bool | None) -> None:
        tensors = start.matching.checkpoint.tensors
        self._by_order = by_order
        self._positions = _positions(start.keys.values()), _positions(tensors)
        wanted = {key: start.variables[name].wanted.shape for name, key in start.keys.items()}
        stored = {name: info.shape for name, info in tensors.items()}
        sides_saved = [
            layers_of({name: shape for name, shape in side.items() if is_saved_path(name)}, {}, sides.classes)
            for side in (wanted, stored)
        ]
        self._layers = [{layer.name: layer for layer in side} for side in sides_saved]
        self._kinds = [_of_kind(side) for side in sides_saved]
        self._groups = [Counter(layer.group for layer in side) for side in sides_saved]

    def guess(self, name: str, source: str) -> Guess | None:
        """What is not certain about a variable; None if nothing."""
        path = source.removesuffix(VALUE)
        if is_saved_path(source):
            mine, stored = (side[path.rpartition("/")[0]] for side in self._layers)
            same = self._kinds[0][mine.kind].index(mine) == self._kinds[1][stored.kind].index(stored)
            same = same and mine.group == stored.group  # a layer with a bias is another than one without
            alike = not mine.is_numbered or self._groups[0][mine.group] == self._groups[1][mine.group]
            alone = self._groups[1][stored.group] == 1
            certain = not mine.is_numbered or alone or self._by_order
            return None if same and alike and certain else Guess(name, path, same and self._by_order is not False)
        kind, place = _position(source)
        here, there = (side[kind] for side in self._positions)
        same = _index(here, place) == _index(there, place)
        certain = same and len(here) == len(there) and self._by_order
        return Guess(name, path, same) if place and not certain else None


def warning(found: list[Guess]) -> str:
    """What is not certain about variables that have the same place as their tensors."""
    return (
        f"only the numbers of layers say what {listed([one.variable for one in found], 2)} start from: layers of "
        "their kind have equal shapes, and the checkpoint has another number of them, or does not state their order"
    )


def refusal(
    guess: Guess, sides: LayerSides, pairs: LayerPairs, start: Start, resolved: ResolvedOptions
) -> WarmStartError:
    """The error for a variable that may be another one than its tensor."""
    variable = id(start.variables[guess.variable].parts[0].variable)
    name = next((key for key, one in sides.variables.items() if id(one.parts[0].variable) == variable), "")
    kind = next((one.kind for one in pairs.open if one.name == name.rpartition("/")[0]), None)
    mine = [one for one in sides.program if one.kind == kind]  # in the order of the model
    stored = sorted(_of_kind(sides.checkpoint)[kind or ""], key=lambda one: one.place or ())
    tensor = "the one of that name" if guess.variable == guess.tensor else guess.tensor
    counts = f" and the checkpoint has {len(stored)} of this kind, the model {len(mine)}" if stored else ""
    if stored and len(stored) == len(mine):
        counts = f" and the first of this kind is {stored[0].name} in the checkpoint and {mine[0].name} in the model"
    return WarmStartError(
        f"{guess.variable} may be another variable than {tensor} in {start.report.checkpoint}: Keras numbers layers "
        f"in the order they are built,{counts or ' and here that is another order'}",
        start.report,
        hint=_hint(mine, stored, sides, start, resolved),
    )


def _hint(
    mine: list[KerasLayer], stored: list[KerasLayer], sides: LayerSides, start: Start, resolved: ResolvedOptions
) -> str:
    """The ways to say which layer is which."""
    ways = ["name each variable: assign({'name in the checkpoint': variable}, checkpoint)"]
    if (
        stored
        and not resolved.given.get("renames")
        and not resolved.given.get("scope")
        and len(mine) <= min(len(stored), _SHOWN)
    ):
        renames = dict(_renames(mine, stored, sides, start))
        ways.insert(0, f"say which layers the model's start from, for example the first ones: {renames=}")
    if stored and not any(stored[0].numbers):
        ways.insert(0, "build the model first in a program, or after keras.backend.clear_session()")
    return "; or ".join(ways)


def _renames(
    mine: list[KerasLayer], stored: list[KerasLayer], sides: LayerSides, start: Start
) -> Iterator[tuple[str, str]]:
    """The prefix of each of the checkpoint's layers with that of the program's, by names that ``start`` compares."""
    names = {id(one.parts[0].variable): name for name, one in start.variables.items()}
    for one, other in zip(mine, stored, strict=False):
        last = min(name for name, _ in one.shapes)
        ours = names[id(sides.variables[f"{one.name}/{last}".removeprefix("/")].parts[0].variable)]
        theirs = f"{other.name}/{last}".removeprefix("/")
        key = sides.stored.get(theirs, "")
        if ours not in sides.variables and key.endswith(VALUE):  # they are compared by paths
            theirs = key.removesuffix(VALUE)
        yield theirs.rpartition("/")[0] + "/", ours.rpartition("/")[0] + "/"


def _of_kind(layers: Iterable[KerasLayer]) -> defaultdict[str, list[KerasLayer]]:
    """The layers of each kind, in the order of their numbers."""
    kinds: defaultdict[str, list[KerasLayer]] = defaultdict(list)
    for layer in sorted(layers, key=lambda one: one.numbers):
        kinds[layer.kind].append(layer)
    return kinds


def _same_place(
    mine: KerasLayer, ours: list[KerasLayer], stored: KerasLayer, theirs: list[KerasLayer], *, by_order: bool
) -> bool:
    """Whether two layers have the same place among those of their kind, by number and in the model."""
    if mine.kind != stored.kind or ours.index(mine) != theirs.index(stored):
        return False
    if not by_order or any(one.place is None for one in theirs):
        return True
    in_model = [sorted(layers, key=lambda one: one.place or ()) for layers in (ours, theirs)]
    return in_model[0].index(mine) == in_model[1].index(stored)


def _position(key: str) -> tuple[str, Place]:
    """A key without the positions in it, and the positions."""
    return POSITION.sub("#", key.removesuffix(VALUE)), tuple(int(one[1]) for one in POSITION.finditer(key))


def _positions(keys: Iterable[str]) -> defaultdict[str, list[Place]]:
    found: defaultdict[str, set[Place]] = defaultdict(set)
    for key in keys:
        kind, place = _position(key)
        found[kind].add(place)
    return defaultdict(list, {kind: sorted(places) for kind, places in found.items()})


def _index(places: list[Place], place: Place) -> int:
    return places.index(place) if place in places else -1
