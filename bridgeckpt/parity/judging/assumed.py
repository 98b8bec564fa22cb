"""What a verdict says about settings that the reference only assumes: they are no proof, and no blame either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.verdict import Diagnosis, Verdict

_CONFIG = "config.json: "  # begins the parameter of a diagnosis that blames a setting


def with_assumptions(verdict: Verdict, *, strict: bool) -> Verdict:
    """The verdict, which fails if it is ``strict`` and a setting is assumed.

    A setting that is blamed for a failure may be wrong in the reference, if it is only assumed there.
    """
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
