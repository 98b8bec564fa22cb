"""Bad input: each ends in one clear message that says what, where and what to do, with nothing written."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from paths import FIXTURES
from safetensors.numpy import load_file
from tfbert import merged

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.errors import Problem
from bridgeckpt.planning.problems import render


@pytest.fixture
def copy(example, tmp_path):
    """A copy of the example that a test may harm."""
    folder = tmp_path / "source"
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns("*.py", "*.md"))
    return folder


def refuse(capsys, *arguments):
    """Run a conversion that must fail: what it printed on stderr."""
    assert main(["convert", "tf2pt", *map(str, arguments)]) == 1
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.err.startswith("error: ")
    return printed.err


def change(config_path, **values):
    config = json.loads(config_path.read_text())
    config_path.write_text(json.dumps({**config, **values}))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("num_hidden_layers", 5, ["num_hidden_layers = 5 (bert_config.json)", "has 2", "--config"]),
        ("num_hidden_layers", 1, ["num_hidden_layers = 1 (bert_config.json)", "2", "--config"]),
        ("hidden_size", 768, ["hidden_size = 768 (bert_config.json)", "another checkpoint"]),
        ("intermediate_size", 99, ["intermediate_size = 99", "intermediate/dense/kernel"]),
        ("max_position_embeddings", 512, ["max_position_embeddings = 512"]),
        ("vocab_size", 30522, ["vocab_size = 30522"]),
        ("num_attention_heads", 6, ["num_attention_heads = 6", "the graph computes with", "--heads"]),
    ],
)
def test_a_config_that_disagrees_with_the_checkpoint(key, value, says, copy, tmp_path, capsys):
    change(copy / "bert_config.json", **{key: value})
    message = refuse(capsys, copy, tmp_path / "out")
    for part in says:
        assert part in message
    assert not (tmp_path / "out").exists()


def test_heads_that_cannot_be(copy, tmp_path, capsys):
    message = refuse(capsys, copy, tmp_path / "out", "--heads", "7")
    assert "hidden_size / num_attention_heads" in message
    assert "36 / 7" in message


def test_no_config_and_no_graph_stops_and_asks_for_heads(copy, tmp_path, capsys):
    (copy / "bert_config.json").unlink()
    for meta in copy.glob("*.meta"):
        meta.unlink()
    message = refuse(capsys, copy, tmp_path / "out")
    assert "number of attention heads is unknown" in message
    assert "--heads N" in message
    assert main(["convert", "tf2pt", str(copy), str(tmp_path / "out"), "--heads", "3"]) == 0


def test_a_config_that_is_not_json(copy, tmp_path, capsys):
    (copy / "bert_config.json").write_text('{"vocab_size": 12,')
    message = refuse(capsys, copy, tmp_path / "out")
    assert "bert_config.json" in message
    assert "JSON" in message


def test_a_config_of_another_model(copy, tmp_path, capsys):
    change(copy / "bert_config.json", num_hidden_groups=1, inner_group_num=1, embedding_size=128)
    assert "albert" in refuse(capsys, copy, tmp_path / "out").lower()


def test_a_key_of_another_model_that_repeats_a_size_is_none(copy, tmp_path, capsys):
    hidden = json.loads((copy / "bert_config.json").read_text())["hidden_size"]
    change(copy / "bert_config.json", embedding_size=hidden)
    assert main(["convert", "tf2pt", str(copy), str(tmp_path / "out")]) == 0
    assert "embedding_size" not in json.loads((tmp_path / "out" / "config.json").read_text())
    change(copy / "bert_config.json", embedding_size=hidden - 1)
    assert "ALBERT" in refuse(capsys, copy, tmp_path / "again")


def test_a_vocabulary_longer_than_the_embedding_table(copy, tmp_path, capsys):
    with (copy / "vocab.txt").open("a") as file:
        file.writelines(f"more{number}\n" for number in range(500))
    message = refuse(capsys, copy, tmp_path / "out")
    assert "vocab.txt has" in message
    assert "rows" in message


def test_a_padded_vocabulary_is_resolved_and_said(copy, tmp_path, capsys):
    rows = json.loads((copy / "bert_config.json").read_text())["vocab_size"]
    change(copy / "bert_config.json", vocab_size=rows - 3)
    assert main(["convert", "tf2pt", str(copy), str(tmp_path / "out")]) == 0
    assert f"vocab_size = {rows - 3} in bert_config.json, but the checkpoint has {rows} rows" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == rows


def test_a_missing_type_vocab_size_is_resolved_and_said(copy, tmp_path, capsys):
    config = json.loads((copy / "bert_config.json").read_text())
    types = config.pop("type_vocab_size")
    (copy / "bert_config.json").write_text(json.dumps(config))
    assert main(["convert", "tf2pt", str(copy), str(tmp_path / "out")]) == 0
    assert f"type_vocab_size = {types}" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "config.json").read_text())["type_vocab_size"] == types


def test_a_missing_data_file(copy, tmp_path, capsys):
    next(copy.glob("*.data-*")).unlink()
    message = refuse(capsys, copy, tmp_path / "out")
    assert ".data-00000-of-00001 is missing" in message


def test_a_missing_index(copy, tmp_path, capsys):
    next(copy.glob("*.index")).unlink()
    message = refuse(capsys, copy, tmp_path / "out")
    assert ".index" in message


def test_a_truncated_data_file(copy, tmp_path, capsys):
    data = next(copy.glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:-100])
    assert data.name in refuse(capsys, copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_flipped_bit_is_found_and_can_be_waved_through(copy, tmp_path, capsys):
    data = next(copy.glob("*.data-*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    message = refuse(capsys, copy, tmp_path / "out")
    assert "CRC" in message
    assert "--skip-crc" in message
    assert not list(tmp_path.glob("*out*"))
    assert main(["convert", "tf2pt", str(copy), str(tmp_path / "out"), "--skip-crc"]) == 0


def test_an_existing_output_survives(copy, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["convert", "tf2pt", str(copy), str(out)]) == 0
    before = (out / "model.safetensors").read_bytes()
    capsys.readouterr()
    assert "--force" in refuse(capsys, copy, out)
    data = next(copy.glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:-100])
    refuse(capsys, copy, out, "--force")
    assert (out / "model.safetensors").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"source", "out"}


def test_a_mistyped_path_names_what_is_near(copy, tmp_path, capsys):
    message = refuse(capsys, copy / "bert_modle.ckpt", tmp_path / "out")
    assert "bert_modle.ckpt" in message
    assert "bert_model.ckpt" in message


def test_an_unknown_mapping_and_architecture(copy, tmp_path, capsys):
    assert "bert/google" in refuse(capsys, copy, tmp_path / "out", "--mapping", "bert/gogle")
    message = refuse(capsys, copy, tmp_path / "out", "--architecture", "BertForMaskedLanguage")
    assert "BertForMaskedLM" in message


def test_an_unknown_variable_is_refused_by_name(built, tmp_path, capsys):
    tf = pytest.importorskip("tensorflow")
    made = built()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in {**made.variables, **{f"bert/adapter_{i}/kernel": [[1.0]] for i in range(3)}}.items():
            tf.compat.v1.get_variable(name, initializer=tf.constant(value))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "m.ckpt"), write_meta_graph=False)
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    message = refuse(capsys, tmp_path / "m.ckpt", tmp_path / "out")
    assert "unmapped   3 tensors inside the encoder" in message
    assert "bert/adapter_{0..2}/kernel [1, 1]" in message
    assert message.count("unmapped") == 1


def test_a_second_tower_is_refused_and_can_be_chosen(built, tmp_path, capsys):
    from parity import assert_parity

    teacher, student = built(head="mlm"), built(head="mlm", seed=5)
    path = merged(tmp_path / "m.ckpt", ("", teacher.variables), ("student/", student.variables))
    shutil.copy(teacher.directory / "bert_config.json", tmp_path)
    message = refuse(capsys, path, tmp_path / "out")
    assert "2 models" in message
    assert "--scope" in message
    for scope, tower in (("student", student), ("", teacher)):
        out = tmp_path / f"out-{scope}"
        assert main(["convert", "tf2pt", path, str(out), "--scope", scope]) == 0
        assert_parity(out, tower.inputs, {k: v for k, v in tower.outputs.items() if k != "pooled_output"})
    assert "of another model in the checkpoint" in capsys.readouterr().out


def test_two_dialects_that_both_match(built, tmp_path, capsys):
    google, keras = built(head="mlm"), built(head="mlm", port="keras", pooler=False)
    variables = {**keras.variables, **google.variables}
    path = merged(tmp_path / "m.ckpt", ("", variables))
    message = refuse(capsys, path, tmp_path / "out")
    assert "bert/google" in message
    assert "bert/google_keras" in message
    assert "--mapping" in message


def test_a_checkpoint_without_one_of_its_tensors(built, tmp_path, capsys):
    made = built()
    variables = {k: v for k, v in made.variables.items() if k != "bert/encoder/layer_1/output/dense/bias"}
    path = merged(tmp_path / "m.ckpt", ("", variables))
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    message = refuse(capsys, path, tmp_path / "out")
    assert "missing    bert/encoder/layer_1/output/dense/bias" in message
    assert "mappings/bert/google.toml:" in message


def test_a_tensor_of_another_shape_in_one_layer(built, tmp_path, capsys):
    made = built()
    variables = dict(made.variables)
    variables["bert/encoder/layer_1/intermediate/dense/bias"] = variables[
        "bert/encoder/layer_1/intermediate/dense/bias"
    ][:-1]
    path = merged(tmp_path / "m.ckpt", ("", variables))
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    message = refuse(capsys, path, tmp_path / "out")
    assert "shape      bert/encoder/layer_1/intermediate/dense/bias is [79]" in message
    assert '"intermediate" makes it [80]' in message
    assert "intermediate = intermediate_size = 80" in message


def test_two_heads_that_no_class_has_together(built, tmp_path, capsys):
    made, tuned = built(), built(head="classifier")
    path = merged(tmp_path / "m.ckpt", ("", {**made.variables, **tuned.variables}))
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    message = refuse(capsys, path, tmp_path / "out")
    assert "no class has all the heads" in message
    assert "--architecture" in message
    assert (
        main(["convert", "tf2pt", path, str(tmp_path / "out"), "--architecture", "BertForSequenceClassification"]) == 0
    )
    assert "BertForSequenceClassification has no mlm" in capsys.readouterr().out


def test_a_head_that_is_asked_for_but_not_there(copy, tmp_path, capsys):
    message = refuse(capsys, copy, tmp_path / "out", "--architecture", "BertForQuestionAnswering")
    assert "group squad of BertForQuestionAnswering" in message


def test_a_value_that_does_not_fit_the_dtype(built, tmp_path, capsys):
    made = built()
    variables = dict(made.variables)
    kernel = variables["bert/encoder/layer_0/output/dense/kernel"].copy()
    kernel[3, 5] = 1e6
    variables["bert/encoder/layer_0/output/dense/kernel"] = kernel
    path = merged(tmp_path / "m.ckpt", ("", variables))
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    message = refuse(capsys, path, tmp_path / "out", "--dtype", "float16")
    assert "bert/encoder/layer_0/output/dense/kernel[3, 5] is 1e+06" in message
    assert "bfloat16" in message
    assert main(["convert", "tf2pt", path, str(tmp_path / "out"), "--dtype", "bfloat16"]) == 0


def test_all_problems_are_reported_at_once_with_json(built, tmp_path, capsys):
    made = built()
    variables = {k: v for k, v in made.variables.items() if k != "bert/encoder/layer_1/output/dense/bias"}
    path = merged(tmp_path / "m.ckpt", ("", {**variables, "adapter/kernel": made.variables["bert/pooler/dense/bias"]}))
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    assert main(["convert", "tf2pt", path, str(tmp_path / "out"), "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["ok"] is False
    assert {problem["kind"] for problem in record["problems"]} == {"missing", "unmapped"}
    with pytest.raises(bridgeckpt.PlanError) as caught:
        bridgeckpt.plan(path)
    assert len(caught.value.problems) == 2


def test_the_report_of_problems_reads_as_designed():
    text = render("error", [Problem("shape", "a is [1]", ("it is [2]",), "look"), Problem("missing", "b")])
    assert text == (
        "error (2 problems)\n\n  shape      a is [1]\n             it is [2]\n             hint: look\n  missing    b"
    )


def test_a_chosen_tower_never_gets_the_head_of_another(built, tmp_path):
    teacher, student = built(head="mlm"), built(head=None, seed=5)
    path = merged(tmp_path / "m.ckpt", ("", teacher.variables), ("student/", student.variables))
    shutil.copy(teacher.directory / "bert_config.json", tmp_path)
    planned = bridgeckpt.plan(path, scope="student")
    assert planned.architecture.name == "BertModel"
    assert planned.ledger.sources["cls/predictions/output_bias"] == "excluded"
    assert "another model" in planned.ledger.reasons["cls/predictions/output_bias"]


def test_a_missing_tensor_of_a_head_is_not_taken_from_elsewhere(built, tmp_path, capsys):
    made = built(head="mlm", scope="my/")
    variables = {k: v for k, v in made.variables.items() if k != "my/cls/predictions/output_bias"}
    path = merged(
        tmp_path / "m.ckpt",
        ("", variables),
        ("", {"cls/predictions/output_bias": made.variables["my/cls/predictions/output_bias"]}),
    )
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    message = refuse(capsys, path, tmp_path / "out")
    assert "missing    my/cls/predictions/output_bias" in message
    assert "unmapped   1 tensor outside the encoder" in message
    assert "cls/predictions/output_bias [101]" in message


def test_a_head_at_the_root_of_a_scoped_encoder(built, tmp_path):
    """As in a model that was fine-tuned on a hub module: module/bert/..., and output_weights at the root."""
    made = built(head="classifier", scope="module/")
    variables = {k.replace("module/output", "output"): v for k, v in made.variables.items()}
    path = merged(tmp_path / "m.ckpt", ("", variables))
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    planned = bridgeckpt.plan(path)
    assert planned.architecture.name == "BertForSequenceClassification"
    assert planned.ledger.source_counts() == {"mapped": len(variables)}


def test_a_class_is_sized_by_its_own_groups(built, tmp_path):
    """Three labels and a SQuAD head of two: each class sees its own."""
    squad, tuned = built(head="squad"), built(head="classifier")
    path = merged(tmp_path / "m.ckpt", ("", {**squad.variables, **tuned.variables}))
    shutil.copy(squad.directory / "bert_config.json", tmp_path)
    for name, labels in (("BertForQuestionAnswering", 2), ("BertForSequenceClassification", 3)):
        planned = bridgeckpt.plan(path, architecture=name)
        assert planned.sizes.axes["labels"] == labels


def test_a_tower_whose_scope_is_no_folder(built, tmp_path, capsys):
    one, two = built(head=None), built(head=None, seed=5)
    path = merged(tmp_path / "m.ckpt", ("query_", one.variables), ("doc_", two.variables))
    shutil.copy(one.directory / "bert_config.json", tmp_path)
    assert "--scope doc_" in refuse(capsys, path, tmp_path / "out")
    assert bridgeckpt.plan(path, scope="doc_").wildcards == {"scope": "doc_"}


def test_moving_averages_of_some_weights(built, tmp_path, capsys):
    """A weight without an average is converted as it is, and it is said which these are."""
    made = built(ema=True, slots="adamw")
    ending = "output/dense/kernel/ExponentialMovingAverage"
    path = merged(tmp_path / "m.ckpt", ("", {k: v for k, v in made.variables.items() if not k.endswith(ending)}))
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    assert main(["convert", "tf2pt", str(path), str(tmp_path / "out"), "--ema"]) == 0
    said = capsys.readouterr().out
    assert "42 of 46 weights have a moving average, which is converted; the other 4 have none" in said
    assert "bert/encoder/layer_{0..1}/attention/output/dense/kernel, bert/encoder/layer_{0..1}/output/dense/k" in said
    written = load_file(tmp_path / "out" / "model.safetensors")
    weight, other = "bert/encoder/layer_0/output/dense/kernel", "bert/encoder/layer_0/intermediate/dense/kernel"
    assert (written["bert.encoder.layer.0.output.dense.weight"] == made.variables[weight].T).all()
    average = made.variables[f"{other}/ExponentialMovingAverage"]
    assert (written["bert.encoder.layer.0.intermediate.dense.weight"] == average.T).all()
    assert not (average == made.variables[other]).all()


def test_moving_averages_of_no_weight(built, tmp_path, capsys):
    """There is nothing to convert, and nothing is advertised, also if the averages are of something else."""
    made = built()
    loss = {"loss": np.zeros(3, "f4"), "loss/ExponentialMovingAverage": np.zeros(3, "f4")}
    path = merged(tmp_path / "m.ckpt", ("", {**made.variables, **loss}))
    for source in (path, made.prefix):
        message = refuse(capsys, source, tmp_path / "out", "--ema")
        assert "missing    moving averages" in message
        assert "no weight of this model has one in" in message
    assert main(["inspect", str(path)]) == 0
    assert "--ema" not in capsys.readouterr().out


def test_heads_that_contradict_what_was_found_are_said(copy, tmp_path, capsys):
    assert main(["convert", "tf2pt", str(copy), str(tmp_path / "out"), "--heads", "6"]) == 0
    assert "--heads 6 is taken although 3 was found" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert report["sizes"]["num_attention_heads"] == {"value": 6, "from": "heads=6"}


def test_a_weight_that_is_no_number(built, tmp_path, capsys):
    made = built(head=None)
    name = "bert/encoder/layer_1/output/dense/bias"
    strings = {name: [b"x"] * made.variables[name].shape[0]}
    path = merged(tmp_path / "m.ckpt", ("", {**made.variables, **strings}))
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    assert f"dtype      {name} is of dtype string" in refuse(capsys, path, tmp_path / "out", "--dry-run")


def test_moving_averages_that_were_not_asked_for_are_mentioned(built, tmp_path, capsys):
    assert main(["convert", "tf2pt", str(built(ema=True, slots="adamw").prefix), str(tmp_path / "out")]) == 0
    assert "--ema converts those instead" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folder", "said"),
    [("gpt2-toy", "it is GPT-2"), ("xlnet-toy-tune", "it is XLNet"), ("t2t-transformer-2shard", "of tensor2tensor")],
)
def test_a_model_that_no_table_converts_is_named(folder, said, samples):
    with pytest.raises(bridgeckpt.PlanError, match=f"{said}.*, which no table converts yet"):
        bridgeckpt.plan(samples / "real" / folder)


def of_tapas(variables):
    """The variables of a TAPAS: a BERT with a table of token types for each of several properties of a cell."""
    tables = {f"bert/embeddings/token_type_embeddings_{number}": np.ones((3, 36), "f4") for number in range(7)}
    return {name: value for name, value in variables.items() if "token_type" not in name} | tables


def without_positions(variables):
    return {name: value for name, value in variables.items() if "position" not in name}


@pytest.mark.parametrize(("made_of", "title"), [(of_tapas, "TAPAS"), (without_positions, "NEZHA .* or RoFormer")])
@pytest.mark.parametrize("with_config", [True, False], ids=["config", "no config"])
def test_a_relative_of_a_model_with_a_table_is_named_before_anything_else_is_wrong(
    made_of, title, with_config, built, tmp_path
):
    path = merged(tmp_path / "m.ckpt", ("", made_of(built(head="nsp", layers=1).variables)))
    if with_config:
        (tmp_path / "bert_config.json").write_text('{"type_vocab_size": [3, 256, 256, 2, 256, 256, 10]}')
    with pytest.raises(bridgeckpt.PlanError, match=f"it is {title}.*, which no table converts yet"):
        bridgeckpt.plan(path)
    assert re.search(title, bridgeckpt.inspect(path).refusal.message)


def test_a_model_that_a_table_converts_is_named_by_the_file_beside_it(tmp_path):
    shutil.copytree(FIXTURES / "b4k_2019" / "source", tmp_path / "source")
    (tmp_path / "source" / "bleurt_config.json").write_text("{}")
    assert any(note.startswith("it is BLEURT") for note in bridgeckpt.plan(tmp_path / "source").notes)
    (tmp_path / "source" / "bert_config.json").unlink()
    with pytest.raises(bridgeckpt.PlanError, match=r"best_model.h5, BLEURT .*, to BertForMaskedLM"):
        bridgeckpt.plan(tmp_path / "source")
