"""Checkpoints with what training left in them: converted whatever the optimizer is called, and the proof agrees."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from parity import assert_parity
from paths import FIXTURES
from tfwrite import save

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.parity.bert.variables import find_bert

pytestmark = pytest.mark.slow

SCALARS = (
    "global_step",
    "learning_rate",
    "loss_scale",
    "batch_finite",
    "local_step",
    "epoch",
    "best_f1",
    "total",
    "count",
)


@pytest.fixture(scope="module")
def tf(built):
    return built()


@pytest.fixture
def trained(tf, tmp_path):
    """Writes the weights with more tensors beside them, whose names are made of the weights' names."""

    def write(*spellings, only=lambda _: True, **more):
        beside = {
            spelling.format(name): np.full_like(values, number)
            for number, spelling in enumerate(spellings)
            for name, values in tf.variables.items()
            if only(name)
        }
        path = save(tmp_path / "m.ckpt", {**tf.variables, **beside, **more})
        shutil.copy(tf.directory / "bert_config.json", tmp_path)
        return path, beside

    return write


@pytest.mark.parametrize(
    "spellings",
    [
        ("{}/AdamWeightDecayOptimizer", "{}/AdamWeightDecayOptimizer_1"),
        ("train/train/{}/adam_m", "train/train/{}/adam_v"),
        ("AdamWeightDecay/{}/m", "AdamWeightDecay/{}/v"),
        ("optimizer/LAMB/m/{}",),
        ("{}/Zork", "{}/Zork_1"),
    ],
    ids=lambda spellings: spellings[0],
)
def test_the_state_of_any_optimizer_is_left_out(spellings, tf, trained, tmp_path):
    path, state = trained(*spellings, **dict.fromkeys(SCALARS, np.float32(3)))
    bridgeckpt.convert(path, tmp_path / "out")
    assert_parity(tmp_path / "out", tf.inputs, tf.outputs)
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    counts = {"mapped": len(tf.variables), "slot": len(state), "bookkeeping": len(SCALARS)}
    assert report["source_states"] == counts
    assert set(report["slots"]) == set(state)
    assert set(report["bookkeeping"]) == set(SCALARS)
    assert any("Zork" in warning for warning in report["warnings"]) == ("Zork" in spellings[0])  # the name is not known
    shapes = {name: values.shape for name, values in {**tf.variables, **state}.items()}
    assert find_bert(shapes, "x") == find_bert({name: values.shape for name, values in tf.variables.items()}, "x")


@pytest.mark.parametrize("spelling", ["EMA/{}/ExponentialMovingAverage", "{}/average", "ema/{}", "{}/ema"])
def test_averages_of_some_weights_under_any_scope(spelling, tf, trained, tmp_path, capsys):
    path, averages = trained("{}/adam_m", spelling, only=lambda name: name.endswith(("kernel", "weights")))
    wanted = {name: averages[spelling.format(name)] for name in tf.variables if spelling.format(name) in averages}
    assert main(["convert", "tf2pt", str(path), str(tmp_path / "out")]) == 0
    assert f"{len(wanted)} of {len(tf.variables)} weights have moving averages too: --ema" in capsys.readouterr().out
    planned = bridgeckpt.plan(path, ema=True)
    sources = [name for assignment in planned.ledger.assignments for name in assignment.sources]
    assert {*sources} == {spelling.format(name) if name in wanted else name for name in tf.variables}
    assert any(f"the other {len(tf.variables) - len(wanted)} have none" in note for note in planned.notes)
    shapes = {name: values.shape for name, values in {**tf.variables, **averages}.items()}
    assert {*find_bert(shapes, "x", ema=True).variables.values()} == {*sources}


def test_a_mask_is_no_state(trained):
    path, masks = trained("{}/mask", only=lambda name: name.endswith("kernel"))
    with pytest.raises(bridgeckpt.PlanError) as caught:
        bridgeckpt.plan(path)
    assert {name for problem in caught.value.problems for name in problem.tensors} == masks.keys()


def test_the_config_above_the_folder_checkpoint(tmp_path):
    """transformers' TFTrainer saves checkpoints into a folder of that name, beside config.json."""
    source = FIXTURES / "hf351_token" / "source"
    (tmp_path / "checkpoint").mkdir()
    shutil.copy(source / "tf_model.h5", tmp_path / "checkpoint")
    shutil.copy(source / "config.json", tmp_path)
    planned = bridgeckpt.plan(tmp_path / "checkpoint")
    config = json.loads((source / "config.json").read_text())
    assert planned.configuration.values["num_attention_heads"] == config["num_attention_heads"]
