"""Frozen graphs: which constants are weights, their names and values, and what is refused."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tffreeze
import tfwrite
from paths import FIXTURES

import bridgeckpt
from bridgeckpt.errors import CheckpointError, ConfigError, PlanError
from bridgeckpt.formats import open_checkpoint

if TYPE_CHECKING:
    from tfbert import Built

pytestmark = pytest.mark.slow

CHANGES: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda graph: graph,
    "without reads": tffreeze.without_reads,
    "folded": tffreeze.folded,
}


@pytest.fixture(scope="module")
def frozen(built: Callable[..., Built]) -> Any:
    """The frozen graph of a BERT for pretraining."""
    return tffreeze.freeze(built().prefix)


def equal(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.dtype == expected.dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("slots", [None, "adam"])
def test_the_weights_are_those_of_the_checkpoint(built, tmp_path, change, slots):
    source = built(slots=slots, dropout=True)
    path = tffreeze.write(tmp_path / "frozen.pb", CHANGES[change](tffreeze.freeze(source.prefix)))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "frozen graph"
        wanted = {name for name in source.variables if "Adam" not in name and "_power" not in name} - {"global_step"}
        if change == "folded":  # with the slice that the graph takes of it
            wanted.remove("bert/embeddings/position_embeddings")
        assert set(checkpoint) == wanted
        for name in wanted:
            assert equal(checkpoint.get_tensor(name), source.variables[name])


@pytest.mark.parametrize("change", ["as it is", "without reads"])
def test_resource_variables(built, tmp_path, change):
    source = built(resource=True)
    path = tffreeze.write(tmp_path / "frozen.pb", CHANGES[change](tffreeze.freeze(source.prefix)))
    checkpoint = open_checkpoint(path)
    assert set(checkpoint) == set(source.variables)
    assert all(equal(checkpoint.get_tensor(name), value) for name, value in source.variables.items())


@pytest.mark.parametrize("change", ["as it is", "without reads"])
def test_partitioned_variables_are_joined(built, tmp_path, change):
    source = built(partitions=2)
    path = tffreeze.write(tmp_path / "frozen.pb", CHANGES[change](tffreeze.freeze(source.prefix)))
    checkpoint = open_checkpoint(path)
    assert set(checkpoint) == set(source.variables)
    assert any(len(info.extents) == 2 for info in checkpoint.tensors.values())
    assert all(equal(checkpoint.get_tensor(name), value) for name, value in source.variables.items())
    bridgeckpt.convert(path, tmp_path / "a")
    bridgeckpt.convert(source.prefix, tmp_path / "b")
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    if change == "as it is":
        assert bridgeckpt.record_checkpoint(path).provenance["how"].startswith("the graph in frozen.pb, and plain")


def test_conversion_gives_what_the_checkpoint_gives(built, frozen, tmp_path):
    source = built()
    path = tffreeze.write(tmp_path / "frozen.pb", frozen)
    bridgeckpt.convert(source.prefix, tmp_path / "a")
    done = bridgeckpt.convert(path, tmp_path / "b")
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    assert done.plan.architecture.name == "BertForPreTraining"
    for key in ("hidden_act", "layer_norm_eps"):
        assert "read from the graph" in str(done.plan.configuration.provenance[key])
    assert done.plan.sizes.values["num_attention_heads"] == source.spec.heads


def test_a_folder_and_what_is_beside_it(built, frozen, tmp_path):
    tffreeze.write(tmp_path / "frozen.pb", frozen)
    (tmp_path / "vocab.txt").write_bytes((built().directory / "vocab.txt").read_bytes())
    assert bridgeckpt.plan(tmp_path).vocabulary is not None
    tffreeze.write(tmp_path / "other.pb", frozen)
    with pytest.raises(CheckpointError, match=r"holds frozen\.pb, other\.pb"):
        open_checkpoint(tmp_path)


def test_the_graph_itself_is_recorded(frozen, tmp_path):
    path = tffreeze.write(tmp_path / "frozen.pb", frozen)
    bridgeckpt.convert(path, tmp_path / "out")
    reference = bridgeckpt.record_checkpoint(path)
    assert reference.provenance["how"].startswith("the graph in frozen.pb, and plain")
    assert "mlm_logits" in reference.runs["graph"]["mixed"]
    assert bridgeckpt.verify(reference, tmp_path / "out", device="cpu").passed


def test_layers_that_the_outputs_do_not_need(built, tmp_path):
    """A graph frozen up to a layer before the last, beside the whole model's config, as services of embeddings do."""
    source = built(layers=3)
    output = "bert/encoder/layer_1/output/LayerNorm/batchnorm/add_1"
    path = tffreeze.write(tmp_path / "frozen.pb", tffreeze.freeze(source.prefix, (output,)))
    config = tmp_path / "bert_config.json"
    config.write_text(json.dumps(source.spec.bert_config))
    done = bridgeckpt.convert(path, tmp_path / "out", architecture="BertModel")
    assert done.plan.configuration.values["num_hidden_layers"] == 2
    said = "num_hidden_layers = 3 in bert_config.json, but frozen.pb has 2, and 2 is written"
    assert sum(said in warning for warning in done.plan.warnings) == 1
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model, found = transformers.BertModel.from_pretrained(
        tmp_path / "out", add_pooling_layer=False, output_loading_info=True
    )
    assert not found["missing_keys"] and not found["unexpected_keys"]
    inputs = {name: source.inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    computed = model(**{name: torch.from_numpy(value).long() for name, value in inputs.items()})[0]
    wanted = source.outputs["hidden_states"][2]
    kept = source.inputs["attention_mask"].astype(bool)
    np.testing.assert_allclose(computed.detach().numpy()[kept], wanted[kept], atol=2e-5)
    assert bridgeckpt.verify(bridgeckpt.record_checkpoint(path), tmp_path / "out", device="cpu").passed
    reference = bridgeckpt.record_checkpoint(path, graph=False)
    assert any("2 layers are run, all that the frozen graph has" in note for note in reference.notes)
    # Everything else that contradicts the config is still a problem, and so are more layers than it states.
    for key, value in (("num_hidden_layers", 1), ("hidden_size", 48)):
        config.write_text(json.dumps({**source.spec.bert_config, key: value}))
        with pytest.raises(PlanError, match="the config of another checkpoint"):
            bridgeckpt.plan(path, architecture="BertModel")
        with pytest.raises(ConfigError, match=f"its {key} is {value}"):
            bridgeckpt.record_checkpoint(path)


def test_lists_of_numbers(frozen, tmp_path):
    """Constants as ``float_val``: whole, one number for all, the last one repeated, and none for zeros."""
    graph = type(frozen)()
    graph.CopyFrom(frozen)
    for number, node in enumerate(tffreeze.weights(graph)):
        tensor = node.attr["value"].tensor
        listed = np.frombuffer(tensor.tensor_content, "<f4")
        tensor.tensor_content = b""
        tensor.float_val.extend((listed, listed[:1], listed[: len(listed) // 2], listed[:0])[number % 4].tolist())
    path, expected = tffreeze.write(tmp_path / "frozen.pb", graph), tffreeze.values(graph)
    checkpoint = open_checkpoint(path)
    assert all(equal(checkpoint.get_tensor(name), expected[name]) for name in checkpoint)
    again = pickle.loads(pickle.dumps(checkpoint))
    assert all(equal(again.get_tensor(name), expected[name]) for name in checkpoint)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes(frozen, tmp_path, dtype, listed):
    tf = tfwrite.tensorflow()
    graph = type(frozen)()
    graph.CopyFrom(frozen)
    for node in tffreeze.weights(graph):
        value = tf.make_ndarray(node.attr["value"].tensor).astype(tf.as_dtype(dtype).as_numpy_dtype)
        node.attr["dtype"].type = tf.as_dtype(dtype).as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        tensor = node.attr["value"].tensor
        if listed and dtype == "float64":
            tensor.double_val.extend(value.ravel().tolist())
        elif listed:
            tensor.half_val.extend(value.view(np.uint16).ravel().tolist())
        if listed:
            tensor.tensor_content = b""
    path, expected = tffreeze.write(tmp_path / "frozen.pb", graph), tffreeze.values(graph)
    checkpoint = open_checkpoint(path)
    assert len(checkpoint) == 46
    assert all(equal(checkpoint.get_tensor(name), expected[name]) for name in checkpoint)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_settings_in_a_graph_of_16_bits(built, frozen, tmp_path, dtype, listed):
    """clip-as-service freezes so. A gelu whose constants were not understood would be read as tanh."""
    tf = tfwrite.tensorflow()
    narrow, graph = tf.as_dtype(dtype), type(frozen)()
    graph.CopyFrom(frozen)
    for node in graph.node:
        for attribute in node.attr.values():
            if attribute.type == tf.float32.as_datatype_enum:
                attribute.type = narrow.as_datatype_enum
        if node.op == "Const" and node.attr["value"].tensor.dtype == tf.float32.as_datatype_enum:
            value = tf.make_ndarray(node.attr["value"].tensor).astype(narrow.as_numpy_dtype)
            tensor = node.attr["value"].tensor
            tensor.CopyFrom(tf.make_tensor_proto(value))
            if listed:
                tensor.tensor_content = b""
                tensor.half_val[:] = value.view(np.uint16).ravel().tolist()
            else:
                del tensor.half_val[:]
                tensor.tensor_content = value.tobytes()
    planned = bridgeckpt.plan(tffreeze.write(tmp_path / "frozen.pb", graph))
    assert planned.graph.values["hidden_act"] == "gelu_pytorch_tanh"
    assert planned.graph.values["num_attention_heads"] == built().spec.heads
    assert "layer_norm_eps" not in planned.graph.values or dtype == "bfloat16"  # float16 has no 1e-12


def test_a_gelu_with_another_constant_is_no_gelu(built, frozen, tmp_path):
    graph = type(frozen)()
    graph.CopyFrom(frozen)
    for node in graph.node:
        tensor = node.attr["value"].tensor if node.op == "Const" else None
        if tensor is not None and list(tensor.float_val) and abs(tensor.float_val[0] - 0.044715) < 1e-4:
            node.attr["value"].tensor.float_val[:] = [0.05]
    path = tffreeze.write(tmp_path / "frozen.pb", graph)
    with pytest.raises(PlanError, match="no config describes; the nearest is gelu_pytorch_tanh"):
        bridgeckpt.plan(path)
    planned = bridgeckpt.plan(path, hidden_act="gelu")
    assert any("the graph computes something else" in warning for warning in planned.warnings)


def test_constants_that_are_no_weights_are_left_out(tmp_path):
    tf = tfwrite.tensorflow()
    tf1 = tf.compat.v1
    with tf1.Graph().as_default() as graph, tf1.Session() as session:
        ids = tf1.placeholder(tf.int32, [None], "ids")
        words = tf1.get_variable("words", [5, 4], use_resource=False)
        waves = tf.constant(np.ones([5, 4], "f"), name="waves")
        tf1.get_variable("step", [], tf.int64, trainable=False, use_resource=False)
        x = tf.gather(words, ids) + tf.gather(waves, ids) + tf.ones([1, 4]) + tf.constant([1.0, 2, 3, 4])
        tf.identity(x * 2.0, "out")
        tf.strings.join([tf.constant(["a"]), "b"], name="text")
        session.run(tf1.global_variables_initializer())
        frozen = tf1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["out", "text"])
        assert set(open_checkpoint(tffreeze.write(tmp_path / "a.pb", frozen))) == {"words"}
        bare = tffreeze.without_reads(frozen, ("out", "text"))
    # Nothing tells any more which of two named tables was a variable: both are shown, and none is dropped in silence.
    assert set(open_checkpoint(tffreeze.write(tmp_path / "b.pb", bare))) == {"words", "waves"}


def test_tensorflow_2_names_constants_after_operations(tmp_path):
    tf = tfwrite.tensorflow()
    keras = pytest.importorskip("tf_keras")
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    layers = keras.layers
    ids = keras.Input([None], dtype="int32")
    x = layers.LayerNormalization(name="norm", epsilon=1e-12)(layers.Embedding(11, 8, name="words")(ids))
    x = layers.LayerNormalization(name="fused")(layers.Dense(8, name="dense")(x))
    x = layers.EinsumDense("abc,cde->abde", output_shape=(None, 4, 2), bias_axes="de", name="key")(x)
    model = keras.Model(ids, x, name="model")
    for weight in model.weights:
        weight.assign(tf.random.normal(weight.shape))
    function = tf.function(model).get_concrete_function(tf.TensorSpec([None, None], tf.int32))
    graph = convert_variables_to_constants_v2(function).graph.as_graph_def()
    checkpoint = open_checkpoint(tffreeze.write(tmp_path / "frozen.pb", graph))
    assert "have the names of the operations that read them" in checkpoint.notes[0]
    expected = {f"model/{weight.name.removesuffix(':0')}": weight.numpy() for weight in model.weights}
    assert set(checkpoint) == set(expected)
    assert all(equal(checkpoint.get_tensor(name), value) for name, value in expected.items())


def freeze_saved_model(folder: Path, path: Path) -> Path:
    """A SavedModel of TensorFlow 2 frozen as its guide says: loaded, and its signature turned into constants."""
    tf = tfwrite.tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = tf.saved_model.load(str(folder))
    function = loaded.signatures["serving_default"]
    return tffreeze.write(path, convert_variables_to_constants_v2(function).graph.as_graph_def())


def test_a_saved_model_of_tensorflow_2_that_was_frozen(tmp_path):
    """Its constants are called unknown_0, unknown_1, ...; the operations that read them say what they are."""
    source = FIXTURES / "hub_tf2_classifier" / "source"
    path = freeze_saved_model(source, tmp_path / "frozen.pb")
    bridgeckpt.convert(path, tmp_path / "out", architecture="BertForSequenceClassification")
    difference = bridgeckpt.diff(source, tmp_path / "out")
    assert difference.identical
    reference = bridgeckpt.record_checkpoint(path)
    assert reference.provenance["how"].startswith("the graph in frozen.pb, and plain")
    assert bridgeckpt.verify(reference, tmp_path / "out", device="cpu").passed


def test_names_that_do_not_follow_are_the_reason_to_refuse(tmp_path):
    source = FIXTURES / "hub_transformers" / "source" / "saved_model" / "1"
    path = freeze_saved_model(source, tmp_path / "frozen.pb")
    assert {"bert/embeddings/Gather", "bert/embeddings/Gather_1", "bert/pooler/dense/kernel"} <= set(
        open_checkpoint(path)
    )
    with pytest.raises(PlanError) as refused:
        bridgeckpt.plan(path)
    assert "constants in frozen.pb have names of operations, as TensorFlow 2 freezes" in str(refused.value.hint)


def test_weights_lost_to_an_optimizer_of_graphs_are_the_reason_to_refuse(frozen, tmp_path):
    path = tffreeze.write(tmp_path / "folded.pb", tffreeze.folded(frozen))
    with pytest.raises(PlanError) as refused:
        bridgeckpt.plan(path)
    assert "bert/embeddings/position_embeddings" in refused.value.message
    assert "folded.pb was optimized after it was frozen: bert/embeddings/" in str(refused.value)
    assert "NEZHA" not in str(refused.value)


def test_a_frozen_saved_model(built, frozen, tmp_path):
    tf = tfwrite.tensorflow()
    tf1 = tf.compat.v1
    with tf1.Graph().as_default() as graph, tf1.Session() as session:
        tf.import_graph_def(frozen, name="")
        builder = tf1.saved_model.Builder(str(tmp_path / "model"))
        outputs = {"out": graph.get_tensor_by_name(f"{tffreeze.OUTPUTS[0]}:0")}
        signature = tf1.saved_model.predict_signature_def({"ids": graph.get_tensor_by_name("input_ids:0")}, outputs)
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    for path in (tmp_path / "model", tmp_path / "model/saved_model.pb"):
        checkpoint = open_checkpoint(path)
        assert checkpoint.format == "frozen SavedModel"
        assert all(equal(checkpoint.get_tensor(name), value) for name, value in built().variables.items())
    assert bridgeckpt.plan(path).architecture.name == "BertForPreTraining"


def test_a_frozen_graph_under_the_name_of_a_saved_model(frozen, tmp_path):
    tffreeze.write(tmp_path / "saved_model.pb", frozen)
    for path in (tmp_path, tmp_path / "saved_model.pb"):
        assert len(open_checkpoint(path)) == 46
        assert bridgeckpt.plan(path).graph is not None


def test_a_graph_of_which_a_part_was_frozen(built, tmp_path):
    tf1 = tfwrite.tensorflow().compat.v1
    left = "bert/embeddings/word_embeddings"
    with tf1.Graph().as_default() as graph, tf1.Session() as session:
        tf1.train.import_meta_graph(f"{built().prefix}.meta").restore(session, str(built().prefix))
        frozen = tf1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), list(tffreeze.OUTPUTS), variable_names_blacklist=[left]
        )
    path = tffreeze.write(tmp_path / "frozen.pb", frozen)
    assert len(open_checkpoint(path)) == 45
    with pytest.raises(PlanError, match=left) as refused:
        bridgeckpt.plan(path)
    assert f"was not frozen as a whole: the values of 1 variables ({left}, ...)" in str(refused.value)


def test_no_constant_hides_another_of_the_same_variable(tmp_path):
    """What several reads of a variable became, and one with the variable's own name."""
    tf = tfwrite.tensorflow()
    graph = tf.compat.v1.GraphDef()
    names = (
        "d/MatMul/ReadVariableOp",
        "d/MatMul_1/ReadVariableOp",
        "d/kernel/read",
        "e/BiasAdd/ReadVariableOp",
        "e/bias",
    )
    for number, name in enumerate(names):
        node = graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = 1
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.full([2, 2], number, "f")))
    graph.node.add(name="e/bias/read", op="Identity", input=["e/bias"])
    checkpoint = open_checkpoint(tffreeze.write(tmp_path / "frozen.pb", graph))
    assert sorted(checkpoint.get_tensor(name)[0, 0] for name in checkpoint) == [0, 1, 2, 3, 4]
    assert checkpoint.get_tensor("e/bias")[0, 0] == 4


def test_constants_without_names_have_those_of_their_reads(built, frozen, tmp_path):
    graph = type(frozen)()
    graph.CopyFrom(frozen)
    names = {node.name: f"Const_{1000 + number}" for number, node in enumerate(tffreeze.weights(graph))}
    names = {name: new for name, new in names.items() if name in built().variables}
    for node in graph.node:
        node.name = names.get(node.name, node.name)
        node.input[:] = [names.get(name, name) for name in node.input]
    checkpoint = open_checkpoint(tffreeze.write(tmp_path / "frozen.pb", graph))
    assert (len(names), checkpoint.notes, checkpoint.gaps) == (46, (), None)
    assert all(equal(checkpoint.get_tensor(name), value) for name, value in built().variables.items())


def test_a_kernel_that_a_tool_transposed_is_not_taken_for_itself(frozen, tmp_path):
    """A square one has the same shape. The table of tokens, which the masked LM transposes, is no kernel."""
    tf = tfwrite.tensorflow()
    graph = type(frozen)()
    graph.CopyFrom(frozen)
    kernel = "bert/encoder/layer_1/attention/self/key/kernel"
    constant = next(node for node in graph.node if node.name == kernel)
    value = tf.make_ndarray(constant.attr["value"].tensor)
    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.T.copy()))
    product = next(node for node in graph.node if node.op == "MatMul" and f"{kernel}/read" in node.input)
    product.attr["transpose_b"].b = True
    path = tffreeze.write(tmp_path / "frozen.pb", graph)
    assert f"{path} was changed after it was frozen: {kernel} is stored transposed, and {product.name}" in refusal(path)


def test_a_scale_that_a_tool_folded_into_the_queries_is_the_reason_to_refuse(built, frozen, tmp_path):
    tf = tfwrite.tensorflow()
    graph = type(frozen)()
    graph.CopyFrom(frozen)
    scale = np.float32((built().spec.hidden / built().spec.heads) ** -0.5)
    passed = {}
    for node in graph.node:
        if "/attention/self/query/" in node.name and node.op == "Const" and node.name in built().variables:
            folded = tf.make_ndarray(node.attr["value"].tensor) * scale
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(folded))
        if node.op in {"Mul", "RealDiv"} and any("MatMul" in name for name in node.input):
            passed.update({node.name: node.input[0]} if "/attention/self/" in node.name else {})
    for node in graph.node:
        node.input[:] = [passed.get(name, name) for name in node.input]
    assert len(passed) == built().spec.layers
    with pytest.raises(PlanError, match=r"computes it from softmax\(\S+/query x \S+/key \+ mask\)"):
        bridgeckpt.plan(tffreeze.write(tmp_path / "frozen.pb", graph))


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(path)
    return str(refused.value)


def test_what_is_refused(built, frozen, tmp_path):
    graph = type(frozen)()
    graph.CopyFrom(frozen)
    graph.node.add(name="bert/words_dequantized", op="Dequantize")
    path = tffreeze.write(tmp_path / "q.pb", graph)
    assert "is a quantized graph: 1 of its operations round weights" in refusal(path)
    tf1 = tfwrite.tensorflow().compat.v1
    with tf1.Graph().as_default() as whole:
        tf1.train.import_meta_graph(f"{built().prefix}.meta")
    path = tffreeze.write(tmp_path / "g.pb", whole.as_graph_def())
    assert f"{path} is a graph without weights: the values of its 46 variables (bert/" in refusal(path)
    path = tmp_path / "cut.pb"
    path.write_bytes(frozen.SerializeToString()[:-1000])
    assert f"{path} is damaged, or is no frozen graph" in refusal(path)
    from google.protobuf import text_format

    path = tmp_path / "frozen.pbtxt"
    path.write_text(text_format.MessageToString(frozen))
    said = refusal(path)
    assert "is a TensorFlow graph as text (.pbtxt)" in said
    assert "text_format.Parse(text, tf.compat.v1.GraphDef()).SerializeToString()" in said
    again = text_format.Parse(path.read_text(), tf1.GraphDef()).SerializeToString()  # what the hint says
    (tmp_path / "again.pb").write_bytes(again)
    assert len(open_checkpoint(tmp_path / "again.pb")) == 46


def test_a_graph_with_variables_does_not_hide_the_checkpoint_below(built, tmp_path):
    tf1 = tfwrite.tensorflow().compat.v1
    with tf1.Graph().as_default() as whole:
        tf1.train.import_meta_graph(f"{built().prefix}.meta")
    tffreeze.write(tmp_path / "graph.pb", whole.as_graph_def())
    (tmp_path / "model").mkdir()
    for part in built().directory.iterdir():
        (tmp_path / "model" / part.name).write_bytes(part.read_bytes())
    assert f"did you mean {tmp_path / 'model' / built().prefix.name}?" in refusal(tmp_path)


def test_opening_takes_little_memory(frozen, tmp_path):
    tf = tfwrite.tensorflow()
    graph = type(frozen)()
    graph.CopyFrom(frozen)
    size = 4_000_000
    large = graph.node.add(name="large", op="Const")
    large.attr["dtype"].type = 1
    large.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.arange(size, dtype="f")))
    graph.node.add(name="large/read", op="Identity", input=["large"]).attr["T"].type = 1
    path = tffreeze.write(tmp_path / "frozen.pb", graph)
    tracemalloc.start()
    bridgeckpt.inspect(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * size / 2
    assert open_checkpoint(path).get_tensor("large")[-1] == size - 1
