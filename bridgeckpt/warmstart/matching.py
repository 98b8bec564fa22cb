"""Matching: the variables of a program with what a checkpoint has for them, and the report of both."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import BridgeckptError, ConfigError, PlanError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.formats.locating.locate import is_address
from bridgeckpt.sentences import within
from bridgeckpt.warmstart.answer import joined
from bridgeckpt.warmstart.report import Match, Mismatch, Unmatched, WarmStartReport
from bridgeckpt.warmstart.stored import by_stored_names
from bridgeckpt.warmstart.translation import by_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.options import PlanOptions
    from bridgeckpt.warmstart.answer import Answer, Found, Wanted

    Source = str | os.PathLike[str] | Checkpoint

_READING = "reading"  # the argument of a warm start that takes what a plan takes as keywords
_LONGEST = 300  # characters of an error that becomes a note


class Request(NamedTuple):
    """Variables that are to start from a checkpoint.

    ``keys`` maps each variable's name to the name that the checkpoint should have for it, ``wanted`` what it holds.
    ``others`` are further variables of the program, by such names, which tell how it spells a model. ``new`` are
    variables that are to keep their initial values. ``reading`` settles how the checkpoint is read through a table,
    which it then is. ``stored_only``: the tables are not asked where a stored name fits, or where names are all that
    TensorFlow 1 has. ``any_scope``: the scope of the program's names means nothing, as in a model that Keras has
    numbered.
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
        ConfigError: ``reading`` names a config that cannot be.
        PlanError: it cannot be read as ``reading`` says.
        TableError: a mapping table is malformed.
    """
    checkpoint = opened_from(source)
    answered = [(names, *_answer(checkpoint, names, request)) for names in _rounds(request)]
    checkpoint.check_files()
    found = {
        name: answer.found[key] for names, answer, _ in answered for name, key in names.items() if key in answer.found
    }
    report = _report(checkpoint, request, answered)
    return Matching(checkpoint, found, report, all(answer.as_stored for _, answer, _ in answered))


def _rounds(request: Request) -> list[dict[str, str]]:
    """The variables and their names in the checkpoint, so that no round asks for one name in two shapes or dtypes.

    Two towers may start from one model, and differ in size.
    """
    rounds: list[tuple[dict[str, str], dict[str, Wanted]]] = [({}, {})]
    for name, key in request.keys.items():
        wanted = request.wanted[name]
        fitting = next((one for one in rounds if one[1].get(key, wanted) == wanted), None)
        if fitting is None:
            fitting = {}, {}
            rounds.append(fitting)
        fitting[0][name] = key
        fitting[1][key] = wanted
    return [names for names, _ in rounds]


def _answer(checkpoint: Checkpoint, names: Mapping[str, str], request: Request) -> tuple[Answer, list[str]]:
    """What the checkpoint has by some of the names, and what to say aloud."""
    wanted = {key: request.wanted[name] for name, key in names.items()}
    if request.reading:
        try:
            return _as_told(checkpoint, wanted, request), []
        except BridgeckptError as error:
            raise error.within(_READING) from error.__cause__
    answer, notes = by_stored_names(checkpoint, wanted), list[str]()
    stored_only = request.stored_only and (answer.known or _is_tensorflow_1s(checkpoint))
    if answer.known < len(wanted) and not stored_only:
        try:
            translated = by_tables(checkpoint, wanted, request.others, request.reading, any_scope=request.any_scope)
        except (PlanError, ConfigError) as error:
            notes.append(_untranslated(error.within(_READING)))
        else:
            if translated is not None and (translated.known > answer.known or not answer.known):
                answer = joined(translated, answer)
    return answer, notes


def opened_from(source: Source) -> Checkpoint:
    """The checkpoint, opened by its absolute path: it may be read when the program is in another folder.

    Raises:
        CheckpointError: it cannot be found or read.
    """
    if isinstance(source, Checkpoint):
        return source
    path = Path(source)
    return open_checkpoint(path if is_address(path) else path.absolute())


def _is_tensorflow_1s(checkpoint: Checkpoint) -> bool:
    return checkpoint.read_by_tensorflow and not checkpoint.variable_names


def _as_told(checkpoint: Checkpoint, wanted: Mapping[str, Wanted], request: Request) -> Answer:
    """What is found when the checkpoint is read as the caller says; equal names say nothing then."""
    if checkpoint.has_pytorch_names:
        raise BridgeckptError(
            f"reading says how to read a TensorFlow checkpoint, and {checkpoint.path} has PyTorch's names already",
            hint="leave it out",
        )
    answer = by_tables(checkpoint, wanted, request.others, request.reading, any_scope=True)
    if answer is None:
        raise AssertionError("with any scope, one dialect is as good as two")
    return answer


def _untranslated(error: BridgeckptError) -> str:
    said = shorten(" ".join(error.message.split()), _LONGEST)
    return f"its names were not translated: {said}" + (f" (hint: {error.hint})" if error.hint else "")


def _report(
    checkpoint: Checkpoint, request: Request, answered: list[tuple[dict[str, str], Answer, list[str]]]
) -> WarmStartReport:
    matched, mismatched, unmatched = [], [], []
    answer_for = {name: answer for names, answer, _ in answered for name in names}
    for name, key in request.keys.items():
        shape, answer = request.wanted[name].shape, answer_for[name]
        if key in answer.found:
            matched.append(Match(name, shape, answer.found[key].sources))
        elif key in answer.misfits:
            source, found, needed = answer.misfits[key]
            mismatched.append(Mismatch(name, shape, source, found, needed))
        else:
            unmatched.append(Unmatched(name, shape, key, answer.reasons.get(key)))
    answers = [answer for _, answer, _ in answered]
    used = {name for answer in answers for name in answer.used}
    notes = [*checkpoint.notes, *(note for _, answer, own in answered for note in (*own, *answer.notes))]
    return WarmStartReport(
        checkpoint=checkpoint.path,
        how=answers[0].how,
        matched=tuple(matched),
        mismatched=tuple(mismatched),
        unmatched=tuple(unmatched),
        new=request.new,
        unused=tuple(name for name in answers[0].unused if name not in used),
        slots=answers[0].slots,
        available=tuple(dict.fromkeys(name for answer in answers for name in answer.available)),
        notes=tuple(dict.fromkeys(within(note, _READING) for note in notes)),
    )
