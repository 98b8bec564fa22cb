"""Variables' names say which model and class a checkpoint is, before a config that lies beside it does."""

from __future__ import annotations

import json
import shutil

import architectures
import h5py
import pytest
from paths import FIXTURES

import bridgeckpt
from bridgeckpt.errors import ConfigError, PlanError
from bridgeckpt.mapping.tables.library import RULES
from bridgeckpt.planning.plan import draft

pytestmark = pytest.mark.slow

ROBERTA = {"model_type": "roberta", "architectures": ["RobertaForMaskedLM"], "num_attention_heads": 2}


def configured(folder, values):
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


@pytest.fixture
def google(built, tmp_path):
    """A checkpoint of google-research/bert, whose only config is that of another model."""
    made, folder = built(), tmp_path / "source"
    folder.mkdir()
    for file in made.prefix.parent.glob(f"{made.prefix.name}.*"):
        if file.suffix != ".meta":
            shutil.copy(file, folder)
    return configured(folder, ROBERTA), made


@pytest.fixture
def sequence(tmp_path):
    """A TFBertForSequenceClassification of transformers 2.0, whose config has no model_type."""
    folder = tmp_path / "source"
    shutil.copytree(FIXTURES / "hf200_sequence" / "source", folder)
    assert "model_type" not in config_of(folder)
    return folder


def test_a_config_of_another_model_beside_is_not_read_and_it_is_said(google):
    folder, made = google
    plan = bridgeckpt.plan(folder, heads=made.spec.heads)
    assert plan.table.name == "bert/google"
    assert plan.sizes.values["num_attention_heads"] == made.spec.heads
    assert any("config.json is not read" in warning and '"roberta"' in warning for warning in plan.warnings)


def test_where_only_that_config_says_the_heads_they_are_asked_for(google):
    folder, _ = google
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(folder)
    assert "the number of attention heads is unknown" in str(caught.value)
    assert "config.json is not read" in str(caught.value)


def test_a_config_of_another_model_that_is_given_is_refused(google):
    folder, _ = google
    with pytest.raises(ConfigError, match='"model_type" is "roberta"'):
        bridgeckpt.plan(folder, config=folder / "config.json", heads=2)


def test_the_rules_may_be_asked_for(google):
    folder, _ = google
    with pytest.raises(PlanError, match=RULES):
        bridgeckpt.plan(folder, mapping=RULES)


def test_a_bert_of_transformers_with_the_config_of_another_model(sequence):
    heads = config_of(sequence)["num_attention_heads"]
    configured(sequence, ROBERTA)
    plan = bridgeckpt.plan(sequence, heads=heads)
    assert (plan.table.name, plan.architecture.name) == ("bert/transformers", "BertForSequenceClassification")


@pytest.mark.parametrize("case", ["RobertaForMaskedLM", "DistilBertForMaskedLM", "GPT2LMHeadModel"])
def test_an_old_config_without_a_model_type(case, tmp_path):
    source = architectures.write_source(case, tmp_path / "source")
    new = ("model_type", "architectures", "transformers_version")
    old = {"output_past": True, "pruned_heads": {}, "torchscript": False, "use_bfloat16": False, "num_labels": 2}
    configured(source, {key: value for key, value in config_of(source).items() if key not in new} | old)
    bridgeckpt.convert(source, tmp_path / "out")
    written = config_of(tmp_path / "out")
    assert written["architectures"] == [case]
    assert not [share for share in architectures.differences(case, tmp_path / "out").values() if share > 1e-4]


def test_a_config_of_google_beside_decides_nothing(tmp_path):
    source = architectures.write_source("RobertaForMaskedLM", tmp_path / "source")
    (source / "bert_config.json").write_text('{"num_attention_heads": 2}')
    assert bridgeckpt.plan(source).architecture.name == "RobertaForMaskedLM"


def test_by_rules_too_the_tensors_decide_where_they_fit_only_one_class(tmp_path):
    source = architectures.write_source("RobertaForMaskedLM", tmp_path / "source")
    configured(source, config_of(source) | {"architectures": ["RobertaForSequenceClassification"]})
    plan = bridgeckpt.plan(source)
    assert plan.architecture.name == "RobertaForMaskedLM"
    assert any("although config.json says RobertaForSequenceClassification" in warning for warning in plan.warnings)


def test_by_rules_too_two_classes_that_fit_the_tensors_are_refused_until_one_is_said(tmp_path):
    source = architectures.write_source("RobertaForMaskedLM", tmp_path / "source")
    configured(source, config_of(source) | {"architectures": ["RobertaForCausalLM"]})
    with pytest.raises(PlanError, match="RobertaForMaskedLM by the names of its variables; RobertaForCausalLM by"):
        bridgeckpt.plan(source)
    for said in ("RobertaForMaskedLM", "RobertaForCausalLM"):
        plan = bridgeckpt.plan(source, architecture=said)
        assert plan.architecture.name == said
        assert not any("although" in warning for warning in plan.warnings)


def test_names_of_another_model_than_the_configs_are_refused_until_one_is_said(tmp_path):
    """The tensors of one fit the other, too."""
    source = architectures.write_source("RobertaForMaskedLM", tmp_path / "source")
    configured(source, config_of(source) | {"model_type": "camembert", "architectures": ["CamembertForMaskedLM"]})
    with pytest.raises(PlanError, match="named after RobertaForMaskedLM, a class of the model roberta") as caught:
        bridgeckpt.plan(source)
    assert caught.value.settings == ("config", "architecture")
    assert bridgeckpt.plan(source, architecture="CamembertForMaskedLM").architecture.name == "CamembertForMaskedLM"
    assert bridgeckpt.plan(source, config=source / "config.json").architecture.name == "CamembertForMaskedLM"


def test_a_model_with_a_bert_inside_is_that_of_its_config(tmp_path):
    source = architectures.write_source("BlipModel", tmp_path / "source")
    assert draft(source).table.name == RULES


def test_names_that_say_no_class_leave_it_to_the_config(tmp_path):
    source = architectures.write_source("RobertaForMaskedLM", tmp_path / "source")
    with h5py.File(source / "tf_model.h5", "a") as file:
        for layer in file.attrs["layer_names"]:
            group = file[layer]
            moved = {name: name.replace("tf_roberta_for_masked_lm", "mine") for name in group.attrs["weight_names"]}
            for old, new in moved.items():
                group.move(old, new)
            group.attrs["weight_names"] = list(moved.values())
    assert bridgeckpt.plan(source).architecture.name == "RobertaForMaskedLM"
    configured(source, config_of(source) | {"architectures": None})
    plan = draft(source)
    assert plan.architecture.name == "RobertaModel"
    assert "the config names no class" in plan.notes[0]
    configured(source, {key: value for key, value in config_of(source).items() if key != "model_type"})
    with pytest.raises(PlanError, match="no mapping table recognises"):
        bridgeckpt.plan(source)


class TestDescribedByKeras:
    """A model of the rules whose config is in the description inside the file."""

    @staticmethod
    def described(case, folder, **changed):
        """The case as Keras saves a functional model around it, without a config beside."""
        source = architectures.write_source(case, folder / "source")
        config = config_of(source)
        # What every config of transformers 4 holds in such a description.
        of_transformers = {"return_dict": True, "max_length": 20, "do_sample": False, "bad_words_ids": None}
        inner = {key: value for key, value in config.items() if key != "architectures"} | of_transformers
        layer = {"class_name": f"TF{case}", "config": inner | changed, "name": "tf_model"}
        model = {"class_name": "Functional", "config": {"name": "model", "layers": [layer]}}
        with h5py.File(source / "tf_model.h5", "a") as file:
            file.attrs["model_config"] = json.dumps(model)
        return source, config

    def test_it_is_converted_without_a_config_beside(self, tmp_path):
        source, _ = self.described("RobertaForMaskedLM", tmp_path)
        (source / "config.json").unlink()
        bridgeckpt.convert(source, tmp_path / "out")
        shares = architectures.differences("RobertaForMaskedLM", tmp_path / "out")
        assert not [share for share in shares.values() if share > 1e-4]

    @pytest.mark.parametrize(
        ("key", "value"), [("hidden_dropout_prob", 0.3), ("hidden_size", 48), ("use_cache", False)]
    )
    def test_it_is_believed_where_the_tensors_decide_or_no_output_depends_on_it(self, key, value, tmp_path):
        source, config = self.described("RobertaForMaskedLM", tmp_path)
        configured(source, config | {key: value})
        plan = bridgeckpt.plan(source)
        assert plan.configuration.values[key] != value
        assert any(f"although config.json says {json.dumps(value)}" in text for text in plan.warnings)

    def test_where_nothing_decides_between_it_and_a_config_beside_that_is_refused(self, tmp_path):
        source, config = self.described("RobertaForMaskedLM", tmp_path)
        heads = config["num_attention_heads"]
        configured(source, config | {"num_attention_heads": 1})
        with pytest.raises(PlanError) as caught:
            bridgeckpt.plan(source)
        (problem,) = caught.value.problems
        assert problem.kind == "conflict"
        assert problem.subject == f"num_attention_heads = {heads} by model_config; 1 by config.json"
        given = bridgeckpt.plan(source, config=source / "config.json")
        assert given.configuration.values["num_attention_heads"] == 1

    def test_a_config_of_another_model_beside_it_is_not_read(self, tmp_path):
        source, _ = self.described("RobertaForMaskedLM", tmp_path)
        configured(source, {"model_type": "electra", "num_attention_heads": 1})
        plan = bridgeckpt.plan(source)
        assert plan.architecture.name == "RobertaForMaskedLM"
        assert any("config.json is not read" in text for text in plan.warnings)
