"""Parts of a source that contradict each other: refused where nothing decides between them, with the way home."""

from __future__ import annotations

import json
import shutil

import pytest

import bridgeckpt
from bridgeckpt.errors import PlanError

pytestmark = pytest.mark.slow

SEQUENCE, TOKEN = "BertForSequenceClassification", "BertForTokenClassification"


def copied(built, folder, **config):
    """A copy of a checkpoint, with a config.json that says what its bert_config.json does, and ``config``."""
    shutil.copytree(built.prefix.parent, folder)
    values = json.loads((folder / "bert_config.json").read_text())
    (folder / "bert_config.json").unlink()
    (folder / "config.json").write_text(json.dumps(values | config))
    return folder


def problems(source, **options):
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(source, **options)
    return caught.value.problems


@pytest.mark.parametrize(("head", "said"), [("token", SEQUENCE), ("classifier", TOKEN)])
def test_a_graph_of_another_class_than_the_configs_is_refused_until_one_is_said(head, said, built, tmp_path):
    source = copied(built(head=head), tmp_path / "source", architectures=[said])
    (problem,) = problems(source)
    other = TOKEN if said == SEQUENCE else SEQUENCE
    assert problem.kind == "class"
    assert problem.subject == f"it is {said} by config.json; {other} by the graph"
    assert problem.settings == ("architecture",)
    for taken in (SEQUENCE, TOKEN):
        plan = bridgeckpt.plan(source, architecture=taken)
        assert plan.architecture.name == taken
    (source / "bert_model.ckpt.meta").unlink()
    assert bridgeckpt.plan(source).architecture.name == said  # then nothing contradicts it


@pytest.mark.parametrize("said", ["BertForQuestionAnswering", "BertWithHeadOfOurs", "RobertaForMaskedLM"])
def test_a_class_that_the_tensors_do_not_fit_is_told(said, built, tmp_path):
    plan = bridgeckpt.plan(copied(built(head="classifier"), tmp_path / "source", architectures=[said]))
    assert plan.architecture.name == SEQUENCE
    assert any(f"although config.json says {said}" in warning for warning in plan.warnings)


@pytest.mark.parametrize(
    ("head", "said"), [("pretraining", "BertForMaskedLM"), (None, "BertForMaskedLM"), ("mlm", None)]
)
def test_the_class_of_the_pretrained_model_is_no_contradiction(head, said, built, tmp_path):
    """Its config is handed on with parts of it, and the config of a whole model names the smaller class."""
    architectures = [said] if said else None
    plan = bridgeckpt.plan(copied(built(head=head), tmp_path / "source", architectures=architectures))
    assert not any("although" in warning for warning in plan.warnings)
