"""SavedModels and hub modules: how they are found, which graph is read, what it says, and what casing they state."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tfwrite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parity import assert_parity
from paths import FIXTURES

import bridgeckpt
from bridgeckpt.converting.inspection import inspect
from bridgeckpt.errors import CheckpointError, PlanError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.tensorflow.graphdef import Graph, read_graph
from bridgeckpt.mapping.notation.templates import Template
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.mapping.tables.graph import GraphScopes
from bridgeckpt.sidecar.graph.facts import GraphFacts, read_facts
from bridgeckpt.sidecar.tokenizer.casing import read_stated_casing

MODULE, TUNED, SERVING, MODULE_2, CLASSIFIER_2 = (
    FIXTURES / name / "source"
    for name in ("hub_tf1_module", "hub_tf1_fine_tuned", "hub_tf1_serving", "hub_tf2_module", "hub_tf2_classifier")
)
TRANSFORMERS = FIXTURES / "hub_transformers" / "source"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """The TF1 hub module, to take apart."""
    shutil.copytree(MODULE, tmp_path / "module")
    return tmp_path / "module"


KEYS = ("layer_norm_eps", "hidden_act", "num_attention_heads")


def protos(path: Path) -> Any:
    """The graphs in a ``saved_model.pb`` as TensorFlow decodes them."""
    tfwrite.tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs


def nodes(graph: Graph) -> dict[str, tuple[str, list[str]]]:
    return {name: (graph[name].op, list(graph[name].inputs)) for name in graph}


def facts_of_nodes(path: Path, build: Callable[[Any], None], **scopes: str) -> GraphFacts:
    """The facts in a graph that ``build`` makes with TensorFlow."""
    tf = tfwrite.tensorflow()
    with tf.Graph().as_default() as graph:
        build(tf)
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return read_facts(read_graph(path), graph_scopes(**scopes), {})


def graph_scopes(**scopes: str) -> GraphScopes:
    """What BERT's tables say is computed for each key, in other scopes."""
    known = load_table("bert/google").graph.facts
    return GraphScopes({key: known[key]._replace(scopes=(Template.parse(scope),)) for key, scope in scopes.items()})


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        (MODULE, "TF1 hub module"),
        (SERVING, "TF1 SavedModel"),
        (MODULE_2, "TF2 SavedModel"),
        (CLASSIFIER_2, "TF2 SavedModel"),
    ],
    ids=lambda value: value.parent.name if isinstance(value, Path) else "",
)
@pytest.mark.parametrize(
    "part", ["", "saved_model.pb", "variables", "variables/variables", "variables/variables.index"]
)
def test_any_path_of_it_opens_its_variables(folder, what, part):
    checkpoint = open_checkpoint(folder / part)
    assert checkpoint.format == f"{what} (TensorBundle V2)"
    assert checkpoint.path == folder / "variables" / "variables"
    assert (checkpoint.directory, checkpoint.graph_path) == (folder, folder / "saved_model.pb")
    assert checkpoint.notes == ()


def test_beside_transformers_files_its_config_is_theirs(tmp_path):
    folder = TRANSFORMERS / "saved_model" / "1"
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.directory, checkpoint.graph_path) == (TRANSFORMERS, folder / "saved_model.pb")
    above = open_checkpoint(TRANSFORMERS)
    assert (above.path, above.directory) == (checkpoint.path, TRANSFORMERS)
    assert above.notes == (f"took {folder}, the only version of a SavedModel in {TRANSFORMERS}",)
    shutil.copytree(folder, tmp_path / "saved_model" / "1")
    assert open_checkpoint(tmp_path / "saved_model" / "1").directory == tmp_path / "saved_model" / "1"
    alone = bridgeckpt.plan(tmp_path / "saved_model" / "1")
    assert alone.sizes.values["num_attention_heads"] == 3
    assert alone.architecture.name == "BertForSequenceClassification"
    assert alone.graph is not None
    assert (alone.graph.values["layer_norm_eps"], alone.graph.values["hidden_act"]) == (1e-5, "gelu_pytorch_tanh")


@pytest.mark.parametrize(("pooled", "head"), [(True, "sequence"), (False, "token")])
@pytest.mark.slow
def test_what_a_layer_in_a_function_classifies(tmp_path, pooled, head):
    """Its kernel comes in as an argument: no node of the function is the variable."""
    tf = tfwrite.tensorflow()

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(tf.ones((4, 2)))

        @tf.function(input_signature=[tf.TensorSpec((None, 3, 4))])
        def __call__(self, states):
            with tf.name_scope("model/bert/encoder"):
                states = tf.identity(states + 1.0)
            with tf.name_scope("model/bert/pooler"):
                first = tf.tanh(states[:, 0])
            with tf.name_scope("model/classifier"):
                return tf.matmul(first if pooled else tf.reshape(states, (-1, 4)), self.kernel)

    tf.saved_model.save(Model(), str(tmp_path))
    graph, scopes = read_graph(tmp_path / "saved_model.pb"), load_table("bert/transformers").graph
    assert read_facts(graph, scopes, {"scope": "model/"}).head == head


@pytest.mark.slow
def test_sharded_variables(module):
    with open_checkpoint(MODULE) as whole:
        tensors = {name: whole.get_tensor(name) for name in whole}
    names = list(tensors)
    shutil.rmtree(module / "variables")
    (module / "variables").mkdir()
    tfwrite.save_shards(
        module / "variables" / "variables", [{name: tensors[name] for name in names[at::2]} for at in range(2)]
    )
    assert len(list((module / "variables").glob("*.data-*-of-00002"))) == 2
    with open_checkpoint(module) as sharded:
        assert {name: sharded.get_tensor(name).tobytes() for name in sharded} == {
            name: value.tobytes() for name, value in tensors.items()
        }


@pytest.mark.slow
def test_a_graph_as_text_is_not_read(module, tmp_path):
    tfwrite.tensorflow()
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    whole = saved_model_pb2.SavedModel.FromString((module / "saved_model.pb").read_bytes())
    (module / "saved_model.pb").unlink()
    (module / "saved_model.pbtxt").write_text(text_format.MessageToString(whole))
    checkpoint = open_checkpoint(module / "saved_model.pbtxt")
    assert checkpoint.path == module / "variables" / "variables"
    assert checkpoint.graph_path is None
    assert checkpoint.notes[0].startswith("saved_model.pbtxt is not read")
    with pytest.raises(PlanError, match="number of attention heads is unknown"):
        bridgeckpt.plan(module)
    done = bridgeckpt.convert(module, tmp_path / "out", heads=3)
    assert any("saved_model.pbtxt is not read" in note for note in done.plan.notes)


def test_without_its_variables_it_is_refused(module):
    (module / "variables" / "variables.index").unlink()
    with pytest.raises(CheckpointError, match="is a TF1 hub module") as error:
        open_checkpoint(module)
    assert "variables/variables.index is missing" in str(error.value)
    with pytest.raises(CheckpointError, match=r"variables\.index is missing, and without it"):
        open_checkpoint(module / "variables")


def test_of_another_model_it_is_named_and_not_converted(samples):
    seen = inspect(samples / "real" / "basic-pitch-sm")
    assert seen.checkpoint.format == "TF2 SavedModel (TensorBundle V2)"
    assert seen.plan is None
    assert "no mapping table recognises" in str(seen.refusal)


@pytest.mark.slow
def test_of_several_graphs_the_one_for_inference_is_read(module):
    train, plain = sorted(protos(module), key=lambda meta: not meta.meta_info_def.tags)
    assert (list(train.meta_info_def.tags), list(plain.meta_info_def.tags)) == (["train"], [])
    expected = {node.name: (node.op, list(node.input)) for node in plain.graph_def.node}
    assert nodes(read_graph(module / "saved_model.pb")) == expected
    assert expected.keys() != {node.name for node in train.graph_def.node}


@pytest.mark.parametrize(
    "tags",
    [[["train"], []], [[], ["train"]], [["eval"], ["serve"]], [["serve", "tpu"], ["serve"]], [["mine"]]],
    ids=str,
)
@pytest.mark.slow
def test_which_graph_is_for_inference(tmp_path, tags):
    tfwrite.tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    whole = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    for number, its_tags in enumerate(tags):
        meta = whole.meta_graphs.add()
        meta.meta_info_def.tags.extend(its_tags)
        meta.graph_def.node.add(name=f"node_{number}", op="NoOp")
    path = tmp_path / "renamed.pb"  # it is known by its schema version, too
    path.write_bytes(whole.SerializeToString())
    wanted = next(n for n, its in enumerate(tags) if not {"train", "eval", "tpu"} & set(its))
    assert list(read_graph(path)) == [f"node_{wanted}"]


@pytest.mark.parametrize("folder", [MODULE_2, CLASSIFIER_2], ids=lambda folder: folder.parent.name)
@pytest.mark.slow
def test_nodes_of_functions_stand_under_the_functions_name(folder):
    (meta,) = protos(folder)
    expected = {node.name: (node.op, list(node.input)) for node in meta.graph_def.node}
    for function in meta.graph_def.library.function:
        name = function.signature.name
        if "_traced_" in name:
            continue  # saving and restoring
        for node in function.node_def:
            inputs = [f"^{name}/{i[1:]}" if i.startswith("^") else f"{name}/{i}" for i in node.input]
            expected[f"{name}/{node.name}"] = (node.op, inputs)
    graph = read_graph(folder / "saved_model.pb")
    assert nodes(graph) == expected
    name, (_, inputs) = next((n, v) for n, v in expected.items() if "/" in n and v[1] and "^" not in v[1][0])
    if inputs[0].partition(":")[0] in graph:
        assert name in [reader.name for reader in graph.readers(inputs[0].partition(":")[0])]


def test_readers_of_a_node_in_a_function_are_of_the_same_function():
    graph = read_graph(MODULE_2 / "saved_model.pb")
    added = next(name for name in graph if name.endswith("/transformer/layer_0/intermediate/add"))
    readers = graph.readers(added)
    assert readers
    assert all(added in reader.operands for reader in readers)
    expected = [name for name in graph if added in graph[name].operands]
    assert [reader.name for reader in readers] == expected


@pytest.mark.slow
def test_signatures_name_the_nodes_of_their_outputs():
    graph = read_graph(MODULE / "saved_model.pb")
    (plain,) = (meta for meta in protos(MODULE) if not meta.meta_info_def.tags)
    for name, signature in plain.signature_def.items():
        expected = {output: info.name.partition(":")[0] for output, info in signature.outputs.items()}
        assert graph.signature(name) == expected
    assert graph.signature("absent") == {}


def test_what_the_graphs_say():
    for folder, expected in {
        MODULE: (1e-12, "gelu_pytorch_tanh", 3),
        SERVING: (1e-12, "relu", 3),
        MODULE_2: (1e-12, "gelu_pytorch_tanh", None),
        CLASSIFIER_2: (1e-12, "relu", None),
    }.items():
        facts = bridgeckpt.plan(folder).graph
        assert facts is not None
        assert tuple(map(facts.values.get, KEYS)) == expected, folder
        assert facts.unclear == {}


def test_a_classifier_on_top_of_a_module():
    plan = bridgeckpt.plan(TUNED)
    assert plan.wildcards == {"scope": "module/"}
    assert plan.graph is not None
    assert plan.graph.head == "sequence"
    assert plan.graph.evidence["head"].startswith("module_apply_tokens/bert/pooler/")
    (warning,) = plan.warnings
    assert warning.startswith("mlm under module/ left out: classifier was put on top of that model")
    assert 'architecture="BertForPreTraining"' in warning
    excluded = {name for name, state in plan.ledger.sources.items() if state == "excluded"}
    assert excluded == {name for name in plan.ledger.sources if name.startswith("module/cls/")}
    assert len(excluded) == 5
    asked = bridgeckpt.plan(TUNED, architecture="BertForMaskedLM")
    assert asked.ledger.sources["output_weights"] == "excluded"


@pytest.mark.slow
def test_places_that_compute_differently_tell_nothing(tmp_path):
    def build(tf):
        for tower, activation in (("one", tf.nn.relu), ("two", tf.nn.elu)):
            with tf.name_scope(f"{tower}/mlp"):
                activation(tf.matmul(tf.zeros((2, 3)), tf.constant(np.eye(3, dtype=np.float32))))

    facts = facts_of_nodes(tmp_path / "graph.pb", build, hidden_act="mlp")
    assert facts.values.get("hidden_act") is None
    assert facts.evidence == {}
    assert facts.unclear == {"hidden_act": "the graph computes with relu (one/mlp/Relu) and elu (two/mlp/Elu)"}
    assert facts_of_nodes(tmp_path / "graph.pb", build, hidden_act="two/mlp").values.get("hidden_act") == "elu"


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        (lambda tf, x: tf.nn.gelu(x, approximate=True), "gelu_pytorch_tanh"),
        (lambda tf, x: tf.nn.gelu(x, approximate=False), "gelu"),
        (lambda tf, x: tf.nn.relu(x), "relu"),
        (lambda tf, x: tf.nn.sigmoid(x), "sigmoid"),
        (lambda tf, x: x * tf.nn.sigmoid(x), "silu"),
        (lambda tf, x: tf.nn.leaky_relu(x), None),
        (lambda tf, x: x, "linear"),
    ],
    ids=["gelu_tanh", "gelu_erf", "relu", "sigmoid", "silu", "leaky_relu", "linear"],
)
@pytest.mark.slow
def test_the_activation_is_found_in_a_whole_layer(tmp_path, activation, name):
    """With attention in it: its projections and products are not the feed-forward layer's."""

    def build(tf):
        def dense(x):
            return tf.nn.bias_add(tf.matmul(x, tf.constant(np.eye(4, dtype=np.float32))), tf.constant([1.0, 2, 3, 4]))

        with tf.name_scope("model/layer_0"):
            x = tf.zeros((2, 4))
            scores = tf.matmul(dense(x) * 0.5, dense(x), transpose_b=True)
            x += dense(tf.matmul(tf.nn.softmax(scores), dense(x)))
            x += dense(activation(tf, dense(x)))

    assert facts_of_nodes(tmp_path / "graph.pb", build, hidden_act="layer_0").values.get("hidden_act") == name


@pytest.mark.slow
def test_an_epsilon_under_a_root_that_clips(tmp_path):
    """As in Keras' own sqrt: there the root is of max(min(variance + epsilon, inf), 0)."""

    def build(tf):
        with tf.name_scope("model/Embedding-Norm"):
            tf.sqrt(tf.clip_by_value(tf.compat.v1.placeholder(tf.float32, (2,)) + 1e-14, 0.0, np.inf))
        with tf.name_scope("model/Other"):
            tf.sqrt(tf.maximum(tf.compat.v1.placeholder(tf.float32, (2,)), 1e-14))  # nothing is added

    path = tmp_path / "graph.pb"
    assert facts_of_nodes(path, build, layer_norm_eps="Embedding-Norm").values.get("layer_norm_eps") == 1e-14
    assert facts_of_nodes(path, build, layer_norm_eps="Other").values.get("layer_norm_eps") is None


@pytest.mark.parametrize("shape", ["computed", "batch_first", "known"])
@pytest.mark.slow
def test_heads_of_which_the_size_is_computed(tmp_path, shape):
    """As in keras-multi-head: [batch, seq, 3, hidden // 3], the last one a number only when the graph runs."""

    def build(tf):
        states = tf.compat.v1.placeholder(tf.float32, (None, None, 24))
        with tf.name_scope("model/attention"):
            sizes = tf.shape(states)
            tf.reshape(
                states,
                {
                    "computed": (sizes[0], sizes[1], 3, sizes[2] // 3),
                    "batch_first": (sizes[0], 3, sizes[1], sizes[2] // 3),  # the heads do not come third
                    "known": (sizes[0], sizes[1], 3, 8),
                }[shape],
            )

    facts = facts_of_nodes(tmp_path / "graph.pb", build, num_attention_heads="attention")
    assert facts.values.get("num_attention_heads") == (None if shape == "batch_first" else 3)


@pytest.mark.parametrize("folder", [MODULE, MODULE_2], ids=lambda folder: folder.parent.name)
def test_the_modules_own_word_on_casing_is_taken(folder, tmp_path):
    """Both modules say cased; their vocabularies hold no capital letter."""
    done = bridgeckpt.convert(folder, tmp_path / "out")
    assert done.plan.casing is not None
    assert not done.plan.casing.lowercase
    assert done.plan.casing.reason.startswith("cased: the module says so (")
    (note,) = (note for note in done.plan.notes if note.startswith("the tokenizer is "))
    assert "vocab.txt looks uncased: none of 61 tokens holds a capital letter" in note
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["do_lower_case"] is False
    asked = bridgeckpt.plan(folder, lowercase=True)
    assert asked.casing is not None
    assert asked.casing.lowercase
    assert not any(note.startswith("the tokenizer is ") for note in asked.notes)


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.slow
def test_casing_is_read_of_a_variable_and_of_a_constant(tmp_path, lowercase):
    tf = tfwrite.tensorflow()
    module = tf.Module()
    module.do_lower_case = tf.Variable(lowercase, trainable=False)
    tf.saved_model.save(module, str(tmp_path / "two"))
    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.get_variable("w", initializer=1.0, use_resource=False)
        session.run(tf1.global_variables_initializer())
        signature = tf1.saved_model.signature_def_utils.build_signature_def(
            outputs={"do_lower_case": tf1.saved_model.utils.build_tensor_info(tf.constant(lowercase))}
        )
        builder = tf1.saved_model.Builder(str(tmp_path / "one"))
        builder.add_meta_graph_and_variables(session, [], {"tokenization_info": signature})
        builder.save()
    for folder in ("one", "two"):
        checkpoint = open_checkpoint(tmp_path / folder)
        assert checkpoint.graph_path is not None
        casing = read_stated_casing(checkpoint, read_graph(checkpoint.graph_path))
        assert casing is not None
        assert casing.lowercase is lowercase
    assert read_stated_casing(open_checkpoint(tmp_path / "one"), None) is None
    assert read_stated_casing(open_checkpoint(SERVING), read_graph(SERVING / "saved_model.pb")) is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True), to=st.binary(min_size=1, max_size=4), cut=st.booleans())
def test_damage_is_an_error_or_harmless(tmp_path, share, to, cut):
    data = (SERVING / "saved_model.pb").read_bytes()
    at = int(share * len(data))
    path = tmp_path / "saved_model.pb"
    path.write_bytes(data[:at] + to + (b"" if cut else data[at + len(to) :]))
    scopes = graph_scopes(hidden_act="bert/encoder/layer_0/intermediate")
    try:
        graph = read_graph(path)
        facts = read_facts(graph, scopes, {})
        graph.signature("serving_default")
    except CheckpointError as error:
        assert error.path == path
        return
    assert facts.values.get("hidden_act") in {"relu", None}


def test_a_saved_model_without_a_graph_is_refused(tmp_path):
    path = tmp_path / "saved_model.pb"
    path.write_bytes(b"\x08\x01")
    with pytest.raises(CheckpointError, match="it holds no graph"):
        read_graph(path)


@pytest.mark.parametrize(
    ("sample", "folder"), [("t1_hub_module", "module"), ("mg_hub_savedmodel", "saved_model")], ids=["tf1", "tf2"]
)
@pytest.mark.slow
def test_published_kinds_of_modules(samples, tmp_path, sample, folder):
    golden = dict(np.load(samples / "golden" / sample / "golden.npz"))
    done = bridgeckpt.convert(samples / "golden" / sample / folder, tmp_path / "out")
    assert done.plan.architecture.name == "BertForPreTraining"
    assert done.plan.sizes.values["num_attention_heads"] == 4
    expected = {name: golden[name] for name in ("sequence_output", "pooled_output", "mlm_logits")}
    assert_parity(tmp_path / "out", golden, expected)
