"""Parts of a source that contradict each other: refused where nothing decides between them, with the way home."""

from __future__ import annotations

import json
import shutil

import pytest
from paths import FIXTURES

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


@pytest.fixture
def two(built, tmp_path):
    """``two(**second)``: a checkpoint without its graph, with a bert_config.json, and a config.json that differs."""

    def make(first=None, **second):
        made, folder = built(), tmp_path / "source"
        shutil.copytree(made.prefix.parent, folder)
        (folder / "bert_model.ckpt.meta").unlink()
        values = json.loads((folder / "bert_config.json").read_text()) | {"layer_norm_eps": 1e-12}
        (folder / "bert_config.json").write_text(json.dumps(values | (first or {})))
        (folder / "config.json").write_text(json.dumps(values | second))
        return folder

    return make


@pytest.mark.parametrize(
    ("key", "value", "option"),
    [
        ("num_attention_heads", 2, "heads"),
        ("layer_norm_eps", 1e-5, "layer_norm_eps"),
        ("hidden_act", "relu", "hidden_act"),
    ],
)
def test_two_configs_that_say_different_things_are_refused_until_one_is_said(key, value, option, two):
    source = two(**{key: value})
    (problem,) = problems(source)
    stated = json.loads((source / "bert_config.json").read_text())[key]
    assert problem.kind == "conflict"
    assert problem.subject == f"{key} = {stated} by bert_config.json; {value} by config.json"
    assert problem.settings == ("config", option)
    assert bridgeckpt.plan(source, **{option: value}).configuration.values[key] == value
    for file in ("bert_config.json", "config.json"):
        said = json.loads((source / file).read_text())[key]
        written = bridgeckpt.plan(source, config=source / file).configuration.values[key]
        assert written == (said if said != "gelu" else "gelu_pytorch_tanh")


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden_dropout_prob", 0.3), ("initializer_range", 0.1), ("task_specific_params", {"a": 1}), ("vocab_size", 90)],
)
def test_values_that_no_output_depends_on_may_differ(key, value, two):
    plan = bridgeckpt.plan(two(**{key: value}))
    assert not any("although" in warning for warning in plan.warnings)


def test_two_names_of_one_function_and_two_spellings_of_a_number_are_one(two):
    source = two({"hidden_act": "gelu_new"}, hidden_act="gelu_pytorch_tanh", layer_norm_eps=0.000000000001)
    assert not any("although" in warning for warning in bridgeckpt.plan(source).warnings)


def test_a_config_of_other_sizes_is_of_another_model_and_decides_nothing(two):
    plan = bridgeckpt.plan(two(hidden_size=48, num_attention_heads=2, layer_norm_eps=1e-5))
    assert (plan.sizes.values["hidden_size"], plan.sizes.values["num_attention_heads"]) == (36, 3)
    assert sum("although config.json says" in warning for warning in plan.warnings) == 3


def test_the_graph_decides_between_two_configs(built, two):
    source = two(num_attention_heads=2, layer_norm_eps=1e-5, hidden_act="relu")
    shutil.copy(built().prefix.with_suffix(".ckpt.meta"), source)
    plan = bridgeckpt.plan(source)
    values = plan.configuration.values
    assert (values["num_attention_heads"], values["layer_norm_eps"]) == (3, 1e-12)
    assert sum("although config.json says" in warning for warning in plan.warnings) == 3


@pytest.mark.parametrize(
    "content", ["{", "[1]", '{"hidden_size": "x"}', '{"model_type": "roberta", "layer_norm_eps": 1}']
)
def test_a_damaged_config_or_that_of_another_model_beside_the_right_one_says_nothing(content, two):
    source = two()
    (source / "config.json").write_text(content)
    assert not any("although" in warning for warning in bridgeckpt.plan(source).warnings)


def test_params_yaml_and_a_config_beside_it(tmp_path):
    """Model Garden writes params.yaml; its converter of older checkpoints leaves a bert_config.json."""
    source = tmp_path / "source"
    shutil.copytree(FIXTURES / "mg23_classifier" / "source", source)
    plan = bridgeckpt.plan(source)
    heads = plan.sizes.values["num_attention_heads"]
    encoder = {"num_layers": plan.sizes.values["num_hidden_layers"], "hidden_activation": "gelu"}
    (source / "params.yaml").write_text(json.dumps({"task": {"model": {"encoder": {"bert": encoder}}}}))
    (source / "bert_config.json").write_text(json.dumps({"hidden_act": "relu", "num_attention_heads": heads}))
    (problem,) = problems(source)
    assert problem.subject == "hidden_act = gelu by params.yaml; relu by bert_config.json"
    assert bridgeckpt.plan(source, config=source / "bert_config.json").configuration.values["hidden_act"] == "relu"
    (source / "bert_config.json").write_text(json.dumps({"hidden_act": "gelu", "num_attention_heads": heads + 1}))
    assert bridgeckpt.plan(source).sizes.values["num_attention_heads"] == heads  # of the kernels' shapes
