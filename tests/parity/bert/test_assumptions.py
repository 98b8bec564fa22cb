"""What a forward pass assumes, where neither the source nor the user says it, and what a graph of the source proves."""

from __future__ import annotations

import json
import shutil

import pytest
from paths import CASES, EXAMPLE, FIXTURES

import bridgeckpt
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.parity.bert.assumptions import left_open
from bridgeckpt.parity.bert.settings import read_settings
from bridgeckpt.parity.bert.variables import find_bert
from bridgeckpt.parity.request import GivenSettings

ACTIVATION, EPSILON = "hidden_act", "layer_norm_eps"


def bert_of(source):
    """The BERT in a checkpoint that no framework is needed for."""
    with open_checkpoint(source) as checkpoint:
        view = checkpoint.by_variable(without=":0") if source.suffix == ".h5" else checkpoint
        return find_bert({name: of.shape for name, of in view.tensors.items()}, str(source))


def settings_of(source, config, tmp_path, **asked):
    """The settings of a checkpoint beside a config with these values; None for no config."""
    if config is not None:
        (tmp_path / "bert_config.json").write_text(json.dumps(config))
    return read_settings(tmp_path, bert_of(source), None, GivenSettings(**asked))


GOOGLE = EXAMPLE / "bert_model.ckpt"
SAID = {"num_attention_heads": 3, "hidden_act": "gelu"}
TF2 = FIXTURES / "bft2_h5" / "source" / "weights.h5"
KERAS_HUB = FIXTURES / "kerashub_backbone" / "source" / "model.weights.h5"
KERAS_BERT = FIXTURES / "kerasbert_encoder" / "source" / "encoder.h5"
TRANSFORMERS = FIXTURES / "hf351_model" / "source" / "tf_model.h5"
MASKED_LM = FIXTURES / "tfkeras_pretrainer_legacy" / "source" / "model.h5"


@pytest.mark.parametrize(
    ("source", "config", "assumed"),
    [
        (GOOGLE, None, {ACTIVATION, EPSILON}),
        (GOOGLE, SAID, {ACTIVATION, EPSILON}),  # google's gelu changed
        (GOOGLE, {**SAID, "layer_norm_eps": 1e-12}, {ACTIVATION}),
        (GOOGLE, {**SAID, "hidden_act": "relu"}, {EPSILON}),
        (GOOGLE, {**SAID, "hidden_act": None}, {EPSILON}),
        (GOOGLE, {"hidden_act": "gelu_new", "layer_norm_eps": 1e-6}, set()),
        (KERAS_BERT, SAID, {ACTIVATION, EPSILON}),  # so did that of keras-bert
        (KERAS_BERT, {**SAID, "hidden_act": "gelu_tensorflow"}, {EPSILON}),
        (TF2, SAID, {EPSILON}),  # tanh in all its versions
        (TF2, None, {ACTIVATION, EPSILON}),
        (KERAS_HUB, None, set()),  # no program can give its BertBackbone another
        (TRANSFORMERS, {**SAID, "layer_norm_eps": 1e-12}, set()),
        (TRANSFORMERS, None, {ACTIVATION, EPSILON}),
        (MASKED_LM, {"hidden_act": "relu", "layer_norm_eps": 1e-12}, {ACTIVATION}),  # its head may have its own
    ],
)
def test_what_neither_the_source_nor_the_user_says_is_assumed(source, config, assumed, tmp_path):
    settings = settings_of(source, config, tmp_path)
    assert settings.assumed.keys() == assumed
    for key, why in settings.assumed.items():
        assert why.startswith(f"{key} = {getattr(settings, key)} is assumed: ")
        assert [setting.name for setting in why.settings] == [key]
        assert "bridgeckpt.record" in why
    assert settings.notes == ()


def test_both_functions_are_named_with_their_dates(tmp_path):
    why = settings_of(GOOGLE, SAID, tmp_path).assumed[ACTIVATION]
    told = ("2018-10-31", "2019-02-07", "transformers' gelu", "gelu_pytorch_tanh", ".meta")
    assert [word for word in told if word not in why] == []


def test_the_word_of_keras_bert_for_each_of_its_two_functions(tmp_path):
    for word, function in {"gelu_tensorflow": "gelu", "gelu_fallback": "gelu_pytorch_tanh"}.items():
        assert settings_of(KERAS_BERT, {**SAID, "hidden_act": word}, tmp_path).hidden_act == function


@pytest.mark.parametrize(
    ("config", "asked", "told"),
    [
        (
            None,
            {"heads": 3, "hidden_act": "gelu", "layer_norm_eps": 1e-5},
            {"num_attention_heads", ACTIVATION, EPSILON},
        ),
        (SAID, {"heads": 3, "hidden_act": "gelu"}, {ACTIVATION}),  # the config's gelu says too little
        ({**SAID, "hidden_act": "relu"}, {"hidden_act": "gelu"}, set()),  # it contradicts, which verify will show
        (None, {}, set()),
    ],
)
def test_what_only_the_user_says_is_not_unproven_but_is_told(config, asked, told, tmp_path):
    settings = settings_of(GOOGLE, config, tmp_path, **asked)
    assert not {"num_attention_heads" if key == "heads" else key for key in asked} & settings.assumed.keys()
    assert all(key in " ".join(settings.notes) for key in told)
    assert len(settings.notes) == bool(told)


def test_heads_that_the_shapes_show_are_nobody_s_word(tmp_path):
    shown = settings_of(FIXTURES / "tfkeras_legacy" / "source" / "encoder.h5", None, tmp_path, heads=3)
    assert shown.notes == ()


LAST = f"layer.{bert_of(GOOGLE).layers - 1}.output"


@pytest.mark.parametrize(
    ("source", "computed", "left"),
    [
        (GOOGLE, {LAST}, set()),
        (GOOGLE, {"pooler"}, set()),
        (GOOGLE, {"last_hidden_state"}, set()),
        (GOOGLE, {"embeddings", "layer.0.attention"}, {ACTIVATION, EPSILON}),  # the activation comes after it
        (GOOGLE, set(), {ACTIVATION, EPSILON}),
        (MASKED_LM, {"pooler"}, {ACTIVATION}),
        (MASKED_LM, {"pooler", "mlm_logits"}, set()),
    ],
)
def test_what_the_source_computed_itself_is_proven(source, computed, left):
    assumed = {ACTIVATION: "why", EPSILON: "why"}
    assert left_open(bert_of(source), "gelu", assumed, computed).keys() == left


def settings_and_plan(folder):
    """The settings that the proof reads for a fixture, and the plan of its conversion."""
    case = json.loads((folder / "case.json").read_text())
    source, options = folder / case["source"], case["options"]
    told = {name: options[name] for name in GivenSettings._fields if name in options}
    plan = bridgeckpt.plan(source, **options)
    with open_checkpoint(source) as checkpoint:
        view = checkpoint.by_variable(without=":0")
        bert = find_bert({name: of.shape for name, of in view.tensors.items() if of.dtype != "string"}, str(source))
        settings = read_settings(checkpoint.directory, bert, None, GivenSettings(**told), checkpoint.metadata)
    return settings, plan


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_without_a_graph_conversion_and_proof_assume_the_same(folder):
    settings, plan = settings_and_plan(folder)
    if plan.graph is None:
        assert settings.assumed.keys() == plan.configuration.assumed.keys()
        assert settings.hidden_act == plan.configuration.values["hidden_act"]
        assert settings.layer_norm_eps == pytest.approx(plan.configuration.values["layer_norm_eps"])


# --- as a user verifies ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_wrong_guess_on_both_sides_is_not_proven_until_something_tells(built, tmp_path):
    pytest.importorskip("torch")
    truth = built(hidden_act="gelu_erf", eps=1e-3)
    silent, folder = tmp_path / "silent", tmp_path / "out"
    shutil.copytree(truth.directory, silent)
    (silent / "bert_model.ckpt.meta").unlink()
    planned = bridgeckpt.convert(silent, folder).plan
    assert planned.configuration.assumed.keys() == {ACTIVATION, EPSILON}
    assert planned.warnings == tuple(planned.configuration.assumed.values())
    assert planned.unproven == (ACTIVATION, EPSILON)
    report = json.loads((folder / "conversion_report.json").read_text())
    assert report["unproven"] == [ACTIVATION, EPSILON]
    assert bridgeckpt.inspect(silent).record()["unproven"] == report["unproven"]

    guessed = bridgeckpt.verify(silent, folder, device="cpu")
    assert (guessed.passed, guessed.unproven) == (True, (ACTIVATION, EPSILON))
    strict = bridgeckpt.verify(silent, folder, device="cpu", strict=True)
    assert not strict.passed
    assert all(word in " ".join(strict.failures) for word in (ACTIVATION, EPSILON, "settles"))

    # The graph, the user, and outputs of the original model each settle it.
    shown = bridgeckpt.verify(truth.directory, folder, device="cpu")
    assert (shown.passed, shown.unproven) == (False, ())
    told = bridgeckpt.verify(silent, folder, device="cpu", hidden_act="gelu", layer_norm_eps=1e-3)
    assert (told.passed, told.unproven) == (False, ())
    bridgeckpt.record(
        lambda **_: {"last_hidden_state": truth.outputs["sequence_output"]}, truth.inputs, tmp_path / "r.safetensors"
    )
    own = bridgeckpt.verify(tmp_path / "r.safetensors", folder, device="cpu", any_checkpoint=True)
    assert (own.passed, own.unproven) == (False, ())


@pytest.mark.slow
def test_what_was_given_to_the_conversion_need_not_be_said_again(built, tmp_path):
    pytest.importorskip("torch")
    source = built(meta=False).directory
    bridgeckpt.convert(source, tmp_path / "out", hidden_act="gelu_pytorch_tanh")
    verdict = bridgeckpt.verify(source, tmp_path / "out", device="cpu")
    assert (verdict.passed, verdict.unproven) == (True, (EPSILON,))
    assert any("the user's word" in note for note in verdict.notes)


@pytest.mark.slow
def test_a_graph_that_was_run_leaves_nothing_open(built, tmp_path):
    pytest.importorskip("torch")
    made = built()
    bridgeckpt.convert(made.directory, tmp_path / "out")
    verdict = bridgeckpt.verify(made.directory, tmp_path / "out", device="cpu", strict=True)
    assert (verdict.passed, verdict.unproven) == (True, ())
    assert verdict.notes == ()
