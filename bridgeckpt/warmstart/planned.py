"""Both sides of a translation, planned: the program's variables like a checkpoint, and the checkpoint itself.

Each plan says which PyTorch name its side's tensors have, unless the checkpoint has PyTorch's names already.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.aligning.sides import class_of, plan_like, pytorch_side, tensorflow_side
from bridgeckpt.errors import PlanError
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.planning.dialect import unread
from bridgeckpt.planning.plan import draft
from bridgeckpt.planning.problems import render
from bridgeckpt.store.source import is_file
from bridgeckpt.store.tensors import TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.aligning.sides import AlignedSide
    from bridgeckpt.options import PlanOptions
    from bridgeckpt.planning.record import Plan
    from bridgeckpt.warmstart.answer import Wanted

_PROGRAM = Path("the program")  # where a checkpoint has its path: no config lies beside it
_NUMBER = re.compile(r"(?<=[-_/.])\d{1,3}(?!\d)")  # as of a layer: one in the middle of a word, as in conv2d, is none


class Sides(NamedTuple):
    """The plan of the program's variables, their side of the comparison and the checkpoint's.

    ``architecture`` is the class that the checkpoint is of, where that is known.
    """

    plan: Plan
    program: AlignedSide
    checkpoint: AlignedSide
    architecture: str | None


def as_checkpoint(wanted: Mapping[str, Wanted]) -> Checkpoint:
    """The program's variables as a checkpoint to plan: of names and shapes, without a byte."""
    tensors = {name: TensorInfo(name, dtype, shape, ()) for name, (shape, dtype) in wanted.items() if shape is not None}
    return Checkpoint(_PROGRAM, tensors, directory=_PROGRAM)


def programs(wanted: Mapping[str, Wanted], others: Mapping[str, Wanted]) -> Iterator[tuple[dict[str, Wanted], bool]]:
    """What may be all of the program's model, the likeliest first; and whether the order of its numbers may be one.

    That is: the variables that are wanted; all that there are; those that begin like them, without further models. Then
    with layers between or before those that there are, since a student may want every other one of a larger model.
    """
    roots = {name.partition("/")[0] for name in wanted}
    whole = {**others, **wanted}
    kin = {name: one for name, one in whole.items() if name.partition("/")[0] in roots}
    yield from ((names, True) for names in (dict(wanted), whole, kin))
    yield from ((_filled(names, least), False) for least in (2, 1) for names in (whole, kin))


def is_numbered(name: str) -> bool:
    """Whether a variable may be of a layer."""
    return _NUMBER.search(name) is not None


def _filled(wanted: Mapping[str, Wanted], least: int) -> dict[str, Wanted]:
    """The variables, and where there are ``least`` by number also those of every lower one.

    A single number is rather that of a scope, as in ``bert_1/``, than of a layer.
    """
    filled = dict(wanted)
    numbers: dict[tuple[str, str], dict[int, Wanted]] = {}  # by the name before and after the number
    for name, one in wanted.items():
        for number in _NUMBER.finditer(name):
            numbers.setdefault((name[: number.start()], name[number.end() :]), {})[int(number[0])] = one
    for (before, after), given in numbers.items():
        if len(given) >= least:
            for lower in range(max(given)):
                filled.setdefault(f"{before}{lower}{after}", next(iter(given.values())))
    return filled


def depends_on_sibling_order(plan: Plan) -> bool:
    """Whether the order of the program's numbers has a meaning, so that none may be added."""
    rows = [assignment.row for assignment in plan.ledger.assignments]
    spellings = [spelling for row in rows for spelling in (row.tf, *row.also)]
    return any(template.depends_on_sibling_order for spelling in spellings for template in spelling)


def plan_both(
    program: Checkpoint, checkpoint: Checkpoint, reading: PlanOptions, any_scope: bool, architecture: str | None
) -> Sides | None:
    """Both sides, unless they are of one dialect; ``architecture`` is the program's class, None if its names tell.

    Raises:
        ConfigError: a config is malformed or of another model.
        PlanError: no table reads the names of a side, they are of two models, or the checkpoint is not what ``reading``
            says.
    """
    if checkpoint.has_pytorch_names:
        with _of_the_program():
            planned = _plan_like(program, checkpoint, architecture)
        side = pytorch_side(checkpoint, planned.model)
        return Sides(planned, tensorflow_side(planned, keep_unfit=True), side, class_of(checkpoint))
    options = reading.copy()
    options.setdefault("architecture", architecture)
    theirs = draft(checkpoint, **options)
    _check_reading(theirs, reading)
    with _of_the_program():
        planned = draft(program, architecture=architecture)
    if planned.table.name == theirs.table.name and not any_scope:
        return None
    if planned.model.model != theirs.model.model:
        raise PlanError(
            f"the program's variables are of the model {planned.model.model}, and {checkpoint.path} is of "
            f"{theirs.model.model}"
        )
    planned = _with_heads(planned, theirs.sizes.axes.get("heads"))
    if "heads" not in theirs.sizes.axes:
        options["heads"] = planned.sizes.axes["heads"]
        theirs = draft(checkpoint, **options)
    program_side = tensorflow_side(planned, keep_unfit=True)
    return Sides(planned, program_side, tensorflow_side(theirs), theirs.architecture.name)


def further_classes(sides: Sides, wanted: Mapping[str, Wanted]) -> list[str]:
    """Classes as which both sides can be read again, for what no pair was found.

    Some dialects call the head of every task alike: then the checkpoint's class says what the program's head is. And no
    class has everything that a program can have, such as a masked language model with a pooler.
    """
    plan = sides.plan
    excluded = any(plan.ledger.sources.get(name) == "excluded" for name in wanted)
    names = [sides.architecture, *(plan.model.architectures if excluded else ())]
    return [name for name in dict.fromkeys(names) if name not in (None, plan.architecture.name)]


@contextmanager
def _of_the_program() -> Iterator[None]:
    """Have errors of planning speak of the program, which has variables, and advise what a warm start takes."""
    try:
        yield
    except PlanError as error:
        message = error.message
        if error.kind == "unrecognised":
            heading = f"no mapping table recognises {_PROGRAM}"
            message = unread(heading, f"it has {len(error.names)} variables", error.names)
        hint = "scope= chooses one of several models in the program, renames= says what it calls the checkpoint's names"
        raise PlanError(message, error.problems, kind=error.kind, names=error.names, hint=hint) from error


def _plan_like(program: Checkpoint, checkpoint: Checkpoint, architecture: str | None) -> Plan:
    """The program's plan for a Hugging Face checkpoint; the model of one that no table knows is told by its config."""
    config = checkpoint.directory / "config.json"
    try:
        planned = plan_like(program, checkpoint, {"architecture": architecture})
    except PlanError:
        if not is_file(config):
            raise
        return draft(program, architecture=architecture, config=config)
    return _with_heads(planned, None)


def _check_reading(plan: Plan, reading: PlanOptions) -> None:
    """See that a checkpoint is what the caller says of it: what else a conversion is refused for is only noted.

    Raises:
        PlanError: it has no moving averages, or the number of heads or the config contradict its shapes.
    """
    kinds = {"missing"} if reading.get("ema") and not plan.ema else set()
    if reading.get("heads") is not None or reading.get("config") is not None:
        kinds |= {"config", "heads"}
    if problems := [problem for problem in plan.problems if problem.kind in kinds]:
        raise PlanError(render(f"{plan.checkpoint.path} cannot be read as reading says", problems), problems)


def _with_heads(planned: Plan, heads: int | None) -> Plan:
    """The program's plan with a number of attention heads: what it tells itself, else ``heads``, else 1.

    Where neither side tells it, both keep the heads of a matrix together and in one order, so that what becomes of the
    elements does not depend on their number.
    """
    if "heads" in planned.sizes.axes or "heads" not in planned.model.dims:
        return planned
    return draft(planned.checkpoint, architecture=planned.architecture.name, heads=heads or 1)
