"""The default graph: its variables, those that an assignment map names, and what may still be done to it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.variables import Variable, whole, wholes
from bridgeckpt.warmstart.report import WarmStartError

AssignmentMap = Mapping[str, Any] | Iterable[tuple[str, Any]]

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
    for key, variable in _pairs(assignment_map, wholes(graph_variables())):
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


def warn_of_earlier_initialisers(variables: Iterable[Variable]) -> None:
    """Say so if the graph has an operation already that runs the initialisers which are about to be replaced."""
    initialisers = {part.variable.initializer for variable in variables for part in variable.parts}
    graph = tensorflow().compat.v1.get_default_graph()
    made = [one.name for one in graph.get_operations() if one.type == "NoOp" and initialisers & {*one.control_inputs}]
    if made:
        _log.warning(
            "%s was made before the warm start, and sets variables to the initial values of then; make "
            "tf.compat.v1.global_variables_initializer() after bridgeckpt.tf.init_from_checkpoint",
            ", ".join(made),
        )


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
