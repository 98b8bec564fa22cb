"""TensorFlow BERT classes of transformers, saved by Keras' own functions (``.weights.h5``, ``.keras``).

That each computes what its code computed is in test_fixtures.py. Here: how the class is told, models inside others.
"""

from __future__ import annotations

import json
import shutil
import zipfile

import h5py
import pytest
from paths import FIXTURES

import bridgeckpt
from bridgeckpt.errors import PlanError


def rewritten(case, tmp_path, renamed):
    """The weights of a fixture with other names: ``renamed`` gives the new name, or None to leave a tensor out."""
    source = FIXTURES / case / "source"
    path = tmp_path / "model.weights.h5"
    with h5py.File(source / "model.weights.h5") as old, h5py.File(path, "w") as new:

        def copy(name, item):
            if isinstance(item, h5py.Dataset) and (name := renamed(name)) is not None:
                new[name] = item[()]

        old.visititems(copy)
    shutil.copy(source / "config.json", tmp_path)
    return path


@pytest.mark.parametrize(
    ("named", "chosen", "noted"),
    [
        ("TFBertForTokenClassification", "BertForTokenClassification", False),
        ("TFBertForSequenceClassification", "BertForSequenceClassification", False),
        ("Functional", "BertForSequenceClassification", True),
    ],
)
def test_the_class_is_told_by_the_archive(named, chosen, noted, tmp_path):
    """Which head a dense layer is, its name does not tell. Where nothing does, a warning says what else fits."""
    source = FIXTURES / "hfkeras_213_sequence" / "source"
    path = tmp_path / "model.keras"
    config = {"class_name": named, "config": json.loads((source / "config.json").read_text())}
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(source / "model.weights.h5", "model.weights.h5")
        archive.writestr("config.json", json.dumps(config))
    plan = bridgeckpt.plan(path)
    assert plan.architecture.name == chosen
    assert any("names and shapes also fit" in warning for warning in plan.warnings) == noted
    assert plan.configuration.values["layer_norm_eps"] == 1e-5


def test_the_class_of_a_config_beside_the_weights_counts(tmp_path):
    path = rewritten("hfkeras_213_sequence", tmp_path, lambda name: name)
    config = json.loads((tmp_path / "config.json").read_text())
    for named in ("BertForTokenClassification", "BertForSequenceClassification"):
        (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": [named]}))
        assert bridgeckpt.plan(path).architecture.name == named


@pytest.mark.parametrize(
    ("case", "inside"),
    [
        ("hfkeras_question_answering", "layers/tf_bert_model/"),
        ("hfkeras_213_question_answering", "_layer_checkpoint_dependencies/tf_bert_model/"),
    ],
)
def test_a_head_put_on_top_of_the_whole_model_is_not_taken_for_its_own(case, inside, tmp_path):
    """A functional model holds the class as a layer: what its dense layer reads, no name tells."""

    def renamed(name):
        head = name.startswith(("qa_outputs", "layers/dense"))
        return f"{inside.split('/')[0]}/dense/vars/{name[-1]}" if head else inside + name

    path = rewritten(case, tmp_path, renamed)
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(path)
    assert {name for problem in caught.value.problems for name in problem.tensors} == {
        f"{inside.split('/')[0]}/dense/vars/{part}" for part in (0, 1)
    }


def test_an_encoder_inside_another_model_converts(tmp_path):
    path = rewritten(
        "hfkeras_question_answering", tmp_path, lambda name: None if "qa_" in name else f"layers/tf_bert_model/{name}"
    )
    plan = bridgeckpt.plan(path)
    assert (plan.architecture.name, plan.wildcards) == ("BertModel", {"scope": "layers/tf_bert_model/"})
