"""The two calls of every training script around google-research/bert: make an assignment map, initialise by it.

The function that this one stands in for is ``get_assignment_map_from_checkpoint`` in modeling.py of
https://github.com/google-research/bert.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.formats.tensorbundle import TensorBundle
from bridgeckpt.formats.v1 import V1Checkpoint
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.start import Start, announce, plan_start
from bridgeckpt.tf.values import initialize_with
from bridgeckpt.tf.variables import Variable, of_graph, whole, wholes
from bridgeckpt.warmstart.matching import Request, match
from bridgeckpt.warmstart.renaming import common_change
from bridgeckpt.warmstart.report import WarmStartError, check

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridgeckpt.planning.plan import PlanOptions
    from bridgeckpt.tf.start import WarmStartOptions
    from bridgeckpt.warmstart.matching import Matching, Source
    from bridgeckpt.warmstart.report import WarmStartReport

    AssignmentMap = Mapping[str, Any] | Iterable[tuple[str, Any]]

_MAP = "bridgeckpt.tf.get_assignment_map_from_checkpoint returns a map of what is there"


def get_assignment_map_from_checkpoint(
    tvars: Iterable[Any], init_checkpoint: Source, **options: Unpack[WarmStartOptions]
) -> tuple[OrderedDict[str, str], dict[str, int]]:
    """Which variables of the graph start from which tensor of a checkpoint.

    Args:
        tvars: the variables, as ``tf.compat.v1.trainable_variables()`` returns them; parts of a partitioned variable
            stand for the whole.
        init_checkpoint: any path of anything that bridgeckpt reads, or a checkpoint that is open. One of another code
            base is read through the mapping tables, under the names that the graph has for its tensors.
        options: see :class:`bridgeckpt.tf.start.WarmStartOptions`.

    Returns:
        The names of the checkpoint, sorted, with the graph's names for them without ``:0``; and the graph's names, with
        ``:0`` and without, each with 1, in the same order. For a checkpoint whose own names these are, the first is for
        ``tf.compat.v1.train.init_from_checkpoint`` as well as for :func:`init_from_checkpoint`; else for the latter.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        ConfigError: the config beside it is malformed.
        TableError: a mapping table is malformed.
        WarmStartError: no variable is in the checkpoint, or a tensor has another shape than its variable; what else,
            ``strict`` says. ``report`` has the details.
        BridgeckptError: an option or one of ``tvars`` is none that there can be.
    """
    start = plan_start(init_checkpoint, wholes(tvars), **options)
    report = start.matching.report
    # Without strictness the map is the original's, which lists names whatever their shapes: TensorFlow refuses those.
    listed = [one.name for one in start.set] if options.get("strict") is not False else [*report.with_a_tensor]
    taken = _by_checkpoint_name(start, listed)
    announce(report, options.get("report"))
    assignment_map, initialized = OrderedDict[str, str](), dict[str, int]()
    for key in sorted(taken):
        variable = taken[key]
        assignment_map[key] = variable.name
        for name in dict.fromkeys([variable.name, *(part.name for part in variable.parts)]):
            initialized[name] = 1
            initialized[f"{name}:0"] = 1
    return assignment_map, initialized


def init_from_checkpoint(
    init_checkpoint: Source,
    assignment_map: AssignmentMap,
    *,
    report: Callable[[WarmStartReport], object] | None = None,
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
        ConfigError: the config beside it is malformed.
        TableError: a mapping table is malformed.
        WarmStartError: a name is in neither the graph nor the checkpoint, or a tensor has another shape.
    """
    keys, variables = resolve(assignment_map)
    matching = match_all(init_checkpoint, keys, variables, reading)
    announce(matching.report, report)
    if _is_tensorflows_own(matching, keys, variables):
        pairs = [(keys[name], _as_tensorflow_takes_it(variable)) for name, variable in variables.items()]
        tensorflow().compat.v1.train.init_from_checkpoint(str(matching.checkpoint.path), pairs)
    else:
        initialize_with(variables.values(), matching.found)


def resolve(assignment_map: AssignmentMap) -> tuple[dict[str, str], dict[str, Variable]]:
    """The name of the checkpoint for each variable that a map names, and the variables of the default graph themselves.

    Raises:
        WarmStartError: the graph has no such variable.
    """
    keys, variables = dict[str, str](), dict[str, Variable]()
    for key, variable in _pairs(assignment_map, wholes(of_graph())):
        keys[variable.name] = key.removesuffix(":0")
        variables[variable.name] = variable
    return keys, variables


def match_all(
    source: Source, keys: Mapping[str, str], variables: Mapping[str, Variable], reading: PlanOptions | None
) -> Matching:
    """Find the value of every variable of a map.

    Raises:
        WarmStartError: one has none, or one of another shape.
    """
    wanted = {name: variable.wanted for name, variable in variables.items()}
    ours, theirs = common_change(keys.items())
    others = {
        theirs + name.removeprefix(ours): variable.wanted
        for name, variable in wholes(of_graph()).items()
        if name.startswith(ours)
    }
    matching = match(source, Request(keys, wanted, others, (), reading or {}))
    check(matching.report, strict=True, hint=_MAP)
    return matching


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


def _pairs(assignment_map: AssignmentMap, graph: Mapping[str, Variable]) -> Iterator[tuple[str, Variable]]:
    """Each name of the checkpoint with its variable, prefixes spelled out."""
    items = assignment_map.items() if isinstance(assignment_map, Mapping) else assignment_map
    for key, value in items:
        if not isinstance(value, str):
            yield key, whole(value)
        elif (name := value.removesuffix(":0")) in graph:
            yield key, graph[name]
        elif key.endswith("/") and value.endswith("/"):
            yield from _below(key.removeprefix("/"), value.removeprefix("/"), graph)
        else:
            raise _no_variable(value, graph)


def _below(theirs: str, ours: str, graph: Mapping[str, Variable]) -> Iterator[tuple[str, Variable]]:
    names = [name for name in graph if name.startswith(ours)]
    if not names:
        raise _no_variable(ours, graph)
    for name in names:
        yield theirs + name.removeprefix(ours), graph[name]


def _no_variable(name: str, graph: Mapping[str, Variable]) -> WarmStartError:
    from difflib import get_close_matches  # only for the message

    near = get_close_matches(name, graph, 3)
    return WarmStartError(
        f"the graph has no variable {name}" + ("..." if not name or name.endswith("/") else ""),
        hint=f"the nearest: {', '.join(near)}" if near else f"it has {len(graph)} variables; build the model first",
    )


def _is_tensorflows_own(matching: Matching, keys: Mapping[str, str], variables: Mapping[str, Variable]) -> bool:
    """Whether TensorFlow reads each value itself, by the same name and in the same dtype."""
    checkpoint = matching.checkpoint
    if not (matching.as_stored and isinstance(checkpoint, (TensorBundle, V1Checkpoint))):
        return False
    return all(checkpoint.tensors[keys[name]].dtype == one.wanted.dtype for name, one in variables.items())


def _as_tensorflow_takes_it(variable: Variable) -> Any:  # noqa: ANN401 - a variable, or the list of its parts
    parts = [part.variable for part in variable.parts]
    return parts[0] if variable.parts[0].start is None else parts
