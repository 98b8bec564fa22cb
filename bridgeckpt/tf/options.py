"""The options of a warm start, and their defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple, TypedDict, cast

from bridgeckpt.errors import BridgeckptError, OptionError
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.options import PlanOptions  # noqa: TC001 - options are checked by their hints
from bridgeckpt.warmstart.renaming import Renaming
from bridgeckpt.warmstart.report import WarmStartReport

Report = Callable[[WarmStartReport], object]

_WITH_A_MAP = ("report", "reading")


class WarmStartOptions(TypedDict, total=False):
    """The options of a warm start. Every function that plans a warm start takes these keywords."""

    strict: Annotated[
        bool | None,
        "None refuses obvious mistakes: no variable has a value, one has a value of another shape, or an embedding or "
        "a layer has none. True also refuses any other variable without a value, False nothing.",
    ]
    report: Annotated[
        Report | None,
        "called with the WarmStartReport, for example print; None logs it under the name bridgeckpt.tf, as a warning "
        "if a variable has no value.",
    ]
    scope: Annotated[
        str | None,
        "a prefix that the program's variables have and the checkpoint's do not: that of one tower, for example.",
    ]
    renames: Annotated[
        Mapping[str, str] | None,
        "names of the checkpoint, or prefixes that end in /, each with the program's name or prefix below scope.",
    ]
    new: Annotated[
        str | Iterable[str],
        "names of variables, or patterns such as cls/squad/*, that keep their initial values even if the checkpoint "
        "has them.",
    ]
    reading: Annotated[
        PlanOptions | None,
        'how to read a TensorFlow checkpoint if that is not detected: a dict of PlanOptions, such as {"ema": True} for '
        "its moving averages, or the scope of one of several models in it. It is then read through a table, "
        "and refused if it does not fit. An assignment map does not contain it: pass it to both calls.",
    ]


class ResolvedOptions(NamedTuple):
    """The options of a warm start with their defaults; ``given`` are those of the caller."""

    strict: bool | None
    report: Report | None
    renaming: Renaming
    new: tuple[str, ...]
    reading: PlanOptions
    given: WarmStartOptions

    def replaced(self, options: Mapping[str, Any]) -> ResolvedOptions:
        """The options with some in place of those given.

        Raises:
            BridgeckptError: ``renames`` is not valid.
        """
        return _resolved(cast("WarmStartOptions", {**self.given, **options}))


def resolve_options(source: object, options: WarmStartOptions) -> ResolvedOptions:
    """Resolve the options; ``source`` is the checkpoint or its path.

    Raises:
        BridgeckptError: ``source`` is not a checkpoint, or ``renames`` is not valid.
    """
    if not _is_source(source):
        raise OptionError(f"the checkpoint must be a path or a Checkpoint, not {source!r}", option="checkpoint")
    return _resolved(options)


def _resolved(options: WarmStartOptions) -> ResolvedOptions:
    given = options.get("new", ())
    new = (given,) if isinstance(given, str) else tuple(given)
    return ResolvedOptions(
        strict=options.get("strict"),
        report=options.get("report"),
        renaming=Renaming.parse(options.get("scope"), options.get("renames")),
        new=new,
        reading=options.get("reading") or {},
        given={**options, "new": new},
    )


def _is_source(what: object) -> bool:
    """Whether ``what`` is an open checkpoint, or a path as text that is not empty."""
    return isinstance(what, Checkpoint) or (
        isinstance(what, (str, os.PathLike)) and isinstance(path := os.fspath(what), str) and path != ""
    )


def resolve_beside_map(
    source: object, assignment_map: object, variables: object, options: WarmStartOptions
) -> ResolvedOptions:
    """Resolve the options of a function that also takes an assignment map.

    Raises:
        BridgeckptError: as :func:`resolve_options`, or an option is given together with the map, which replaces it.
    """
    resolved = resolve_options(source, options)
    given = [*(["variables"] if variables is not None else []), *(key for key in options if key not in _WITH_A_MAP)]
    if assignment_map is not None and given:
        raise BridgeckptError(
            f"assignment_map says already what each variable starts from, so {' and '.join(given)} cannot be given too",
            hint="leave one of them out",
        )
    return resolved
