"""Verifying: a converted folder against a reference, from loading the model to the verdict."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Unpack

import numpy as np

from bridgeckpt.errors import ParityError
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.options import RecordOptions, Seed, Tolerance, checked
from bridgeckpt.parity import families
from bridgeckpt.parity.judging.assumed import with_assumptions
from bridgeckpt.parity.judging.converted_folder import REPORT, check_folder, from_report, which_model
from bridgeckpt.parity.judging.devices import check_device, check_dtypes, check_memory
from bridgeckpt.parity.judging.judge import judge
from bridgeckpt.parity.judging.loading import load
from bridgeckpt.parity.judging.pytorch import frameworks
from bridgeckpt.parity.judging.tokenizer import with_tokenizer
from bridgeckpt.parity.recording import check_source, record_checkpoint
from bridgeckpt.parity.reference.reference import Reference, read_reference
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.verdict import Verdict


@checked(RecordOptions)
def verify(
    source: str | os.PathLike[str] | Reference,
    folder: str | os.PathLike[str],
    *,
    device: str = "auto",
    dtypes: Sequence[str] = (),
    atol: Tolerance = None,
    rtol: Tolerance = None,
    texts: Sequence[str] | None = None,
    seed: Seed = 0,
    ema: bool | None = None,
    any_checkpoint: bool = False,
    strict: bool = False,
    progress: Callable[[str], None] | None = None,
    **options: Unpack[RecordOptions],
) -> Verdict:
    """Whether the PyTorch model in ``folder`` computes what TensorFlow computed.

    Args:
        source: a reference file, or a reference that was read; or a TensorFlow checkpoint, which is recorded first.
        folder: a model folder that transformers loads.
        device: "cpu", "cuda", "cuda:1", or "auto", which is CUDA if there is such a device.
        dtypes: further dtypes to run in on that device: "tf32", "float16", "bfloat16".
        atol: with ``rtol`` the largest difference |PyTorch - TensorFlow| <= atol + rtol |TensorFlow| that passes, in
            place of the measured rounding. One that is not given is 0.
        rtol: see ``atol``.
        texts: run on these instead of random tokens, through the folder's tokenizer; only for a checkpoint.
        seed: of the random inputs; only for a checkpoint.
        ema: record the moving averages of the weights; only for a checkpoint. None does what the conversion did.
        any_checkpoint: also accept a reference of another checkpoint than the one that was converted.
        strict: fail too if a setting is assumed on both sides (``unproven``), rather than shown by the source.
        progress: called with the name of each step when it starts.
        options: see :class:`bridgeckpt.RecordOptions`.

    The options are only for a checkpoint, which is recorded with them. Without ``scope`` the model is the one that
    ``folder`` was converted from, according to its ``conversion_report.json``. Of the other settings of the conversion
    none is used: they are part of what is verified.

    Raises:
        CheckpointError: the reference or the checkpoint cannot be read.
        ParityError: the comparison cannot be made: a framework, a device or memory is missing, the folder does not
            load, the two sides differ in shape, or the reference is of another checkpoint.
    """
    clock = Clock(progress)
    folder = Path(folder)
    # The frameworks take seconds to import: wrong paths are reported before that.
    check_folder(folder)
    if not isinstance(source, Reference) and Path(source).suffix == ".safetensors":
        with clock("reading the reference"):
            source = read_reference(Path(source))
    elif not isinstance(source, Reference):
        check_source(source)
    frameworks()
    place = check_device(device)
    check_dtypes(dtypes, place)
    if isinstance(source, Reference):
        reference = source
    else:
        with clock("recording in TensorFlow"):
            converted_scope, converted_ema = which_model(folder)
            if options.get("scope") is None:
                options["scope"] = converted_scope
            reference = record_checkpoint(
                source,
                ema=converted_ema if ema is None else ema,
                texts=texts,
                tokenizer=folder,
                seed=seed,
                **options,
            )
    _check_finite(reference)
    notes = list(reference.notes)
    if not any_checkpoint:
        notes += check_fingerprint(reference, folder)
    with clock("loading the model"):
        subject = load(folder, families.family_of)
        check_memory(subject)
    tolerance = None if atol is None and rtol is None else (atol or 0.0, rtol or 0.0)
    verdict = judge(reference, subject, place, dtypes, tolerance, clock, families.diagnose)
    with clock("judging the tokenizer"):
        verdict = with_tokenizer(verdict, families.judge_tokenizer(reference, subject))
    verdict = verdict._replace(notes=(*notes, *verdict.notes), seconds=FrozenDict(clock.seconds))
    return with_assumptions(verdict, folder, strict=strict)


def check_fingerprint(reference: Reference, folder: Path) -> list[str]:
    """Check that the reference is of the checkpoint that ``folder`` was converted from.

    Returns:
        A note if nothing says which checkpoint one of them is of.

    Raises:
        ParityError: the reference is of another checkpoint.
    """
    recorded = reference.provenance.get("fingerprint")
    converted = from_report(folder, "source", "fingerprint")
    if not isinstance(converted, str):
        return [
            f"{folder} has no {REPORT} that names its checkpoint: nothing says that the reference is of the same one"
        ]
    if recorded is None:
        return ["the reference does not say which checkpoint it is of"]
    if recorded != converted:
        source, name = reference.provenance.get("checkpoint"), from_report(folder, "source", "checkpoint")
        raise ParityError(
            f"the reference was recorded from another checkpoint ({source}, {recorded[:12]}) than the one that "
            f"{folder} was converted from ({name}, {converted[:12]})",
            hint=Sentence("record that one; or compare all the same with {any_checkpoint:True}"),
        )
    return []


def _check_finite(reference: Reference) -> None:
    for run, probes in reference.runs.items():
        for stages in probes.values():
            for stage, values in stages.items():
                if not np.isfinite(values).all():
                    raise ParityError(
                        f"the reference's {stage} ({run}) holds values that are not finite: nothing can equal them",
                        hint="look at the source: do its weights hold NaN or infinity?",
                    )


class Clock:
    """Reports each step when it starts, and measures how many seconds it takes."""

    def __init__(self, progress: Callable[[str], None] | None = None) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Time the block."""
        if self.progress is not None:
            self.progress(step)
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + perf_counter() - began
