"""The layers of a Keras model and those of a checkpoint, and the pairs of them that order or shapes settle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.tf.keras_names import numbered_names
from bridgeckpt.tf.keras_structure import has_same_order
from bridgeckpt.tf.naming import namings_by_name
from bridgeckpt.warmstart.layers import KerasLayer, LayerPairs, is_numbered, layers_of, pair_by_order

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.tf.options import ResolvedOptions
    from bridgeckpt.tf.start import Start
    from bridgeckpt.tf.variables import Variable
    from bridgeckpt.warmstart.renaming import Renaming

OUTPUT = ":0"  # the end of a variable's name in Keras 2


class LayerSides(NamedTuple):
    """The layers of the program, under the checkpoint's names for them, and those of the checkpoint.

    ``variables`` are the program's by these names, ``stored`` the keys of the checkpoint's tensors by their names.
    ``classes`` are the names that Keras numbers.
    """

    program: list[KerasLayer]
    checkpoint: list[KerasLayer]
    variables: Mapping[str, Variable]
    stored: Mapping[str, str]
    classes: Collection[str]


def best_pairs(model: Any, start: Start, resolved: ResolvedOptions) -> tuple[LayerSides, LayerPairs]:  # noqa: ANN401
    """The pairs by the names of the model's variables, or by those without the model's own name."""
    found: list[tuple[LayerSides, LayerPairs]] = []
    classes = numbered_names(model)
    same_order = has_same_order(model, start.matching.checkpoint, classes)
    new = {id(start.variables[name].parts[0].variable) for name in start.report.new}
    for named in namings_by_name(model):
        not_new = {name: one for name, one in named.items() if id(one.parts[0].variable) not in new}
        for variables in (not_new, named) if new else (named,):
            sides = _sides(variables, resolved.renaming, start.matching.checkpoint, classes)
            found.append((sides, pair_by_order(sides.program, sides.checkpoint, same_order=same_order)))
    if not found:
        return LayerSides([], [], {}, {}, ()), LayerPairs({}, (), by_order=False)
    return max(found, key=lambda one: (len(one[1].names), -len(one[1].open)))


def _sides(
    named: Mapping[str, Variable], renaming: Renaming, checkpoint: Checkpoint, classes: Collection[str]
) -> LayerSides:
    """The layers of both sides, without those that the caller's renames pair."""
    keys = {name: key for name in named if (key := renaming.of(name)) is not None}
    told = {name for name in keys if _is_told(renaming.behind(name), classes)}
    variables = {key: named[name] for name, key in keys.items() if name not in told}
    places = {name: (number,) for number, name in enumerate(variables)}
    program = layers_of({name: one.wanted.shape for name, one in variables.items()}, places, classes)
    view = checkpoint.by_variable(without=OUTPUT)
    training = view.training_state()
    state = {*training.slots, *training.averages, *training.bookkeeping, *view.copies}
    infos = {
        name.removesuffix(OUTPUT): info
        for name, info in view.tensors.items()
        if name not in state and info.dtype != "string"
    }
    for name in told:
        infos.pop(keys[name], None)
    stored_places = {name.removesuffix(OUTPUT): place for name, place in view.layer_places.items()}
    stored = layers_of({name: info.shape for name, info in infos.items()}, stored_places, classes)
    return LayerSides(program, stored, variables, {name: info.name for name, info in infos.items()}, classes)


def _is_told(behind: str | None, classes: Collection[str]) -> bool:
    """Whether the caller says which layer it is: no number of Keras follows the renamed prefix."""
    return behind is not None and not any(is_numbered(part, classes) for part in behind.split("/")[:-1])
