"""Settings found by trial: those with which the forward pass computes what the checkpoint's graph computes.

A graph holds the settings that no tensor holds, in its operations. These are not read. Instead, candidates are tried:
epsilons on the embeddings, numbers of heads on layer 0's attention, activations on its output. Weights near 0, from
which training starts, hide all of them (every activation is a straight line there), so the trial draws its own weights.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bridgeckpt.parity.bert.activations import FUNCTIONS, SAME
from bridgeckpt.parity.bert.forward import Forward
from bridgeckpt.parity.tensorflow.runtime import computing

if TYPE_CHECKING:
    from bridgeckpt.parity.bert.settings import Settings
    from bridgeckpt.parity.bert.variables import Bert
    from bridgeckpt.parity.reference.probes import Probe
    from bridgeckpt.parity.tensorflow.stored import Variables

    Array = np.ndarray[Any, np.dtype[Any]]

_EPSILONS = (1e-12, 1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-4, 1e-2)
_DTYPES: tuple[Literal["float32", "float64"], ...] = ("float32", "float64")
_ORIGIN = "matches the graph"
# Graphs round in their own way: x ** 3 by logarithms, a fused norm. In root mean square that is up to 3 times the
# rounding of plain operations; on trial weights a wrong setting is a thousand times it.
_ROUNDING = 10.0
# The setting that each stage shows, given the settings of the stages before it.
_SHOWN_BY = (("embeddings", "layer_norm_eps"), ("layer.0.attention", "heads"), ("layer.0.output", "hidden_act"))
TRIAL_STAGES = tuple(stage for stage, _ in _SHOWN_BY)
_SPREAD = 3.0  # of the activation's inputs: relu and relu6 differ there
_CLOSE = 3e-6  # of the size of a hidden state: some tens of float32's rounding
_EMBEDDED = 1e-4  # size of the embeddings: epsilons of 1e-10 and 1e-12 differ there


def trial_weights(bert: Bert, variables: Variables) -> dict[str, Array]:
    """Weights for the embeddings and layer 0, by variable, on which every setting changes what is computed."""
    generator = np.random.default_rng(0)
    weights = {}
    for role, name in bert.variables.items():
        if not role.startswith(("embeddings.", "layer.0.")) or name in weights:
            continue
        shape = variables.shapes[name]
        values = generator.standard_normal(shape, np.float32)
        if role.startswith("embeddings.") and len(shape) == 2:
            values *= _EMBEDDED
        elif role.endswith("kernel"):
            values *= (_SPREAD if role == "layer.0.intermediate.kernel" else 1.0) * shape[0] ** -0.5
        elif role.endswith("gamma"):
            values = 1 + 0.2 * values
        dtype = variables.dtypes[name]  # TensorFlow's or numpy's
        weights[name] = values.astype(getattr(dtype, "as_numpy_dtype", dtype))
    return weights


def settings_of_graph(
    tf: Any,  # noqa: ANN401 - TensorFlow has no types
    bert: Bert,
    settings: Settings,
    weights: Mapping[str, Array],
    probe: Probe,
    graph: Mapping[str, Array],
    fixed: Collection[str],
) -> Settings | None:
    """The settings with which the forward pass computes what a graph computes; None if there are no such settings.

    Args:
        tf: The module ``tensorflow``.
        bert: Which variables.
        settings: What is tried first.
        weights: The :func:`trial_weights`.
        probe: What the graph was run on.
        graph: What it computed on the probe with these weights, by stage.
        fixed: The names of the settings that must not change.
    """
    with computing(tf, "the forward pass"):
        single, double = (Forward(tf, bert, weights.__getitem__, dtype) for dtype in _DTYPES)
        for stage, name in _SHOWN_BY:
            for value in _candidates(bert, settings, name, name in fixed):
                tried = settings._replace(**{name: value})
                of_single, of_double = (
                    next(values.numpy() for at, values in forward.run(probe.inputs, tried) if at == stage)
                    for forward in (single, double)
                )
                if _ratio(graph[stage], of_single, of_double) <= _ROUNDING:
                    settings = tried
                    break
            else:
                return None
    found = [name for _, name in _SHOWN_BY if name not in fixed]
    return settings._replace(origins={**settings.origins, **dict.fromkeys(found, _ORIGIN)})


def settings_of_values(
    tf: Any,  # noqa: ANN401
    bert: Bert,
    settings: Settings,
    variables: Variables,
    probe: Probe,
    values: Mapping[str, Array],
    fixed: Collection[str],
) -> Settings:
    """The settings with which the forward pass computes what the functions computed; else the given ones.

    Arguments as of :func:`settings_of_graph`, but on the model's own weights: a SavedModel's functions take no others.
    """
    with computing(tf, "the forward pass"):
        forward = Forward(tf, bert, variables.load, "float32")
        for changed in _changes(bert, settings, fixed):
            tried = settings._replace(**changed)
            computed = forward.run(probe.inputs, tried)
            stage, found = next((one for one in computed if one[0] in values and one[0] != "embeddings"), ("", None))
            if found is None:
                return settings
            difference = values[stage] - found.numpy()
            if np.sqrt(np.mean(difference**2)) <= _CLOSE * np.sqrt(np.mean(values[stage] ** 2)):
                tested = [name for name in changed if name not in fixed]
                return tried._replace(origins={**tried.origins, **dict.fromkeys(tested, _ORIGIN)})
    return settings


def first_difference(
    graph: Mapping[str, Array], single: Mapping[str, Array], double: Mapping[str, Array]
) -> str | None:
    """The first stage in which a graph's values are further from the forward pass than rounding explains, or None."""
    for stage in graph:
        if stage in single and stage in double and _ratio(graph[stage], single[stage], double[stage]) > _ROUNDING:
            return stage
    return None


def _changes(bert: Bert, settings: Settings, fixed: Collection[str]) -> list[dict[str, Any]]:
    """The settings to try: the stated ones, then those that differ from them in one setting, then in two."""
    names = [name for _, name in _SHOWN_BY]
    known = {"heads"} if settings.heads else set()
    each = [_candidates(bert, settings, name, name in fixed or name in known) for name in names]
    combined = [dict(zip(names, values, strict=True)) for values in product(*each)]
    first = [values[0] for values in each]
    ranked = [(sum(a != b for a, b in zip(one.values(), first, strict=True)), one) for one in combined]
    return [one for _, one in sorted((pair for pair in ranked if pair[0] <= 2), key=lambda pair: pair[0])]


def _candidates(bert: Bert, settings: Settings, name: str, fixed: bool) -> list[Any]:
    """The values of a setting to try, the stated one first."""
    stated = getattr(settings, name)
    others: Mapping[str, Iterable[Any]] = {
        "layer_norm_eps": _EPSILONS,
        "heads": [count for count in range(1, bert.hidden + 1) if bert.hidden % count == 0],
        "hidden_act": FUNCTIONS,
    }
    same = SAME.get(stated, stated) if name == "hidden_act" else stated
    found = [stated] if stated else []  # 0 heads: nothing states them
    return found if fixed else found + [value for value in others[name] if value != same]


def _ratio(graph: Array, single: Array, double: Array) -> float:
    def rms(values: Array) -> float:
        return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))

    smallest = float(np.finfo(np.float32).eps) * rms(double) / 8  # where plain operations happen to be exact
    return rms(graph - double) / max(rms(single - double), smallest, 1e-30)
