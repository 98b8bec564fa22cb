"""What a verdict says about settings that the reference only assumes."""

from __future__ import annotations

from verdicts import failing, passing, unproven

from bridgeckpt.parity.judging.assumed import with_assumptions
from bridgeckpt.parity.judging.verdict import Diagnosis


def test_what_is_assumed_passes_and_is_listed():
    verdict = with_assumptions(unproven(), strict=False)
    assert verdict.passed
    assert verdict.unproven == ("hidden_act", "layer_norm_eps")
    assert verdict.record()["unproven"] == ["hidden_act", "layer_norm_eps"]
    assert passing().unproven == ()


def test_strict_makes_it_a_failure_that_says_what_settles_it():
    verdict = with_assumptions(unproven(), strict=True)
    assert not verdict.passed
    assert verdict.first is None
    assert verdict.failures == (
        "not proven: hidden_act = gelu is assumed: hidden_act=NAME settles it",
        "not proven: layer_norm_eps = 1e-12 is assumed: layer_norm_eps=X settles it",
    )
    assert with_assumptions(passing(), strict=True) == passing()


def test_an_assumption_is_not_blamed_on_the_folder_alone():
    blamed = Diagnosis("layer.0.intermediate", "x", "convert again", "config.json: hidden_act", None, proven=True)
    verdict = failing()._replace(diagnosis=blamed)
    assert with_assumptions(verdict, strict=False).diagnosis == blamed
    doubtful = with_assumptions(verdict._replace(assumed=unproven().assumed), strict=False)
    assert "first find out which side is right" in doubtful.diagnosis.remedy
    assert doubtful.diagnosis.remedy.endswith("convert again")
