"""The tensors of a checkpoint of another code base, through the mapping tables.

The program's variables are planned like a checkpoint, which gives the PyTorch name of each; the checkpoint is brought
to PyTorch's names by its own table, unless it has them already. Where the two meet, the row of the program's table is
read right to left.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeckpt.aligning.pairs import pair_tensors
from bridgeckpt.copying.engine import assemble
from bridgeckpt.errors import PlanError
from bridgeckpt.store.dtypes import numpy_dtype
from bridgeckpt.warmstart.answer import Answer, Found, Misfit, Wanted, joined, unreadable
from bridgeckpt.warmstart.planned import (
    as_checkpoint,
    depends_on_sibling_order,
    further_classes,
    is_numbered,
    plan_both,
    programs,
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
    """What ``checkpoint`` has for the variables that are wanted, whatever its own names for it are.

    None where both are of one dialect: names that differ are of two models. Unless ``any_scope`` says that the scope of
    the program's names means nothing.

    ``others`` are further variables of the program: with few that are wanted, its dialect is told by all.
    ``reading`` settles how the checkpoint is read, where that has to be told.

    Raises:
        CheckpointError: the checkpoint is damaged.
        ConfigError: the config beside it is malformed or of another model.
        PlanError: no table reads the names of either side, or they are of two models.
    """
    answer: Answer | None = None
    refused: PlanError | None = None
    tried: list[KeysView[str]] = []
    for program, ordered in programs(wanted, others):
        if program.keys() in tried or (ordered and answer is not None):
            continue  # where numbers go by order, what was understood first stays
        tried.append(program.keys())
        try:
            another = _by_program(as_checkpoint(program), checkpoint, wanted, reading, any_scope, ordered=ordered)
        except PlanError as error:
            refused = refused or error
            continue
        if another is None and ordered:
            return None
        answer = joined(another, answer) if answer and another else answer or another
        if answer is not None and not any(map(is_numbered, answer.lacking(wanted))):
            break  # what is lacking is of no layer: a head that is new, and no other program would have it
    if answer is None and refused is not None:
        raise refused
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
    """What there is if ``program`` is all of the program's model; ``ordered``: whether its numbers may go by order."""
    sides = plan_both(program, checkpoint, reading, any_scope, None)
    if sides is None or (depends_on_sibling_order(sides.plan) and not ordered):
        return None
    answer = _answer(sides, wanted)
    for architecture in further_classes(sides, wanted):
        if answer.known == len(wanted):
            break
        try:
            again = plan_both(program, checkpoint, reading, any_scope, architecture)
        except PlanError:
            continue
        answer = joined(answer, _answer(again, wanted)) if again is not None else answer
    return answer


def _answer(sides: Sides, wanted: Mapping[str, Wanted]) -> Answer:
    pairs = {pair.a.name: pair for pair in pair_tensors(sides.program, sides.checkpoint, sides.plan.model).pairs}
    found, misfits, reasons = dict[str, Found](), dict[str, Misfit](), dict[str, str]()
    taken = set[str]()
    for assignment in sides.plan.ledger.assignments:
        names = [name for name in assignment.sources if name in wanted]
        if not names:
            continue
        if lacking := [name for name in assignment.targets if name not in pairs]:
            reason = f"it would be PyTorch's {', '.join(lacking)}, which is not there"
            reasons.update(dict.fromkeys(names, reason))
            continue
        its_pairs = [pairs[name] for name in assignment.targets]
        taken |= {info.name for pair in its_pairs for info in pair.b.sources}
        if unfit := next((pair for pair in its_pairs if pair.a.shape != pair.b.shape), None):
            misfits.update(dict.fromkeys(names, Misfit(unfit.b.name, unfit.b.shape, unfit.a.shape)))
            continue
        values = _values(sides.checkpoint.checkpoint, sides.plan, assignment, its_pairs)
        there = its_pairs[0].b
        for name in names:
            shape, dtype = wanted[name]
            if shape is not None and shape != _shape(sides.plan, assignment):  # which the program's other shapes tell
                misfits[name] = Misfit(there.name, there.shape, shape)
            elif fault := unreadable(there, dtype):
                reasons[name] = fault
            else:
                found[name] = values[name]
    for name, reason in sides.program.unmapped.items():
        if name in wanted:
            reasons.setdefault(name, reason)
    jobs = sides.checkpoint.jobs
    unused = tuple(name for name, job in jobs.items() if taken.isdisjoint(info.name for info in job.sources))
    paired = {pair.b.name for pair in pairs.values()}
    known = [one for one in sides.plan.ledger.assignments if all(target in pairs for target in one.targets)]
    return Answer(
        how=f"through the tables, as {sides.checkpoint.naming} to {sides.plan.table.name}",
        found=found,
        misfits=misfits,
        reasons=reasons,
        available=(*(name for one in known for name in one.sources), *(name for name in jobs if name not in paired)),
        used=frozenset(jobs.keys() - unused),
        unused=unused,
        notes=sides.checkpoint.notes,
    )


def _values(checkpoint: Checkpoint, plan: Plan, assignment: Assignment, pairs: list[Pair]) -> dict[str, Found]:
    """The value of each of the program's variables that a row of its table speaks of."""
    row, shape = assignment.row, _shape(plan, assignment)
    axes = row.axes or plan.sizes.axes
    inverse = row.layout.reversed()
    jobs = [pair.b for pair in pairs]
    return {
        name: Found(
            checkpoint,
            tuple(info.name for at in {move.source for move in moves} for info in jobs[at].sources),
            partial(_read, jobs, moves, shape, row.fill or 0),
        )
        for name, moves in zip(assignment.sources, inverse.moves(axes), strict=True)
    }


def _shape(plan: Plan, assignment: Assignment) -> tuple[int, ...]:
    """Of each of the program's variables that a row speaks of, by its layout."""
    return assignment.row.layout.tf.shape(assignment.row.axes or plan.sizes.axes)


def _read(jobs: list[Job], moves: tuple[Move, ...], shape: tuple[int, ...], fill: float, dtype: str) -> Array:
    target = np.full(shape, fill, numpy_dtype(dtype))
    made = {at: assemble(jobs[at]._replace(dtype=dtype)) for at in {move.source for move in moves}}
    for move in moves:
        elements = made[move.source].reshape(move.source_shape)[move.source_index].transpose(move.order)
        target.reshape(move.target_shape)[move.target_index] = elements
    return target
