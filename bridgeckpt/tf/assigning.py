"""Assigning: the variables of a module, a model, or a list, set at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.tf.options import Asked, WarmStartOptions, settle
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.start import Start, announce, plan_by_names
from bridgeckpt.tf.values import assign as assign_now
from bridgeckpt.tf.values import feed, read_all
from bridgeckpt.tf.variables import is_variable, name_of, named, wholes
from bridgeckpt.warmstart.matching import opened_from
from bridgeckpt.warmstart.report import WarmStartReport, check
from bridgeckpt.warmstart.stored import VALUE

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.tf.variables import Variable
    from bridgeckpt.warmstart.matching import Source


def assign(
    model_or_variables: Any,  # noqa: ANN401 - what TensorFlow and Keras have
    checkpoint: Source,
    *,
    session: Any = None,  # noqa: ANN401
    **options: Unpack[WarmStartOptions],
) -> WarmStartReport:
    """Set variables to what a checkpoint has for them.

    Variables go by their full names: a Keras 3 variable's path, else the variable's name without ``:0``. Where these
    find less, or are not unique, they go by the path of attributes that leads to them (``encoder/kernel``); for the
    checkpoint of an object graph, whose keys are such paths, by these first.

    Args:
        model_or_variables: a Keras model or layer, a ``tf.Module``, a ``hub.KerasLayer`` or ``hub.Module``, a
            loaded SavedModel, any trackable object, variables, or a dict of variables by names of your own.
        checkpoint: any path of anything that bridgeckpt reads, or a checkpoint that is open.
        session: for variables of a graph: where they are initialised already. The graph may be finalised.
        options: see :class:`bridgeckpt.tf.options.WarmStartOptions`.

    Returns:
        What was set and what was not.

    Raises:
        CheckpointError: the checkpoint cannot be found or read, or a tensor is damaged; then no variable is set.
        TableError: a mapping table is malformed.
        PrecisionError: a value does not fit its variable's dtype; then no variable is set.
        WarmStartError: no variable is in the checkpoint, or a tensor has another shape; what else, ``strict`` says.
        BridgeckptError: there are no variables, they are of a graph and no session is given, or an option is none that
            there can be.
    """
    asked = settle(checkpoint, options)
    if session is None and not tensorflow().executing_eagerly():
        raise BridgeckptError(
            "variables of a graph are set in a session, and none is given",
            hint="pass session=, in which they are initialised; or while the graph is built, call "
            "bridgeckpt.tf.init_from_checkpoint",
        )
    _check_session(session)
    opened = opened_from(checkpoint)
    start = _start(model_or_variables, opened, asked)
    check(start.report, strict=asked.strict)
    if session is not None:
        _check_graph(start.set, session)
    read_all(start.set, start.matching.found)
    if session is None:
        assign_now(start.set, start.matching.found)
    else:
        feed(session, start.set, start.matching.found)
    announce(start.report, asked.report)
    return start.report


def _check_session(session: Any) -> None:  # noqa: ANN401
    if session is not None and not hasattr(session, "run"):
        raise BridgeckptError(
            f"session is {shorten(repr(session), 80)}", hint="it takes a tf.compat.v1.Session, or what runs as one does"
        )


def _check_graph(variables: Iterable[Variable], session: Any) -> None:  # noqa: ANN401
    """See that variables are of a session's graph."""
    graph = getattr(session, "graph", None)
    for part in (part for variable in variables for part in variable.parts):
        initializer = getattr(part.variable, "initializer", None)
        if initializer is None or (graph is not None and initializer.graph is not graph):
            raise BridgeckptError(
                f"{part.name} is no variable of the session's graph",
                hint="pass a session of the graph that the variables are of; variables of an eager program need none",
            )


def _keeps_paths(checkpoint: Checkpoint) -> bool:
    """Whether it is of an object graph, whose keys are paths of attributes."""
    return any(name.endswith(VALUE) for name in checkpoint.tensors)


def _start(model_or_variables: Any, checkpoint: Checkpoint, asked: Asked) -> Start:  # noqa: ANN401
    """The plan by the names that find most."""
    best: Start | None = None
    failed: BridgeckptError | None = None
    any_scope = _is_model(model_or_variables) and not asked.renaming.scope
    for variables in _namings(model_or_variables, paths_first=_keeps_paths(checkpoint)):
        try:
            start = plan_by_names(checkpoint, variables, asked, any_scope=any_scope)
        except BridgeckptError as error:  # options that speak of other names than these
            failed = failed or error
            continue
        if best is None or len(start.matching.found) > len(best.matching.found):
            best = start
        if best.report.complete:
            break
    if best is not None:
        return best
    raise failed or BridgeckptError(
        f"{shorten(repr(model_or_variables), 80)} has no variables",
        hint="it takes a model or variables; a Keras model makes its own when it is built or first called",
    )


def _is_model(what: Any) -> bool:  # noqa: ANN401
    """Whether it is an object that owns its variables, rather than variables."""
    if isinstance(what, Mapping) or is_variable(what):
        return False
    return _owned(what) is not None or not isinstance(what, Iterable)


def _owned(model: Any) -> list[Any] | None:  # noqa: ANN401
    """The variables that an object has by its own account: of Keras, its weights; None where it gives none."""
    module = tensorflow().Module
    try:
        if hasattr(model, "trainable_weights"):  # of Keras
            found = model.weights
        elif isinstance(model, module):  # whatever attributes of these names the user has given it
            found = module.variables.fget(model)
        else:
            found = getattr(model, "variables", None)
    except ValueError:  # Keras 2, of a model that is not built yet
        return []
    return list(found) if isinstance(found, (list, tuple)) and all(map(is_variable, found)) else None


def _namings(model: Any, *, paths_first: bool) -> Iterator[dict[str, Variable]]:  # noqa: ANN401
    """The variables by their names, in each way that there is; none without any.

    ``paths_first``: before names, which Keras numbers by what else was built, paths of attributes are tried.
    """
    if isinstance(model, Mapping):
        yield from filter(None, [named(model)])
    elif hasattr(model, "variable_map"):  # a hub.Module: by names without the scope that it was given
        yield named(model.variable_map)
    elif not _is_model(model):
        yield from filter(None, [wholes([model] if is_variable(model) else model)])
    else:
        by_path = named(_by_path(model))
        if by_path and paths_first:
            yield by_path
        owned = _owned(model) or [part.variable for one in by_path.values() for part in one.parts]
        if owned and len({name_of(one) for one in owned}) == len({id(one) for one in owned}):
            by_name = wholes(owned)
            yield by_name
            yield from filter(None, [_below_the_root(model, by_name)])
        if by_path and not paths_first:
            yield by_path


def _below_the_root(model: Any, by_name: dict[str, Variable]) -> dict[str, Variable]:  # noqa: ANN401
    """The names without that of the model itself, which Keras numbers in the order of construction; {} if not so."""
    root = f"{getattr(model, 'name', '')}/"
    if not all(name.startswith(root) for name in by_name):
        return {}
    return {name.removeprefix(root): one._replace(name=name.removeprefix(root)) for name, one in by_name.items()}


def _by_path(root: Any) -> dict[str, Any]:  # noqa: ANN401
    """The variables of a trackable object by the shortest path of attributes that leads to each."""
    tf = tensorflow()
    found: dict[str, Any] = {}
    seen, waiting = {id(root)}, deque([("", root)])
    while waiting:
        path, owner = waiting.popleft()
        try:
            children = tf.train.TrackableView.children(owner)
        except (AttributeError, TypeError, ValueError):  # nothing that TensorFlow saves
            continue
        for name, child in children.items():
            if id(child) in seen:
                continue
            seen.add(id(child))
            if is_variable(child):
                found[f"{path}{name}"] = child
            else:
                waiting.append((f"{path}{name}/", child))
    return found
