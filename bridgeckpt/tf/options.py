"""What a caller may settle about a warm start, and the refusal of what cannot be, before anything else is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from textwrap import shorten
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from bridgeckpt.checks import check_heads
from bridgeckpt.errors import BridgeckptError
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.planning.options import PlanOptions
from bridgeckpt.warmstart.renaming import Renaming

if TYPE_CHECKING:
    from bridgeckpt.warmstart.report import WarmStartReport

    Report = Callable[[WarmStartReport], object]

_KINDS: Mapping[str, tuple[type, ...]] = {
    "heads": (int,),
    "layer_norm_eps": (float,),
    "ema": (bool,),
    "lowercase": (bool,),
    "architecture": (str,),
    "hidden_act": (str,),
    "scope": (str,),
}
_WITH_A_MAP = ("report", "reading")


class WarmStartOptions(TypedDict, total=False):
    """What a caller may settle; every function that plans a warm start takes these keywords.

    strict: None refuses what cannot be meant: no variable has a value, or one has a value of another shape. True also
        refuses a variable without a value, False nothing.
    report: called with the :class:`~bridgeckpt.warmstart.report.WarmStartReport`, ``print`` for instance; None logs it,
        as a warning when a variable has no value, under the name ``bridgeckpt.tf``.
    scope: the program's variables are below it, the checkpoint's are not: one tower of several.
    renames: names, or prefixes that end in ``/``, of the checkpoint, and what the program has instead below ``scope``.
    new: names of variables, or patterns such as ``cls/squad/*``, that keep their initial values, whatever the
        checkpoint has.
    reading: how to read a TensorFlow checkpoint, where it has to be told: a dict with the keywords of
        :class:`bridgeckpt.planning.options.PlanOptions`, such as ``{"ema": True}`` for its moving averages, or the
        ``scope`` of one of several models in it. It is read through a table then, and refused if it is not so. A map
        knows nothing of it: pass it to both calls.
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


def settle(source: object, options: WarmStartOptions) -> Asked:
    """Check what a caller passed; ``source`` is the checkpoint, or a path of it.

    Raises:
        TypeError: there is no such option.
        BridgeckptError: a value is none that the option takes.
    """
    _check("the checkpoint", source, _is_source(source), "a path")
    _check_keys("", options, WarmStartOptions.__annotations__)
    strict, report = options.get("strict"), options.get("report")
    scope, renames, new = options.get("scope"), options.get("renames"), options.get("new", ())
    reading = options.get("reading") or {}
    _check("strict", strict, strict is None or isinstance(strict, bool), "True, False or None")
    _check("report", report, report is None or callable(report), "a function, such as print")
    _check("scope", scope, scope is None or isinstance(scope, str), 'text, such as "student"')
    mapped = isinstance(renames, Mapping) and all(isinstance(one, str) for pair in renames.items() for one in pair)
    _check("renames", renames, renames is None or mapped, "a dict of text, such as {'teacher/': 'student/'}")
    new = [new] if isinstance(new, str) else list(new) if isinstance(new, Iterable) else [new]
    _check("new", new, all(isinstance(one, str) for one in new), 'a list of text, such as ["output_*"]')
    _check("reading", reading, isinstance(reading, Mapping), "a dict, such as {'heads': 12}")
    _check_keys("in reading, ", reading, PlanOptions.__annotations__)
    for key, value in reading.items():
        kinds = _KINDS.get(key, (str, os.PathLike))
        wanted = " or ".join(kind.__name__ for kind in kinds)
        _check(f"reading[{key!r}]", value, value is None or isinstance(value, kinds), f"a value of type {wanted}")
    check_heads(reading.get("heads"))
    return Asked(strict, report, Renaming.parse(scope, renames), tuple(new), reading)


def _is_source(what: object) -> bool:
    """Whether it is an open checkpoint, or a path that is text."""
    return isinstance(what, Checkpoint) or (
        isinstance(what, (str, os.PathLike)) and isinstance(path := os.fspath(what), str) and path != ""
    )


def _check(name: str, value: object, fits: object, wanted: str) -> None:
    if not fits:
        raise BridgeckptError(f"{name} is {shorten(repr(value), 80)}", hint=f"it takes {wanted}")


def _check_keys(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    for key in given:
        if key not in set(known):
            near = get_close_matches(key, known, 1)
            told = f"; did you mean {near[0]}?" if near else ""
            raise TypeError(f"{where}there is no option {key!r}{told} The options are {', '.join(known)}")


def settle_beside(source: object, assignment_map: object, variables: object, options: WarmStartOptions) -> Asked:
    """:func:`settle`, where an assignment map may say already what the other options are about.

    Raises:
        TypeError: there is no such option.
        BridgeckptError: a value is none that the option takes, or contradicts the map.
    """
    asked = settle(source, options)
    given = [*(["variables"] if variables is not None else []), *(key for key in options if key not in _WITH_A_MAP)]
    if assignment_map is not None and given:
        raise BridgeckptError(
            f"assignment_map says which variable starts from what, and {' and '.join(given)} would say it again",
            hint="leave one of them out",
        )
    return asked
