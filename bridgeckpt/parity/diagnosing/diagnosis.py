"""The diagnosis: the first stage that is wrong by itself, and what must be undone to correct it.

Every stage is computed by itself in float64 from the values in the reference, so that errors do not cascade. For the
first stage that rounding does not explain, causes are tried: known settings and exchanged tensors first, then the
values of a tensor that solve the stage's equations. A cause is proven if undoing it brings the stage back within
rounding; of several proven causes, the one that corrects the most stages is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridgeckpt.parity.diagnosing.anatomy import NOTHING, Cause
from bridgeckpt.parity.diagnosing.blame import blame
from bridgeckpt.parity.diagnosing.evidence import Effect, Evidence, exceeds
from bridgeckpt.parity.diagnosing.substitutions import tensor_causes
from bridgeckpt.parity.judging.converted_folder import from_report
from bridgeckpt.parity.judging.verdict import Diagnosis, StageResult
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from bridgeckpt.parity.diagnosing.anatomy import Anatomy, LookupTables
    from bridgeckpt.parity.judging.pytorch import Subject
    from bridgeckpt.parity.reference.reference import Reference

_AGAIN = "convert again; if the difference stays, the mapping row is wrong"
_GENERAL = Sentence("compare the tensors of both sides with {run:diff SRC DST}")


def diagnose(
    reference: Reference,
    subject: Subject,
    results: Sequence[StageResult],
    take_apart: Callable[[Subject], Anatomy],
) -> Diagnosis:
    """What is to blame for the stages that failed; ``take_apart`` is the anatomy of the model's family."""
    failed = [result.name for result in results if not result.passed]
    if not subject.sites:
        return _unknown(failed, f"{type(subject.model).__name__} is not taken apart into stages that could be tried")
    with _one_thread():
        return _search(Evidence(reference, take_apart(subject)), failed)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread: the operations are many and small, and several threads would mostly wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _search(evidence: Evidence, failed: Sequence[str]) -> Diagnosis:
    """The diagnosis of the first stage that is wrong by itself; for lookup tables, over all probes."""
    if (unknown := _not_finite(evidence)) is not None:
        return unknown
    tables = evidence.anatomy.tables(evidence.reference)
    if tables.any_wrong:
        return _lookup(evidence, tables)
    for view_index in range(len(evidence.views)):
        if (strange := _strange(evidence, view_index)) is not None:
            return strange
        if wrong := evidence.wrong(view_index):
            return _first(evidence, view_index, wrong[0])
    return _unknown(failed, "no stage goes wrong by itself when it is fed what the reference holds")


def _not_finite(evidence: Evidence) -> Diagnosis | None:
    """The first tensor that holds values that are not finite; None if there is no such tensor."""
    import torch

    for stage, roles in evidence.anatomy.roles.items():
        for name in roles.values():
            values = evidence.anatomy.parameters[name]
            if not bool(torch.isfinite(values).all()):
                count = int((~torch.isfinite(values)).sum())
                text = f"{name} holds {count:,} of {values.numel():,} values that are not finite"
                return _diagnosis(evidence, 0, stage, Cause(text, name, NOTHING), Effect())
    return None


def _first(evidence: Evidence, view_index: int, stage: str) -> Diagnosis:
    """The diagnosis of the first stage that is wrong by itself."""
    absent = [name for name in evidence.anatomy.roles[stage].values() if name in _missing(evidence)]
    if (known := _best(evidence, view_index, stage)) is not None:
        return _diagnosis(evidence, view_index, stage, *known)
    if not evidence.anatomy.is_dense(stage):
        text = "goes wrong given the right inputs, and no known variation of the computation explains it"
        return _diagnosis(evidence, view_index, stage, Cause(f"{stage} {text}", None, NOTHING, _GENERAL), Effect())
    inside = evidence.views[view_index].behind(stage)[1:]
    # The last view is the most exact.
    view_index = max(other for other in range(len(evidence.views)) if evidence.is_wrong(other, stage))
    cause = blame(evidence, view_index, stage)
    effect = evidence.effect(cause)
    if inside and not effect.explains(stage):
        first = min(inside, key=list(evidence.anatomy.roles).index)
        text = f"{stage} goes wrong, or {first} or a stage between them, which the reference does not hold"
        cause = Cause(f"{text}; no known cause explains it", None, NOTHING, _GENERAL)
    elif absent:
        name = cause.parameter if cause.parameter in absent else absent[0]
        text = f"{name} is not in the folder, so that transformers made up its values"
        cause = cause._replace(text=text, parameter=name)
    return _diagnosis(evidence, view_index, stage, cause, effect)


def _best(evidence: Evidence, view_index: int, stage: str) -> tuple[Cause, Effect] | None:
    """The known cause that corrects the most stages, this one among them."""
    best: tuple[Cause, Effect] | None = None
    for cause in _known(evidence, view_index, stage):
        effect = evidence.effect(cause)
        if (view_index, stage) in effect.explained and (best is None or effect.rank > best[1].rank):
            best = cause, effect
            if not effect.broken and not effect.left and all(map(effect.explains, evidence.wrong(view_index))):
                break
    return best


def _known(evidence: Evidence, view_index: int, stage: str) -> Iterator[Cause]:
    yield from _settings_causes(evidence, view_index, stage)
    yield from tensor_causes(evidence, view_index, stage)


def _settings_causes(evidence: Evidence, view_index: int, stage: str) -> Iterator[Cause]:
    """A cause for each variation that corrects the stage: the setting changed everywhere, and in this stage alone."""
    view = evidence.views[view_index]
    for variation in view.anatomy.variations(view.behind(stage)):
        if not evidence.fixes(view_index, stage, variation.patch):
            continue
        yield Cause(f"TensorFlow {variation.is_so}", variation.parameter, variation.patch, variation.remedy)
        alone = variation.patch._replace(stages=frozenset(view.behind(stage)))
        text = f"in {stage} alone, TensorFlow {variation.is_so}"
        title = view.anatomy.subject.family.title
        remedy = f"a config has one value for all stages: no {title} of transformers computes this without new code"
        yield Cause(text, variation.parameter, alone, remedy)


def _lookup(evidence: Evidence, tables: LookupTables) -> Diagnosis:
    """The diagnosis of a stage that looks rows up in tables; some wrong rows may only show in the sweep."""
    stage = tables.stage
    view_index = next((index for index in range(len(evidence.views)) if evidence.is_wrong(index, stage)), None)
    known = None if view_index is None else _best(evidence, view_index, stage)
    if view_index is not None and known is not None and tables.mostly_fixed_by(known[0].patch):
        return _diagnosis(evidence, view_index, stage, *known)
    cause = tables.blame()
    effect = evidence.effect(cause)
    if cause.patch is not NOTHING and tables.fixed_by(cause.patch, precision="float32"):
        effect = effect._replace(explained=effect.explained | {(view_index or 0, stage)})
    return _diagnosis(evidence, view_index or 0, stage, cause, effect)


def _strange(evidence: Evidence, view_index: int) -> Diagnosis | None:
    """The first module that does not compute its stage's definition; None if all do."""
    view = evidence.views[view_index]
    computed = view.run_model()
    for stage in view.order:
        if not exceeds(view.computed_by(stage, computed[stage])):
            continue
        does = next(
            (
                f"PyTorch {one.is_so}"
                for one in view.anatomy.variations(view.behind(stage))
                if not exceeds(view.computed_by(stage, computed[stage], one.patch))
            ),
            f"its module in PyTorch computes something else than a {view.anatomy.subject.family.title} does there",
        )
        parameter = None
        if getattr(evidence.anatomy.subject.model.config, "is_decoder", False):
            does, parameter = (
                "PyTorch attends only to earlier positions: the model is a decoder",
                "config.json: is_decoder",
            )
        right = not evidence.is_wrong(view_index, stage)
        text = f"{does}; computed by the book, {stage} {'agrees' if right else 'differs too'}"
        cause = Cause(text, parameter, NOTHING, "see what config.json and the model's code say about it")
        effect = Effect(frozenset({(view_index, stage)} if right else ()))
        return _diagnosis(evidence, view_index, stage, cause, effect)
    return None


def _diagnosis(evidence: Evidence, view_index: int, stage: str, cause: Cause, effect: Effect) -> Diagnosis:
    called = evidence.views[view_index].called if evidence.views else {}
    covered = {name for _, name in effect.explained}
    # Another stage that reads the same tensor has the same fault.
    covered |= {name for name, roles in evidence.anatomy.roles.items() if cause.parameter in roles.values()}
    wrong = evidence.wrong(view_index) if evidence.views else []
    others = [called[name] for name in wrong if name != stage and name not in covered]
    variable, parameter = None, cause.parameter
    if parameter is not None and (found := evidence.anatomy.stage_of(parameter)) is not None:
        variable = evidence.reference.variables.get(".".join(found))
    remedy = cause.remedy or (_explain(evidence, variable) if parameter else _GENERAL)
    return Diagnosis(
        stage=called.get(stage, stage),
        cause=cause.text,
        remedy=remedy,
        parameter=parameter,
        variable=variable,
        proven=effect.explains(stage),
        others=tuple(others),
    )


def _explain(evidence: Evidence, variable: str | None) -> str:
    """What to do about a wrong tensor."""
    table = from_report(evidence.anatomy.subject.folder, "table", "name")
    if not isinstance(table, str):
        return Sentence("{again}; {general}", again=_AGAIN, general=_GENERAL)
    return f"{_AGAIN}: see `bridgeckpt mappings explain {table} {variable}`" if variable else _AGAIN


def _missing(evidence: Evidence) -> set[str]:
    return set(evidence.anatomy.subject.made_up)


def _unknown(failed: Sequence[str], why: str) -> Diagnosis:
    return Diagnosis(
        stage=failed[0], cause=f"unknown: {why}", remedy=_GENERAL, parameter=None, variable=None, proven=False
    )
