"""SavedModels as references: hub modules of both TensorFlows, exports of one's own, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from forward_pass import agree

from bridgeckpt.errors import CheckpointError, ParityError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.fingerprint import fingerprint
from bridgeckpt.parity.bert import recording
from bridgeckpt.parity.bert.exported import LoadedModel
from bridgeckpt.parity.bert.own_graph import OwnGraph
from bridgeckpt.parity.bert.signatures import role_of, roles_of, stages_of
from bridgeckpt.parity.recording import record_checkpoint
from bridgeckpt.parity.reference.probes import IDS, MASK, TYPES, Probe
from bridgeckpt.parity.reference.reference import read_reference
from bridgeckpt.parity.tensorflow.nodes import UnusableGraph

tf = pytest.importorskip("tensorflow")

pytestmark = pytest.mark.slow

VOCAB, LENGTH, TOKENS, HIDDEN = 31, 20, 3, 6
GENERATOR = np.random.default_rng(7)


# Samples


def test_a_tf2_hub_module_is_run_by_its_own_functions_and_by_its_variables(samples, tmp_path):
    folder = samples / "golden" / "mg_hub_savedmodel"
    made = record_checkpoint(folder / "saved_model", tmp_path / "r.safetensors")
    assert read_reference(tmp_path / "r.safetensors").provenance == made.provenance
    stages = {*(f"layer.{at}.output" for at in range(3)), "pooler", "mlm_logits"}
    assert {name: set(kept) for name, kept in made.runs["graph"].items()} == {"mixed": stages, "long": stages}
    assert set(made.runs) == {"graph", "float32", "float64"}
    assert made.probes["long"].inputs[IDS].shape == (1, 48)
    assert made.probes["mixed"].inputs[IDS].max() < 120
    assert made.probes["mixed"].inputs[TYPES].max() == 1
    forward = "plain TensorFlow operations on the checkpoint's variables"
    assert made.provenance["how"] == f"the SavedModel's own functions: mlm, and {forward}"
    with open_checkpoint(folder / "saved_model" / "variables" / "variables") as checkpoint:
        assert made.provenance["fingerprint"] == fingerprint(checkpoint)

    golden = dict(np.load(folder / "golden.npz"))
    model = LoadedModel(tf, folder / "saved_model")
    assert [one.name for one in model.functions] == ["mlm", "__call__", "serving_default"]
    probe = Probe({name: golden[name].astype(np.int32) for name in (IDS, MASK, TYPES)})
    model.choose(probe)
    golden["hidden_states"] = np.stack([golden["layers"][0], *golden["layers"]])  # the embeddings are not returned
    found = model.run(probe)
    assert agree(found, golden, golden) == stages


def test_a_tf1_hub_module_is_run_as_a_graph_beside_a_checkpoint_is(samples):
    """Its names are google-research/bert's: all stages are found, and the forward pass computes the same."""
    folder = samples / "golden" / "t1_hub_module"
    made = record_checkpoint(folder / "module")
    assert made.provenance["how"].startswith("the graph in saved_model.pb, and plain TensorFlow operations")
    assert made.provenance["settings"]["heads"] == "4 (matches the graph)"
    assert made.notes == ()
    for probe in ("mixed", "long", "sweep"):
        assert made.runs["graph"][probe].keys() == made.runs["float64"][probe].keys()
        for stage, values in made.runs["graph"][probe].items():
            np.testing.assert_allclose(values, made.runs["float64"][probe][stage], atol=2e-5, err_msg=stage)


def test_the_functions_of_a_tf1_hub_module_compute_what_its_author_recorded(samples):
    folder = samples / "golden" / "t1_hub_module"
    golden = dict(np.load(folder / "golden.npz"))
    model = LoadedModel(tf, folder / "module")
    probe = Probe({name: golden[name].astype(np.int32) for name in (IDS, MASK, TYPES)})
    assert set(model.choose(probe)) == {"layer.2.output", "pooler", "mlm_logits"}
    found = model.run(probe)
    np.testing.assert_allclose(found["layer.2.output"], golden["sequence_output"], atol=3e-6)
    np.testing.assert_allclose(found["pooler"], golden["pooled_output"], atol=3e-6)
    np.testing.assert_allclose(found["mlm_logits"], golden["mlm_logits"], atol=1e-5)


@pytest.mark.parametrize(
    ("sample", "error", "message"),
    [
        ("basic-pitch-sm", ParityError, r"(cannot load|no function of) the SavedModel basic-pitch-sm"),
        ("bleurt-test-ckpt-snappy-indexonly", CheckpointError, "data-00000-of-00001 is missing"),
        ("hub-module-v1-mini", CheckpointError, "variables"),
    ],
)
def test_samples_that_cannot_be_run_are_refused_in_our_words(samples, sample, error, message):
    with pytest.raises(error, match=message):
        record_checkpoint(samples / "real" / sample)


# TensorFlow 1


def served(source, folder):
    """The checkpoint's graph exported as TensorFlow 1 served models."""
    tf1 = tf.compat.v1
    outputs = {
        "sequence_output": "bert/encoder/layer_1/output/LayerNorm/batchnorm/add_1:0",
        "pooled_output": "bert/pooler/dense/Tanh:0",
    }
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        tf1.train.import_meta_graph(f"{source.prefix}.meta").restore(session, str(source.prefix))
        inputs = {name: graph.get_tensor_by_name(f"{name}:0") for name in source.inputs}
        named = {name: graph.get_tensor_by_name(tensor) for name, tensor in outputs.items()}
        tf1.saved_model.simple_save(session, str(folder), inputs, named)
    return folder


@pytest.mark.parametrize("static", [False, True])
def test_a_served_graph_with_google_names_has_every_stage(built, tmp_path, static):
    folder = served(built(static=static), tmp_path / "served")
    for source in (folder, folder / "saved_model.pb", folder / "variables", folder / "variables" / "variables"):
        made = record_checkpoint(source, float64=source == folder)
        assert set(made.runs) == ({"graph", "float32", "float64"} if source == folder else {"graph", "float32"})
        assert {"embeddings", "layer.1.output", "pooler", "mlm_logits"} <= made.runs["graph"]["mixed"].keys()
        assert made.provenance["checkpoint"] == "served"
        assert made.provenance["format"] == "SavedModel"
        assert made.provenance["settings"]["heads"] == "3 (matches the graph)"
    assert str(tmp_path) not in json.dumps([made.provenance, made.notes])


def test_a_graph_that_cannot_be_cut_out_leaves_the_functions_and_the_forward_pass(built, tmp_path, monkeypatch):
    source = built(static=False)
    folder = served(source, tmp_path / "served")
    shutil.copy(source.directory / "bert_config.json", folder)
    found = record_checkpoint(folder)

    class Unusable(OwnGraph):
        def __init__(self, *given):
            raise UnusableGraph("there are two of them")

    monkeypatch.setattr(recording, "OwnGraph", Unusable)
    made = record_checkpoint(folder)
    assert set(made.runs) == {"graph", "float32", "float64"}
    assert made.runs["graph"]["mixed"].keys() == {"layer.1.output", "pooler"}
    assert "the graph in saved_model.pb was not run: there are two of them" in made.notes
    for probe, stages in made.runs["graph"].items():
        for stage, values in stages.items():
            np.testing.assert_allclose(values, found.runs["graph"][probe][stage], atol=1e-6)


def test_a_tf1_graph_with_names_of_its_own_is_run_by_its_signature(tmp_path):
    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        words = tf1.get_variable("tower/wte", (VOCAB, HIDDEN), initializer=tf1.random_normal_initializer())
        ids = tf1.placeholder(tf.int64, (4, LENGTH))
        mask = tf1.placeholder(tf.float32, (4, LENGTH))
        session.run(tf1.global_variables_initializer())
        states = tf.gather(words, ids) * mask[..., None]
        tf1.saved_model.simple_save(
            session, str(tmp_path / "own"), {"input_ids": ids, "input_mask": mask}, {"sequence_output": states}
        )
        table = session.run(words)
    made = record_checkpoint(tmp_path / "own")
    inputs = made.probes["mixed"].inputs
    assert not inputs[TYPES].any()
    expected = table[inputs[IDS]] * inputs[MASK][..., None]
    np.testing.assert_array_equal(made.runs["graph"]["mixed"]["last_hidden_state"], expected)
    assert set(made.probes) == {"mixed", "long"}
    assert made.provenance["how"] == "the SavedModel's own functions: serving_default"
    assert any("nothing says how many layers there are" in note for note in made.notes)


# TensorFlow 2


class Toy(tf.Module):
    """A model whose hidden states are easily computed; ``returns`` makes the outputs of them and of the pooled one."""

    def __init__(self, returns):
        super().__init__()
        self.returns = returns
        self.words = tf.Variable(GENERATOR.standard_normal((VOCAB, HIDDEN), np.float32), name="word_embeddings")
        self.places = tf.Variable(GENERATOR.standard_normal((LENGTH, HIDDEN), np.float32), name="position_embeddings")
        self.kinds = tf.Variable(GENERATOR.standard_normal((TOKENS, HIDDEN), np.float32), name="type_embeddings")
        self.wide = tf.Variable(GENERATOR.standard_normal((99, 99), np.float32), name="layer_1/kernel")

    def states(self, ids, mask, types):
        summed = tf.gather(self.words, ids) + tf.gather(self.kinds, types) + self.places[: tf.shape(ids)[1]]
        return [summed, summed * tf.cast(mask, tf.float32)[..., None] + tf.reduce_sum(self.wide) * 0]

    def run(self, ids, mask, types):
        return self.returns(self.states(ids, mask, types))


def spec(name=None, batch=None, length=None, dtype=tf.int32):
    return tf.TensorSpec((batch, length), dtype, name)


def hub():
    """A call with a dictionary, as hub modules have it, traced for training too."""

    def call(self, inputs, training=False):
        outputs = self.run(inputs["input_word_ids"], inputs["input_mask"], inputs["input_type_ids"])
        return tf.nest.map_structure(lambda value: value + 100, outputs) if training else outputs

    return call


NAMES = ("input_word_ids", "input_mask", "input_type_ids")


def full(states):
    return {
        "encoder_outputs": states,
        "sequence_output": states[-1],
        "pooled_output": tf.tanh(states[-1][:, 0]),
        "default": tf.tanh(states[-1][:, 0]),
        "attentions": states[0][:, :2],
    }


def test_a_call_with_a_dictionary_traced_for_training_first(tmp_path):
    class Model(Toy):
        pass

    toy = Model(full)
    call = tf.function(hub())
    Model.__call__ = call
    given = {name: spec(name) for name in NAMES}
    toy.__call__.get_concrete_function(given, True)
    toy.__call__.get_concrete_function(given, False)
    tf.saved_model.save(toy, str(tmp_path / "m"))
    made = record_checkpoint(tmp_path / "m")
    for name, probe in made.probes.items():
        expected = toy.states(*(probe.inputs[key] for key in (IDS, MASK, TYPES)))
        found = made.runs["graph"][name]
        assert found.keys() == {"layer.0.output", "layer.1.output", "pooler"}
        np.testing.assert_array_equal(found["layer.0.output"], probe.keep(expected[0].numpy()))
        np.testing.assert_array_equal(found["layer.1.output"], probe.keep(expected[1].numpy()))
        np.testing.assert_allclose(found["pooler"], np.tanh(expected[1].numpy()[:, 0]), atol=1e-6)
    assert made.probes["mixed"].inputs[IDS].max() < VOCAB
    assert made.probes["mixed"].inputs[TYPES].max() == TOKENS - 1
    assert made.probes["long"].inputs[IDS].shape == (1, LENGTH)
    assert any(
        "not recorded, for their names do not say which stage they are: attentions" in note for note in made.notes
    )
    assert made.provenance["dtype"] == "float32"


def test_hidden_states_bring_the_embeddings_and_with_them_the_sweep(tmp_path):
    class Model(Toy):
        @tf.function(input_signature=[spec("input_ids"), spec("attention_mask"), spec("token_type_ids")])
        def __call__(self, ids, mask, types):
            return self.run(ids, mask, types)

    toy = Model(lambda states: {"hidden_states": tf.stack(states), "logits": states[-1][:, 0], "loss": states[0]})
    tf.saved_model.save(toy, str(tmp_path / "m"))
    made = record_checkpoint(tmp_path / "m")
    assert made.runs["graph"]["mixed"].keys() == {"embeddings", "layer.0.output", "logits"}
    assert made.runs["graph"]["sweep"].keys() == {"embeddings"}
    sweep = made.probes["sweep"]
    expected = toy.states(*(sweep.inputs[key] for key in (IDS, MASK, TYPES)))[0].numpy()
    np.testing.assert_array_equal(made.runs["graph"]["sweep"]["embeddings"], sweep.keep(expected))


def test_a_list_of_three_of_fixed_sizes_returning_a_pair(tmp_path):
    class Model(Toy):
        @tf.function(input_signature=[[spec(None, 4, 16), spec(None, 4, 16), spec(None, 4, 16)]])
        def __call__(self, inputs):
            return self.run(*inputs)

    toy = Model(lambda states: [tf.tanh(states[-1][:, 0]), states[-1]])
    tf.saved_model.save(toy, str(tmp_path / "m"))
    made = record_checkpoint(tmp_path / "m")
    assert made.probes["long"].inputs[IDS].shape == (1, 16)
    for name, probe in made.probes.items():
        expected = toy.states(*(probe.inputs[key] for key in (IDS, MASK, TYPES)))[1].numpy()
        assert made.runs["graph"][name].keys() == {"layer.1.output", "pooler"}
        np.testing.assert_array_equal(made.runs["graph"][name]["layer.1.output"], probe.keep(expected))


def test_a_signature_names_what_the_call_does_not(tmp_path):
    class Model(Toy):
        @tf.function(input_signature=[spec("input_ids"), spec("attention_mask"), spec("token_type_ids")])
        def __call__(self, ids, mask, types):
            return self.run(ids, mask, types)["start_logits"]

        @tf.function(input_signature=[spec("input_ids"), spec("attention_mask"), spec("token_type_ids")])
        def serve(self, input_ids, attention_mask, token_type_ids):
            return self.run(input_ids, attention_mask, token_type_ids)

    toy = Model(lambda states: {"start_logits": states[-1][..., 0], "end_logits": states[-1][..., 1]})
    tf.saved_model.save(toy, str(tmp_path / "m"), signatures={"serving_default": toy.serve})
    made = record_checkpoint(tmp_path / "m")
    probe = made.probes["mixed"]
    expected = toy.states(*(probe.inputs[key] for key in (IDS, MASK, TYPES)))[1].numpy()[..., :2]
    np.testing.assert_array_equal(made.runs["graph"]["mixed"]["span_logits"], expected)
    assert made.provenance["how"] == "the SavedModel's own functions: serve"


def module(call, *specs):
    """A SavedModel of one function."""
    made = tf.Module()
    made.weight = tf.Variable(np.ones((VOCAB, HIDDEN), np.float32))
    made.__call__ = tf.function(lambda *given: call(made.weight, *given), input_signature=specs)
    return made


@pytest.mark.parametrize(
    ("call", "specs", "message"),
    [
        (lambda w, x: w * 0, [tf.TensorSpec((None,), tf.string, "text")], r"__call__ takes text \(string\)"),
        (lambda w, x: w, [tf.TensorSpec((None, 8, 8, 3), tf.float32, "image")], r"takes image \(float32\)"),
        (lambda w, x: w, [spec("input_ids")], r"token ids and their mask: .*takes input_ids \(int32\)"),
        (
            lambda w, x, m: tf.gather(w, x),
            [spec("input_ids"), spec("input_mask")],
            "no output has a name that says which stage it is: output_0",
        ),
        (
            lambda w, x, m: {"pooled_output": tf.gather(w, x)},
            [spec("input_ids"), spec("input_mask")],
            r"pooler is \[6, 12, 6\] there",
        ),
        (
            lambda w, x, m: {"sequence_output": tf.gather(w, x) / 0.0},
            [spec("input_ids"), spec("input_mask")],
            "not finite in TensorFlow",
        ),
    ],
)
def test_what_takes_no_tokens_or_returns_nothing_known_is_refused(tmp_path, call, specs, message):
    tf.saved_model.save(module(call, *specs), str(tmp_path / "m"))
    with pytest.raises(ParityError, match=message) as caught:
        record_checkpoint(tmp_path / "m", tmp_path / "r.safetensors")
    assert "bridgeckpt.record" in str(caught.value) or "not finite" in message
    assert not (tmp_path / "r.safetensors").exists()


@pytest.mark.parametrize(
    ("asked", "option"), [({"scope": "a"}, 'scope="a"'), ({"ema": True}, "ema=True"), ({"graph": False}, "graph=False")]
)
def test_what_needs_names_is_refused_where_there_are_none(tmp_path, asked, option):
    call = module(lambda w, x, m: {"sequence_output": tf.gather(w, x)}, spec("input_ids"), spec("input_mask"))
    tf.saved_model.save(call, str(tmp_path / "m"))
    with pytest.raises(ParityError, match=f"{option} needs variables"):
        record_checkpoint(tmp_path / "m", **asked)


# Names


def test_inputs_are_known_by_the_names_that_exporters_give_them():
    names = [
        "input_word_ids",
        "serving_default_input_mask:0",
        "tokens/segment_ids",
        "input_ids_1",
        "mlm_positions",
        "x",
    ]
    assert [role_of(name) for name in names] == [IDS, MASK, TYPES, IDS, "positions", None]
    assert roles_of(["inputs/0", "inputs/1", "inputs/2"]) == [IDS, MASK, TYPES]
    assert roles_of(["image", "boxes", "scores"]) == [None, None, None]
    assert roles_of(["", ""]) == [None, None]


def test_outputs_are_stages_by_name_and_rank():
    pooled, states = np.zeros((2, 3)), np.zeros((2, 4, 3))
    assert stages_of({"logits": pooled}, None)[0].keys() == {"logits"}
    assert stages_of({"logits": states}, None)[0].keys() == {"token_logits"}
    assert stages_of({"prediction_logits": states, "seq_relationship_logits": pooled}, None)[0].keys() == {
        "mlm_logits",
        "nsp_logits",
    }
    assert stages_of({"last_hidden_state": states}, 4)[0].keys() == {"layer.3.output"}
    assert stages_of({"last_hidden_state": states, "probabilities": pooled}, None) == (
        {"last_hidden_state": states},
        ["probabilities"],
    )
