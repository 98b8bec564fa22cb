"""Numbers that Keras gives to layers: the checkpoint's layer for each of a model's, whatever numbers they have.

The order of the layers or their shapes settle which layer is which. Where they do not, equal names are taken only if
the layers have equal places, with a warning, since nothing but the numbers says so; else the warm start is refused.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from bridgeckpt.tf.keras_sides import OUTPUT, LayerSides, best_pairs
from bridgeckpt.tf.number_doubts import guesses, refusal, warning
from bridgeckpt.warmstart.stored import VALUE
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridgeckpt.tf.options import ResolvedOptions
    from bridgeckpt.tf.start import Start
    from bridgeckpt.warmstart.layers import LayerPairs


def settle_layers(
    model: Any,  # noqa: ANN401 - TensorFlow and Keras have no types
    start: Start,
    resolved: ResolvedOptions,
    again: Callable[[Mapping[str, str]], Start],
) -> Start:
    """The start in which each of the model's layers gets the values of the checkpoint's layer that it is.

    ``again`` plans with the checkpoint's key for each variable of ``start``.

    Raises:
        WarmStartError: layers have the names of others, or may have, and neither order nor shapes say which they are.
    """
    if start.matching.translated or start.matching.checkpoint.has_pytorch_names:
        return start  # a table knows the layers
    start = start.with_report(start.report._replace(warnings=()))  # of names alone
    sides, pairs = best_pairs(model, start, resolved)
    sources, settled = _sources(start), _settled_keys(sides, pairs)
    found = guesses(sides, pairs, start, settled)
    wrong = [one for one in found if not one.same_place]
    if wrong and resolved.strict is not False:
        raise refusal(wrong[0], sides, pairs, start, resolved)
    warnings = [warning(found)] if found else []
    if pairs.by_order is False and (alike := _told_by_order(sides, pairs)):
        warnings.append(
            "the model has branches and other layers than the checkpoint, which can change the order of its layers: "
            f"{listed(alike, 3)} may be others of their kind"
        )
    if any(sources.get(variable) != key for variable, key in settled.items()):
        start = _again(start, {**sources, **settled}, again)
        start = start.with_report(start.report._replace(how="by the order of its layers"))
        note = _note(pairs)
        if pairs.by_order and len(pairs.names) == len(sides.program) == len(sides.checkpoint):
            start = start.with_report(start.report._replace(notes=(*start.report.notes, note)))
        else:
            warnings.insert(0, note)
    return start.with_report(start.report._replace(warnings=tuple(warnings)))


def _told_by_order(sides: LayerSides, pairs: LayerPairs) -> list[str]:
    """The layers that are paired, and that only the order tells from others."""
    counts = Counter(layer.group for layer in sides.program)
    return [one.name for one in sides.program if one.name in pairs.names and counts[one.group] > 1]


def _sources(start: Start) -> dict[int, str]:
    """The key of the tensor that each variable starts from, by the variable's identity."""
    return {
        id(start.variables[name].parts[0].variable): value.sources[0] for name, value in start.matching.values.items()
    }


def _settled_keys(sides: LayerSides, pairs: LayerPairs) -> dict[int, str]:
    """The key of the tensor for each variable of a layer that is paired, by the variable's identity."""
    found = {}
    for name, variable in sides.variables.items():
        layer, slash, last = name.rpartition("/")
        if layer in pairs.names:
            found[id(variable.parts[0].variable)] = sides.stored[pairs.names[layer] + slash + last]
    return found


def _again(start: Start, keys: Mapping[int, str], again: Callable[[Mapping[str, str]], Start]) -> Start:
    names = {}
    for name, variable in start.variables.items():
        if (key := keys.get(id(variable.parts[0].variable))) is not None and name in start.keys:
            names[name] = key.removesuffix(VALUE).removesuffix(OUTPUT)
    return again(names)


def _note(pairs: LayerPairs) -> str:
    """What was paired by order, as text."""
    others = [f"{ours} from {theirs}" for ours, theirs in pairs.names.items() if ours != theirs]
    return (
        f"Keras numbered the layers of the model otherwise, so they are paired by their order and shapes: "
        f"{listed(others or list(pairs.names), 3)}"
    )
