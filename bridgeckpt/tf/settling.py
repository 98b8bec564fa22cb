"""Plans that are checked: where variables have no value, other options are tried, to advise them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.start import Start, plan_by_map, plan_by_names
from bridgeckpt.tf.variables import wholes
from bridgeckpt.warmstart.advice import Asked, advise
from bridgeckpt.warmstart.matching import open_absolute
from bridgeckpt.warmstart.refusal import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bridgeckpt.tf.default_graph import AssignmentMap
    from bridgeckpt.tf.options import ResolvedOptions
    from bridgeckpt.warmstart.matching import Source
    from bridgeckpt.warmstart.report import WarmStartReport


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
        start = start.with_report(report)
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
