"""The plan of a warm start: which variables of the program get which values. It is checked before anything is set."""

from __future__ import annotations

import logging
import os
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.tf.default_graph import graph_variables, resolve
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.variables import wholes
from bridgeckpt.warmstart.advice import Asked, advise
from bridgeckpt.warmstart.matching import Matching, Request, match_variables, open_absolute
from bridgeckpt.warmstart.prefixes import common_change
from bridgeckpt.warmstart.refusal import check
from bridgeckpt.warmstart.report import WarmStartError, WarmStartReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bridgeckpt.options import PlanOptions
    from bridgeckpt.tf.default_graph import AssignmentMap
    from bridgeckpt.tf.options import Report, ResolvedOptions
    from bridgeckpt.tf.variables import Variable
    from bridgeckpt.warmstart.answer import Wanted
    from bridgeckpt.warmstart.matching import Source

_log = logging.getLogger("bridgeckpt.tf")

_MAP = "bridgeckpt.tf.get_assignment_map_from_checkpoint returns a map of the names that are there"


class Start(NamedTuple):
    """The program's ``variables``, the checkpoint's name for each in ``keys``, and the match of both, all by name."""

    variables: Mapping[str, Variable]
    keys: Mapping[str, str]
    matching: Matching

    @property
    def set(self) -> list[Variable]:
        """The variables that get a value."""
        return [self.variables[name] for name in self.matching.values]

    @property
    def report(self) -> WarmStartReport:
        """What is set and what is not."""
        return self.matching.report


def plan_by_names(
    source: Source, variables: Mapping[str, Variable], resolved: ResolvedOptions, *, any_scope: bool = False
) -> Start:
    """Find what a checkpoint has for each variable, by its name. A poor match is not refused yet.

    ``any_scope``: the scope of the names means nothing if a table translates them.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        TableError: a mapping table is malformed.
        WarmStartError: there are no variables, or no variable is in ``scope``.
        BridgeckptError: no variable has a name of ``renames`` or matches a pattern of ``new``.
    """
    keys = {name: key for name in variables if (key := resolved.renaming.of(name)) is not None}
    if not keys and resolved.strict is not False:
        raise _no_variables(variables, resolved)
    if unused := resolved.renaming.unused(variables) if resolved.strict is not False else ():
        raise BridgeckptError(
            f"renames has {unused[0]!r}, and no variable is called so",
            hint="write {name of the checkpoint: name of the program}; prefixes end in / on both sides",
        )
    new = _declared_new(keys, resolved)
    keys = {name: key for name, key in keys.items() if name not in set(new)}
    others = {
        key: wanted for name, wanted in _graph_wanted().items() if (key := resolved.renaming.of(name)) is not None
    }
    wanted = {name: variables[name].wanted for name in keys}
    stored_only = resolved.strict is False  # as in the function of google-research/bert
    request = Request(
        keys=keys,
        wanted=wanted,
        others=others,
        new=new,
        reading=resolved.reading,
        stored_only=stored_only,
        any_scope=any_scope,
    )
    return Start(variables, keys, match_variables(source, request))


def plan_by_map(source: Source, assignment_map: AssignmentMap, reading: PlanOptions) -> Start:
    """Find the value of every variable of the default graph that a map names.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        TableError: a mapping table is malformed.
        WarmStartError: a name is not in the graph or not in the checkpoint, or a tensor has another shape.
    """
    keys, variables = resolve(assignment_map)
    wanted = {name: variable.wanted for name, variable in variables.items()}
    ours, theirs = common_change(keys.items())
    program = _graph_wanted()
    others = {theirs + name.removeprefix(ours): other for name, other in program.items() if name.startswith(ours)}
    if ours and theirs:  # the map renames a part of the model, not the scope of the whole model
        others = {**program, **others}
    matching = match_variables(source, Request(keys=keys, wanted=wanted, others=others, new=(), reading=reading))
    check(matching.report, strict=True, hint=_MAP)
    return Start(variables, keys, matching)


def plan_for_graph(
    source: Source, assignment_map: AssignmentMap | None, variables: Iterable[Any] | None, resolved: ResolvedOptions
) -> Start:
    """Plan for the default graph: by a map, or for ``variables`` (None: the trainable ones) by their names.

    Raises:
        WarmStartError: ``strict`` refuses the warm start. Other errors are those of :func:`plan_by_map` and
            :func:`plan_by_names`.
    """
    if assignment_map is not None:
        return plan_by_map(source, assignment_map, resolved.reading)
    tvars = tensorflow().compat.v1.trainable_variables() if variables is None else variables
    named = wholes(tvars)
    opened = open_absolute(source)
    return settle(lambda options: plan_by_names(opened, named, options), named, resolved)


def settle(
    plan: Callable[[ResolvedOptions], Start],
    names: Iterable[str],
    resolved: ResolvedOptions,
    accept: Callable[[Start], object] = lambda start: start,
) -> Start:
    """Plan by names and check the plan; if variables have no value, other options are tried, to advise them.

    ``names`` are those of all variables. ``accept`` raises an error if the caller can make nothing of a plan.

    Raises:
        WarmStartError: ``strict`` refuses the warm start. Other errors are those of ``plan``.
    """

    def attempt(options: Mapping[str, Any]) -> WarmStartReport:
        tried = resolved.replaced(options)
        start = plan(tried)
        check(start.report, strict=tried.strict)
        accept(start)
        return start.report

    def advice(report: WarmStartReport, given: Mapping[str, Any]) -> str | None:
        return advise(Asked(tuple(names), report, given, attempt))

    try:
        start = plan(resolved)
    except BridgeckptError as error:
        raise _with_advice(error, plan, resolved, advice) from error.__cause__
    if not start.report.complete:
        report = start.report._replace(advice=advice(start.report, resolved.given))
        start = start._replace(matching=start.matching._replace(report=report))
    check(start.report, strict=resolved.strict)
    return start


def _with_advice(
    error: BridgeckptError,
    plan: Callable[[ResolvedOptions], Start],
    resolved: ResolvedOptions,
    advice: Callable[[WarmStartReport, Mapping[str, Any]], str | None],
) -> BridgeckptError:
    """An error about ``scope`` or ``renames``, with others to use in their place if some are found."""
    if not (resolved.renaming.scope or resolved.given.get("renames")):
        return error
    without = resolved.replaced({"scope": None, "renames": None})
    try:
        found = advice(plan(without).report, without.given)
    except BridgeckptError:
        return error
    error.hint = "; ".join(filter(None, (error.hint, found)))
    return error


def announce(report: WarmStartReport, to: Report | None) -> None:
    """Hand a report to the caller, or log it."""
    if to is not None:
        to(report)
    elif report.complete and not report.inside:
        _log.info("%s", report.summary)
    else:
        _log.warning("%s", report.warning)


def _graph_wanted() -> dict[str, Wanted]:
    """All variables of the default graph; {} for an eager program, which has no such list."""
    if tensorflow().executing_eagerly():
        return {}
    return {name: whole.wanted for name, whole in wholes(graph_variables()).items()}


def _declared_new(names: Iterable[str], resolved: ResolvedOptions) -> tuple[str, ...]:
    """The variables that match a pattern of ``new``, with the scope or without it."""
    known = {name: name.removeprefix(resolved.renaming.scope) for name in names}
    new = dict[str, None]()
    for pattern in resolved.new:
        fitting = [name for name, below in known.items() if fnmatchcase(name, pattern) or fnmatchcase(below, pattern)]
        if not fitting:
            near = get_close_matches(pattern, [*known, *known.values()], 3)
            hint = f"the nearest: {', '.join(near)}" if near else "write names without :0, or patterns: 'cls/squad/*'"
            raise BridgeckptError(f"new has {pattern!r}, and no variable is called so", hint=hint)
        new.update(dict.fromkeys(fitting))
    return tuple(new)


def _no_variables(variables: Mapping[str, Variable], resolved: ResolvedOptions) -> WarmStartError:
    if not variables:
        return WarmStartError("there are no variables to start", hint="build the model first, and pass its variables")
    shared = os.path.commonpath(variables).strip("/")
    scopes = [shared] if shared else [*dict.fromkeys(name.partition("/")[0] for name in variables)][:5]
    return WarmStartError(
        f"none of the {len(variables)} variables is below {resolved.renaming.scope}",
        hint=f"they are below {', '.join(scopes)}",
    )
