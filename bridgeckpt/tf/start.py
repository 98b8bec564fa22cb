"""The plan of a warm start: which variables of the program get which values. It is checked before anything is set."""

from __future__ import annotations

import logging
import os
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.tf.default_graph import graph_variables, resolve
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.variables import wholes
from bridgeckpt.warmstart.advice import advise_map
from bridgeckpt.warmstart.matching import Matching, Request, match_variables
from bridgeckpt.warmstart.numbers import doubtful_numbers
from bridgeckpt.warmstart.prefixes import common_change
from bridgeckpt.warmstart.refusal import check
from bridgeckpt.warmstart.report import WarmStartError, WarmStartReport
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridgeckpt.options import PlanOptions
    from bridgeckpt.tf.default_graph import AssignmentMap
    from bridgeckpt.tf.options import Report, ResolvedOptions
    from bridgeckpt.tf.variables import Variable
    from bridgeckpt.warmstart.answer import Wanted
    from bridgeckpt.warmstart.matching import Source

_log = logging.getLogger("bridgeckpt.tf")

_MAP = "bridgeckpt.tf.get_assignment_map_from_checkpoint returns a map of the names that are there, or says what is not"


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

    def with_report(self, report: WarmStartReport) -> Start:
        """The same plan with another report."""
        return self._replace(matching=self.matching._replace(report=report))


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
    matching = _with_doubts(match_variables(source, request), request, resolved)
    outside = [name for name in variables if not name.startswith(resolved.renaming.scope)]
    if outside:
        note = f"{len(outside)} variables are outside of the scope, and are not set by this call: {listed(outside, 2)}"
        matching = matching._replace(report=matching.report._replace(notes=(*matching.report.notes, note)))
    return Start(variables, keys, matching)


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
    request = Request(keys=keys, wanted=wanted, others=others, new=(), reading=reading)
    matching = _with_doubts(match_variables(source, request), request, None)
    if not matching.report.complete:
        check(matching.report, strict=True, hint=advise_map(matching, request) or _MAP)
    return Start(variables, keys, matching)


def _with_doubts(matching: Matching, request: Request, resolved: ResolvedOptions | None) -> Matching:
    """The match with a warning where names are equal that may be other variables', unless the caller says which."""
    if matching.translated:
        return matching
    behind = {name: resolved.renaming.behind(name) if resolved else None for name in request.keys}
    told = {name for name, rest in behind.items() if rest is not None and "/" not in rest}
    matched = [request.keys[name] for name in matching.values if name not in told]
    wanted = {*request.keys.values(), *request.new, *request.others}
    warnings = doubtful_numbers(matched, wanted, matching.report.available)
    return matching._replace(report=matching.report._replace(warnings=warnings))


def announce(report: WarmStartReport, to: Report | None) -> None:
    """Hand a report to the caller, or log it."""
    if to is not None:
        to(report)
    elif report.complete and not report.inside and not report.warnings:
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
