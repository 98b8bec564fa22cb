"""The two calls of every training script around google-research/bert: make an assignment map, initialise by it.

The function that this one stands in for is ``get_assignment_map_from_checkpoint`` in modeling.py of
https://github.com/google-research/bert.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.options import PlanOptions, checked
from bridgeckpt.store.source import is_folder
from bridgeckpt.tf.default_graph import check_graph, earlier_initialisers, warn_of
from bridgeckpt.tf.options import Report, WarmStartOptions, resolve_options
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.start import Start, announce, plan_by_map, plan_by_names
from bridgeckpt.tf.values import initialize_with
from bridgeckpt.tf.variables import wholes
from bridgeckpt.warmstart.report import WarmStartError, check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridgeckpt.tf.default_graph import AssignmentMap
    from bridgeckpt.tf.variables import Variable
    from bridgeckpt.warmstart.matching import Source

_PATTERN = set("*?[\\")  # signs that TensorFlow takes for a pattern of paths


@checked(WarmStartOptions)
def get_assignment_map_from_checkpoint(
    tvars: Iterable[Any], init_checkpoint: Source, **options: Unpack[WarmStartOptions]
) -> tuple[OrderedDict[str, str], dict[str, int]]:
    """Which variables of the graph start from which tensor of a checkpoint.

    Args:
        tvars: the variables, as ``tf.compat.v1.trainable_variables()`` returns them; parts of a partitioned variable
            stand for the whole.
        init_checkpoint: any path of anything that bridgeckpt reads, or a checkpoint that is open. One of another code
            base is read through the mapping tables, under the names that the graph has for its tensors.
        options: see :class:`bridgeckpt.tf.WarmStartOptions`.

    Returns:
        The names of the checkpoint, sorted, with the graph's names for them without ``:0``; and the graph's names, with
        ``:0`` and without, each with 1, in the same order. Where tensors are stored under these names, the first is for
        ``tf.compat.v1.train.init_from_checkpoint`` as well as for :func:`init_from_checkpoint`; else for the latter.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        TableError: a mapping table is malformed.
        WarmStartError: no variable is in the checkpoint, or a tensor has another shape than its variable; what else,
            ``strict`` says. ``report`` has the details.
        BridgeckptError: an option or one of ``tvars`` is not valid.
    """
    asked = resolve_options(init_checkpoint, options)
    start = plan_by_names(init_checkpoint, wholes(tvars), asked)
    check(start.report, strict=asked.strict)
    listed = [one.name for one in start.set] if asked.strict is not False else _matching_by_name_only(start)
    taken = _by_checkpoint_name(start, listed)
    announce(start.report, asked.report)
    assignment_map, initialized = OrderedDict[str, str](), dict[str, int]()
    for key in sorted(taken):
        variable = taken[key]
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

    Call it before the operation is made that runs the initialisers, and before the graph is finalised. A checkpoint
    that TensorFlow reads by these names is left to TensorFlow; the values of any other one are read in this process
    when the initialisers are run.

    Args:
        init_checkpoint: any path of anything that bridgeckpt reads, or a checkpoint that is open.
        assignment_map: names of the checkpoint with variables, lists of parts, or names of the graph; or prefixes of
            both, which end in ``/``. A dict, or pairs. The names of a checkpoint that is read through the mapping
            tables are those that :func:`get_assignment_map_from_checkpoint` returns: the graph's spelling.
        report: called with the report; None logs it.
        reading: how to read a checkpoint whose names are translated, where it has to be told.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        TableError: a mapping table is malformed.
        WarmStartError: a name is in neither the graph nor the checkpoint, or a tensor has another shape.
    """
    asked = resolve_options(init_checkpoint, {"report": report, "reading": reading})
    check_graph()
    start = plan_by_map(init_checkpoint, assignment_map, asked.reading)
    earlier = earlier_initialisers(start.set)
    if _is_tensorflows_own(start):
        pairs = [(start.keys[one.name], _as_tensorflow_takes_it(one)) for one in start.set]
        tensorflow().compat.v1.train.init_from_checkpoint(str(start.matching.checkpoint.path), pairs)
    else:
        initialize_with(start.set, start.matching.found)
    announce(start.report, asked.report)
    warn_of(earlier)


def _matching_by_name_only(start: Start) -> list[str]:
    """The variables that the original lists: those of equal names; shapes and dtypes are not compared."""
    stored, known = start.matching.checkpoint.tensors, set(start.report.with_a_tensor)
    return [name for name, key in start.keys.items() if key in stored or name in known]


def _by_checkpoint_name(start: Start, names: Iterable[str]) -> dict[str, Variable]:
    taken: dict[str, Variable] = {}
    for variable in (start.variables[name] for name in names):
        key = start.keys[variable.name]
        if key in taken:
            raise WarmStartError(
                f"{taken[key].name} and {variable.name} would both start from {key}, which no assignment map can say",
                hint="make one map for each, with scope= or other tvars",
            )
        taken[key] = variable
    return taken


def _is_tensorflows_own(start: Start) -> bool:
    """Whether TensorFlow reads each value itself, by the same name and in the same dtype."""
    checkpoint = start.matching.checkpoint
    if not (start.matching.as_stored and checkpoint.read_by_tensorflow):
        return False
    if is_folder(checkpoint.path) or not _PATTERN.isdisjoint(str(checkpoint.path)):
        return False  # TensorFlow would look into the folder of the prefix's name, or into others that the path fits
    return all(checkpoint.tensors[start.keys[one.name]].dtype == one.wanted.dtype for one in start.set)


def _as_tensorflow_takes_it(variable: Variable) -> Any:  # noqa: ANN401 - a variable, or the list of its parts
    parts = [part.variable for part in variable.parts]
    return parts[0] if variable.parts[0].start is None else parts
