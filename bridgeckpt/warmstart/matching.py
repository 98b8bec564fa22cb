"""Matching: the variables of a program with what a checkpoint has for them, and the report of both."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import BridgeckptError, ConfigError, PlanError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.warmstart.report import Match, Mismatch, Unmatched, WarmStartReport
from bridgeckpt.warmstart.stored import by_stored_names
from bridgeckpt.warmstart.translation import by_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridgeckpt.planning.plan import PlanOptions
    from bridgeckpt.warmstart.answer import Answer, Found, Wanted

    Source = str | os.PathLike[str] | Checkpoint


class Request(NamedTuple):
    """Variables that are to start from a checkpoint.

    ``keys`` maps each variable's name to the name that the checkpoint should have for it, ``wanted`` what it holds.
    ``others`` are further variables of the program, by such names, which tell how it spells a model. ``new`` are
    patterns of variables that may have no value. ``reading`` settles how a translated checkpoint is read.
    ``stored_only``: the tables are not asked where a stored name fits. ``any_scope``: the scope of the program's names
    means nothing, as in a model that Keras has numbered.
    """

    keys: Mapping[str, str]
    wanted: Mapping[str, Wanted]
    others: Mapping[str, Wanted]
    new: tuple[str, ...]
    reading: PlanOptions
    stored_only: bool = False
    any_scope: bool = False


class Matching(NamedTuple):
    """What each variable starts from, by its name, and the report.

    ``as_stored`` says that TensorFlow can find the values too, under the names asked for.
    """

    checkpoint: Checkpoint
    found: Mapping[str, Found]
    report: WarmStartReport
    as_stored: bool


def match(source: Source, request: Request) -> Matching:
    """Find the value of each variable, by the checkpoint's own names or through the mapping tables: what finds more.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        TableError: a mapping table is malformed.
    """
    checkpoint = source if isinstance(source, Checkpoint) else open_checkpoint(source)
    wanted = {key: request.wanted[name] for name, key in request.keys.items()}
    answer, notes = by_stored_names(checkpoint, wanted), list(checkpoint.notes)
    if answer.known < len(wanted) and not (request.stored_only and answer.known):
        try:
            translated = by_tables(checkpoint, wanted, request.others, request.reading, any_scope=request.any_scope)
        except (PlanError, ConfigError) as error:
            notes.append(_untranslated(error))
        else:
            answer = max(answer, translated or answer, key=lambda answer: answer.known)
    checkpoint.check_files()
    found = {name: answer.found[key] for name, key in request.keys.items() if key in answer.found}
    report = _report(checkpoint, request, answer, [*notes, *answer.notes])
    return Matching(checkpoint, found, report, answer.as_stored)


def _untranslated(error: BridgeckptError) -> str:
    said = error.message.partition("\n")[0].removesuffix(":")
    told = "; reading= takes what `bridgeckpt convert` takes as options" if "--" in (error.hint or "") else ""
    return f"its names were not translated: {said}{told}"


def _report(checkpoint: Checkpoint, request: Request, answer: Answer, notes: Iterable[str]) -> WarmStartReport:
    matched, mismatched, unmatched, new = [], [], [], []
    for name, key in request.keys.items():
        shape = request.wanted[name].shape
        if key in answer.found:
            matched.append(Match(name, shape, answer.found[key].sources))
        elif any(fnmatchcase(name, pattern) for pattern in request.new):
            new.append(name)
        elif key in answer.misfits:
            source, found, needed = answer.misfits[key]
            mismatched.append(Mismatch(name, shape, source, found, needed))
        else:
            unmatched.append(Unmatched(name, shape, key, answer.reasons.get(key)))
    return WarmStartReport(
        checkpoint=checkpoint.path,
        how=answer.how,
        matched=tuple(matched),
        mismatched=tuple(mismatched),
        unmatched=tuple(unmatched),
        new=tuple(new),
        unused=answer.unused,
        slots=answer.slots,
        available=answer.available,
        notes=tuple(dict.fromkeys(notes)),
    )


def refuse_unused_patterns(new: Iterable[str], names: Iterable[str]) -> None:
    """Refuse a pattern of ``new`` that no variable has: it is mistyped.

    Raises:
        BridgeckptError: names it.
    """
    known = list(names)
    for pattern in new:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise BridgeckptError(
                f"new has {pattern!r}, and no variable is called so",
                hint="it takes names of variables without :0, or patterns such as 'cls/squad/*'",
            )
