"""Plans by the rules for transformers' classes: which class, what is left over, and what is refused in which words."""

from __future__ import annotations

import json
import shutil
import sys

import architectures
import h5py
import numpy as np
import pytest
from architectures import configured
from drawn import drawn
from paths import EXAMPLE

import bridgeckpt
from bridgeckpt.errors import BridgeckptError, CheckpointError, ConfigError, PlanError
from bridgeckpt.mapping.tables.library import RULES
from bridgeckpt.planning.plan import draft

pytestmark = pytest.mark.slow


@pytest.fixture
def electra(tmp_path):
    """A folder with an ElectraForPreTraining of TensorFlow."""
    return architectures.write_source("ElectraForPreTraining", tmp_path / "source")


def test_the_class_that_the_config_names_gets_every_tensor(electra):
    plan = bridgeckpt.plan(electra)
    assert plan.architecture.name == "ElectraForPreTraining"
    assert set(plan.ledger.sources.values()) == {"mapped"}
    assert set(plan.ledger.targets.values()) == {"written"}


def test_a_name_with_TF_in_front_is_that_of_the_same_class(electra):  # noqa: N802
    plan = bridgeckpt.plan(configured(electra, architectures=["TFElectraForPreTraining"]))
    assert plan.architecture.name == plan.configuration.values["architectures"][0] == "ElectraForPreTraining"


def test_without_a_name_it_is_the_class_that_the_variables_are_named_after(electra):
    assert bridgeckpt.plan(configured(electra, architectures=None)).architecture.name == "ElectraForPreTraining"


def test_moving_averages_and_what_else_training_left(electra):
    path = next(electra.glob("*.h5"))
    names = [name.removesuffix(":0") for name in bridgeckpt.plan(electra).checkpoint.tensors]
    kernels = [name for name in names if name.endswith("kernel")]
    before = bridgeckpt.plan(electra)
    with h5py.File(path, "a") as file:
        for name in names:
            shape = before.checkpoint.tensors[f"{name}:0"].shape
            file[f"optimizer_weights/Adam/m/{name}:0"] = np.zeros(shape, np.float32)
            if name in kernels:
                file[f"ema/{name}:0"] = np.ones(shape, np.float32)
        file["optimizer_weights/iteration:0"] = np.int64(3)
    plan = bridgeckpt.plan(electra)
    assert plan.ledger.assignments == before.ledger.assignments
    assert plan.ledger.source_counts() == {
        "mapped": len(names),
        "slot": len(names),
        "average": len(kernels),
        "bookkeeping": 1,
    }
    assert any(f"{len(kernels)} of {len(names)} weights have moving averages too" in note for note in plan.notes)
    plan = bridgeckpt.plan(electra, ema=True)
    sources = {name for assignment in plan.ledger.assignments for name in assignment.sources}
    assert sources == {f"ema/{name}:0" if name in kernels else f"{name}:0" for name in names}
    assert plan.ema
    with pytest.raises(PlanError, match="no weight of this model has one"):
        bridgeckpt.plan(architectures.write_source("ElectraForPreTraining", electra.parent / "plain"), ema=True)


def test_the_head_is_left_out_where_the_class_asked_for_has_none(electra):
    plan = bridgeckpt.plan(electra, architecture="ElectraModel")
    left_out = {name for name, state in plan.ledger.sources.items() if state == "excluded"}
    assert left_out == {name for name in plan.checkpoint.tensors if "/discriminator_predictions/" in name}
    assert "ElectraForPreTraining" in plan.ledger.reasons[min(left_out)]
    assert "encoder.layer.0.attention.self.query.weight" in plan.ledger.targets


@pytest.mark.parametrize("name", ["ElectraModel", "ElectraForPreTraining"])
def test_a_head_of_ones_own_is_left_out_on_request(electra, name):
    with h5py.File(electra / "tf_model.h5", "a") as file:
        file.attrs["layer_names"] = [*file.attrs["layer_names"], "score"]
        group = file.create_group("score")
        group.attrs["weight_names"] = ["score/kernel:0", "score/bias:0"]
        group["score/kernel:0"], group["score/bias:0"] = np.zeros((24, 3), "f4"), np.zeros(3, "f4")
    with pytest.raises(PlanError) as refused:
        bridgeckpt.plan(electra)
    (problem,) = refused.value.problems
    assert "head of your own" in problem.subject
    assert "ElectraModel" in problem.hint
    plan = bridgeckpt.plan(electra, architecture=name)
    assert {plan.ledger.sources[own] for own in problem.tensors} == {"excluded"}
    assert len(problem.tensors) == 2


def test_an_unknown_tensor_inside_is_never_left_out(electra):
    with h5py.File(electra / "tf_model.h5", "a") as file:
        layer = file.attrs["layer_names"][0]
        name = next(one for one in file[layer].attrs["weight_names"] if "/layer_._0/" in one).rpartition("/layer_._0/")[
            0
        ]
        file[layer].attrs["weight_names"] = [*file[layer].attrs["weight_names"], f"{name}/layer_._0/adapter/kernel:0"]
        file[layer][f"{name}/layer_._0/adapter/kernel:0"] = np.zeros((24, 3), "f4")
    for requested in (None, "ElectraModel"):
        with pytest.raises(PlanError, match="adapter/kernel"):
            bridgeckpt.plan(electra, architecture=requested)


def test_a_head_that_is_not_there_is_missing(electra):
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(electra, architecture="ElectraForMaskedLM")
    missing = [problem.subject for problem in caught.value.problems if problem.kind == "missing"]
    assert any("generator_predictions.dense.weight" in subject for subject in missing)


def test_a_config_of_other_sizes_is_refused_by_shape(electra):
    with pytest.raises(PlanError, match=r"encoder\.layer\.\{0\.\.1\}\.intermediate\.dense\.weight is \[44, 24\]"):
        bridgeckpt.plan(configured(electra, intermediate_size=44))


@pytest.mark.parametrize("wrong", [{"hidden_act": "none that there is"}, {"hidden_size": "24"}])
def test_a_config_that_makes_no_model_is_refused(electra, wrong):
    with pytest.raises(ConfigError, match="cannot build ElectraForPreTraining"):
        bridgeckpt.plan(configured(electra, **wrong))


def test_a_class_that_transformers_does_not_have_is_named(electra):
    with pytest.raises(PlanError, match="has no PyTorch class ElectraForDreaming"):
        bridgeckpt.plan(electra, architecture="ElectraForDreaming")


def test_what_is_no_model_is_no_class(electra):
    with pytest.raises(PlanError, match="has no PyTorch class pipeline"):
        bridgeckpt.plan(electra, architecture="pipeline")


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_without_torch_or_transformers_the_extra_is_named(electra, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BridgeckptError) as caught:
        bridgeckpt.plan(electra)
    assert package in caught.value.message
    assert 'pip install "bridgeckpt[verify]"' in caught.value.hint


def test_safetensors_of_tensorflow_have_the_same_names_without_the_model_in_front(electra):
    from safetensors.numpy import save_file

    of_h5 = bridgeckpt.load_state_dict(electra)
    stored = {}
    with h5py.File(electra / "tf_model.h5") as file:
        for layer in file.attrs["layer_names"]:
            for name in file[layer].attrs["weight_names"]:
                stored[name.partition("/")[2]] = file[layer][name][()]
    (electra / "tf_model.h5").unlink()
    save_file(stored, electra / "model.safetensors", metadata={"format": "tf"})
    of_safetensors = bridgeckpt.load_state_dict(electra)
    assert of_safetensors.keys() == of_h5.keys()
    assert all(np.array_equal(of_safetensors[name], array) for name, array in of_h5.items())


def test_the_rules_can_be_asked_for_by_name(electra):
    assert bridgeckpt.plan(electra, mapping=RULES).table.name == RULES
    (electra / "config.json").unlink()
    with pytest.raises(PlanError, match="no config of transformers"):
        bridgeckpt.plan(electra, mapping=RULES)


def test_a_tensor_that_no_parameter_is_for_is_named(electra):
    with h5py.File(electra / "tf_model.h5", "a") as file:
        group = file["electra"]
        name = "tf_electra_for_pre_training/electra/encoder/extra/kernel:0"
        group[name] = np.ones((2, 3), np.float32)
        group.attrs["weight_names"] = [*group.attrs["weight_names"], name]
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(electra)
    assert [problem.kind for problem in caught.value.problems] == ["unmapped"]
    assert caught.value.problems[0].tensors == ("tf_electra_for_pre_training/electra/encoder/extra/kernel:0",)


def test_the_values_that_a_variable_is_stored_with_again_have_to_agree(tmp_path):
    folder = architectures.write_source("RobertaForMaskedLM", tmp_path / "source")
    bridgeckpt.convert(folder, tmp_path / "out")
    with h5py.File(folder / "tf_model.h5", "a") as file:
        file["lm_head/tf_roberta_for_masked_lm/roberta/embeddings/word_embeddings/weight:0"][3, 5] += 1
    with pytest.raises(CheckpointError, match="not the same both times"):
        bridgeckpt.convert(folder, tmp_path / "again")


def test_a_decoder_that_tensorflow_does_not_tie_is_written_beside_the_embeddings(tmp_path):
    folder = architectures.write_source("XGLMForCausalLM", tmp_path / "source")
    tensors = bridgeckpt.load_state_dict(folder)
    stored = drawn("tfxglm_for_causal_lm/lm_head/kernel:0", (24, 61))
    assert np.array_equal(tensors["lm_head.weight"], stored.T)
    assert "model.embed_tokens.weight" in tensors


def test_the_config_is_handed_on_less_what_is_about_its_file(electra):
    before = json.loads((configured(electra, torch_dtype="float32", _name_or_path="x") / "config.json").read_text())
    after = bridgeckpt.plan(electra).configuration.values
    assert not {"torch_dtype", "_name_or_path", "transformers_version"} & set(after)
    assert {key: before[key] for key in after} == after


def test_padding_is_the_token_from_which_tensorflow_counts_positions(tmp_path):
    folder = architectures.write_source("RobertaModel", tmp_path / "source")
    plan = bridgeckpt.plan(configured(folder, pad_token_id=0))
    assert plan.configuration.values["pad_token_id"] == 1
    assert any("pad_token_id = 1 is written" in warning for warning in plan.warnings)


def test_a_class_that_computes_something_else_is_refused(tmp_path):
    folder = architectures.write_source("DeiTForImageClassification", tmp_path / "source")
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(folder, architecture="DeiTForMaskedImageModeling")
    assert "refused" in {problem.kind for problem in caught.value.problems}


def test_a_checkpoint_and_what_it_became_are_identical(electra, tmp_path):
    bridgeckpt.convert(electra, tmp_path / "out")
    found = bridgeckpt.diff(electra, tmp_path / "out")
    assert found.same
    assert len(found.identical) == len(bridgeckpt.plan(electra).ledger.assignments)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"heads": 3}, "heads="), ({"scope": "electra"}, "scope="), ({"hidden_act": "gelu"}, "hidden_act=")],
)
def test_what_its_config_says_cannot_be_given(electra, options, named):
    with pytest.raises(PlanError, match=named):
        bridgeckpt.plan(electra, **options)


def test_a_folder_given_as_config_may_hold_another_config_than_transformers(tmp_path):
    example = EXAMPLE
    (tmp_path / "configs").mkdir()
    shutil.copy(example / "bert_config.json", tmp_path / "configs")
    assert bridgeckpt.plan(example, config=tmp_path / "configs").table.name == "bert/google"
    (tmp_path / "configs" / "config.json").write_text("{")  # what it is for, nobody asks
    assert bridgeckpt.plan(example, config=tmp_path / "configs").table.name == "bert/google"


def test_a_class_of_another_model_is_refused(electra):
    with pytest.raises(ConfigError, match=r'is a class of the model "roberta".*"model_type": "electra"'):
        draft(electra, architecture="RobertaForMaskedLM")


def test_an_integer_where_transformers_takes_only_floats(tmp_path):
    folder = architectures.write_source("ElectraModel", tmp_path / "source")
    assert bridgeckpt.plan(configured(folder, layer_norm_eps=1)).configuration.values["layer_norm_eps"] == 1.0
