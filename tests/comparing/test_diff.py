"""Comparing checkpoints: real TensorFlow's with folders that this package and transformers wrote, with known faults."""

from __future__ import annotations

import json
import re
import shutil

import ml_dtypes
import numpy as np
import pytest
from memory import peak_memory
from safetensors.numpy import load_file, save_file
from tfwrite import save

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.comparing.difference import diff

pytestmark = pytest.mark.slow

QUERY = "bert.encoder.layer.1.attention.self.query.weight"
QUERY_TF = "bert/encoder/layer_1/attention/self/query/kernel"
WORDS = "bert.embeddings.word_embeddings.weight"
DECODER = "cls.predictions.decoder.weight"


@pytest.fixture(scope="module")
def tf(built):
    return built(slots="adamw", step=7)


@pytest.fixture(scope="module")
def folder(tf, tmp_path_factory):
    """The checkpoint converted. Do not modify it."""
    out = tmp_path_factory.mktemp("diff") / "converted"
    bridgeckpt.convert(tf.prefix, out)
    return out


@pytest.fixture(scope="module")
def saved(folder, tmp_path_factory):
    """The same model, loaded and saved again by transformers."""
    transformers = pytest.importorskip("transformers")
    out = tmp_path_factory.mktemp("diff") / "saved"
    transformers.BertForPreTraining.from_pretrained(folder).save_pretrained(out)
    return out


@pytest.fixture
def changed(folder, tmp_path):
    """``changed(edit)``: a copy of the converted folder whose tensors ``edit(tensors)`` has edited."""

    def make(edit, name="changed", config=True):
        tensors = load_file(folder / "model.safetensors")
        tensors = edit(tensors) or tensors
        (tmp_path / name).mkdir()
        save_file(
            {key: np.ascontiguousarray(value) for key, value in tensors.items()}, tmp_path / name / "model.safetensors"
        )
        if config:
            (tmp_path / name / "config.json").write_bytes((folder / "config.json").read_bytes())
        return tmp_path / name

    return make


def put(name, value):
    return lambda tensors: tensors.update({name: value})


def run(a, b, *flags):
    """The command."""
    return main(["diff", str(a), str(b), *flags])


def counts(found):
    parts = found.identical, found.differing, found.missing, found.extra, found.shapes, found.unmapped
    return tuple(len(part) for part in parts)


@pytest.mark.parametrize("other", ["folder", "saved"])
def test_a_converted_checkpoint_is_the_same_in_either_order(other, tf, request):
    other = request.getfixturevalue(other)
    weights = sum(not re.search(r"adam_[mv]$|global_step$", name) for name in tf.variables)
    for a, b in ((tf.prefix, other), (other, tf.prefix)):
        found = diff(a, b)
        assert found.same
        assert counts(found) == (weights, 0, 0, 0, 0, 0)
        assert len(found.uncompared) == len(tf.variables) - weights


def test_sharded_folders_and_single_files(tf, folder, saved, tmp_path):
    bridgeckpt.convert(tf.prefix, tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    for a, b in ((tf.directory, tmp_path / "shards"), (tmp_path / "shards", saved / "model.safetensors")):
        assert diff(a, b).same
    found = diff(tmp_path / "shards", folder, heads=2, ema=False)
    assert found.naming == ("Hugging Face's names",) * 2
    assert "neither side is a TensorFlow checkpoint, which is what heads would say how to read" in found.notes


def test_one_element_is_found_where_it_is(tf, folder, changed):
    kernel = tf.variables[QUERY_TF].T.copy()
    before = kernel[5, 3]
    kernel[5, 3] += np.float32(0.25)
    found = diff(tf.prefix, changed(put(QUERY, kernel)))
    (one,) = found.differing
    assert not found.same
    assert (one.name, one.differing, one.where) == (QUERY, 1, (5, 3))
    assert one.values == (before, kernel[5, 3])
    assert one.largest == float(kernel[5, 3]) - float(before)
    assert one.relative == pytest.approx(one.largest / np.abs([kernel, tf.variables[QUERY_TF].T]).max())
    assert (one.a.names, one.b.names) == ((QUERY_TF,), (QUERY,))


def test_the_last_bit_counts(tf, changed):
    kernel = tf.variables[QUERY_TF].T.copy()
    kernel[-1, -1] = np.nextafter(kernel[-1, -1], np.float32(9))
    (one,) = diff(tf.prefix, changed(put(QUERY, kernel))).differing
    assert (one.differing, one.where) == (1, (35, 35))
    assert one.values[0] != one.values[1]


def test_a_transposed_square_matrix_differs(tf, changed):
    (one,) = diff(tf.prefix, changed(put(QUERY, tf.variables[QUERY_TF]))).differing
    apart = np.abs(tf.variables[QUERY_TF].astype(float) - tf.variables[QUERY_TF].T.astype(float))
    assert one.differing == np.count_nonzero(apart)
    assert one.largest == apart.max()
    assert apart[one.where] == apart.max()


def test_the_worst_comes_first(tf, changed, capsys):
    def edit(tensors):
        tensors["bert.pooler.dense.bias"] *= np.float32(1.5)
        tensors["cls.predictions.bias"][3] = np.nan
        tensors[QUERY] *= np.float32(1.001)

    out = changed(edit)
    found = diff(tf.prefix, out)
    assert [one.name for one in found.differing] == ["cls.predictions.bias", "bert.pooler.dense.bias", QUERY]
    nan = found.differing[0]
    assert (nan.nans, nan.where, nan.differing) == (1, (3,), 1)
    assert np.isnan(nan.largest)
    assert run(tf.prefix, out) == 1
    printed = capsys.readouterr().out
    assert printed.index("cls.predictions.bias") < printed.index("bert.pooler.dense.bias") < printed.index(QUERY)
    assert "NaN on one side only: 1" in printed
    assert run(tf.prefix, out, "--json") == 1
    record = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert record["differing"][0]["largest"] == "NaN"


def test_the_same_nan_and_infinity_are_no_difference(changed):
    def edit(tensors):
        tensors["cls.predictions.bias"][:3] = [np.nan, np.inf, -np.inf]

    one, other = changed(edit, "one"), changed(edit, "other")
    assert diff(one, other).same
    (found,) = diff(one, changed(lambda tensors: None, "plain")).differing
    assert (found.differing, found.nans, found.where) == (3, 1, (0,))


@pytest.mark.parametrize(
    ("a", "b", "largest"),
    [
        (0.0, -0.0, 0.0),
        (np.uint32(0x7FC00000), np.uint32(0x7FC00001), 0.0),
        (np.inf, -np.inf, np.inf),
        (1.0, np.inf, np.inf),
    ],
    ids=["the sign of a zero", "the bits of a NaN", "infinities", "an infinity"],
)
def test_bits_count(a, b, largest, changed, capsys):
    def value(x):
        bits = np.full(3, 2, np.float32)
        bits[1:2] = np.array([x]).view(np.float32) if isinstance(x, np.uint32) else x
        return put("cls.predictions.bias", bits)

    one, other = changed(value(a), "one"), changed(value(b), "other")
    (found,) = diff(one, other).differing
    assert (found.differing, found.where, found.largest, found.nans) == (1, (1,), largest, 0)
    assert run(one, other) == 1
    assert ("signs of zeros" in capsys.readouterr().out) == (largest == 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounding_is_told_from_other_differences(dtype, tf, folder, tmp_path, capsys):
    bridgeckpt.convert(tf.prefix, tmp_path / "narrow", dtype=dtype)
    found = diff(tf.prefix, tmp_path / "narrow")
    assert not found.same
    assert all(one.rounded for one in found.differing)
    assert {(one.a.dtype, one.b.dtype) for one in (*found.identical, *found.differing)} == {("float32", dtype)}
    assert not any(one.rounded for one in diff(tmp_path / "narrow", tmp_path / "narrow").differing)
    assert run(folder, tmp_path / "narrow") == 1
    assert "only by rounding" in capsys.readouterr().out


def test_more_than_rounding_is_not_called_rounding(folder, changed):
    def edit(tensors):
        narrow = tensors[QUERY].astype(ml_dtypes.bfloat16)
        narrow[0, 0] += 1
        return {**tensors, QUERY: narrow}

    (one,) = diff(folder, changed(edit)).differing
    assert (one.where, one.rounded) == ((0, 0), False)


def test_a_wider_copy_holds_the_same_values(tf, tmp_path, folder, capsys):
    bridgeckpt.convert(tf.prefix, tmp_path / "narrow", dtype="bfloat16")
    stored = load_file(tmp_path / "narrow" / "model.safetensors")
    save_file({name: value.astype(np.float32) for name, value in stored.items()}, tmp_path / "wide.safetensors")
    found = diff(tmp_path / "narrow", tmp_path / "wide.safetensors")
    assert found.same
    assert run(tmp_path / "narrow", tmp_path / "wide.safetensors") == 0
    assert (
        "46 of the identical have the same values in other dtypes: bfloat16 in A, float32 in B"
        in capsys.readouterr().out
    )


def test_missing_extra_and_another_shape(tf, changed, capsys):
    def edit(tensors):
        for layer in range(2):
            del tensors[f"bert.encoder.layer.{layer}.output.dense.bias"]
            tensors[f"adapter.{layer}.weight"] = np.ones((2, 3), np.float32)
        name = "bert.encoder.layer.0.intermediate.dense.weight"
        tensors[name] = tensors[name].T

    out = changed(edit)
    found = diff(tf.prefix, out)
    assert counts(found) == (43, 0, 2, 2, 1, 0)
    assert run(tf.prefix, out) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("A and B: 43 identical, 0 differ, 2 missing, 2 extra, 1 of another shape")
    (missing,) = [line for line in lines if line.startswith("bert.encoder.layer.{0..1}.output.dense.bias")]
    assert missing.split()[1:] == ["2", "[36]", "bert/encoder/layer_{0..1}/output/dense/bias"]
    (extra,) = [line for line in lines if line.startswith("adapter.{0..1}.weight")]
    assert extra.split()[1:] == ["2", "[2,", "3]"]
    (shape,) = [line for line in lines if "axes are reversed" in line]
    assert "[80, 36]" in shape
    backwards = diff(out, tf.prefix)
    assert (list(backwards.missing), list(backwards.extra)) == (list(found.extra), list(found.missing))


def test_names_with_and_without_the_prefix_of_the_base_model(tf, folder, tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.BertModel.from_pretrained(folder).save_pretrained(tmp_path / "bare")
    assert not any(name.startswith("bert.") for name in load_file(tmp_path / "bare" / "model.safetensors"))
    for a in (tf.prefix, folder):
        found = diff(a, tmp_path / "bare")
        assert not found.differing and not found.extra
        assert {name.split(".")[0] for name in found.missing} == {"cls"}
        assert found.identical[0].name.startswith("bert.")
    found = diff(tf.prefix, tmp_path / "bare", architecture="BertModel")
    assert found.same
    assert {one.reason for one in found.uncompared if one.name.startswith("cls/")} >= {"BertModel has no mlm"}


def test_tied_parameters_are_compared_with_what_they_are_tied_to(tf, folder, changed, capsys):
    words = load_file(folder / "model.safetensors")[WORDS]
    tied = changed(put(DECODER, words), "tied")
    for a, b in ((tf.prefix, tied), (tied, tf.prefix), (folder, tied)):
        found = diff(a, b)
        assert found.same
        (one,) = [one for one in found.identical if one.tied]
        assert one.name == DECODER
        assert WORDS in one.tied
    assert run(tf.prefix, tied) == 0
    assert f"{DECODER}: A keeps it as {WORDS}" in capsys.readouterr().out
    apart = words.copy()
    apart[7, 1] = 9
    (one,) = diff(tf.prefix, changed(put(DECODER, apart), "untied")).differing
    assert (one.name, one.where, one.values[1]) == (DECODER, (7, 1), 9)

    def only_decoder(tensors):
        tensors[DECODER] = tensors.pop(WORDS)

    found = diff(tf.prefix, changed(only_decoder, "decoder"))
    assert found.same
    assert [one.name for one in found.identical if one.tied] == [WORDS]


def test_buffers_that_the_model_rebuilds_are_left_out_with_the_reason(tf, changed):
    ids = put("bert.embeddings.position_ids", np.arange(24)[None])
    found = diff(tf.prefix, changed(ids))
    assert found.same
    (left,) = [one for one in found.uncompared if one.side == "b"]
    assert left.name == "bert.embeddings.position_ids"
    assert "rebuilt" in left.reason


def test_names_of_before_transformers_called_its_layer_norms_weight_and_bias(tf, changed):
    def edit(tensors):
        return {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
            for name, value in tensors.items()
        }

    found = diff(tf.prefix, changed(edit))
    assert found.same
    assert "12 names are spelled as bert.embeddings.LayerNorm" in found.notes[-1]


def test_classes_with_the_same_heads_are_told_apart_by_the_folder(built, tmp_path):
    tf = built(head="token", meta=False)
    bridgeckpt.convert(tf.prefix, tmp_path / "out", architecture="BertForTokenClassification")
    found = diff(tf.prefix, tmp_path / "out")
    assert found.same
    assert {one.name for one in found.uncompared} == {"bert/pooler/dense/kernel", "bert/pooler/dense/bias"}
    assert diff(tf.prefix, tmp_path / "out", architecture="BertForSequenceClassification").missing.keys() == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
    }


def test_heads_that_nothing_beside_the_checkpoint_tells(built, tmp_path):
    tf = built(config=False, meta=False)
    bridgeckpt.convert(tf.prefix, tmp_path / "out", heads=3)
    assert diff(tf.prefix, tmp_path / "out").same
    (tmp_path / "out" / "config.json").unlink()
    found = diff(tf.prefix, tmp_path / "out")
    assert not found.same
    assert len(found.unmapped) == 2 * 7  # query, key and value, and the kernel that takes their heads
    assert {one.reason for one in found.unmapped} == {"the size of heads, head_dim is unknown"}
    assert any("number of attention heads is unknown" in note for note in found.notes)
    assert diff(tf.prefix, tmp_path / "out", heads=3).same


def test_what_no_row_reads_is_no_silent_pass(tf, folder, tmp_path, capsys):
    inside = "bert/encoder/layer_0/output/adapter/kernel"
    save(tmp_path / "bert_model.ckpt", {**tf.variables, inside: np.ones((36, 3), np.float32)})
    (tmp_path / "bert_config.json").write_text(json.dumps(tf.spec.bert_config))
    found = diff(tmp_path, folder)
    assert counts(found) == (46, 0, 0, 0, 0, 1)
    assert not found.same
    assert run(tmp_path, folder) == 1
    assert f"unmapped   A: {inside}: no row of the table reads it" in capsys.readouterr().out


def test_a_head_of_ones_own_is_left_out_where_the_folder_is_of_a_class_without_it(tf, folder, tmp_path, capsys):
    save(tmp_path / "bert_model.ckpt", {**tf.variables, "our/head": np.ones(3, np.float32)})
    (tmp_path / "bert_config.json").write_text(json.dumps(tf.spec.bert_config))
    found = diff(tmp_path, folder)
    assert counts(found) == (46, 0, 0, 0, 0, 0)
    assert run(tmp_path, folder) == 0
    assert "A: our/head: BertForPreTraining has no such part" in capsys.readouterr().out


def test_a_checkpoint_that_could_not_be_converted_is_compared_as_far_as_it_goes(tf, folder, tmp_path):
    lost = "bert/encoder/layer_1/output/dense/bias"
    variables = {name: value for name, value in tf.variables.items() if not name.startswith(lost)}
    variables[QUERY_TF] = variables[QUERY_TF][:, :30]
    save(tmp_path / "bert_model.ckpt", variables)
    (tmp_path / "bert_config.json").write_text(json.dumps(tf.spec.bert_config))
    found = diff(tmp_path, folder)
    assert counts(found) == (44, 0, 0, 2, 0, 1)
    assert found.extra.keys() == {"bert.encoder.layer.1.output.dense.bias", QUERY}
    assert found.unmapped[0].name == QUERY_TF
    assert "[36, 30]" in found.unmapped[0].reason
    assert any(note.startswith("A: missing bert/encoder/layer_1/output/dense/bias") for note in found.notes)


def test_a_head_that_was_left_out_unasked_is_no_silent_pass(built, tmp_path):
    mlm, classifier = built(head="mlm"), built(head="classifier")
    heads = {name: classifier.variables[name] for name in ("output_weights", "output_bias")}
    prefix = save(tmp_path / "bert_model.ckpt", mlm.variables | heads)
    (tmp_path / "bert_config.json").write_text(json.dumps(mlm.spec.bert_config))
    for name, left in (("BertForMaskedLM", "classifier"), ("BertForSequenceClassification", "mlm")):
        bridgeckpt.convert(prefix, tmp_path / name, architecture=name)
        assert not diff(prefix, tmp_path / name).same
        found = diff(prefix, tmp_path / name, architecture=name)
        assert found.same
        assert f"{name} has no {left}" in {one.reason for one in found.uncompared}


def test_tensorflow_against_tensorflow_by_its_own_names(tf, tmp_path):
    assert diff(tf.prefix, tf.directory).naming == ("TensorFlow's names",) * 2
    variables = {name: value.copy() for name, value in tf.variables.items()}
    assert len(diff(tf.prefix, save(tmp_path / "same.ckpt", variables)).identical) == len(variables)
    variables["global_step"] += 1
    variables["bert/pooler/dense/bias/adam_m"][4] = 0
    found = diff(tf.prefix, save(tmp_path / "other.ckpt", variables))
    assert {one.name: (one.where, one.largest) for one in found.differing} == {
        "global_step": ((), 1.0),
        "bert/pooler/dense/bias/adam_m": ((4,), abs(float(tf.variables["bert/pooler/dense/bias/adam_m"][4]))),
    }
    assert diff(tf.prefix, tmp_path / "other.ckpt", architecture="BertForPreTraining", heads=3).same


def test_tensorflow_against_tensorflow_under_another_scope_and_dialect(built, tmp_path):
    plain, scoped = built(head="mlm"), built(head="mlm", scope="my_model/")
    values = {f"my_model/{name}": value for name, value in plain.variables.items()}
    save(tmp_path / "scoped.ckpt", values)
    found = diff(plain.prefix, tmp_path / "scoped.ckpt", heads=3)
    assert found.naming[0] == "bert/google as BertForPreTraining"
    assert found.same
    assert len(diff(plain.prefix, tmp_path / "scoped.ckpt").unmapped) == 14  # neither config nor graph tells heads
    assert not diff(plain.prefix, scoped.prefix).missing
    ported = diff(built(head="mlm", pooler=False).prefix, built(head="mlm", port="keras", pooler=False).prefix)
    assert ported.naming[1].startswith("bert/google_keras")
    assert not ported.missing and not ported.extra and not ported.shapes


def test_checkpoints_of_no_known_dialect_by_their_own_names(tmp_path):
    tensors = {
        "deep/w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "empty": np.zeros((0, 4), np.float32),
        "flags": np.array([True, False]),
        "large": np.array([-(2**63), 2**62], np.int64),
        "names": np.array([b"a", b"bc"]),
        "phase": np.array([1 + 2j], np.complex128),
        "half": np.array([1, 2], ml_dtypes.bfloat16),
    }
    a = save(tmp_path / "a.ckpt", tensors)
    found = diff(a, save(tmp_path / "b.ckpt", tensors))
    assert found.same
    assert len(found.identical) == 6
    assert {(one.name, one.side) for one in found.uncompared} == {("names", "a"), ("names", "b")}
    tensors |= {"large": np.array([2**63 - 1, 2**62 + 1]), "flags": np.array([True, True]), "phase": np.array([1 + 5j])}
    found = diff(a, save(tmp_path / "c.ckpt", tensors))
    assert {one.name: (one.differing, one.largest, one.where) for one in found.differing} == {
        "large": (2, 2.0**64, (0,)),
        "flags": (1, 1.0, (1,)),
        "phase": (1, 3.0, (0,)),
    }
    with pytest.raises(bridgeckpt.PlanError, match="no mapping table"):
        diff(a, tmp_path / "b.ckpt", architecture="BertModel")


def test_optimizer_state_of_one_side_only(built, tmp_path):
    """A checkpoint and the same without what training left are the same model; state that both have is compared."""
    tf = built(ema=True, slots="adamw")
    weights = {k: v for k, v in tf.variables.items() if not re.search(r"adam_[mv]$|Average$|global_step$", k)}
    found = diff(tf.prefix, save(tmp_path / "weights", weights))
    assert (found.same, len(found.identical)) == (True, len(weights))
    assert len(found.uncompared) == len(tf.variables) - len(weights)
    del weights["bert/pooler/dense/bias"]
    assert diff(tf.prefix, save(tmp_path / "less", weights)).missing.keys() == {"bert/pooler/dense/bias"}


def test_moving_averages(built, tmp_path):
    tf = built(ema=True, slots="adamw")
    bridgeckpt.convert(tf.prefix, tmp_path / "shadows", ema=True)
    assert diff(tf.prefix, tmp_path / "shadows", ema=True).same
    assert diff(tf.prefix, tmp_path / "shadows").differing


def test_partitioned_variables_in_several_files(built, tmp_path):
    tf = built(shards=2, partitions=2, slots="adamw")
    bridgeckpt.convert(tf.prefix, tmp_path / "out")
    assert diff(tf.prefix, tmp_path / "out").same
    assert diff(tf.prefix, tf.prefix).same


def test_large_tensors_of_two_dtypes_and_orders_come_piece_by_piece(tmp_path):
    values = np.random.default_rng(0).standard_normal((1500, 2000)).astype(ml_dtypes.bfloat16)
    prefix = "bert/encoder/layer_0/intermediate/dense"
    tensors = {
        f"{prefix}/kernel": values,
        f"{prefix}/bias": np.zeros(2000, np.float32),
        "bert/encoder/layer_0/attention/output/LayerNorm/gamma": np.ones(1500, np.float32),
    }
    a = save(tmp_path / "bert_model.ckpt", tensors)
    wide = values.T.astype(np.float64)
    wide[1999, 1499] += 3
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    save_file({name: np.ascontiguousarray(wide)}, tmp_path / "b.safetensors")
    found = diff(a, tmp_path / "b.safetensors", heads=1)
    (one,) = found.differing
    assert (one.differing, one.where, one.largest) == (1, (1999, 1499), 3.0)


def test_nothing_in_common_is_an_error(tf, tmp_path, capsys):
    save_file({"gpt.wte": np.ones(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(bridgeckpt.ParityError, match="no tensor in common"):
        diff(tf.prefix, tmp_path / "other.safetensors")
    assert run(tf.prefix, tmp_path / "other.safetensors", "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"] == "ParityError"


def test_what_cannot_be_read_is_one_message(tf, folder, tmp_path, capsys):
    assert run(tf.prefix, folder / "modle.safetensors") == 1
    assert "did you mean" in capsys.readouterr().err
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    assert run(tf.prefix, tmp_path) == 1
    message = capsys.readouterr().err
    assert "pytorch_model.bin" in message and "hint: " in message


def test_a_damaged_checkpoint_is_an_error_and_no_difference(tf, folder, tmp_path):
    for file in tf.directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (data,) = tmp_path.glob("*.data-*")
    content = bytearray(data.read_bytes())
    content[: len(content) // 2 : 97] = bytes(len(content[: len(content) // 2 : 97]))
    data.write_bytes(content)
    with pytest.raises(bridgeckpt.CheckpointError, match="damaged"):
        diff(tmp_path, folder)
    assert not diff(tmp_path, folder, verify=False).same


def test_a_broken_config_beside_a_folder_leaves_its_names(folder, changed):
    other = changed(lambda tensors: None, config=False)
    (other / "config.json").write_text("{")
    assert diff(folder, other).same
    assert diff(other, other).same


def test_the_command_lists_the_identical_only_when_asked(tf, folder, capsys):
    assert run(tf.prefix, folder) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("A and B: 46 identical, 0 differ, 0 missing, 0 extra, ")
    assert QUERY not in printed
    assert "optimizer state" in printed
    assert run(tf.prefix, folder, "--all") == 0
    assert re.search(rf"^{re.escape(QUERY)} +\[36, 36\] +float32 +{QUERY_TF}", capsys.readouterr().out, re.MULTILINE)


def test_many_differences_are_cut_short_unless_asked(tf, changed, capsys):
    out = changed(lambda tensors: {name: value + 1 for name, value in tensors.items()})
    assert run(tf.prefix, out) == 1
    assert "and 26 more" in capsys.readouterr().out
    assert run(tf.prefix, out, "--all") == 1
    printed = capsys.readouterr().out
    assert "that differ less" not in printed
    assert len(re.findall(r" of [\d,]+ ", printed)) == 46


def test_json_is_one_document(tf, folder, changed, capsys):
    assert run(tf.prefix, folder, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["ok"] is True
    assert len(record["identical"]) == 46
    assert record["a"]["names"] == "bert/google as BertForPreTraining"
    assert run(tf.prefix, changed(put("more", np.ones(2, np.float32))), "--json") == 1
    record = json.loads(capsys.readouterr().out)
    assert record["ok"] is False
    assert record["extra"] == [{"name": "more", "names": ["more"], "dtype": "float32", "shape": [2]}]


def test_memory_does_not_grow_with_the_tensors(tmp_path):
    sizes = []
    for rows in (1_000, 20_000):
        for side in "ab":
            save_file({"w": np.zeros((rows, 1024), np.float32)}, tmp_path / f"{side}{rows}.safetensors")
        statement = "from bridgeckpt.comparing.difference import diff; assert diff(sys.argv[1], sys.argv[2]).same"
        sizes.append(peak_memory(statement, *(tmp_path / f"{side}{rows}.safetensors" for side in "ab")))
    assert sizes[1] - sizes[0] < 8  # MiB; a tensor is 80


def test_a_damaged_file_is_read_as_it_is_when_asked(example, tmp_path, capsys):
    copy = tmp_path / "damaged"
    shutil.copytree(example, copy)
    (data,) = copy.glob("*.data-*")
    content = bytearray(data.read_bytes())
    content[1000] ^= 1
    data.write_bytes(content)
    assert main(["diff", str(example), str(copy)]) == 1
    assert "--skip-crc" in capsys.readouterr().err
    assert main(["diff", str(example), str(copy), "--skip-crc"]) == 1
    assert "1 differ" in capsys.readouterr().out
