"""What a verdict says about settings that the reference only assumes."""

from __future__ import annotations

import json
from pathlib import Path

from verdicts import failing, passing, unproven

from bridgeckpt.parity.judging.assumed import with_assumptions
from bridgeckpt.parity.judging.verdict import Diagnosis

NOWHERE = Path("no folder that was converted")


def test_what_is_assumed_passes_and_is_listed():
    verdict = with_assumptions(unproven(), NOWHERE, strict=False)
    assert verdict.passed
    assert verdict.unproven == ("hidden_act", "layer_norm_eps")
    assert verdict.record()["unproven"] == ["hidden_act", "layer_norm_eps"]
    assert passing().unproven == ()


def test_strict_makes_it_a_failure_that_says_what_settles_it():
    verdict = with_assumptions(unproven(), NOWHERE, strict=True)
    assert not verdict.passed
    assert verdict.first is None
    assert verdict.failures == (
        "not proven: hidden_act = gelu is assumed: hidden_act=NAME settles it",
        "not proven: layer_norm_eps = 1e-12 is assumed: layer_norm_eps=X settles it",
    )
    assert with_assumptions(passing(), NOWHERE, strict=True) == passing()


def test_an_assumption_is_not_blamed_on_the_folder_alone():
    blamed = Diagnosis("layer.0.intermediate", "x", "convert again", "config.json: hidden_act", None, proven=True)
    verdict = failing()._replace(diagnosis=blamed)
    assert with_assumptions(verdict, NOWHERE, strict=False).diagnosis == blamed
    doubtful = with_assumptions(verdict._replace(assumed=unproven().assumed), NOWHERE, strict=False)
    assert "first find out which side is right" in doubtful.diagnosis.remedy
    assert doubtful.diagnosis.remedy.endswith("convert again")


def test_what_the_user_gave_to_the_conversion_is_the_user_s_word(tmp_path):
    config = {
        "hidden_act": {"value": "gelu", "from": "as asked"},
        "layer_norm_eps": {"value": 1e-12, "from": "assumed"},
    }
    (tmp_path / "conversion_report.json").write_text(json.dumps({"config": config}))
    (tmp_path / "config.json").write_text(json.dumps({"hidden_act": "gelu", "layer_norm_eps": 1e-12}))
    verdict = with_assumptions(unproven(), tmp_path, strict=True)
    assert verdict.unproven == ("layer_norm_eps",)
    assert len(verdict.failures) == 1
    assert "hidden_act = gelu: that is the user's word" in verdict.notes[-1]
    # Config.json was corrected by hand, and is another value.
    (tmp_path / "config.json").write_text(json.dumps({"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-12}))
    assert with_assumptions(unproven(), tmp_path, strict=False) == unproven()
