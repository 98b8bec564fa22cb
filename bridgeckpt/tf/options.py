"""What a caller may settle about a warm start, and the refusal of what cannot be, before anything else is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.planning.plan import PlanOptions
from bridgeckpt.warmstart.renaming import Renaming

if TYPE_CHECKING:
    from bridgeckpt.warmstart.report import WarmStartReport

    Report = Callable[[WarmStartReport], object]

_WITH_A_MAP = ("report", "reading")


class WarmStartOptions(TypedDict, total=False):
    """What a caller may settle; every function that plans a warm start takes these keywords.

    strict: None refuses what cannot be meant: no variable has a value, or one has a value of another shape. True also
        refuses a variable without a value, False nothing.
    report: called with the :class:`~bridgeckpt.warmstart.report.WarmStartReport`, ``print`` for instance; None logs it,
        as a warning when a variable has no value, under the name ``bridgeckpt.tf``.
    scope: the program's variables are below it, the checkpoint's are not: one tower of several.
    renames: names, or prefixes that end in ``/``, of the checkpoint, and what the program has instead below ``scope``.
    new: names of variables, or patterns such as ``cls/squad/*``, that have no value in the checkpoint and need none.
    reading: how to read a checkpoint whose names are translated, where it has to be told.
    """

    strict: bool | None
    report: Callable[[WarmStartReport], object] | None
    scope: str | None
    renames: Mapping[str, str] | None
    new: Iterable[str]
    reading: PlanOptions | None


class Asked(NamedTuple):
    """Options that can be, those that were not given included."""

    strict: bool | None
    report: Report | None
    renaming: Renaming
    new: tuple[str, ...]
    reading: PlanOptions


def settle(options: WarmStartOptions) -> Asked:
    """Check what a caller passed.

    Raises:
        TypeError: there is no such option.
        BridgeckptError: a value is none that the option takes.
    """
    _check_keys("", options, WarmStartOptions.__annotations__)
    strict, report = options.get("strict"), options.get("report")
    scope, renames, new = options.get("scope"), options.get("renames"), options.get("new", ())
    reading = options.get("reading") or {}
    _check("strict", strict, strict in (None, True, False), "True, False or None")
    _check("report", report, report is None or callable(report), "a function, such as print")
    _check("scope", scope, scope is None or isinstance(scope, str), 'text, such as "student"')
    mapped = isinstance(renames, Mapping) and all(isinstance(one, str) for pair in renames.items() for one in pair)
    _check("renames", renames, renames is None or mapped, "a dict of text, such as {'teacher/': 'student/'}")
    new = (new,) if isinstance(new, str) else tuple(new)
    _check("new", new, all(isinstance(one, str) for one in new), 'a list of text, such as ["output_*"]')
    _check("reading", reading, isinstance(reading, Mapping), "a dict, such as {'heads': 12}")
    _check_keys("in reading, ", reading, PlanOptions.__annotations__)
    return Asked(strict, report, Renaming.parse(scope, renames), new, reading)


def _check(name: str, value: object, fits: object, wanted: str) -> None:
    if not fits:
        raise BridgeckptError(f"{name} is {value!r}", hint=f"it takes {wanted}")


def _check_keys(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    for key in given:
        if key not in set(known):
            raise TypeError(f"{where}there is no option {key!r}; the options are {', '.join(known)}")


def settle_beside(assignment_map: object, variables: object, options: WarmStartOptions) -> Asked:
    """:func:`settle`, where an assignment map may say already what the other options are about.

    Raises:
        TypeError: there is no such option.
        BridgeckptError: a value is none that the option takes, or contradicts the map.
    """
    asked = settle(options)
    given = [*(["variables"] if variables is not None else []), *(key for key in options if key not in _WITH_A_MAP)]
    if assignment_map is not None and given:
        raise BridgeckptError(
            f"assignment_map says which variable starts from what, and {' and '.join(given)} would say it again",
            hint="leave one of them out",
        )
    return asked
