"""Assigning: the variables of a module, a model, or a list, set at once."""

from __future__ import annotations

import re
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.options import checked
from bridgeckpt.tf.naming import is_model, namings
from bridgeckpt.tf.options import ResolvedOptions, WarmStartOptions, resolve_options
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.start import Start, announce, plan_by_names
from bridgeckpt.tf.values import assign as assign_now
from bridgeckpt.tf.values import feed, read_all
from bridgeckpt.tf.variables import initialisers, is_of_a_graph
from bridgeckpt.warmstart.matching import opened_from
from bridgeckpt.warmstart.report import WarmStartError, WarmStartReport, check
from bridgeckpt.warmstart.stored import VALUE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.tf.variables import Variable
    from bridgeckpt.warmstart.matching import Source

_NUMBER = re.compile(r"_[0-9]+(?=/)")  # Keras', at the end of a layer's name


@checked(WarmStartOptions)
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
    checkpoint of an object graph, whose keys are such paths, by these first, also below a prefix such as ``model/``.
    A model's names that Keras has numbered otherwise than the checkpoint's are refused.

    Args:
        model_or_variables: a Keras model or layer, a ``tf.Module``, a ``hub.KerasLayer`` or ``hub.Module``, a
            loaded SavedModel, any trackable object, variables, or a dict of variables by names of your own.
        checkpoint: any path of anything that bridgeckpt reads, or a checkpoint that is open.
        session: for variables of a graph: where they are initialised already. The graph may be finalised.
        options: see :class:`bridgeckpt.tf.WarmStartOptions`.

    Returns:
        What was set and what was not.

    Raises:
        CheckpointError: the checkpoint cannot be found or read, or a tensor is damaged; then no variable is set.
        TableError: a mapping table is malformed.
        PrecisionError: a value does not fit its variable's dtype; then no variable is set.
        WarmStartError: no variable is in the checkpoint, a tensor has another shape, or names are numbered otherwise;
            what else, ``strict`` says.
        BridgeckptError: there are no variables, they are of a graph and no session is given, or an option is not
            valid.
    """
    asked = resolve_options(checkpoint, options)
    if session is None and not tensorflow().executing_eagerly():
        raise _no_session()
    _check_session(session)
    opened = opened_from(checkpoint)
    start = _start(model_or_variables, opened, asked)
    check(start.report, strict=asked.strict)
    if session is not None:
        _check_graph(start.set, session)
    elif any(is_of_a_graph(part.variable) for variable in start.set for part in variable.parts):
        raise _no_session()
    read_all(start.set, start.matching.found)
    if session is None:
        assign_now(start.set, start.matching.found)
    else:
        feed(session, start.set, start.matching.found)
    announce(start.report, asked.report)
    return start.report


def _no_session() -> BridgeckptError:
    return BridgeckptError(
        "variables of a graph are set in a session, and none is given",
        hint="pass session=, in which they are initialised; or while the graph is built, call "
        "bridgeckpt.tf.init_from_checkpoint",
    )


def _check_session(session: Any) -> None:  # noqa: ANN401
    if session is not None and not hasattr(session, "run"):
        raise BridgeckptError(
            f"session is {shorten(repr(session), 80)}", hint="it takes a tf.compat.v1.Session, or what runs as one does"
        )


def _check_graph(variables: Iterable[Variable], session: Any) -> None:  # noqa: ANN401
    """See that variables are of a session's graph."""
    graph = getattr(session, "graph", None)
    for part in (part for variable in variables for part in variable.parts):
        found = initialisers(part.variable)
        if not found or (graph is not None and any(one.graph is not graph for one in found)):
            raise BridgeckptError(
                f"{part.name} is no variable of the session's graph",
                hint="pass a session of the graph that the variables are of; variables of an eager program need none",
            )


def _start(model_or_variables: Any, checkpoint: Checkpoint, asked: ResolvedOptions) -> Start:  # noqa: ANN401
    """The plan by the names that find most."""
    best: Start | None = None
    failed: BridgeckptError | None = None
    any_scope = is_model(model_or_variables) and not asked.renaming.scope
    paths = {name.removesuffix(VALUE) for name in checkpoint.tensors if name.endswith(VALUE)}
    for variables in namings(model_or_variables, paths):
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
        if is_model(model_or_variables) and asked.strict is not False:
            _check_numbers(best)
        return best
    raise failed or BridgeckptError(
        f"{shorten(repr(model_or_variables), 80)} has no variables",
        hint="it takes a model or variables; a Keras model makes its own when it is built or first called",
    )


def _check_numbers(start: Start) -> None:
    """See that variables of equal names are not of other layers.

    Keras calls the first of its layers ``dense``, the next ``dense_1``, whichever model they are of: a model that has
    no first one was built after another.

    Raises:
        WarmStartError: the checkpoint has a first one.
    """
    asked, available = set(start.keys.values()), set(start.report.available)
    for name in start.matching.found:
        for number in _NUMBER.finditer(start.keys[name]):
            first = start.keys[name][: number.start()] + start.keys[name][number.end() :]
            if first in available and first not in asked:
                raise WarmStartError(
                    f"{start.keys[name]} need not be the variable of that name in {start.report.checkpoint}: Keras "
                    f"numbers layers in the order they are built, and {first} is there, but not in the model",
                    start.report,
                    hint="build the model first in a program, or after keras.backend.clear_session(); or say what is "
                    "meant: assign({'name in the checkpoint': variable}, checkpoint)",
                )
