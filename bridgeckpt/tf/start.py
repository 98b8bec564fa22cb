"""A warm start, planned: which variables of the program get which values, checked before anything is set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypedDict, Unpack

from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.variables import of_graph, wholes
from bridgeckpt.warmstart.matching import Matching, Request, match, refuse_unused_patterns
from bridgeckpt.warmstart.renaming import Renaming
from bridgeckpt.warmstart.report import WarmStartReport, check

if TYPE_CHECKING:
    from bridgeckpt.planning.plan import PlanOptions
    from bridgeckpt.tf.variables import Variable
    from bridgeckpt.warmstart.answer import Wanted
    from bridgeckpt.warmstart.matching import Source

_log = logging.getLogger("bridgeckpt.tf")


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


class Start(NamedTuple):
    """The program's ``variables`` by their names, the checkpoint's name for each in ``keys``, and what it has."""

    variables: Mapping[str, Variable]
    keys: Mapping[str, str]
    matching: Matching

    @property
    def set(self) -> list[Variable]:
        """The variables that get a value."""
        return [self.variables[name] for name in self.matching.found]


def plan_start(source: Source, variables: Mapping[str, Variable], **options: Unpack[WarmStartOptions]) -> Start:
    """Find a value for each variable by its name, and refuse as :class:`WarmStartOptions` says.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        ConfigError: the config beside it is malformed.
        TableError: a mapping table is malformed.
        WarmStartError: as ``strict`` says.
        BridgeckptError: an option is none that there can be.
    """
    start = draft_start(source, variables, **options)
    check(start.matching.report, strict=options.get("strict"))
    return start


def draft_start(
    source: Source, variables: Mapping[str, Variable], *, any_scope: bool = False, **options: Unpack[WarmStartOptions]
) -> Start:
    """As :func:`plan_start`, and nothing is refused but options that cannot be.

    ``any_scope``: the scope of the names means nothing, where a table is asked.
    """
    renaming = Renaming.parse(options.get("scope"), options.get("renames"))
    new = tuple(options.get("new", ()))
    refuse_unused_patterns(new, variables)
    keys = {name: key for name in variables if (key := renaming.of(name)) is not None}
    others = {key: wanted for name, wanted in _of_the_program().items() if (key := renaming.of(name)) is not None}
    wanted = {name: variables[name].wanted for name in keys}
    stored_only = options.get("strict") is False  # as in the function of google-research/bert
    request = Request(keys, wanted, others, new, options.get("reading") or {}, stored_only, any_scope)
    return Start(variables, keys, match(source, request))


def _of_the_program() -> dict[str, Wanted]:
    """All variables of the default graph; an eager program has no list of its own."""
    if tensorflow().executing_eagerly():
        return {}
    return {name: whole.wanted for name, whole in wholes(of_graph()).items()}


def announce(report: WarmStartReport, to: Callable[[WarmStartReport], object] | None) -> None:
    """Hand a report to the caller, or log it."""
    if to is not None:
        to(report)
    elif report.complete:
        _log.info("%s", report.summary)
    else:
        _log.warning("%s", report.warning)
