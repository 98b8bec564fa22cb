"""Object graphs of TF2 checkpoints that real TensorFlow wrote: variables' own names, slots, names that several have."""

from __future__ import annotations

import numpy as np
import pytest
from tfwrite import save, tensorflow

import bridgeckpt
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.slots import Slot
from bridgeckpt.formats.tensorflow.objectgraph import OBJECT_GRAPH, parse_object_graph
from bridgeckpt.formats.tensorflow.wire import WireError

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def module(tf, **variables):
    """A trackable object with an attribute for each variable: (its own name, its value)."""
    made = tf.Module()
    for attribute, (name, value) in variables.items():
        setattr(made, attribute, tf.Variable(value, name=name))
    return made


@pytest.fixture
def written(tmp_path):
    """A checkpoint of a nested object, opened."""
    tf = tensorflow()
    inner = module(tf, kernel=("layer_0/query/kernel", np.arange(6.0).reshape(2, 3)), flag=("is_cased", np.array(True)))
    root = tf.train.Checkpoint(encoder=inner, step=tf.Variable(7, name="global_step"))
    return open_checkpoint(root.save(str(tmp_path / "ckpt")))


@pytest.mark.slow
def test_variables_have_their_own_names(written):
    assert written.variable_names == {
        f"encoder/kernel{SUFFIX}": "layer_0/query/kernel",
        f"encoder/flag{SUFFIX}": "is_cased",
        f"step{SUFFIX}": "global_step",
        f"save_counter{SUFFIX}": "save_counter",
    }
    view = written.by_variable()
    assert set(view.tensors) == {*written.variable_names.values(), OBJECT_GRAPH}
    np.testing.assert_array_equal(view.get_tensor("layer_0/query/kernel"), np.arange(6.0).reshape(2, 3))
    assert view.get_tensor("is_cased") == np.array(True)
    assert f"encoder/kernel{SUFFIX}" in written.tensors  # the checkpoint itself stays as it was


@pytest.mark.slow
def test_keys_with_a_slash_in_an_attribute_are_found_by_name(tmp_path):
    tf = tensorflow()
    root = tf.train.Checkpoint(**{"masked_lm/output_bias": tf.Variable([1.0, 2.0], name="cls/output_bias")})
    checkpoint = open_checkpoint(root.save(str(tmp_path / "ckpt")))
    assert f"masked_lm.Soutput_bias{SUFFIX}" in checkpoint.tensors
    np.testing.assert_array_equal(checkpoint.by_variable().get_tensor("cls/output_bias"), [1.0, 2.0])


@pytest.mark.slow
def test_a_name_that_two_variables_have_is_the_first_ones(tmp_path):
    tf = tensorflow()
    root = tf.train.Checkpoint(
        a=tf.Variable([1.0, 2.0], name="w"), b=tf.Variable([1.0, 3.0], name="w"), c=tf.Variable([1.0], name="w")
    )
    view = open_checkpoint(root.save(str(tmp_path / "ckpt"))).by_variable()
    np.testing.assert_array_equal(view.get_tensor("w"), [1.0, 2.0])
    assert view.copies == {f"b{SUFFIX}": "w"}  # c is of another shape: another variable for sure
    assert set(view.tensors) >= {"w", f"b{SUFFIX}", f"c{SUFFIX}"}


@pytest.mark.slow
def test_a_name_that_is_another_tensors_key_is_not_taken(tmp_path):
    tf = tensorflow()
    tf.train.Checkpoint(a=tf.Variable([1.0], name=OBJECT_GRAPH)).write(str(tmp_path / "ckpt"))
    view = open_checkpoint(tmp_path / "ckpt").by_variable()
    assert set(view.tensors) == {f"a{SUFFIX}", OBJECT_GRAPH}


@pytest.mark.slow
def test_a_tf1_checkpoint_is_its_own_view(tmp_path):
    checkpoint = open_checkpoint(save(tmp_path / "ckpt", {"bert/w": np.float32([1])}))
    assert checkpoint.by_variable() is checkpoint
    assert checkpoint.slots == {}


@pytest.mark.slow
def test_a_damaged_object_graph_is_told(tmp_path):
    prefix = save(tmp_path / "ckpt", {OBJECT_GRAPH: b"\x0a\xff\xff", "w": np.float32([1])})
    with pytest.raises(bridgeckpt.CheckpointError, match="its object graph"):
        open_checkpoint(prefix).by_variable()


@pytest.mark.parametrize("proto", [b"\x0a\x05ab", b"\xff" * 11, b"\x0a\x06\x12\x04\x1a\x02\xff\xfe"])
def test_bytes_that_are_no_object_graph(proto):
    with pytest.raises((WireError, UnicodeDecodeError)):
        parse_object_graph(proto)


def test_references_to_nodes_that_are_not_there_are_passed_over():
    reference = b"\x0a\x06\x1a\x04\x08\x07\x18\x09"  # a slot of node 7 in node 9, in a graph of one node
    assert parse_object_graph(reference).slots == {}


@pytest.mark.slow
def test_slots_are_under_the_names_of_the_view(tmp_path):
    tf = tensorflow()
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    for key, name in (("k1", "dense/kernel"), ("k2", "Adam/dense/kernel/m")):
        graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name=name, checkpoint_key=key)
    graph.nodes.add().slot_variables.add(original_variable_node_id=0, slot_name="m", slot_variable_node_id=1)
    tensors = {"k1": np.float32([1]), "k2": np.float32([2])}
    checkpoint = open_checkpoint(
        save(tmp_path / "ckpt", {OBJECT_GRAPH: tf.constant(graph.SerializeToString()), **tensors})
    )
    assert checkpoint.slots == {"k2": Slot("k1", "m")}
    assert checkpoint.by_variable().slots == {"Adam/dense/kernel/m": Slot("dense/kernel", "m")}
