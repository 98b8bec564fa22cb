"""The default graph: its variables, those that an assignment map names, and warnings about its operations."""

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

_AVERAGE = "ExponentialMovingAverage"  # the end of the names of tf.train.ExponentialMovingAverage's variables
_log = logging.getLogger("bridgeckpt.tf")


def graph_variables() -> list[Any]:
    """The variables of the default graph."""
    tf1 = tensorflow().compat.v1
    keys = (tf1.GraphKeys.GLOBAL_VARIABLES, tf1.GraphKeys.TRAINABLE_VARIABLES)
    return list({id(variable): variable for key in keys for variable in tf1.get_collection(key)}.values())


def resolve(assignment_map: AssignmentMap) -> tuple[dict[str, str], dict[str, Variable]]:
    """Resolve a map: the checkpoint's name for each variable, and the variables of the default graph, by their names.

    Raises:
        WarmStartError: the graph has no such variable.
        BridgeckptError: a list of variables is not one partitioned variable, or a variable belongs to another graph.
    """
    keys, variables = dict[str, str](), dict[str, Variable]()
    default = tensorflow().compat.v1.get_default_graph()
    for key, variable in _pairs(assignment_map, wholes(graph_variables())):
        for part in variable.parts:
            operations = initialisers(part.variable)
            if is_of_a_graph(part.variable) and any(operation.graph is not default for operation in operations):
                raise BridgeckptError(
                    f"{part.name} is a variable of another graph than the default one",
                    hint="call it inside `with graph.as_default():`",
                )
        keys[variable.name] = key.removesuffix(":0")
        variables[variable.name] = variable
    return keys, variables


def check_graph() -> None:
    """Check that initialisers of the default graph can be replaced.

    Raises:
        BridgeckptError: the program runs eagerly, or the graph is finalised.
    """
    tf1 = tensorflow().compat.v1
    if tf1.executing_eagerly():
        raise BridgeckptError(
            "only a graph has initialisers, and this program runs eagerly",
            hint="bridgeckpt.tf.assign(model_or_variables, checkpoint) sets the variables at once",
        )
    if tf1.get_default_graph().finalized:
        raise BridgeckptError(
            "the graph is finalised, so its initialisers cannot be replaced",
            hint="call it before the session is made; or use WarmStartHook, scaffold_fn, or assign with session=",
        )


def earlier_initialisers(variables: Iterable[Variable]) -> list[str]:
    """The names of the graph's operations that run the present initialisers of these variables."""
    present = {one for variable in variables for part in variable.parts for one in initialisers(part.variable)}
    graph = tensorflow().compat.v1.get_default_graph()
    return [one.name for one in graph.get_operations() if one.type == "NoOp" and present & {*one.control_inputs}]


def warn_of_earlier(operations: list[str]) -> None:
    """Warn that operations run initialisers that have been replaced."""
    if operations:
        _log.warning(
            "the operation %s was made before the warm start: it sets variables to their former initial values. Make "
            "tf.compat.v1.global_variables_initializer() after bridgeckpt.tf.init_from_checkpoint",
            " and ".join(map(repr, operations)),
        )


def warn_of_averages(variables: Iterable[Variable]) -> None:
    """Warn if moving averages of variables still have the variables' initial values after the warm start."""
    names = {f"{part.name}/{_AVERAGE}" for variable in variables for part in variable.parts}
    averages = [one.name for one in graph_variables() if one.name.removesuffix(":0") in names]
    if averages:
        _log.warning(
            "%d moving averages, for example %s, begin with the initial values of their variables, not with the values "
            "of the warm start; bridgeckpt.tf.init_from_checkpoint, called before ExponentialMovingAverage.apply, "
            "starts both",
            len(averages),
            averages[0],
        )


def warn_of_no_counting(step: Any) -> None:  # noqa: ANN401 - a variable of TensorFlow
    """Warn if nothing in the graph changes the global step, which tells a restart from a first start."""
    graph = tensorflow().compat.v1.get_default_graph() if not hasattr(step, "graph") else step.graph
    places = {_place(one) for one in on_each_device(step)}
    if not any(_changes(one, places) and one not in initialisers(step) for one in graph.get_operations()):
        _log.warning(
            "nothing in the graph counts the global step (%s): a training that continues looks like one that starts, "
            "and would be set again; pass global_step= to the optimizer's minimize",
            step.name,
        )


def _place(variable: Any) -> str:  # noqa: ANN401
    """The name of the operation that holds a variable of a graph."""
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
    return not value.type.startswith("Restore")  # by a Saver


def _items(assignment_map: AssignmentMap) -> list[tuple[str, Any]]:
    """The pairs of a map.

    Raises:
        BridgeckptError: the value is not a map, or it is empty.
    """
    hint = "pass {'name in the checkpoint': 'name in the graph'}, as get_assignment_map_from_checkpoint returns it"
    if isinstance(assignment_map, tuple) and len(assignment_map) == 2 and isinstance(assignment_map[0], Mapping):
        hint = "these are both results of get_assignment_map_from_checkpoint: the first of them is the map"
    elif isinstance(assignment_map, Mapping):
        assignment_map = list(assignment_map.items())
    if isinstance(assignment_map, (list, tuple)) and all(_is_pair(one) for one in assignment_map):
        if assignment_map:
            return list(assignment_map)
        raise BridgeckptError("the assignment map is empty: nothing would be warm-started", hint=hint)
    raise BridgeckptError(f"{shorten(repr(assignment_map), 80)} is not an assignment map", hint=hint)


def _is_pair(what: object) -> bool:
    return isinstance(what, (list, tuple)) and len(what) == 2 and isinstance(what[0], str)


def _pairs(assignment_map: AssignmentMap, graph: Mapping[str, Variable]) -> Iterator[tuple[str, Variable]]:
    """Each name of the checkpoint with its variable; prefixes become whole names."""
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

    prefixes = dict.fromkeys(other[: end + 1] for other in graph for end in range(len(other)) if other[end] == "/")
    near = get_close_matches(name, prefixes if name.endswith("/") else graph, 3)
    hint = f"the nearest: {', '.join(near)}" if near else f"it has {len(graph)} variables, such as {next(iter(graph))}"
    if f"{name}/" in prefixes:
        hint = f"a prefix ends in /, on both sides: '{name}/'"
    return WarmStartError(
        f"the graph has no variable {name}" + ("..." if not name or name.endswith("/") else ""),
        hint=hint if graph else "the graph has no variables: build the model first",
    )
