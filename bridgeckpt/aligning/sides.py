"""A side of a comparison: the tensors of one checkpoint, under names that can be matched with the other side's.

A Hugging Face checkpoint has PyTorch names; a TensorFlow checkpoint gets them from its plan. Two TensorFlow checkpoints
keep TensorFlow's names if these mean the same, or if no table reads one of the two: then every tensor has a name, and
optimizer state that both have is compared, too. Jobs of the copying engine describe the tensors of a side; nothing here
reads a tensor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.copying.job import Job, whole
from bridgeckpt.errors import PlanError
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.mapping.tables.model import shipped_models
from bridgeckpt.mapping.tables.model_records import bare_class
from bridgeckpt.options import DiffOptions
from bridgeckpt.planning.plan import draft
from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.config_files import named_class
from bridgeckpt.store.tensors import DTYPES
from bridgeckpt.store.texts import TextError, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.model_records import Architecture, Filled, ModelTable
    from bridgeckpt.planning.record import Plan

# transformers renames these in files older than its use of torch's LayerNorm ("legacy" in its conversion_mapping.py).
_LEGACY = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


STORED, PYTORCH = "TensorFlow's names", "Hugging Face's names"  # the `naming` of sides that keep their stored names


class AlignedSide(NamedTuple):
    """One checkpoint: ``jobs`` make its tensors, by the names to match; ``naming`` says what kind of names these are.

    ``left_out`` and ``unmapped`` are tensors without a job, by stored name, each with the reason. Those in ``left_out``
    need no job. ``notes`` are for the user, and include the reasons for which a conversion would be refused.
    """

    checkpoint: Checkpoint
    naming: str
    jobs: dict[str, Job]
    left_out: dict[str, str]
    unmapped: dict[str, str]
    notes: tuple[str, ...]


def open_sides(
    a: Checkpoint, b: Checkpoint, options: DiffOptions
) -> tuple[AlignedSide, AlignedSide, ModelTable | None]:
    """Both sides, under names that can be matched, and the table of the model that has these names, if known.

    Raises:
        PlanError: no table reads the TensorFlow side, or it holds several models; the error has every reason.
        ConfigError: a config is malformed or belongs to another model.
        TableError: the mapping table is malformed.
    """
    plans = _plans(a, b, options)
    if plans is None:
        return _without_state(_stored(a, STORED), b), _without_state(_stored(b, STORED), a), None
    model = next((plan.model for plan in plans if plan is not None), None) or _model(_config(a), _config(b))
    first, second = (
        pytorch_side(checkpoint, model) if plan is None else tensorflow_side(plan, as_converted=True)
        for checkpoint, plan in zip((a, b), plans, strict=True)
    )
    return first, second, model


def _plans(a: Checkpoint, b: Checkpoint, options: DiffOptions) -> tuple[Plan | None, Plan | None] | None:
    """The plan of each side that needs one; None if both sides are matched by TensorFlow's names."""
    if a.has_pytorch_names or b.has_pytorch_names:
        first = None if a.has_pytorch_names else plan_like(a, b, options, settled=True)
        return first, None if b.has_pytorch_names else plan_like(b, a, options, settled=True)
    decided = any(options.get(key) for key in ("mapping", "architecture", "ema")) or options.get("scope") is not None
    try:
        plans = draft(a, settled=True, **options), draft(b, settled=True, **options)
    except PlanError:
        if decided:
            raise
        return None
    one, other = (
        {plan.architecture.drop_prefix + name: row.sources for row in plan.ledger.assignments for name in row.targets}
        for plan in plans
    )
    shared = one.keys() & other.keys()
    return plans if decided or not shared or any(one[name] != other[name] for name in shared) else None


def plan_like(checkpoint: Checkpoint, other: Checkpoint, options: DiffOptions, *, settled: bool = False) -> Plan:
    """The plan of a TensorFlow checkpoint, completed from the config of the other side.

    That config decides between classes with the same heads. It also gives the sizes that no shape tells, if the
    checkpoint has no config of its own. ``settled``: it also decides about a head that no row reads.
    """
    planned = draft(checkpoint, settled=settled, **options)
    config, classes = _config(other), planned.model.architectures
    if config.get("model_type") != planned.model.model:
        return planned
    completed = DiffOptions(**options)
    if options.get("config") is None and not all(axis in planned.sizes.axes for axis in _axes(planned)):
        completed["config"] = other.directory / "config.json"
    named = named_class(config)
    if named is not None and named in classes and not options.get("architecture"):
        same_heads = _heads(classes[named], planned) == _heads(planned.architecture, planned)
        contradictory = any(problem.kind == "class" for problem in planned.problems)
        differs = named != planned.architecture.name or contradictory
        if (settled and planned.ledger.own_head) or (same_heads and differs):
            completed["architecture"] = named
    if completed == options:
        return planned
    again = draft(checkpoint, settled=settled, **completed)
    return again if len(again.problems) <= len(planned.problems) else planned


def _axes(plan: Plan) -> set[str]:
    rows = [assignment.row for assignment in plan.ledger.assignments]
    return {axis for row in rows for axis in row.layout.axes if axis not in row.axes}


def _heads(architecture: Architecture, plan: Plan) -> set[str]:
    """The groups that a class has beyond those of the bare model, and that the plan does not fill."""
    bare = bare_class(plan.model.architectures)
    filled = {entry.group for entry in plan.ledger.filled.values()}
    return {*architecture.groups} - {*bare.groups, *bare.optional} - filled


def class_of(checkpoint: Checkpoint) -> str | None:
    """The class that the config of a Hugging Face checkpoint names."""
    return named_class(_config(checkpoint))


def _config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The config of a Hugging Face checkpoint; {} if it is not readable, because the tensors have names anyway."""
    path = checkpoint.directory / "config.json"
    if not checkpoint.has_pytorch_names:
        return {}
    try:
        return read_json(path)
    except TextError:
        return {}


def _model(*configs: dict[str, Any]) -> ModelTable | None:
    """The model table for the ``model_type`` of the first config that has one."""
    kinds = [config["model_type"] for config in configs if "model_type" in config]
    return shipped_models().get(kinds[0]) if kinds else None


def _stored(checkpoint: Checkpoint, naming: str) -> AlignedSide:
    """A side with every tensor as it is stored."""
    jobs, left_out = {}, {}
    for name, info in checkpoint.tensors.items():
        if info.dtype in DTYPES and DTYPES[info.dtype].itemsize:
            jobs[name] = whole(info)
        else:
            left_out[name] = f"of dtype {info.dtype}, which is no array of numbers"
    return AlignedSide(
        checkpoint=checkpoint, naming=naming, jobs=jobs, left_out=left_out, unmapped={}, notes=checkpoint.remarks
    )


def _without_state(side: AlignedSide, other: Checkpoint) -> AlignedSide:
    """A side without what training left in it only: optimizer state is no part of the model that is compared."""
    training = side.checkpoint.training_state()
    here_only = "optimizer state or moving averages, which the other side does not have"
    state = dict.fromkeys((*training.slots, *training.averages), here_only) | {**training.bookkeeping}
    left = {name: why for name, why in state.items() if name in side.jobs and name not in other.tensors}
    jobs = {name: job for name, job in side.jobs.items() if name not in left}
    return side._replace(jobs=jobs, left_out={**side.left_out, **left})


def pytorch_side(checkpoint: Checkpoint, model: ModelTable | None) -> AlignedSide:
    """A Hugging Face checkpoint under its own names, without the buffers that the model rebuilds."""
    side = _stored(checkpoint, PYTORCH)
    buffers = [
        (derived.pt.pattern({}), architecture.drop_prefix, derived.reason)
        for derived in (model.derived if model else ())
        for architecture in (model.architectures.values() if model else ())
    ]
    jobs, left_out, old = {}, {}, []
    for name, job in side.jobs.items():
        reasons = [why for pattern, drop, why in buffers if pattern.fullmatch(name) or pattern.fullmatch(drop + name)]
        if reasons:
            left_out[name] = reasons[0]
            continue
        renamed = _renamed(name)
        if renamed != name and renamed not in side.jobs:
            old.append(name)
            jobs[renamed] = job
        else:
            jobs[name] = job
    notes = side.notes
    if old:
        notes += (f"{len(old)} names are spelled as {old[0]}: read as weight and bias, as transformers does",)
    return side._replace(jobs=jobs, left_out={**side.left_out, **left_out}, notes=notes)


def _renamed(name: str) -> str:
    """The name of a parameter as transformers reads it."""
    ending = next((ending for ending in _LEGACY if name.endswith(ending)), None)
    return name.removesuffix(ending) + _LEGACY[ending] if ending else name


def tensorflow_side(plan: Plan, *, keep_unfit: bool = False, as_converted: bool = False) -> AlignedSide:
    """A TensorFlow checkpoint under the names that its plan gives to its tensors.

    ``keep_unfit``: tensors whose shape contradicts the others also get jobs, which have the shape that is expected.
    ``as_converted``: parameters that a conversion fills get jobs too, and its warnings are notes. Those about values of
    config.json are left out: no tensor depends on them.
    """
    ledger, axes = plan.ledger, plan.sizes.axes
    reasons = {
        "slot": "optimizer state, which a state dict does not have",
        "average": Sentence("a moving average: {ema:True} takes it in place of the weight"),
        "unmapped": "no row of the table reads it",
    }
    without = {
        name: reasons.get(state) or ledger.reasons[name] for name, state in ledger.sources.items() if state != "mapped"
    }
    # No class has all the heads, and no option leaves one out. (If their number is unknown, axes are open instead.)
    undecided = _axes(plan) <= axes.keys() and any(problem.kind == "heads" for problem in plan.problems)
    failing = {"unmapped", "excluded"} if undecided else {"unmapped"}
    unmapped = {name: why for name, why in without.items() if ledger.sources[name] in failing}
    left_out = {name: why for name, why in without.items() if name not in unmapped}
    broken = {name: problem.subject for problem in plan.problems for name in problem.tensors}
    fit = []
    for assignment in ledger.assignments:
        row = assignment.row
        open_axes = [axis for axis in row.layout.axes if axis not in axes and axis not in row.axes]
        faults = [broken[name] for name in assignment.sources if name in broken and not keep_unfit]
        faults += [f"the size of {', '.join(open_axes)} is unknown"] if open_axes else []
        if faults:
            unmapped.update(dict.fromkeys(assignment.sources, faults[0]))
        else:
            fit.append(assignment)
    filled: Mapping[str, Filled] = ledger.filled if as_converted else FrozenDict()
    fitting = plan._replace(ledger=ledger._replace(assignments=tuple(fit), filled=filled))
    problems = tuple(problem.line for problem in plan.problems if ledger.sources.keys().isdisjoint(problem.tensors))
    naming = f"{plan.table.name} as {plan.architecture.name}"
    jobs = {_renamed(job.name): job for job in fitting.jobs()}  # files of some classes still have the old names
    config = set(plan.configuration.assumed.values()) if plan.configuration is not None else set()
    warnings = [warning for warning in plan.warnings if warning not in config]
    return AlignedSide(
        checkpoint=plan.checkpoint,
        naming=naming,
        jobs=jobs,
        left_out=left_out,
        unmapped=unmapped,
        notes=(*plan.notes, *(warnings if as_converted else ()), *problems),
    )
