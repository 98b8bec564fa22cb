"""Recording: a function of the user's own, texts, and what a reference of a checkpoint says about itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bridgeckpt.errors import CheckpointError, OutputError, ParityError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.fingerprint import fingerprint
from bridgeckpt.parity.recording import record_checkpoint
from bridgeckpt.parity.reference.probes import IDS, MASK, TYPES
from bridgeckpt.parity.reference.recording import record
from bridgeckpt.parity.reference.reference import read_reference
from bridgeckpt.parity.reference.texts import text_probe
from bridgeckpt.store.file import replacing

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def alike(one, other):
    """Whether two references are equal, whatever the order of their tensors."""
    assert one._replace(probes={}, runs={}) == other._replace(probes={}, runs={})
    assert one.probes.keys() == other.probes.keys()
    for name, probe in one.probes.items():
        assert probe._replace(inputs={}) == other.probes[name]._replace(inputs={})
        np.testing.assert_equal(dict(probe.inputs), dict(other.probes[name].inputs))
    np.testing.assert_equal({**one.runs}, {**other.runs})


# A function of the user's own


def test_float32_and_float64_outputs_are_runs_of_their_own(tmp_path):
    made = record(lambda x: {"a": x * 2, "b": x.astype(np.float64)}, {"x": X}, tmp_path / "r.safetensors")
    assert set(made.runs) == {"float32", "float64"}
    np.testing.assert_array_equal(made.runs["float32"]["inputs"]["a"], X * 2)
    np.testing.assert_array_equal(made.runs["float64"]["inputs"]["b"], X)
    assert made.runs["float64"]["inputs"].keys() == {"b"}
    alike(read_reference(tmp_path / "r.safetensors"), made)


def test_inputs_by_name_of_a_call(tmp_path):
    calls = {"short": {"x": X}, "long": {"x": np.vstack([X, X])}}
    made = record(lambda x: {"sum": x.sum(-1)}, calls, tmp_path / "r.safetensors")
    assert {name: run["sum"].shape for name, run in made.runs["float32"].items()} == {"short": (2,), "long": (4,)}
    np.testing.assert_array_equal(made.probes["long"].inputs["x"][2:], X)


@pytest.mark.slow
def test_a_program_in_graph_mode_is_told_so(example, tmp_path):
    tf = pytest.importorskip("tensorflow")
    path = tmp_path / "r.safetensors"
    with tf.Graph().as_default(), pytest.raises(ParityError, match="eager execution, and it is off here") as refused:
        record_checkpoint(example, path)
    assert "process of its own" in str(refused.value.hint)
    assert not path.exists()


@pytest.mark.slow
def test_lists_and_tensorflow_tensors_are_taken_and_none_is_left_out(tmp_path):
    tf = pytest.importorskip("tensorflow")
    made = record(
        lambda x: {"states": [tf.constant(x), (x + 1).T], "loss": np.float32(3), "cache": None},
        {"x": X},
        tmp_path / "r.safetensors",
    )
    found = made.runs["float32"]["inputs"]
    assert found.keys() == {"states.0", "states.1", "loss"}
    np.testing.assert_array_equal(
        read_reference(tmp_path / "r.safetensors").runs["float32"]["inputs"]["states.1"], X.T + 1
    )
    assert found["loss"].shape == ()


def test_provenance_is_the_users_beside_versions(tmp_path):
    given = {"checkpoint": "mine", "how": "my own code"}
    made = record(lambda x: {"a": x}, {"x": X}, tmp_path / "r.safetensors", provenance=given)
    assert made.provenance.items() >= given.items()
    assert made.provenance["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({}, "returned nothing for inputs"),
        ({"a": None}, "returned nothing for inputs"),
        ({"a": []}, "returned nothing for inputs"),
        (X, "returned ndarray, not arrays by name"),
        ({"a": X.astype(np.float16)}, '"a" is of dtype float16'),
        ({"a": X.astype(np.int32)}, '"a" is of dtype int32'),
        ({"a": np.array(["text"])}, '"a" is of dtype <U4'),
        ({"a": X[:0]}, '"a" is empty'),
        ({"a": X * np.nan}, '"a" is not finite'),
        ({"a": [X], "a.0": X}, '"a.0" twice'),
    ],
)
def test_what_cannot_be_compared_is_refused_and_nothing_is_written(tmp_path, returned, message):
    with pytest.raises(ParityError, match=message):
        record(lambda x: returned, {"x": X}, tmp_path / "r.safetensors")
    assert not list(tmp_path.iterdir())


def test_inputs_provenance_and_path_are_checked_before_the_call(tmp_path):
    def fn(**inputs):
        raise AssertionError

    path = tmp_path / "r.safetensors"
    with pytest.raises(ParityError, match='input "x" is of dtype <U1'):
        record(fn, {"x": np.array(["a"])}, path)
    with pytest.raises(ParityError, match='"a/b" holds a slash'):
        record(fn, {"a/b": {"x": X}}, path)
    with pytest.raises(ParityError, match="provenance cannot be written"):
        record(fn, {"x": X}, path, provenance={"model": object()})
    with pytest.raises(OutputError, match=r"call it reference\.safetensors"):
        record(fn, {"x": X}, tmp_path / "reference.npz")


# Texts


@pytest.fixture
def tokenizer(tmp_path):
    """A folder with the tokenizer of ten words, as a converted folder has one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "e", "f"]
    made = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_padding(length=40)  # a tokenizer's own settings do not matter
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    return folder


def test_texts_are_padded_and_a_tab_separates_a_pair(tokenizer):
    probe = text_probe(["a b", "c\td e", "f f f f f f f f f f"], tokenizer, 8)
    assert probe.depth == "fine"
    assert {array.dtype for array in probe.inputs.values()} == {np.dtype(np.int32)}
    np.testing.assert_array_equal(
        probe.inputs[IDS],
        [[2, 4, 5, 3, 0, 0, 0, 0], [2, 6, 3, 7, 8, 3, 0, 0], [2, 9, 9, 9, 9, 9, 9, 3]],
    )
    np.testing.assert_array_equal(probe.inputs[MASK].sum(1), [4, 6, 8])
    np.testing.assert_array_equal(probe.inputs[TYPES][1], [0, 0, 0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(text_probe(["a b"], tokenizer / "tokenizer.json", 8).inputs[IDS], [[2, 4, 5, 3]])


def test_what_is_wrong_with_texts_or_tokenizer_is_said(tokenizer, tmp_path):
    with pytest.raises(ParityError, match="there are no texts"):
        text_probe([], tokenizer, 8)
    with pytest.raises(ParityError, match=r"(?s)there is no .*tokenizer\.json.*tokenizer=FOLDER"):
        text_probe(["a"], tmp_path, 8)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ParityError, match="is not a tokenizer"):
        text_probe(["a"], tmp_path, 8)


def test_texts_of_a_checkpoint_replace_the_probes_of_random_tokens(built, tokenizer):
    made = record_checkpoint(built(meta=False).directory, texts=["a b", "c d\te"], tokenizer=tokenizer, float64=False)
    assert made.probes.keys() == {"texts", "sweep"}
    assert {"layer.1.query", "mlm_logits"} <= made.runs["float32"]["texts"].keys()
    with pytest.raises(ParityError, match="makes token 9, and the model has 8 rows"):
        record_checkpoint(built(meta=False, vocab=8).directory, texts=["f"], tokenizer=tokenizer)


# A checkpoint


def test_a_reference_says_what_it_is_of_and_no_path_of_this_machine(built, tmp_path):
    source = built()
    made = record_checkpoint(source.directory, tmp_path / "r.safetensors", seed=3)
    alike(read_reference(tmp_path / "r.safetensors"), made)
    assert set(made.runs) == {"graph", "float32", "float64"}
    with open_checkpoint(source.prefix) as checkpoint:
        assert made.provenance["fingerprint"] == fingerprint(checkpoint)
    expected = {"device", "tensorflow", "numpy", "bridgeckpt", "how", "settings"}
    assert made.provenance.keys() >= expected
    assert made.provenance.items() >= {
        ("checkpoint", "bert_model.ckpt"),
        ("dtype", "float32"),
        ("scope", ""),
        ("ema", False),
        ("seed", 3),
    }
    assert str(source.directory) not in json.dumps([made.provenance, made.notes])


def test_variables_are_named_by_role(built):
    made = record_checkpoint(built(meta=False).directory, float64=False)
    assert made.variables["layer.1.attention.kernel"] == "bert/encoder/layer_1/attention/output/dense/kernel"
    assert made.variables["mlm_logits.kernel"] == "bert/embeddings/word_embeddings"
    assert made.variables["nsp_logits.bias"] == "cls/seq_relationship/output_bias"
    assert made.variables["embeddings.gamma"] == "bert/embeddings/LayerNorm/gamma"


def test_the_same_seed_gives_the_same_reference_and_another_seed_does_not(built):
    source = built(meta=False).directory
    one, same, other = (record_checkpoint(source, float64=False, seed=seed) for seed in (1, 1, 2))
    alike(one, same)
    assert (one.probes["mixed"].inputs[IDS] != other.probes["mixed"].inputs[IDS]).any()


def test_without_tensorflow_the_way_out_is_said(built, monkeypatch):
    source = built(meta=False).directory
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # import tensorflow raises ImportError
    with pytest.raises(
        ParityError, match=r"(?s)needs TensorFlow.*pip install .bridgeckpt\[tensorflow\].*another machine"
    ):
        record_checkpoint(source)


@pytest.mark.slow
def test_what_is_no_tensorflow_checkpoint_is_refused(tmp_path):
    pytest.importorskip("tensorflow")
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"a": X}, tmp_path / "model.safetensors")
    with pytest.raises(ParityError, match="not a TensorFlow checkpoint"):
        record_checkpoint(tmp_path)
    with pytest.raises(CheckpointError):
        record_checkpoint(tmp_path / "absent")
    with pytest.raises(OutputError):
        record_checkpoint(tmp_path, tmp_path / "r.json")


def test_what_is_interrupted_while_it_is_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "reference.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half of the new")
        raise KeyboardInterrupt
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(path.name, b"old")]


def test_a_wrong_path_is_told_before_tensorflow_is_imported(tmp_path):
    script = """
import sys
from bridgeckpt import CheckpointError, record_checkpoint
try:
    record_checkpoint(sys.argv[1])
except CheckpointError as error:
    print(error, "tensorflow" in sys.modules)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "absent.ckpt")]
    assert "absent.ckpt does not exist False" in subprocess.run(command, capture_output=True, text=True).stdout


@pytest.mark.parametrize("level", [None, "3"])
def test_nothing_of_tensorflows_is_on_the_terminal(built, level):
    code = f"from bridgeckpt.parity.recording import record_checkpoint as r; r({str(built().directory)!r})"
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": level} if level else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
