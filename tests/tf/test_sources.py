"""A graph of google-research/bert, warm-started from every kind of source, computes what the source's code computed.

The sources are the fixtures that third-party code wrote, with the outputs of that code beside them: what stands in the
variables after a warm start is proven without a word of ours.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from paths import FIXTURES
from warm import assert_equal, graph_for, session, values

import bridgeckpt
from bridgeckpt.tf import WarmStartHook, assign, get_assignment_map_from_checkpoint, init_from_checkpoint, scaffold_fn

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

pytestmark = pytest.mark.slow

TOLERANCE = 3e-5  # as everywhere: float32 in another order of operations
# One of each kind of file and each code base. (`tests/warmstart/test_tables.py` has the tensors of all of them.)
CASES = [
    "hub_tf1_serving",  # a SavedModel of TF1
    "hub_tf1_module",
    "hub_tf2_module",
    "hf200_pretraining",  # tf_model.h5
    "hf440_question_answering",  # shards of it
    "hf440_safetensors",  # names of TensorFlow in safetensors
    "mg19_classifier",
    "mg23_encoder",
    "mg_classifier",  # an object graph
    "mg_span_labeler",
    "mg_pretrainer_v2",
    "tfkeras_pretrainer",  # .weights.h5
    "kerashub_backbone",
    "kerashub_archive",  # .keras
    "kerasbert_whole",
    "bft2_checkpoint",
]
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture(autouse=True)
def in_a_graph():
    with tf.Graph().as_default():
        yield


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """``cases(name)``: the path of a fixture, the folder that it is converted to, its inputs and outputs."""
    made = {}

    def make(name):
        if name not in made:
            case = json.loads((FIXTURES / name / "case.json").read_text())
            source = FIXTURES / name / case["source"]
            folder = tmp_path_factory.mktemp("hf") / name
            bridgeckpt.convert(source, folder, **case["options"])
            made[name] = source, folder, dict(np.load(FIXTURES / name / "golden.npz"))
        return made[name]

    return make


def train_a_step(outputs, opened, feed):
    """Run a real optimizer once and return by how much the loss fell."""
    loss = sum(tf.reduce_mean(tf.square(outputs[name])) for name in sorted(outputs))
    known = set(tf1.global_variables())
    step = tf1.train.AdamOptimizer(1e-3).minimize(loss)
    opened.run([variable.initializer for variable in tf1.global_variables() if variable not in known])
    before = opened.run(loss, feed)
    opened.run(step, feed)
    return before - opened.run(loss, feed)


def assert_computes(outputs, opened, feed, golden):
    compared = 0
    for name, expected in golden.items():
        if name in INPUTS or name not in outputs:
            continue
        found = opened.run(outputs[name], feed)
        mask = golden["attention_mask"].astype(bool)
        if found.shape[:2] == mask.shape:  # what stands at padding is nobody's promise
            found, expected = found[mask], expected[mask]
        elif found.ndim == 4:
            found, expected = found[:, mask], expected[:, mask]
        np.testing.assert_allclose(found, expected, atol=TOLERANCE * max(1, np.abs(expected).max()), rtol=0)
        compared += 1
    assert compared


@pytest.mark.parametrize(
    ("name", "converted"),
    [*((name, False) for name in CASES), *((name, True) for name in ("hub_tf1_module", "mg_span_labeler"))],
)
def test_the_graph_computes_what_the_source_computed_and_trains(cases, name, converted):
    source, folder, golden = cases(name)
    inputs, outputs = graph_for(folder)
    path = folder if converted else source
    found, initialized = get_assignment_map_from_checkpoint(tf1.trainable_variables(), path)
    left = [variable.name for variable in tf1.trainable_variables() if variable.name not in initialized]
    # Some sources have no pooler, and every graph here has; some have no head that their conversion fills with zeros.
    assert all("pooler" in one or "seq_relationship" in one for one in left)
    init_from_checkpoint(path, found)
    with session(tf) as opened:
        feed = {inputs[key]: golden[key] for key in inputs}
        assert_computes(
            outputs,
            opened,
            feed,
            {key: golden[key] for key in golden if not (any("pooler" in one for one in left) and "pool" in key)},
        )
        assert train_a_step(outputs, opened, feed) > 0


WAYS = {
    "init_from_checkpoint": lambda path, tvars: init_from_checkpoint(
        path, get_assignment_map_from_checkpoint(tvars, path)[0]
    ),
    "scaffold_fn": lambda path, tvars: scaffold_fn(path)(),
    "hook": lambda path, tvars: WarmStartHook(path),
    "assign": lambda path, tvars: lambda opened: assign(tvars, path, session=opened),
}


@pytest.mark.parametrize(("resource", "partitions"), [(False, None), (True, 2)], ids=["ref", "resource-parts"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_sets_the_same(cases, way, resource, partitions):
    source, folder, _ = cases("mg_classifier")
    graph_for(folder, resource=resource, partitions=partitions)
    tf1.train.get_or_create_global_step()
    made = WAYS[way](source, tf1.trainable_variables())
    hooks = [made] if way == "hook" else []
    scaffold = made if way == "scaffold_fn" else None
    with tf1.train.MonitoredTrainingSession(hooks=hooks, scaffold=scaffold, log_step_count_steps=None) as opened:
        assert tf1.get_default_graph().finalized
        raw = opened._tf_sess()
        if way == "assign":
            made(raw)
        found = values(tf, raw)
    # The same through PyTorch's names, whose tensors transformers would load.
    state = bridgeckpt.load_state_dict(source)
    expected = {
        "bert/embeddings/word_embeddings": state["bert.embeddings.word_embeddings.weight"],
        "bert/encoder/layer_1/attention/self/key/kernel": state["bert.encoder.layer.1.attention.self.key.weight"].T,
        "bert/encoder/layer_1/output/dense/bias": state["bert.encoder.layer.1.output.dense.bias"],
        "output_weights": state["classifier.weight"],
    }
    assert_equal({name: found[name] for name in expected}, expected)
    assert not any(np.isnan(value).any() for value in found.values())


def test_what_is_decoded_into_a_temporary_file_is_there_when_it_is_read(cases, tmp_path):
    """Of compressed HDF5; nobody holds the checkpoint but the initialisers."""
    import gc

    import h5py

    source, folder, golden = cases("hf200_pretraining")
    with h5py.File(source / "tf_model.h5") as whole, h5py.File(tmp_path / "tf_model.h5", "w") as packed:
        packed.attrs.update(whole.attrs)

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                packed.create_dataset(name, data=item[()], compression="gzip", chunks=True if item.shape else None)
            else:
                packed.require_group(name).attrs.update(item.attrs)

        whole.visititems(copy)
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    inputs, outputs = graph_for(folder)
    found, _ = get_assignment_map_from_checkpoint(tf1.trainable_variables(), tmp_path)
    init_from_checkpoint(tmp_path, found)
    gc.collect()
    with session(tf) as opened:
        assert_computes(outputs, opened, {inputs[key]: golden[key] for key in inputs}, golden)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_values_are_converted_to_the_dtype_of_their_variable(cases, dtype):
    source, folder, _ = cases("mg_classifier")
    with tf1.variable_scope("bert/pooler/dense"):
        tf1.get_variable("kernel", (24, 24), dtype)
    with tf1.variable_scope("bert/encoder/layer_0/attention/output/LayerNorm"):  # tells the dialect
        tf1.get_variable("gamma", (24,), dtype)
    init_from_checkpoint(folder, {"bert/pooler/dense/kernel": "bert/pooler/dense/kernel"})
    with session(tf) as opened:
        found = values(tf, opened)["bert/pooler/dense/kernel"]
    expected = bridgeckpt.load_state_dict(source)["bert.pooler.dense.weight"].T.astype(found.dtype)
    assert_equal({"kernel": found}, {"kernel": expected})
    assert found.dtype.name == dtype
