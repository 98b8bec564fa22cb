"""The two calls that training scripts of google-research/bert make: get an assignment map, and initialise with it.

:func:`get_assignment_map_from_checkpoint` replaces the function of this name in modeling.py of
https://github.com/google-research/bert.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.options import PlanOptions, checked
from bridgeckpt.store.source import is_folder
from bridgeckpt.tf.default_graph import check_graph, earlier_initialisers, warn_of_earlier
from bridgeckpt.tf.options import Report, WarmStartOptions, resolve_options
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.settling import settle
from bridgeckpt.tf.start import Start, announce, plan_by_map, plan_by_names
from bridgeckpt.tf.values import initialize_with
from bridgeckpt.tf.variables import wholes
from bridgeckpt.warmstart.matching import open_absolute
from bridgeckpt.warmstart.report import WarmStartError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridgeckpt.tf.default_graph import AssignmentMap
    from bridgeckpt.tf.variables import Variable
    from bridgeckpt.warmstart.matching import Source

_WILDCARDS = set("*?[\\")  # TensorFlow takes a path with one of these for a pattern


@checked(WarmStartOptions)
def get_assignment_map_from_checkpoint(
    tvars: Iterable[Any], init_checkpoint: Source, **options: Unpack[WarmStartOptions]
) -> tuple[OrderedDict[str, str], dict[str, int]]:
    """Get a map from the names of a checkpoint to the variables of the graph that start from them.

    Args:
        tvars: the variables, as ``tf.compat.v1.trainable_variables()`` returns them. A part of a partitioned variable
            stands for the whole variable.
        init_checkpoint: the path of a checkpoint in any format that bridgeckpt reads, or an open checkpoint. The
            checkpoint of another code base is read through the mapping tables, under the graph's names.
        options: see :class:`bridgeckpt.tf.WarmStartOptions`.

    Returns:
        Two dicts in the same order. The first maps the checkpoint's names, sorted, to the graph's names without ``:0``.
        The second maps the graph's names, with and without ``:0``, to 1. :func:`init_from_checkpoint` takes the first.
        ``tf.compat.v1.train.init_from_checkpoint`` takes it too if the checkpoint stores its tensors under these names.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        TableError: a mapping table is malformed.
        WarmStartError: no variable is in the checkpoint, a tensor has another shape than its variable, or ``strict``
            refuses something else. ``report`` has the details.
        BridgeckptError: an option or one of ``tvars`` is not valid.
    """
    resolved = resolve_options(init_checkpoint, options)
    opened, named = open_absolute(init_checkpoint), wholes(tvars)

    def by_key_of(start: Start) -> dict[str, Variable]:
        matching = resolved.strict is False  # as in google-research/bert
        names = _matching_by_name_only(start) if matching else [variable.name for variable in start.set]
        return _by_checkpoint_name(start, names)

    start = settle(lambda options: plan_by_names(opened, named, options), named, resolved, accept=by_key_of)
    by_key = by_key_of(start)
    announce(start.report, resolved.report)
    assignment_map, initialized = OrderedDict[str, str](), dict[str, int]()
    for key in sorted(by_key):
        variable = by_key[key]
        assignment_map[key] = variable.name
        for name in dict.fromkeys([variable.name, *(part.name for part in variable.parts)]):
            initialized[name] = 1
            initialized[f"{name}:0"] = 1
    return assignment_map, initialized


@checked()
def init_from_checkpoint(
    init_checkpoint: Source,
    assignment_map: AssignmentMap,
    *,
    report: Report | None = None,
    reading: PlanOptions | None = None,
) -> None:
    """Make variables of the default graph start from a checkpoint, as ``tf.compat.v1.train.init_from_checkpoint`` does.

    Call it before you make the operation that runs the initialisers, and before the graph is finalised. If TensorFlow
    can read the checkpoint by these names, it does. Otherwise this process reads the values when the initialisers run.

    Args:
        init_checkpoint: the path of a checkpoint in any format that bridgeckpt reads, or an open checkpoint.
        assignment_map: a dict or a list of pairs. Each pair is a name of the checkpoint and a variable, a list of the
            parts of one, or the name of one in the graph; or it is two prefixes, which end in ``/``. For a checkpoint
            that is read through the mapping tables, use the names that :func:`get_assignment_map_from_checkpoint`
            returns.
        report: called with the report; None logs it.
        reading: how to read a TensorFlow checkpoint whose names are translated, see
            :class:`bridgeckpt.tf.WarmStartOptions`.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        TableError: a mapping table is malformed.
        WarmStartError: a name is not in the graph or not in the checkpoint, or a tensor has another shape.
    """
    resolved = resolve_options(init_checkpoint, {"report": report, "reading": reading})
    check_graph()
    start = plan_by_map(init_checkpoint, assignment_map, resolved.reading)
    earlier = earlier_initialisers(start.set)
    if _is_read_by_tensorflow(start):
        pairs = [(start.keys[variable.name], _variable_or_parts(variable)) for variable in start.set]
        tensorflow().compat.v1.train.init_from_checkpoint(str(start.matching.checkpoint.path), pairs)
    else:
        initialize_with(start.set, start.matching.values)
    announce(start.report, resolved.report)
    warn_of_earlier(earlier)


def _matching_by_name_only(start: Start) -> list[str]:
    """The variables that google-research/bert lists: names are compared, shapes and dtypes are not."""
    stored, known = start.matching.checkpoint.tensors, set(start.report.with_a_tensor)
    return [name for name, key in start.keys.items() if key in stored or name in known]


def _by_checkpoint_name(start: Start, names: Iterable[str]) -> dict[str, Variable]:
    """The variables called ``names``, by the checkpoint's names for them."""
    by_key: dict[str, Variable] = {}
    for variable in (start.variables[name] for name in names):
        key = start.keys[variable.name]
        if key in by_key:
            raise WarmStartError(
                f"{by_key[key].name} and {variable.name} would both start from {key}, and an assignment map can have "
                "only one variable for a name",
                hint="make one map for each, with scope= or other tvars",
            )
        by_key[key] = variable
    return by_key


def _is_read_by_tensorflow(start: Start) -> bool:
    """Whether TensorFlow can read each value itself, by the same name and in the same dtype."""
    checkpoint = start.matching.checkpoint
    if not (start.matching.as_stored and checkpoint.read_by_tensorflow):
        return False
    if is_folder(checkpoint.path) or not _WILDCARDS.isdisjoint(str(checkpoint.path)):
        return False  # TensorFlow would read the folder of this name, or another path that matches the pattern
    return all(checkpoint.tensors[start.keys[variable.name]].dtype == variable.wanted.dtype for variable in start.set)


def _variable_or_parts(variable: Variable) -> Any:  # noqa: ANN401 - a variable, or the list of its parts
    parts = [part.variable for part in variable.parts]
    return parts[0] if variable.parts[0].start is None else parts
