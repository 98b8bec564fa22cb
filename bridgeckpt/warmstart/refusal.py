"""The refusal of a warm start: which reports are refused, and how that is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sentences import joined
from bridgeckpt.warmstart.report import WarmStartError, shown

if TYPE_CHECKING:
    from bridgeckpt.errors import Problem
    from bridgeckpt.warmstart.report import WarmStartReport


def check(report: WarmStartReport, *, strict: bool | None, hint: str | None = None) -> None:
    """Refuse a warm start that ``strict`` does not allow.

    Args:
        report: What would be set.
        strict: None refuses what is nearly always a mistake: no variable has a value, a tensor has another shape than
            its variable, or a variable of the model's body has no value. True also refuses any other variable without a
            value. False refuses nothing.
        hint: The hint of the error, in place of the usual one.

    Raises:
        WarmStartError: the warm start is refused. The message names every such variable and the nearest names.
    """
    refused = _refused(report, strict)
    if strict is False or report.complete or (report.matched and not refused):
        return
    nothing = not report.matched and not report.mismatched
    if nothing and not report.unmatched:
        heading = f"nothing would be warm-started: all {len(report.new)} variables are declared new"
        hint = hint or "new= is for the variables that keep their initial values, not for all"
    elif nothing:
        heading = f"nothing would be warm-started: {report.checkpoint} has none of the variables"
    else:
        count = len(report.matched) + len(report.mismatched) + len(report.unmatched)
        heading = f"{report.checkpoint} does not fit {sum(map(_count, refused))} of {count} variables"
        heading += _body_text(report)
    lines = [heading, "", *shown(refused)]
    lines += [f"  {'note':<10} {note}" for note in report.notes]
    raise WarmStartError(joined("\n", lines), report, hint=hint or report.advice or _hint(report))


def refused_variables(report: WarmStartReport, strict: bool | None) -> set[str]:
    """The variables that are reasons to refuse the warm start."""
    return set() if strict is False else {name for problem in _refused(report, strict) for name in problem.tensors}


def _refused(report: WarmStartReport, strict: bool | None) -> list[Problem]:
    """The problems that are reasons to refuse."""
    if strict or not report.matched:
        return list(report.problems)
    body = set(report.body)
    return [one for one in report.problems if one.kind == "shape" or not body.isdisjoint(one.tensors)]


def _count(problem: Problem) -> int:
    return len(problem.tensors)


def _body_text(report: WarmStartReport) -> str:
    """What it means that variables of the body have no value."""
    unmatched = {one.variable for one in report.unmatched}
    count = sum(name in unmatched for name in report.body)
    return f": {count} of the model's embeddings and layers would keep their initial values" if count else ""


def _hint(report: WarmStartReport) -> str:
    if report.matched:
        return (
            "is it the checkpoint of this model? new= declares the variables that keep their initial values, and "
            "strict=False accepts all"
        )
    return "is it the checkpoint of this model? scope= and renames= are for variables that have other names there"
