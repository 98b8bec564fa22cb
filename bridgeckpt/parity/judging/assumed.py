"""What a verdict says about settings that the reference only assumes: they are no proof, and no blame either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.parity.judging.converted_folder import given_by_user
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.parity.judging.verdict import Diagnosis, Verdict

_CONFIG = "config.json: "  # begins the parameter of a diagnosis that blames a setting


def with_assumptions(verdict: Verdict, folder: Path, *, strict: bool) -> Verdict:
    """The verdict on ``folder``, which fails if it is ``strict`` and a setting is assumed on both sides.

    What the user gave to the conversion is not assumed there: if the sides agree, it is the user's word. A setting that
    is blamed for a failure may be wrong in the reference, if it is only assumed there.
    """
    given = {key: given_by_user(folder, key) for key in verdict.assumed}
    words = {key: value for key, value in given.items() if value is not None}
    if verdict.passed and words:
        said = ", ".join(f"{key} = {value}" for key, value in words.items())
        note = f"{said}: that is the user's word, given to the conversion, and nothing in the source shows it"
        left = {key: why for key, why in verdict.assumed.items() if key not in words}
        verdict = verdict._replace(notes=(*verdict.notes, note), assumed=FrozenDict(left))
    if verdict.diagnosis is not None:
        verdict = verdict._replace(diagnosis=_with_doubt(verdict.diagnosis, verdict))
    unproven = [Sentence("not proven: {why}", why=why) for why in verdict.assumed.values()] if strict else []
    failures = (*verdict.failures, *unproven)
    return verdict._replace(passed=verdict.passed and not unproven, failures=failures)


def _with_doubt(diagnosis: Diagnosis, verdict: Verdict) -> Diagnosis:
    key = (diagnosis.parameter or "").removeprefix(_CONFIG)
    if key not in verdict.assumed:
        return diagnosis
    remedy = Sentence(
        "first find out which side is right: TensorFlow's side only assumes {key} (see unproven). If it is the "
        "reference's, {remedy}",
        key=key,
        remedy=diagnosis.remedy,
    )
    return diagnosis._replace(remedy=remedy)
