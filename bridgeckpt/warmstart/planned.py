"""The plans of a translation: one for the program's variables, treated as a checkpoint, one for the checkpoint itself.

Each plan gives PyTorch names to its tensors. A checkpoint that has PyTorch's names already needs no plan.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.aligning.sides import class_of, plan_like, pytorch_side, tensorflow_side
from bridgeckpt.errors import PlanError
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.mapping.tables.families import find_unsupported_model
from bridgeckpt.planning.dialect import unread_names
from bridgeckpt.planning.plan import draft
from bridgeckpt.planning.problems import render
from bridgeckpt.store.source import is_file
from bridgeckpt.store.tensors import TensorInfo
from bridgeckpt.warmstart.body import NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.aligning.sides import AlignedSide
    from bridgeckpt.options import PlanOptions
    from bridgeckpt.planning.record import Plan
    from bridgeckpt.warmstart.answer import Wanted

_PROGRAM = Path("the program")  # stands for the path of the checkpoint, so no config is found beside it


class ProgramError(PlanError):
    """The program's variables cannot be planned: no table reads them, or they are those of several models."""


class Sides(NamedTuple):
    """The plan of the program's variables, and both sides of the comparison.

    ``architecture`` is the class of the checkpoint, None if it is not known.
    """

    plan: Plan
    program: AlignedSide
    checkpoint: AlignedSide
    architecture: str | None


def as_checkpoint(wanted: Mapping[str, Wanted]) -> Checkpoint:
    """The program's variables as a checkpoint to plan: names and shapes without data."""
    tensors = {name: TensorInfo(name, dtype, shape, ()) for name, (shape, dtype) in wanted.items() if shape is not None}
    return Checkpoint(_PROGRAM, tensors, directory=_PROGRAM)


def candidate_programs(
    wanted: Mapping[str, Wanted], others: Mapping[str, Wanted]
) -> Iterator[tuple[dict[str, Wanted], bool]]:
    """Sets of variables that may be the whole model of the program, the likeliest first.

    With each comes whether the order of its layer numbers may be read as the order of the layers.

    The first three sets are the wanted variables, all variables, and those under the same scopes as the wanted ones.
    The further sets add layers before and between the existing ones: a student may take every other layer of a larger
    model.
    """
    roots = {name.partition("/")[0] for name in wanted}
    whole = {**others, **wanted}
    related = {name: variable for name, variable in whole.items() if name.partition("/")[0] in roots}
    yield from ((names, True) for names in (dict(wanted), whole, related))
    yield from ((_with_lower_layers(names, least), False) for least in (2, 1) for names in (whole, related))


def is_numbered(name: str) -> bool:
    """Whether a variable may belong to a numbered layer."""
    return NUMBER.search(name) is not None


def _with_lower_layers(wanted: Mapping[str, Wanted], least: int) -> dict[str, Wanted]:
    """The variables, and for names that occur with ``least`` or more numbers also those of every lower number.

    A name with a single number rather has the number of a scope, as in ``bert_1/``, than of a layer.
    """
    filled = dict(wanted)
    by_name: dict[tuple[str, str], dict[int, Wanted]] = {}  # by the name before and after the number
    for name, variable in wanted.items():
        for number in NUMBER.finditer(name):
            by_name.setdefault((name[: number.start()], name[number.end() :]), {})[int(number[0])] = variable
    for (before, after), by_number in by_name.items():
        if len(by_number) >= least:
            for lower in range(max(by_number)):
                filled.setdefault(f"{before}{lower}{after}", next(iter(by_number.values())))
    return filled


def depends_on_sibling_order(plan: Plan) -> bool:
    """Whether the order of the program's numbers has a meaning, so that no layer may be added."""
    rows = [assignment.row for assignment in plan.ledger.assignments]
    spellings = [spelling for row in rows for spelling in (row.tf, *row.also)]
    return any(template.depends_on_sibling_order for spelling in spellings for template in spelling)


def plan_both(
    program: Checkpoint, checkpoint: Checkpoint, reading: PlanOptions, any_scope: bool, architecture: str | None
) -> Sides | None:
    """Plan both sides; None if both have the same dialect and the scope matters.

    ``architecture`` is the program's class; None detects it by the names.

    Raises:
        ConfigError: a config is malformed or of another model.
        PlanError: no table reads the names of a side, the sides are of different models, or the checkpoint is not what
            ``reading`` says.
    """
    if checkpoint.has_pytorch_names:
        with _errors_about_program():
            program_plan = _plan_like(program, checkpoint, architecture)
        side = pytorch_side(checkpoint, program_plan.model)
        return Sides(program_plan, tensorflow_side(program_plan, keep_unfit=True), side, class_of(checkpoint))
    options = reading.copy()
    options.setdefault("architecture", architecture)
    stored_plan = draft(checkpoint, **options)
    _check_reading(stored_plan, reading)
    with _errors_about_program():
        program_plan = draft(program, architecture=architecture)
    if program_plan.table.name == stored_plan.table.name and not any_scope:
        return None
    if program_plan.model.model != stored_plan.model.model:
        raise PlanError(
            f"the program's variables are of the model {program_plan.model.model}, and {checkpoint.path} is of "
            f"{stored_plan.model.model}"
        )
    program_plan = _with_heads(program_plan, stored_plan.sizes.axes.get("heads"))
    if "heads" not in stored_plan.sizes.axes:
        options["heads"] = program_plan.sizes.axes["heads"]
        stored_plan = draft(checkpoint, **options)
    program_side = tensorflow_side(program_plan, keep_unfit=True)
    return Sides(program_plan, program_side, tensorflow_side(stored_plan), stored_plan.architecture.name)


def further_classes(sides: Sides, wanted: Mapping[str, Wanted]) -> list[str]:
    """The other classes to plan both sides as, for variables without a pair.

    Some dialects give the heads of all tasks one name. Then the checkpoint's class says what the program's head is.
    And a program may have more than any one class, for example a masked language model with a pooler.
    """
    plan = sides.plan
    excluded = any(plan.ledger.sources.get(name) == "excluded" for name in wanted)
    names = [sides.architecture, *(plan.model.architectures if excluded else ())]
    return [name for name in dict.fromkeys(names) if name not in (None, plan.architecture.name)]


@contextmanager
def _errors_about_program() -> Iterator[None]:
    """Rewrite errors of planning: they name the program and its variables, and advise options of a warm start."""
    try:
        yield
    except PlanError as error:
        message = error.message
        if error.kind == "unrecognised":
            heading = f"no mapping table recognises {_PROGRAM}"
            family = find_unsupported_model(error.names)
            message = unread_names(heading, f"it has {len(error.names)} variables", error.names, family=family)
        hint = (
            "scope= chooses one of several models in the program, renames= maps the names of the checkpoint to its own"
        )
        raise ProgramError(message, error.problems, kind=error.kind, names=error.names, hint=hint) from error


def _plan_like(program: Checkpoint, checkpoint: Checkpoint, architecture: str | None) -> Plan:
    """The program's plan for a Hugging Face checkpoint; if its names suit no table, the checkpoint's config decides."""
    config = checkpoint.directory / "config.json"
    try:
        plan = plan_like(program, checkpoint, {"architecture": architecture})
    except PlanError:
        if not is_file(config):
            raise
        return draft(program, architecture=architecture, config=config)
    return _with_heads(plan, None)


def _check_reading(plan: Plan, reading: PlanOptions) -> None:
    """Check the checkpoint against ``reading``. Other problems, which a conversion would refuse, become notes.

    Raises:
        PlanError: the checkpoint has no moving averages, or the number of heads or the config contradicts its shapes.
    """
    kinds = {"missing"} if reading.get("ema") and not plan.ema else set()
    if reading.get("heads") is not None or reading.get("config") is not None:
        kinds |= {"config", "heads"}
    if problems := [problem for problem in plan.problems if problem.kind in kinds]:
        raise PlanError(render(f"{plan.checkpoint.path} cannot be read as reading says", problems), problems)


def _with_heads(plan: Plan, heads: int | None) -> Plan:
    """The program's plan with a number of attention heads: its own, else ``heads``, else 1.

    If neither side has a number, 1 is safe: both sides keep the heads of a matrix together and in one order, so the
    values do not depend on it.
    """
    if "heads" in plan.sizes.axes or "heads" not in plan.model.dims:
        return plan
    return draft(plan.checkpoint, architecture=plan.architecture.name, heads=heads or 1)
