"""Advice for a warm start that leaves variables without a value: other options, each tried before it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.warmstart.body import NUMBER
from bridgeckpt.warmstart.matching import match_variables
from bridgeckpt.warmstart.new_parts import from_last_layers, is_layer, patterns_of_new
from bridgeckpt.warmstart.prefixes import likely_changes
from bridgeckpt.warmstart.report import WarmStartError

if TYPE_CHECKING:
    from bridgeckpt.warmstart.matching import Matching, Request
    from bridgeckpt.warmstart.report import WarmStartReport

_TRIED = 8  # options that are tried: each is a whole plan
_GIVEN = 2  # options that are given
_ROUNDS = 3  # changes of prefix in one advice

Options = Mapping[str, Any]
Attempt = Callable[[Options], "WarmStartReport"]  # raises the errors of a warm start


class Asked(NamedTuple):
    """A warm start: all of the program's variables, what it found, the caller's options, and how to try others."""

    names: tuple[str, ...]
    report: WarmStartReport
    given: Options
    attempt: Attempt


class _Proposal(NamedTuple):
    options: Options  # in place of the caller's
    report: WarmStartReport  # of the warm start with them


def advise(asked: Asked) -> str | None:
    """The options by which more variables start from the checkpoint, the best first; else those that it needs as it is.

    None if there are none. Options that would be refused are never given.
    """
    proposals = [_extended(asked, proposal) for proposal in _best(_proposals(asked, asked.report, {}))]
    return _text(asked, _best(proposals)) if proposals else _for_new_ones(asked)


def advise_map(matching: Matching, request: Request) -> str | None:
    """The entry of an assignment map by which all its variables start from the checkpoint; None if there is none."""
    report = matching.report
    found = set(report.with_a_tensor)
    changes = likely_changes((name for name in request.keys if name not in found), report.available)
    for ours, theirs, _ in sorted(changes, key=lambda change: not change.ours):  # an empty one renames the heads too
        changed = {name: theirs + name.removeprefix(ours) for name in request.keys if name.startswith(ours)}
        tried = match_variables(matching.checkpoint, request._replace(keys={**request.keys, **changed}))
        if tried.report.complete:
            entry = {theirs or "/": ours or "/"}
            return f"the checkpoint has {len(changed)} of them under another prefix: {entry}"
    return None


def _best(proposals: list[_Proposal]) -> list[_Proposal]:
    """Those that find most, without any that finds a part of what another finds."""
    best: list[_Proposal] = []
    for proposal in sorted(proposals, key=lambda proposal: -len(proposal.report.matched)):
        if not any(set(proposal.report.matched) <= set(other.report.matched) for other in best):
            best.append(proposal)
    return best[:_GIVEN]


def _proposals(asked: Asked, report: WarmStartReport, options: Options) -> list[_Proposal]:
    """What is found with more options than ``options``, which lead to ``report``."""
    tried = (
        _tried(asked, more, len(report.matched))
        for _, more in zip(range(_TRIED), _more(asked, report, options), strict=False)
    )
    return [proposal for proposal in tried if proposal is not None]


def _extended(asked: Asked, proposal: _Proposal) -> _Proposal:
    """The proposal with further changes of prefix, as far as they find more."""
    for _ in range(_ROUNDS - 1):
        further = [] if proposal.report.complete else _proposals(asked, proposal.report, proposal.options)
        if not further:
            break
        proposal = max(further, key=lambda one: len(one.report.matched))
    return proposal


def _more(asked: Asked, report: WarmStartReport, options: Options) -> Iterator[Options]:
    """Further options that may find more, the likeliest first."""
    found = set(report.with_a_tensor)
    before = {**asked.given, **options}
    scope = f"{before['scope'].strip('/')}/" if before.get("scope") else ""
    for ours, theirs, _ in likely_changes((name for name in asked.names if name not in found), report.available):
        if _is_other_layer(ours, theirs, asked.names):
            continue
        if not theirs and not options:
            yield {"scope": ours.removesuffix("/"), "renames": None}
        if (before.get("renames") or scope) and ours.startswith(scope):
            yield {**options, "renames": {**(before.get("renames") or {}), theirs: ours.removeprefix(scope)}}
        if theirs and not options:
            yield {"scope": None, "renames": {theirs: ours}}
    for choice in report.choices:
        reading = {**(before.get("reading") or {}), **choice.get("reading", {})}
        yield {**options, **choice, **({"reading": reading} if reading else {})}


def _is_other_layer(ours: str, theirs: str, names: Iterable[str]) -> bool:
    """Whether a change would give a layer of the program the values of another layer, and the program has both."""
    numbers, other = list(NUMBER.finditer(ours)), NUMBER.findall(theirs)
    if not numbers or not other or numbers[-1][0] == other[-1]:
        return False
    last = numbers[-1]
    return any(name.startswith(f"{ours[: last.start()]}{other[-1]}{ours[last.end() :]}") for name in names)


def _tried(asked: Asked, options: Options, more_than: int) -> _Proposal | None:
    """What the options find, with ``new`` for heads if they need it; None if it is not more, or refused."""
    try:
        report = asked.attempt({**asked.given, **options})
    except WarmStartError as error:
        if error.report is None or not (new := patterns_of_new(error.report, asked.given.get("strict"))):
            return None
        options = {**options, "new": [*asked.given["new"], *new]}
        try:
            report = asked.attempt({**asked.given, **options})
        except BridgeckptError:
            return None
    except BridgeckptError:
        return None
    return _Proposal(options, report) if len(report.matched) > more_than else None


def _for_new_ones(asked: Asked) -> str | None:
    """Advice for variables that the checkpoint does not have: to declare them new, or to start them from others."""
    new = patterns_of_new(asked.report, asked.given.get("strict"))
    options = {"new": [*asked.given["new"], *new]}
    if not new or not _is_accepted(asked, options):
        return None
    text = f"is that intended? {_said(options, asked.given)} lets them keep their initial values"
    layers = [pattern.removesuffix("*") for pattern in new if is_layer(pattern)]
    renamed = asked.given.get("scope") or asked.given.get("renames")
    renames = from_last_layers(asked.report, layers) if layers and not renamed else {}
    if renames and _tried(asked, {"renames": renames}, len(asked.report.matched)) is not None:
        text += f"; {_said({'renames': renames}, asked.given)} starts them from layers that the checkpoint has"
    return text


def _is_accepted(asked: Asked, options: Options) -> bool:
    try:
        asked.attempt({**asked.given, **options})
    except BridgeckptError:
        return False
    return True


def _text(asked: Asked, proposals: list[_Proposal]) -> str:
    """The advice, with the number of variables that the first proposal finds beyond the present ones."""
    before, given = {match.variable for match in asked.report.matched}, asked.given
    first, *rest = proposals
    count = sum(match.variable not in before for match in first.report.matched)
    where = "under another prefix"
    if "reading" in first.options:
        where = "in one of its models"
    elif first.options.get("scope"):
        where = f'without "{first.options["scope"]}/"'
    text = f"the checkpoint has {count} of them {where}: {_said(first.options, given)}"
    for one in rest:
        if _is_for_others(one, first):
            text += f"; and {_said(one.options, given)} in a call of its own for the others"
            continue
        fewer = len(first.report.matched) - len(one.report.matched)
        text += f"; or {_said(one.options, given)}" + (f" ({fewer} fewer)" if fewer else "")
    return text


def _is_for_others(proposal: _Proposal, first: _Proposal) -> bool:
    """Whether two proposals set different variables, as for the two towers of a program."""
    found = {match.variable for match in first.report.matched}
    return not any(match.variable in found for match in proposal.report.matched)


def _said(options: Options, given: Options) -> str:
    """Options as a program passes them, and which of the given ones they replace."""
    settings = {key: value for key, value in options.items() if value is not None}
    text = ", ".join(
        f'{key}="{value}"' if isinstance(value, str) else f"{key}={value!r}" for key, value in settings.items()
    )
    dropped = [key for key, value in options.items() if value is None and given.get(key)]
    return f"{text} in place of {' and '.join(dropped)}" if dropped else text
