"""The match between a program's variables and a checkpoint's tensors, and its report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import BridgeckptError, ConfigError, PlanError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.formats.locating.locate import is_address
from bridgeckpt.sentences import within
from bridgeckpt.warmstart.answer import merge
from bridgeckpt.warmstart.body import body_among
from bridgeckpt.warmstart.failures import READING, choices_of, note_of
from bridgeckpt.warmstart.inside import inside_layers
from bridgeckpt.warmstart.planned import as_checkpoint
from bridgeckpt.warmstart.report import Match, Mismatch, Unmatched, WarmStartReport
from bridgeckpt.warmstart.stored import by_stored_names
from bridgeckpt.warmstart.translation import by_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridgeckpt.options import PlanOptions
    from bridgeckpt.warmstart.answer import Answer, StoredValue, Wanted

    Source = str | os.PathLike[str] | Checkpoint


class Request(NamedTuple):
    """The variables that start from a checkpoint, and how the checkpoint is read.

    Attributes:
        keys: The checkpoint's name for each variable, by the variable's name.
        wanted: The shape and dtype of each variable, by the variable's name.
        others: Further variables of the program, by the checkpoint's names for them; they help to detect its dialect.
        new: Variables that keep their initial values.
        reading: Options of the plan. If there are any, the checkpoint is read through a mapping table.
        stored_only: Use no table if a stored name fits or if the checkpoint is TensorFlow 1's, which has only names.
        any_scope: The scope of the program's names means nothing, for example because Keras numbered the model.
    """

    keys: Mapping[str, str]
    wanted: Mapping[str, Wanted]
    others: Mapping[str, Wanted]
    new: tuple[str, ...]
    reading: PlanOptions
    stored_only: bool = False
    any_scope: bool = False


class _Round(NamedTuple):
    """Names that are asked for together, the answer, and the error if they were not translated."""

    names: Mapping[str, str]
    answer: Answer
    error: PlanError | ConfigError | None


class Matching(NamedTuple):
    """The value of each variable that has one, by the variable's name, and the report.

    ``as_stored`` says whether TensorFlow finds the values too, under the names asked for; ``translated`` whether tables
    translated names.
    """

    checkpoint: Checkpoint
    values: Mapping[str, StoredValue]
    report: WarmStartReport
    as_stored: bool
    translated: bool


def match_variables(source: Source, request: Request) -> Matching:
    """Find the value of each variable.

    Names are compared with the checkpoint's own names, and translated by the mapping tables if that finds more.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        ConfigError: the config that ``reading`` names is not valid.
        PlanError: the checkpoint cannot be read as ``reading`` says.
        TableError: a mapping table is malformed.
    """
    checkpoint = open_absolute(source)
    answers = [_Round(names, *_answer(checkpoint, names, request)) for names in _rounds(request)]
    checkpoint.check_files()
    values = {
        name: one.answer.values[key] for one in answers for name, key in one.names.items() if key in one.answer.values
    }
    report = _report(checkpoint, request, answers)
    return Matching(
        checkpoint,
        values,
        report,
        as_stored=all(one.answer.as_stored for one in answers),
        translated=any(one.answer.translated for one in answers),
    )


def _rounds(request: Request) -> list[dict[str, str]]:
    """The ``keys`` in rounds: within a round, no name is asked for in two shapes or dtypes.

    Two towers of different size may start from one model.
    """
    rounds: list[tuple[dict[str, str], dict[str, Wanted]]] = [({}, {})]
    for name, key in request.keys.items():
        wanted = request.wanted[name]
        fitting = next((pair for pair in rounds if pair[1].get(key, wanted) == wanted), None)
        if fitting is None:
            fitting = {}, {}
            rounds.append(fitting)
        fitting[0][name] = key
        fitting[1][key] = wanted
    return [names for names, _ in rounds]


def _answer(
    checkpoint: Checkpoint, names: Mapping[str, str], request: Request
) -> tuple[Answer, PlanError | ConfigError | None]:
    """What the checkpoint has for the ``names`` of one round, and the error if they were not translated."""
    wanted = {key: request.wanted[name] for name, key in names.items()}
    if request.reading:
        try:
            return _read_by_options(checkpoint, wanted, request), None
        except BridgeckptError as error:
            raise error.within(READING) from error.__cause__
    answer = by_stored_names(checkpoint, wanted)
    failure: PlanError | ConfigError | None = None
    stored_only = request.stored_only and (answer.known or _is_name_based(checkpoint))
    if answer.known < len(wanted) and not stored_only:
        try:
            translated = by_tables(checkpoint, wanted, request.others, request.reading, any_scope=request.any_scope)
        except (PlanError, ConfigError) as error:
            failure = error
        else:
            if translated is not None and (translated.known > answer.known or not answer.known):
                answer = merge(translated, answer)
    return answer, failure


def open_absolute(source: Source) -> Checkpoint:
    """Open the checkpoint by its absolute path: the program may change its working folder before values are read.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
    """
    if isinstance(source, Checkpoint):
        return source
    path = Path(source)
    return open_checkpoint(path if is_address(path) else path.absolute())


def _is_name_based(checkpoint: Checkpoint) -> bool:
    """Whether TensorFlow finds variables in the checkpoint by name only, as TensorFlow 1 does."""
    return checkpoint.read_by_tensorflow and not checkpoint.variable_names


def _read_by_options(checkpoint: Checkpoint, wanted: Mapping[str, Wanted], request: Request) -> Answer:
    """What the checkpoint has when it is read through a table with ``request.reading``, equal names or not."""
    if checkpoint.has_pytorch_names:
        raise BridgeckptError(
            f"reading says how to read a TensorFlow checkpoint, but {checkpoint.path} has PyTorch's names already",
            hint="leave it out",
        )
    answer = by_tables(checkpoint, wanted, request.others, request.reading, any_scope=True)
    if answer is None:
        raise AssertionError("by_tables answers None only if the scope matters")
    return answer


def _beyond(request: Request, unused: Iterable[str]) -> list[str]:
    """The unused tensors that the program has no variable for, also none that keeps its initial value."""
    return [name for name in unused if name not in request.others and name not in request.new]


def _state(wanted: Mapping[str, Wanted]) -> set[str]:
    """The variables of a program that are no part of its model: optimizer state, moving averages and counters."""
    state = as_checkpoint(wanted).training_state()
    return {*state.slots, *state.averages, *state.bookkeeping}


def _report(checkpoint: Checkpoint, request: Request, rounds: list[_Round]) -> WarmStartReport:
    matched, mismatched, unmatched = [], [], []
    answer_for = {name: one.answer for one in rounds for name in one.names}
    for name, key in request.keys.items():
        shape, answer = request.wanted[name].shape, answer_for[name]
        if key in answer.values:
            matched.append(Match(name, shape, answer.values[key].sources))
        elif key in answer.misfits:
            misfit = answer.misfits[key]
            mismatched.append(Mismatch(name, shape, misfit.source, misfit.shape, misfit.needed))
        else:
            unmatched.append(Unmatched(name, shape, key, answer.reasons.get(key)))
    answers = [one.answer for one in rounds]
    used = {name for answer in answers for name in answer.used}
    lacking = [*(one.variable for one in unmatched), *(one.variable for one in mismatched)]
    body = body_among(lacking, request.keys, request.others, _state(request.wanted)) if lacking else frozenset[str]()
    unused = tuple(name for name in answers[0].unused if name not in used)
    untranslated = [note_of(one.error) for one in rounds if one.error is not None]
    notes = [*checkpoint.remarks, *untranslated, *(note for answer in answers for note in answer.notes)]
    return WarmStartReport(
        checkpoint=checkpoint.path,
        how=answers[0].how,
        matched=tuple(matched),
        mismatched=tuple(mismatched),
        unmatched=tuple(unmatched),
        new=request.new,
        unused=unused,
        slots=answers[0].slots,
        available=tuple(dict.fromkeys(name for answer in answers for name in answer.available)),
        notes=tuple(dict.fromkeys(within(note, READING) for note in notes)),
        body=tuple(name for name in lacking if name in body),
        inside=inside_layers(_beyond(request, unused), used) if answers[0].as_stored else (),
        choices=tuple(choice for one in rounds for choice in choices_of(one.error)),
    )
