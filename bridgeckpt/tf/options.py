"""The options of a warm start: what a caller may decide, and what is taken where it does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, NamedTuple, TypedDict

from bridgeckpt.errors import BridgeckptError, OptionError
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.options import PlanOptions  # noqa: TC001 - options are checked by their hints
from bridgeckpt.warmstart.renaming import Renaming
from bridgeckpt.warmstart.report import WarmStartReport

Report = Callable[[WarmStartReport], object]

_WITH_A_MAP = ("report", "reading")


class WarmStartOptions(TypedDict, total=False):
    """What a caller may decide; every function that plans a warm start takes these keywords."""

    strict: Annotated[
        bool | None,
        "None refuses what cannot be meant: no variable has a value, or one has a value of another shape. True also "
        "refuses a variable without a value, False nothing.",
    ]
    report: Annotated[
        Report | None,
        "called with the WarmStartReport, print for instance; None logs it, as a warning when a variable has no value, "
        "under the name bridgeckpt.tf.",
    ]
    scope: Annotated[
        str | None, "the program's variables are below it, the checkpoint's are not: one tower of several."
    ]
    renames: Annotated[
        Mapping[str, str] | None,
        "names, or prefixes that end in /, of the checkpoint, and what the program has instead below scope.",
    ]
    new: Annotated[
        str | Iterable[str],
        "names of variables, or patterns such as cls/squad/*, that keep their initial values, whatever the checkpoint "
        "has.",
    ]
    reading: Annotated[
        PlanOptions | None,
        'how to read a TensorFlow checkpoint, where that is not detected: a dict of PlanOptions, such as {"ema": True} '
        "for its moving averages, or the scope of one of several models in it. It is read through a table then, and "
        "refused if it is not so. A map knows nothing of it: pass it to both calls.",
    ]


class ResolvedOptions(NamedTuple):
    """The options of a warm start, those that were not given included."""

    strict: bool | None
    report: Report | None
    renaming: Renaming
    new: tuple[str, ...]
    reading: PlanOptions


def resolve_options(source: object, options: WarmStartOptions) -> ResolvedOptions:
    """The options with their defaults; ``source`` is the checkpoint, or a path of it.

    Raises:
        BridgeckptError: ``source`` is not a checkpoint, or ``scope`` and ``renames`` contradict each other.
    """
    if not _is_source(source):
        raise OptionError(f"the checkpoint must be a path, not {source!r}", option="checkpoint")
    new = options.get("new", ())
    return ResolvedOptions(
        options.get("strict"),
        options.get("report"),
        Renaming.parse(options.get("scope"), options.get("renames")),
        (new,) if isinstance(new, str) else tuple(new),
        options.get("reading") or {},
    )


def _is_source(what: object) -> bool:
    """Whether it is an open checkpoint, or a path that is text."""
    return isinstance(what, Checkpoint) or (
        isinstance(what, (str, os.PathLike)) and isinstance(path := os.fspath(what), str) and path != ""
    )


def resolve_beside_map(
    source: object, assignment_map: object, variables: object, options: WarmStartOptions
) -> ResolvedOptions:
    """:func:`resolve_options`, where an assignment map may say already what the other options are about.

    Raises:
        BridgeckptError: as :func:`resolve_options`, or an option contradicts the map.
    """
    asked = resolve_options(source, options)
    given = [*(["variables"] if variables is not None else []), *(key for key in options if key not in _WITH_A_MAP)]
    if assignment_map is not None and given:
        raise BridgeckptError(
            f"assignment_map says which variable starts from what, and {' and '.join(given)} would say it again",
            hint="leave one of them out",
        )
    return asked
