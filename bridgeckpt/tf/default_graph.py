"""The default graph: its variables, those that an assignment map names, and what may still be done to it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from textwrap import shorten
from typing import Any

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.variables import Variable, initialisers, is_of_a_graph, on_each_device, whole, wholes
from bridgeckpt.warmstart.report import WarmStartError

AssignmentMap = Mapping[str, Any] | Iterable[tuple[str, Any]]

_AVERAGE = "ExponentialMovingAverage"  # ends the names of tf.train.ExponentialMovingAverage's variables
_log = logging.getLogger("bridgeckpt.tf")


def graph_variables() -> list[Any]:
    """The variables of the default graph."""
    tf1 = tensorflow().compat.v1
    keys = (tf1.GraphKeys.GLOBAL_VARIABLES, tf1.GraphKeys.TRAINABLE_VARIABLES)
    return list({id(variable): variable for key in keys for variable in tf1.get_collection(key)}.values())


def resolve(assignment_map: AssignmentMap) -> tuple[dict[str, str], dict[str, Variable]]:
    """The name of the checkpoint for each variable that a map names, and the variables of the default graph themselves.

    Raises:
        WarmStartError: the graph has no such variable.
        BridgeckptError: a list of variables is no partitioned variable.
    """
    keys, variables = dict[str, str](), dict[str, Variable]()
    default = tensorflow().compat.v1.get_default_graph()
    for key, variable in _pairs(assignment_map, wholes(graph_variables())):
        for part in variable.parts:
            if is_of_a_graph(part.variable) and any(one.graph is not default for one in initialisers(part.variable)):
                raise BridgeckptError(
                    f"{part.name} is a variable of another graph than the default one",
                    hint="call it inside `with graph.as_default():`",
                )
        keys[variable.name] = key.removesuffix(":0")
        variables[variable.name] = variable
    return keys, variables


def check_graph() -> None:
    """See that the default graph takes other initialisers.

    Raises:
        BridgeckptError: there is none, or it is finalised.
    """
    tf1 = tensorflow().compat.v1
    if tf1.executing_eagerly():
        raise BridgeckptError(
            "initialisers are of a graph, and this program runs eagerly",
            hint="bridgeckpt.tf.assign(model_or_variables, checkpoint) sets the variables at once",
        )
    if tf1.get_default_graph().finalized:
        raise BridgeckptError(
            "the graph is finalised, and takes no other initialisers",
            hint="call it before the session is made; or use WarmStartHook, scaffold_fn, or assign with session=",
        )


def earlier_initialisers(variables: Iterable[Variable]) -> list[str]:
    """Operations of the graph that run the initialisers which these variables have now."""
    earlier = {one for variable in variables for part in variable.parts for one in initialisers(part.variable)}
    graph = tensorflow().compat.v1.get_default_graph()
    return [one.name for one in graph.get_operations() if one.type == "NoOp" and earlier & {*one.control_inputs}]


def warn_of(operations: list[str]) -> None:
    """Say that operations run initialisers which have been replaced."""
    if operations:
        _log.warning(
            "the operation %s was made before the warm start: it sets variables to the initial values of then. Make "
            "tf.compat.v1.global_variables_initializer() after bridgeckpt.tf.init_from_checkpoint",
            " and ".join(map(repr, operations)),
        )


def warn_of_averages(variables: Iterable[Variable]) -> None:
    """Say so if moving averages of variables keep what these were initialised with, before they were set."""
    names = {f"{part.name}/{_AVERAGE}" for variable in variables for part in variable.parts}
    cold = [one.name for one in graph_variables() if one.name.removesuffix(":0") in names]
    if cold:
        _log.warning(
            "%d moving averages, %s for one, begin with what their variables were initialised with, not with what they "
            "were set to; bridgeckpt.tf.init_from_checkpoint, called before ExponentialMovingAverage.apply, warms both",
            len(cold),
            cold[0],
        )


def warn_of_no_counting(step: Any) -> None:  # noqa: ANN401 - a variable of TensorFlow
    """Say so if nothing in the graph changes the global step, by which a restart is told from a first start."""
    graph = tensorflow().compat.v1.get_default_graph() if not hasattr(step, "graph") else step.graph
    places = {_place(one) for one in on_each_device(step)}
    if not any(_changes(one, places) and one not in initialisers(step) for one in graph.get_operations()):
        _log.warning(
            "nothing in the graph counts the global step (%s): a training that goes on cannot be told from one that "
            "starts, and would be set anew; pass global_step= to the optimizer's minimize",
            step.name,
        )


def _place(variable: Any) -> str:  # noqa: ANN401
    """The name of the operation in which a variable of a graph is kept."""
    handle = getattr(variable, "handle", None)
    return str(variable.op.name if handle is None else handle.op.name)


def _changes(operation: Any, places: set[str]) -> bool:  # noqa: ANN401
    """Whether an operation changes a variable at one of ``places``, or a function that it calls may."""
    if operation.type.endswith("PartitionedCall"):
        return any(one.op.name in places for one in operation.inputs)
    if not operation.type.startswith("Assign") or operation.inputs[0].op.name not in places:
        return False
    value = operation.inputs[1].op
    while value.type == "Identity":
        value = value.inputs[0].op
    return not value.type.startswith("Restore")  # a Saver's


def _items(assignment_map: AssignmentMap) -> list[tuple[str, Any]]:
    """The pairs of a map.

    Raises:
        BridgeckptError: it is none, or empty.
    """
    hint = "it takes {'name in the checkpoint': 'name in the graph'}, as get_assignment_map_from_checkpoint returns it"
    if isinstance(assignment_map, tuple) and len(assignment_map) == 2 and isinstance(assignment_map[0], Mapping):
        hint = "these are both values of get_assignment_map_from_checkpoint: the first of them is the map"
    elif isinstance(assignment_map, Mapping):
        assignment_map = list(assignment_map.items())
    if isinstance(assignment_map, (list, tuple)) and all(_is_pair(one) for one in assignment_map):
        if assignment_map:
            return list(assignment_map)
        raise BridgeckptError("the assignment map is empty: nothing would be warm-started", hint=hint)
    raise BridgeckptError(f"{shorten(repr(assignment_map), 80)} is no assignment map", hint=hint)


def _is_pair(what: object) -> bool:
    return isinstance(what, (list, tuple)) and len(what) == 2 and isinstance(what[0], str)


def _pairs(assignment_map: AssignmentMap, graph: Mapping[str, Variable]) -> Iterator[tuple[str, Variable]]:
    """Each name of the checkpoint with its variable, prefixes spelled out."""
    for key, value in _items(assignment_map):
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

    prefixes = dict.fromkeys(one[: at + 1] for one in graph for at in range(len(one)) if one[at] == "/")
    near = get_close_matches(name, prefixes if name.endswith("/") else graph, 3)
    hint = f"the nearest: {', '.join(near)}" if near else f"it has {len(graph)} variables, such as {next(iter(graph))}"
    if f"{name}/" in prefixes:
        hint = f"a prefix ends in /, on both sides: '{name}/'"
    return WarmStartError(
        f"the graph has no variable {name}" + ("..." if not name or name.endswith("/") else ""),
        hint=hint if graph else "it has none: build the model first",
    )
