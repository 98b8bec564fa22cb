"""Judging a loaded model: it is run, its values are compared with the reference, and the verdict is made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from math import isfinite
from typing import TYPE_CHECKING, Any

from bridgeckpt.formats.huggingface.safetensors_files import INDEX_NAME
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.parity.judging.by_loading import blame_loading, loading_failures
from bridgeckpt.parity.judging.comparison import compare, compare_within
from bridgeckpt.parity.judging.converted_folder import REPORT, WEIGHTS, from_report, weights_of
from bridgeckpt.parity.judging.devices import judge_device, run_on
from bridgeckpt.parity.judging.passes import combined, in_float32, in_float64, is_narrower, what_to_run
from bridgeckpt.parity.judging.pytorch import Subject, frameworks
from bridgeckpt.parity.judging.verdict import DeviceResult, Diagnosis, StageResult, Verdict
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from bridgeckpt.parity.reference.reference import Reference

    Timer = Callable[[str], AbstractContextManager[Any]]
    Diagnose = Callable[[Reference, Subject, Sequence[StageResult]], Diagnosis]


def judge(
    reference: Reference,
    subject: Subject,
    device: str,
    dtypes: Sequence[str],
    tolerance: tuple[float, float] | None,
    clock: Timer,
    diagnose: Diagnose,
) -> Verdict:
    """The verdict on ``subject``, run on ``device`` in float32 and in each of ``dtypes``.

    ``tolerance`` is an absolute and a relative one, used in place of the measured rounding. ``diagnose`` says what is
    to blame if a stage fails.

    Raises:
        ParityError: the two sides differ in shape, the reference holds an output that the model does not compute, or
            the device does not have enough memory.
    """
    wanted, skipped = what_to_run(reference, subject)
    with clock("running in float32"):
        rounded = in_float32(reference, subject, wanted)
    values = {}
    for dtype in ("float32", *dtypes):
        if (device, dtype) == ("cpu", "float32"):
            values[dtype] = rounded.free
            continue
        with clock(f"running in {dtype} on {device}"):
            values[dtype] = run_on(subject, reference, wanted, device, dtype)
    with clock("running in float64"):
        truth, narrowed = in_float64(reference, subject, wanted, is_narrower(reference, subject))
    runs = combined(truth, rounded, narrowed, values["float32"])
    with clock("comparing"):
        order = _order(reference, subject)
        if tolerance is None:
            results = compare(reference, runs, order, subject.family)
        else:
            results = compare_within(reference, runs.tested, order, subject.family, *tolerance)
        devices = [
            judge_device(reference, runs, values[dtype], subject.family, device, dtype) for dtype in values if results
        ]
    failures = [*loading_failures(subject), *_failures(results, devices, tolerance)]
    first = next((result.name for result in results if not result.passed), None)
    diagnosis = None
    if first is not None:
        with clock("looking for the cause"):
            diagnosis = blame_loading(reference, subject, wanted, first) or diagnose(reference, subject, results)
    torch, transformers = frameworks()
    provenance = {
        "reference": FrozenDict(reference.provenance),
        **({"tolerance": f"atol {tolerance[0]:g}, rtol {tolerance[1]:g}"} if tolerance else {}),
        "class": type(subject.model).__name__,
        "parameters": subject.parameters,
        "stored": subject.stored,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
    return Verdict(
        passed=not failures,
        stages=tuple(results),
        devices=tuple(devices),
        first=first,
        diagnosis=diagnosis,
        failures=tuple(failures),
        notes=tuple(_notes(reference, subject, wanted, skipped)),
        provenance=FrozenDict(provenance),
        seconds=FrozenDict(),
        assumed=FrozenDict(reference.assumed),
    )


def _filled(subject: Subject) -> Collection[str]:
    """The parameters that the conversion filled, according to its report."""
    filled = from_report(subject.folder, "filled")
    return filled if isinstance(filled, dict) else ()


def _order(reference: Reference, subject: Subject) -> dict[str, str]:
    """Stage or output to module: stages in the order of computation, then outputs."""
    order = {stage: site.module for stage, site in subject.sites.items()}
    for probes in reference.runs.values():
        for stages in probes.values():
            for stage in stages:
                order.setdefault(stage, stage)
    return order


def _failures(results: Sequence[StageResult], devices: Sequence[DeviceResult], tolerance: object) -> list[str]:
    if not results:
        return ["nothing was compared: the reference holds no stage that the model computes"]
    failures = []
    if unknown := [result.name for result in results if not isfinite(result.difference)]:
        failures.append(f"PyTorch computes values that are not finite, first at {unknown[0]}")
    wrong = [result for result in results if not result.passed]
    if wrong:
        allowed = "the tolerance allows" if tolerance else "rounding explains"
        failures.append(f"{len(wrong)} of {len(results)} stages differ by more than {allowed}, first {wrong[0].name}")
    # A tolerance is for float32; a value that is not finite is within no tolerance.
    failures += [
        _device_failure(result) for result in devices if not result.passed and not (tolerance and isfinite(result.rms))
    ]
    return failures


def _device_failure(result: DeviceResult) -> str:
    if not isfinite(result.rms):
        return f"{result.dtype} on {result.device} overflows: {result.worst} holds values that are not finite"
    return (
        f"{result.dtype} on {result.device} is {result.rms:.3g} times as far from the truth as its rounding explains "
        f"(at {result.worst}; the limit is {result.limit:.3g})"
    )


def _notes(reference: Reference, subject: Subject, wanted: Mapping[str, set[str]], skipped: Sequence[str]) -> list[str]:
    notes = []
    kind = type(subject.model).__name__
    if skipped:
        notes.append(f"not compared, since {kind} does not compute it: {', '.join(skipped)}")
    if weights_of(subject.folder) != subject.folder:
        notes.append(f"not read, as transformers reads {WEIGHTS}: {INDEX_NAME} and the files that it names")
    if subject.arguments:
        notes.append(f"loaded with {', '.join(subject.arguments)}, as {REPORT} says: the checkpoint lacks that part")
    if subject.unexpected:
        notes.append(f"in the folder, but not in {kind}: {', '.join(subject.unexpected)}")
    if subject.sites:
        compared = set().union(*wanted.values()) if wanted else set()
        unread, filled = subject.family.unread(subject.model, subject.sites, compared), _filled(subject)
        if names := [name for name in unread if name not in filled]:
            notes.append(f"the reference says nothing about {listed(names, 5)}")
        if names := [name for name in unread if name in filled]:
            notes.append(f"made by the conversion, for the checkpoint has no such tensor: {listed(names, 5)}")
    if is_narrower(reference, subject):
        source = reference.provenance.get("dtype", "float32")
        notes.append(
            f"the folder is stored as {subject.stored}, the checkpoint as {source}: what that rounds is allowed"
        )
    return notes
