"""The tensors of a checkpoint of another code base, through the mapping tables.

The program's variables are planned like a checkpoint, which gives the PyTorch name of each; the checkpoint is brought
to PyTorch's names by its own table, unless it has them already. Where the two meet, the row of the program's table is
read right to left.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bridgeckpt.comparing.pairing import match
from bridgeckpt.comparing.sides import class_of, has_pytorch_names, plan_like, pytorch_side, tensorflow_side
from bridgeckpt.copying.engine import assemble
from bridgeckpt.errors import PlanError
from bridgeckpt.formats.checkpoint import Checkpoint, numpy_dtype
from bridgeckpt.formats.tensors import TensorInfo
from bridgeckpt.planning.plan import draft
from bridgeckpt.warmstart.answer import Answer, Found, Misfit, Wanted, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.comparing.pairing import Pair
    from bridgeckpt.comparing.sides import Side
    from bridgeckpt.copying.job import Job
    from bridgeckpt.moves import Move
    from bridgeckpt.planning.ledger import Assignment
    from bridgeckpt.planning.plan import Plan, PlanOptions

    Array = np.ndarray[Any, np.dtype[Any]]

_PROGRAM = Path("the program")  # where a checkpoint has its path: no config lies beside it


class _Sides(NamedTuple):
    """The plan of the program's variables, their side of the comparison and the checkpoint's.

    ``architecture`` is the class that the checkpoint is of, where that is known.
    """

    plan: Plan
    program: Side
    checkpoint: Side
    architecture: str | None


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
    program = _as_checkpoint(wanted)
    try:
        sides = _plan_both(program, checkpoint, reading, any_scope, None)
    except PlanError:
        if not others.keys() - wanted.keys():
            raise
        program = _as_checkpoint({**others, **wanted})
        sides = _plan_both(program, checkpoint, reading, any_scope, None)
    if sides is None:
        return None
    answer = _answer(sides, wanted)
    for architecture in _further_classes(sides, wanted):
        if answer.known == len(wanted):
            break
        try:
            again = _plan_both(program, checkpoint, reading, any_scope, architecture)
        except PlanError:
            continue
        answer = joined(answer, _answer(again, wanted)) if again is not None else answer
    return answer


def _further_classes(sides: _Sides, wanted: Mapping[str, Wanted]) -> list[str]:
    """Classes as which both sides can be read again, for what no pair was found.

    Some dialects call the head of every task alike: then the checkpoint's class says what the program's head is. And no
    class has everything that a program can have, such as a masked language model with a pooler.
    """
    plan = sides.plan
    excluded = any(plan.ledger.sources.get(name) == "excluded" for name in wanted)
    names = [sides.architecture, *(plan.table.model.architectures if excluded else ())]
    return [name for name in dict.fromkeys(names) if name not in (None, plan.architecture.name)]


def joined(answer: Answer, other: Answer) -> Answer:
    """What either reading found, the first one's where both did."""
    found = {**other.found, **answer.found}
    return answer._replace(
        found=found,
        misfits={name: one for name, one in {**other.misfits, **answer.misfits}.items() if name not in found},
        reasons={**other.reasons, **answer.reasons},
        available=tuple(dict.fromkeys((*answer.available, *other.available))),
        used=answer.used | other.used,
        unused=tuple(name for name in answer.unused if name not in other.used),
    )


def _answer(sides: _Sides, wanted: Mapping[str, Wanted]) -> Answer:
    pairs = {pair.a.name: pair for pair in match(sides.program, sides.checkpoint, sides.plan.table.model).pairs}
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


def _plan_both(
    program: Checkpoint, checkpoint: Checkpoint, reading: PlanOptions, any_scope: bool, architecture: str | None
) -> _Sides | None:
    """Both sides, unless they are of one dialect; ``architecture`` is the program's class, None if its names tell."""
    if has_pytorch_names(checkpoint):
        planned = _plan_like(program, checkpoint, architecture)
        side = pytorch_side(checkpoint, planned.table.model)
        return _Sides(planned, tensorflow_side(planned, keep_unfit=True), side, class_of(checkpoint))
    settled = reading.copy()
    settled.setdefault("architecture", architecture)
    theirs = draft(checkpoint, **settled)
    planned = draft(program, architecture=architecture)
    if planned.table.name == theirs.table.name and not any_scope:
        return None
    if planned.table.model.model != theirs.table.model.model:
        raise PlanError(
            f"the program's variables are of the model {planned.table.model.model}, and {checkpoint.path} is of "
            f"{theirs.table.model.model}"
        )
    planned = _with_heads(planned, theirs.sizes.axes.get("heads"))
    if "heads" not in theirs.sizes.axes:
        settled["heads"] = planned.sizes.axes["heads"]
        theirs = draft(checkpoint, **settled)
    program_side = tensorflow_side(planned, keep_unfit=True)
    return _Sides(planned, program_side, tensorflow_side(theirs), theirs.architecture.name)


def _plan_like(program: Checkpoint, checkpoint: Checkpoint, architecture: str | None) -> Plan:
    """The program's plan for a Hugging Face checkpoint; the model of one that no table knows is told by its config."""
    config = checkpoint.directory / "config.json"
    try:
        planned = plan_like(program, checkpoint, {"architecture": architecture})
    except PlanError:
        if not config.is_file():
            raise
        return draft(program, architecture=architecture, config=config)
    return _with_heads(planned, None)


def _with_heads(planned: Plan, heads: int | None) -> Plan:
    """The program's plan with a number of attention heads: what it tells itself, else ``heads``, else 1.

    Where neither side tells it, both keep the heads of a matrix together and in one order, so that what becomes of the
    elements does not depend on their number.
    """
    if "heads" in planned.sizes.axes or "heads" not in planned.table.model.dims:
        return planned
    return draft(planned.checkpoint, architecture=planned.architecture.name, heads=heads or 1)


def _as_checkpoint(wanted: Mapping[str, Wanted]) -> Checkpoint:
    """The program's variables as a checkpoint to plan: of names and shapes, without a byte."""
    tensors = {name: TensorInfo(name, dtype, shape, ()) for name, (shape, dtype) in wanted.items() if shape is not None}
    return Checkpoint(_PROGRAM, tensors, directory=_PROGRAM)


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
