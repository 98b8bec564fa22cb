"""One run that is enough: every option that a refused conversion needs, named together.

Each problem has a hint of its own. A user who follows the first one should not learn of the next only from the next
refusal. So a refusal that comes before planning is completed by what planning would still ask for, and a refusal with
several problems ends with all the options in one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import BridgeckptError, ConfigError, PlanError, Problem
from bridgeckpt.sentences import Sentence, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bridgeckpt.planning.record import Plan
    from bridgeckpt.sentences import Setting

# The option that decides, by the kind of a refusal that several readings of a checkpoint cause.
_DECIDING = {"models": "scope", "dialects": "mapping"}


def as_problem(error: ConfigError) -> Problem | None:
    """A problem that asks for what ``error`` asks for; None if it names no option that would settle it."""
    return Problem("config", error.message, (), error.hint) if error.settings else None


def together(problems: Sequence[Problem], first: Sequence[Setting] = ()) -> Sentence | None:
    """All the settings that the problems ask for; None if one asks for none, or there is only one setting.

    A hint names the setting that helps most first. Of two values for one setting, one that is written out is taken.
    """
    needed: dict[str, Setting] = {}
    for setting in first:
        _add(needed, (setting,))
    for problem in problems:
        if not isinstance(problem.hint, Sentence) or not problem.hint.settings:
            return None
        _add(needed, problem.hint.settings)
    if len(needed) <= 1:
        return None
    return Sentence("all of it in one run: {settings}", settings=joined(" ", needed.values()))


def _add(needed: dict[str, Setting], settings: Iterable[Setting]) -> None:
    """Add the first of the settings that an earlier problem does not ask for already."""
    setting = next(iter(settings))
    known = needed.get(setting.name)
    if known is None or (known.value is None and setting.value is not None):
        needed[setting.name] = setting


def complete(error: PlanError, draft: Callable[..., Plan], options: Mapping[str, Any]) -> PlanError:
    """``error`` with what has to be given besides the choice that it asks for.

    ``draft`` plans again with the first choice, and the ``options`` of the caller.
    """
    option = _DECIDING.get(error.kind or "")
    if option is None or not isinstance(error.hint, Sentence):
        return error
    chosen = next((setting for setting in error.hint.settings if setting.value), None)
    if chosen is None:
        return error
    try:
        problems = draft(**{**options, option: chosen.value}).problems
    except BridgeckptError:
        return error
    advice = together(problems, [chosen])
    if advice is not None:
        error.hint = Sentence("{hint}; {advice}", hint=error.hint, advice=advice)
    return error
