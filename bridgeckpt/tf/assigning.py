"""``assign``: set the variables of a module, a model or a list at once."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.formats.layer_places import has_saved_paths
from bridgeckpt.options import checked
from bridgeckpt.tf.keras_numbers import settle_layers
from bridgeckpt.tf.naming import is_model, namings
from bridgeckpt.tf.options import ResolvedOptions, WarmStartOptions, resolve_options
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.settling import settle
from bridgeckpt.tf.start import Start, announce, plan_by_names
from bridgeckpt.tf.values import assign as assign_now
from bridgeckpt.tf.values import feed, read_all
from bridgeckpt.tf.variables import initialisers, is_of_a_graph
from bridgeckpt.warmstart.matching import open_absolute
from bridgeckpt.warmstart.numbers import told_by_numbers_only
from bridgeckpt.warmstart.stored import VALUE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.tf.variables import Variable
    from bridgeckpt.warmstart.matching import Source
    from bridgeckpt.warmstart.report import WarmStartReport


@checked(WarmStartOptions)
def assign(
    model_or_variables: Any,  # noqa: ANN401 - TensorFlow and Keras have no types
    checkpoint: Source,
    *,
    session: Any = None,  # noqa: ANN401
    **options: Unpack[WarmStartOptions],
) -> WarmStartReport:
    """Set variables to the values that a checkpoint has for them.

    A variable is looked up by its full name: the path of a Keras 3 variable, else the name without ``:0``. It is also
    looked up by the path of attributes that leads to it (``encoder/kernel``). The names that find more variables are
    used. The keys of an object graph's checkpoint are such paths. There, paths are tried first, also below a prefix
    such as ``model/``. The layers of a Keras model that are numbered otherwise than in the checkpoint are paired by
    their order or shapes, if these settle it; else the warm start is refused, or warned of if the numbers agree.

    Args:
        model_or_variables: a Keras model or layer, a ``tf.Module``, a ``hub.KerasLayer`` or ``hub.Module``, a
            loaded SavedModel, any trackable object, variables, or a dict of variables by names of your own.
        checkpoint: the path of a checkpoint in any format that bridgeckpt reads, or an open checkpoint.
        session: for variables of a graph: the session in which they are initialised. The graph may be finalised.
        options: see :class:`bridgeckpt.tf.WarmStartOptions`.

    Returns:
        What was set and what was not.

    Raises:
        CheckpointError: the checkpoint cannot be found or read, or a tensor is damaged. No variable is set then.
        TableError: a mapping table is malformed.
        PrecisionError: a value does not fit its variable's dtype. No variable is set then.
        WarmStartError: no variable is in the checkpoint, a tensor has another shape, layers may be others than those of
            their names, or ``strict`` refuses something else.
        BridgeckptError: there are no variables, they belong to a graph and no session is given, or an option is not
            valid.
    """
    resolved = resolve_options(checkpoint, options)
    if session is None and not tensorflow().executing_eagerly():
        raise _no_session()
    _check_session(session)
    opened = open_absolute(checkpoint)
    start = _settled(model_or_variables, opened, resolved)
    if session is not None:
        _check_graph(start.set, session)
    elif any(is_of_a_graph(part.variable) for variable in start.set for part in variable.parts):
        raise _no_session()
    read_all(start.set, start.matching.values)
    if session is None:
        assign_now(start.set, start.matching.values)
    else:
        feed(session, start.set, start.matching.values)
    announce(start.report, resolved.report)
    return start.report


def _of_a_list(start: Start) -> Start:
    """The start with a warning if nothing but numbers tells variables of a list apart."""
    if start.matching.translated or start.report.warnings:
        return start
    shapes = {start.keys[name]: start.variables[name].wanted.shape for name in start.matching.values}
    return start.with_report(start.report._replace(warnings=told_by_numbers_only(shapes)))


def _no_session() -> BridgeckptError:
    return BridgeckptError(
        "variables of a graph are set in a session, and no session is given",
        hint="pass the session in which they are initialised, session=; or call bridgeckpt.tf.init_from_checkpoint "
        "while the graph is built",
    )


def _check_session(session: Any) -> None:  # noqa: ANN401
    if session is not None and not hasattr(session, "run"):
        raise BridgeckptError(
            f"session is {shorten(repr(session), 80)}",
            hint="pass a tf.compat.v1.Session, or another object with a method run()",
        )


def _check_graph(variables: Iterable[Variable], session: Any) -> None:  # noqa: ANN401
    """Check that variables belong to the graph of the session."""
    graph = getattr(session, "graph", None)
    for part in (part for variable in variables for part in variable.parts):
        operations = initialisers(part.variable)
        if not operations or (graph is not None and any(operation.graph is not graph for operation in operations)):
            raise BridgeckptError(
                f"{part.name} is not a variable of the session's graph",
                hint="pass a session of the variables' own graph; variables of an eager program need no session",
            )


def _settled(model_or_variables: Any, checkpoint: Checkpoint, resolved: ResolvedOptions) -> Start:  # noqa: ANN401
    first = _start(model_or_variables, checkpoint, resolved)

    def plan(options: ResolvedOptions) -> Start:
        return first if options is resolved else _start(model_or_variables, checkpoint, options)

    return settle(plan, first.variables, resolved)


def _start(model_or_variables: Any, checkpoint: Checkpoint, resolved: ResolvedOptions) -> Start:  # noqa: ANN401
    """Plan with the names that find most variables."""
    best: Start | None = None
    first_error: BridgeckptError | None = None
    any_scope = is_model(model_or_variables) and not resolved.renaming.scope
    paths = {name.removesuffix(VALUE) for name in checkpoint.tensors if name.endswith(VALUE)}
    for variables in namings(model_or_variables, paths, saved_by_keras=has_saved_paths(checkpoint.tensors)):
        try:
            start = plan_by_names(checkpoint, variables, resolved, any_scope=any_scope)
        except BridgeckptError as error:  # for example: renames fits other names of the variables than these
            first_error = first_error or error
            continue
        if best is None or len(start.matching.values) > len(best.matching.values):
            best = start
        if best.report.complete:
            break
    if best is not None and is_model(model_or_variables):

        def again(keys: Mapping[str, str]) -> Start:
            pinned = resolved.renaming._replace(names={**resolved.renaming.names, **keys})
            return plan_by_names(checkpoint, best.variables, resolved._replace(renaming=pinned), any_scope=any_scope)

        return settle_layers(model_or_variables, best, resolved, again)
    if best is not None and isinstance(model_or_variables, Mapping):  # the names are the caller's own
        return best.with_report(best.report._replace(warnings=()))
    if best is not None:
        return _of_a_list(best)
    raise first_error or BridgeckptError(
        f"{shorten(repr(model_or_variables), 80)} has no variables",
        hint="pass a model or variables; a Keras model creates its variables when it is built or first called",
    )
