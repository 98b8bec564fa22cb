"""The passes over the probes: the model in float32 and float64, as it is and with each stage fed the reference."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.judging.comparison import Pass, Runs
from bridgeckpt.parity.judging.pytorch import Subject, float32_precision, run
from bridgeckpt.parity.judging.rounding import UNITS
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.comparison import Values
    from bridgeckpt.parity.reference.reference import Reference

    Wanted = Mapping[str, set[str]]  # what to catch, by probe


class Computed(NamedTuple):
    """What one model computed: ``free`` as it is, ``local`` with every stage fed the values of a run, by run."""

    free: Values
    local: Mapping[str, Values]


def what_to_run(reference: Reference, subject: Subject) -> tuple[dict[str, set[str]], list[str]]:
    """What to catch for each probe, and the stages of the reference that the model does not compute."""
    wanted: dict[str, set[str]] = {}
    skipped: dict[str, None] = {}
    own = not reference.variables  # a user's function named the outputs: "logits" may be those of any head
    for probes in reference.runs.values():
        for probe, stages in probes.items():
            for stage in stages:
                if stage in subject.sites or not subject.family.is_stage(stage) or (own and stage == "logits"):
                    wanted.setdefault(probe, set()).add(stage)
                else:
                    skipped[stage] = None
    return wanted, list(skipped)


def in_float32(reference: Reference, subject: Subject, wanted: Wanted) -> Computed:
    """The model on the CPU, by which its rounding is measured."""
    with float32_precision():
        return _computed(reference, subject, subject.model, wanted)


def in_float64(
    reference: Reference, subject: Subject, wanted: Wanted, narrower: bool
) -> tuple[Computed, Computed | None]:
    """The truth of the weights; with ``narrower`` also how storing them in fewer bits may have changed it."""
    with _double(subject.model) as double:
        truth = _computed(reference, subject, double, wanted)
        moved = narrow(double, subject.stored) if narrower else None
        return truth, None if moved is None else _computed(reference, subject, moved, wanted)


def is_narrower(reference: Reference, subject: Subject) -> bool:
    """Whether the folder stores its weights in fewer bits than the checkpoint does."""
    stored, source = subject.stored, reference.provenance.get("dtype", "float32")
    return DTYPES[stored].floating and stored in UNITS and UNITS[stored] > UNITS.get(source, 0.0)


def combined(truth: Computed, rounded: Computed, narrowed: Computed | None, tested: Values) -> Runs:
    """Everything that is compared: each value beside its truth and its rounding."""
    fewer = narrowed or Computed({}, {})
    local = {run: Pass(values, rounded.local[run], fewer.local.get(run, {})) for run, values in truth.local.items()}
    return Runs(Pass(truth.free, rounded.free, fewer.free), local, tested)


def narrow(model: Any, stored: str) -> Any:  # noqa: ANN401
    """A copy of a float64 model, each weight moved up or down by as much as storing it as ``stored`` may move it."""
    import torch

    moved = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in moved.parameters():
            # By the most that rounding may move it: a random amount near 0 would make a single bias too sharp a test.
            signs = torch.randint(0, 2, parameter.shape, generator=generator) * 2 - 1
            parameter.mul_(1 + UNITS[stored] * signs)
    return moved


def _computed(reference: Reference, subject: Subject, model: Any, wanted: Wanted) -> Computed:  # noqa: ANN401
    free = {name: run(subject, model, reference.probes[name], names) for name, names in wanted.items()}
    local = {of: _forced(reference, subject, of, model) for of in reference.runs if of != "float64"}
    return Computed(free, local)


def _forced(reference: Reference, subject: Subject, source: str, model: Any) -> Values:  # noqa: ANN401
    """What ``model`` computes if every stage is fed the values of the run ``source``, on probes that are kept whole."""
    outputs = {}
    for name, values in reference.runs[source].items():
        stages = {stage: value for stage, value in values.items() if stage in subject.sites}
        if stages and reference.probes[name].depth == "fine":
            outputs[name] = run(subject, model, reference.probes[name], set(stages), forced=stages)
    return outputs


@contextmanager
def _double(model: Any) -> Iterator[Any]:  # noqa: ANN401
    """The model itself in float64 meanwhile. A copy would take more memory, and every float32 is restored exactly."""
    try:
        yield model.double()
    finally:
        model.float()
