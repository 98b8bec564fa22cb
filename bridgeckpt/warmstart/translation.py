"""The search for variables in the checkpoint of another code base, through the mapping tables.

A plan gives each variable of the program its PyTorch name. Another plan gives PyTorch names to the checkpoint's
tensors, unless they have them already. Equal names are a pair, and the row of the program's table is applied in
reverse: from PyTorch's layout to the variable's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeckpt.aligning.pairs import pair_tensors
from bridgeckpt.copying.engine import assemble
from bridgeckpt.errors import PlanError
from bridgeckpt.store.dtypes import numpy_dtype
from bridgeckpt.warmstart.answer import Answer, Misfit, StoredValue, Wanted, dtype_conflict, merge
from bridgeckpt.warmstart.planned import (
    as_checkpoint,
    candidate_programs,
    depends_on_sibling_order,
    further_classes,
    is_numbered,
    plan_both,
)

if TYPE_CHECKING:
    from collections.abc import KeysView, Mapping

    from bridgeckpt.aligning.pairs import Pair
    from bridgeckpt.copying.job import Job
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.moves import Move
    from bridgeckpt.options import PlanOptions
    from bridgeckpt.planning.account.ledger import Assignment
    from bridgeckpt.planning.record import Plan
    from bridgeckpt.warmstart.planned import Sides

    Array = np.ndarray[Any, np.dtype[Any]]


def by_tables(
    checkpoint: Checkpoint,
    wanted: Mapping[str, Wanted],
    others: Mapping[str, Wanted],
    reading: PlanOptions,
    *,
    any_scope: bool,
) -> Answer | None:
    """Find the tensors for the wanted variables, whatever names the checkpoint has for them.

    Args:
        checkpoint: The checkpoint.
        wanted: The variables, by the checkpoint's names for them as far as the program knows.
        others: Further variables of the program; they help to detect the dialect if only a few are wanted.
        reading: Options of the checkpoint's plan.
        any_scope: Whether the scope of the program's names means nothing.

    Returns:
        The answer. None if both sides have the same dialect and ``any_scope`` is False: then different names mean
        different models.

    Raises:
        CheckpointError: the checkpoint is damaged.
        ConfigError: the config beside the checkpoint is malformed or of another model.
        PlanError: no table reads the names of one side, or the sides are of different models.
    """
    answer: Answer | None = None
    first_error: PlanError | None = None
    tried: list[KeysView[str]] = []
    for program, ordered in candidate_programs(wanted, others):
        if program.keys() in tried or (ordered and answer is not None):
            continue  # the first answer of an ordered candidate is kept
        tried.append(program.keys())
        try:
            candidate = _by_program(as_checkpoint(program), checkpoint, wanted, reading, any_scope, ordered=ordered)
        except PlanError as error:
            first_error = first_error or error
            continue
        if candidate is None and ordered:
            return None
        answer = merge(candidate, answer) if answer and candidate else answer or candidate
        if answer is not None and not any(map(is_numbered, answer.lacking(wanted))):
            break  # only variables outside the layers are missing, such as a new head: no other candidate has them
    if answer is None and first_error is not None:
        raise first_error
    return answer


def _by_program(
    program: Checkpoint,
    checkpoint: Checkpoint,
    wanted: Mapping[str, Wanted],
    reading: PlanOptions,
    any_scope: bool,
    *,
    ordered: bool,
) -> Answer | None:
    """The answer if ``program`` is the whole model; ``ordered``: whether the order of its numbers has a meaning."""
    sides = plan_both(program, checkpoint, reading, any_scope, None)
    if sides is None or (depends_on_sibling_order(sides.plan) and not ordered):
        return None
    answer = _answer(sides, wanted)
    for architecture in further_classes(sides, wanted):
        if answer.known == len(wanted):
            break
        try:
            other_sides = plan_both(program, checkpoint, reading, any_scope, architecture)
        except PlanError:
            continue
        answer = merge(answer, _answer(other_sides, wanted)) if other_sides is not None else answer
    return answer


def _answer(sides: Sides, wanted: Mapping[str, Wanted]) -> Answer:
    pairs = {pair.a.name: pair for pair in pair_tensors(sides.program, sides.checkpoint, sides.plan.model).pairs}
    values, misfits, reasons = dict[str, StoredValue](), dict[str, Misfit](), dict[str, str]()
    taken = set[str]()
    for assignment in sides.plan.ledger.assignments:
        names = [name for name in assignment.sources if name in wanted]
        if not names:
            continue
        if lacking := [name for name in assignment.targets if name not in pairs]:
            reason = f"it would be PyTorch's {', '.join(lacking)}, which is not there"
            reasons.update(dict.fromkeys(names, reason))
            continue
        row_pairs = [pairs[name] for name in assignment.targets]
        taken |= {info.name for pair in row_pairs for info in pair.b.sources}
        if unfit := next((pair for pair in row_pairs if pair.a.shape != pair.b.shape), None):
            misfits.update(dict.fromkeys(names, Misfit(unfit.b.name, unfit.b.shape, unfit.a.shape)))
            continue
        row_values = _values(sides.checkpoint.checkpoint, sides.plan, assignment, row_pairs)
        stored = row_pairs[0].b
        for name in names:
            shape, dtype = wanted[name]
            if shape is not None and shape != _shape(sides.plan, assignment):  # it contradicts the other variables
                misfits[name] = Misfit(stored.name, stored.shape, shape)
            elif conflict := dtype_conflict(stored, dtype):
                reasons[name] = conflict
            else:
                values[name] = row_values[name]
    for name, reason in sides.program.unmapped.items():
        if name in wanted:
            reasons.setdefault(name, reason)
    jobs = sides.checkpoint.jobs
    unused = tuple(name for name, job in jobs.items() if taken.isdisjoint(info.name for info in job.sources))
    paired = {pair.b.name for pair in pairs.values()}
    complete = [row for row in sides.plan.ledger.assignments if all(target in pairs for target in row.targets)]
    return Answer(
        how=f"through the tables, as {sides.checkpoint.naming} to {sides.plan.table.name}",
        values=values,
        misfits=misfits,
        reasons=reasons,
        available=(*(name for row in complete for name in row.sources), *(name for name in jobs if name not in paired)),
        used=frozenset(jobs.keys() - unused),
        unused=unused,
        notes=sides.checkpoint.notes,
        translated=True,
    )


def _values(checkpoint: Checkpoint, plan: Plan, assignment: Assignment, pairs: list[Pair]) -> dict[str, StoredValue]:
    """The value of each source variable of a row of the program's table, by the variable's name."""
    row, shape = assignment.row, _shape(plan, assignment)
    axes = row.axes or plan.sizes.axes
    inverse = row.layout.reversed()
    jobs = [pair.b for pair in pairs]
    return {
        name: StoredValue(
            checkpoint,
            tuple(info.name for index in {move.source for move in moves} for info in jobs[index].sources),
            partial(_read, jobs, moves, shape, row.fill or 0),
        )
        for name, moves in zip(assignment.sources, inverse.moves(axes), strict=True)
    }


def _shape(plan: Plan, assignment: Assignment) -> tuple[int, ...]:
    """The shape of each source variable of a row, by the row's TensorFlow layout."""
    return assignment.row.layout.tf.shape(assignment.row.axes or plan.sizes.axes)


def _read(jobs: list[Job], moves: tuple[Move, ...], shape: tuple[int, ...], fill: float, dtype: str) -> Array:
    target = np.full(shape, fill, numpy_dtype(dtype))
    stored = {index: assemble(jobs[index]._replace(dtype=dtype)) for index in {move.source for move in moves}}
    for move in moves:
        elements = stored[move.source].reshape(move.source_shape)[move.source_index].transpose(move.order)
        target.reshape(move.target_shape)[move.target_index] = elements
    return target
