"""Converting checkpoints that real TensorFlow wrote, judged by real transformers: values and outputs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from memory import peak_memory
from parity import TOLERANCE, assert_parity, load, outputs, worst
from tfwrite import save

import bridgeckpt

pytestmark = pytest.mark.slow

HEADS = {
    "pretraining": "BertForPreTraining",
    "mlm": "BertForPreTraining",  # the only class that keeps the pooler too
    "nsp": "BertForNextSentencePrediction",
    "squad": "BertForQuestionAnswering",
    "classifier": "BertForSequenceClassification",
    "token": "BertForTokenClassification",
    None: "BertModel",
}


@pytest.mark.parametrize("head", HEADS)
def test_every_head_loads_whole_and_computes_the_original(head, built, tmp_path):
    tf = built(head=head)
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out")
    assert done.plan.architecture.name == HEADS[head]
    golden = dict(tf.outputs)
    if head in {"squad", "token"}:
        del golden["pooled_output"]  # these classes have no pooler
    if head == "nsp":
        golden["logits"] = golden.pop("nsp_logits")  # the only ones of the class
    assert_parity(tmp_path / "out", tf.inputs, golden)


def test_a_multiple_choice_model_scores_each_choice_as_the_original(built, tmp_path):
    tf = built(head="classifier", labels=1)
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out", architecture="BertForMultipleChoice")
    assert done.plan.architecture.name == "BertForMultipleChoice"
    one_choice = {name: value[:, None] for name, value in tf.inputs.items()}  # [batch, choices, sequence]
    shares = worst(outputs(load(tmp_path / "out"), one_choice), tf.outputs, tf.inputs["attention_mask"])
    assert shares.keys() == {"hidden_states", "sequence_output", "pooled_output", "logits"}
    assert max(shares.values()) <= TOLERANCE


@pytest.mark.parametrize("meta", [True, False])
def test_one_label_is_a_sequence_classifier_unless_asked(meta, built, tmp_path):
    """A regression, such as STS-B's, looks the same as a multiple choice, in names, shapes and graph."""
    tf = built(head="classifier", labels=1, meta=meta)
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out")
    assert done.plan.architecture.name == "BertForSequenceClassification"
    assert_parity(tmp_path / "out", tf.inputs, tf.outputs)
    if not meta:
        assert "BertForMultipleChoice" in " ".join(done.plan.warnings)


def test_a_multiple_choice_of_several_labels_is_refused(built, tmp_path):
    tf = built(head="classifier", labels=3)
    with pytest.raises(bridgeckpt.PlanError, match="labels = 1"):
        bridgeckpt.convert(tf.prefix, tmp_path / "out", architecture="BertForMultipleChoice")


def test_auto_model_loads_the_folder_of_a_pretraining_checkpoint(built, tmp_path):
    transformers = pytest.importorskip("transformers")
    tf = built(head="pretraining")
    bridgeckpt.convert(tf.prefix, tmp_path / "out")
    model, info = transformers.AutoModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not info["missing_keys"]
    assert type(model).__name__ == "BertModel"


@pytest.mark.parametrize("slots", ["adamw", "lamb", "adam", "contrib_adamw", "momentum"])
def test_optimizer_state_is_accounted_for(slots, built, tmp_path):
    tf = built(slots=slots, step=7)
    done = bridgeckpt.convert(tf.directory, tmp_path / "out")
    counts = done.plan.ledger.source_counts()
    weights = sum(1 for name in tf.variables if "kernel" in name and name.endswith("kernel"))
    assert counts["slot"] >= (weights if slots == "momentum" else 2 * weights)
    assert sum(counts.values()) == len(tf.variables)
    assert "unmapped" not in counts
    assert_parity(tmp_path / "out", tf.inputs, tf.outputs)


def test_ema_converts_the_shadows(built, tmp_path):
    tf = built(ema=True, slots="adamw")
    bridgeckpt.convert(tf.prefix, tmp_path / "weights")
    bridgeckpt.convert(tf.prefix, tmp_path / "shadows", ema=True)
    assert_parity(tmp_path / "weights", tf.inputs, tf.outputs)
    assert_parity(tmp_path / "shadows", tf.inputs, tf.ema_outputs)
    with pytest.raises(AssertionError, match="differs"):
        assert_parity(tmp_path / "weights", tf.inputs, tf.ema_outputs)


@pytest.mark.parametrize("scope", ["my_model/", "module/", "a/b/"])
def test_any_leading_scope(scope, built, tmp_path):
    tf = built(scope=scope, head="classifier")
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out")
    assert done.plan.wildcards == {"scope": scope}
    assert_parity(tmp_path / "out", tf.inputs, tf.outputs)


@pytest.mark.parametrize("port", ["keras", "keras_dense", "keras_all"])
@pytest.mark.parametrize("act", ["gelu", "gelu_erf"])
def test_bert_ported_to_keras_with_numbered_layers(port, act, built, tmp_path):
    tf = built(port=port, pooler=False, head="mlm", hidden_act=act)
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out")
    assert done.plan.table.name == "bert/google_keras"
    assert done.plan.configuration.values["layer_norm_eps"] == pytest.approx(1e-3)
    assert_parity(tmp_path / "out", tf.inputs, tf.outputs)


@pytest.mark.parametrize("act", ["gelu", "gelu_erf", "gelu_nn", "gelu_nn_erf", "relu", "tanh", "swish"])
def test_the_activation_is_read_from_the_graph(act, built, tmp_path):
    tf = built(hidden_act=act, head="mlm")
    bridgeckpt.convert(tf.prefix, tmp_path / "out")
    golden = {name: value for name, value in tf.outputs.items() if name != "pooled_output"}
    assert_parity(tmp_path / "out", tf.inputs, golden)


def test_without_a_graph_gelu_is_tanh_and_said_so(built, tmp_path):
    tf = built(meta=False)
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out")
    assert done.plan.configuration.values["hidden_act"] == "gelu_pytorch_tanh"
    assert "bert/google" in done.plan.configuration.provenance["hidden_act"]
    assert_parity(tmp_path / "out", tf.inputs, tf.outputs)


def test_without_a_config_everything_is_solved(built, tmp_path):
    tf = built(config=False, head="token", labels=5)
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    spec = tf.spec
    assert (config["vocab_size"], config["hidden_size"], config["num_hidden_layers"]) == (
        spec.vocab,
        spec.hidden,
        spec.layers,
    )
    assert (config["num_attention_heads"], config["intermediate_size"]) == (spec.heads, spec.intermediate)
    assert (config["max_position_embeddings"], config["type_vocab_size"]) == (spec.positions, spec.types)
    assert len(config["id2label"]) == 5
    assert done.plan.architecture.name == "BertForTokenClassification"
    assert_parity(tmp_path / "out", tf.inputs, {k: v for k, v in tf.outputs.items() if k != "pooled_output"})


@pytest.mark.parametrize(
    "options", [{"partitions": 3}, {"shards": 3}, {"shards": 2, "partitions": 2, "slots": "adamw"}]
)
def test_partitioned_variables_and_many_shards(options, built, tmp_path):
    tf = built(**options)
    bridgeckpt.convert(tf.prefix, tmp_path / "out")
    assert_parity(tmp_path / "out", tf.inputs, tf.outputs)


def test_every_stored_value_is_the_variable_bit_for_bit(built, tmp_path):
    from safetensors.numpy import load_file

    tf = built(head="pretraining")
    bridgeckpt.convert(tf.prefix, tmp_path / "out")
    stored = load_file(tmp_path / "out" / "model.safetensors")
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert {entry["name"] for entry in report["tensors"]} == set(stored)
    for entry in report["tensors"]:
        (source,) = entry["source"]
        expected = tf.variables[source]
        if source.endswith("kernel"):  # the one rule of Google's files: kernels are [in, out]
            expected = expected.T
        np.testing.assert_array_equal(
            stored[entry["name"]].view(np.uint32), np.ascontiguousarray(expected).view(np.uint32)
        )


def test_the_report_holds_the_sha256_of_every_stored_tensor(built, tmp_path):
    import hashlib

    from safetensors.numpy import load_file

    tf = built(head="pretraining")
    bridgeckpt.convert(tf.prefix, tmp_path / "out", max_shard_size="20KB", checksums=True)
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert len({entry["file"] for entry in report["tensors"]}) > 2
    for entry in report["tensors"]:
        stored = load_file(tmp_path / "out" / entry["file"])[entry["name"]]
        assert entry["sha256"] == hashlib.sha256(stored.tobytes()).hexdigest()


def test_shards_load_like_one_file(built, tmp_path):
    tf = built(head="pretraining")
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out", max_shard_size="20KB")
    assert "model.safetensors.index.json" in done.files
    assert_parity(tmp_path / "out", tf.inputs, tf.outputs)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrower_dtypes_round_as_torch_does(dtype, built, tmp_path):
    torch = pytest.importorskip("torch")
    tf = built(head="pretraining")
    bridgeckpt.convert(tf.prefix, tmp_path / "wide")
    bridgeckpt.convert(tf.prefix, tmp_path / "narrow", dtype=dtype)
    wide, narrow = load(tmp_path / "wide").state_dict(), load(tmp_path / "narrow").state_dict()
    assert wide.keys() == narrow.keys()
    for name, tensor in narrow.items():
        assert tensor.dtype == getattr(torch, dtype)
        assert torch.equal(tensor, wide[name].to(tensor.dtype)), name


def test_a_bfloat16_checkpoint_stays_bfloat16(built, tmp_path):
    torch = pytest.importorskip("torch")
    tf = built(dtype="bfloat16", head=None)
    bridgeckpt.convert(tf.prefix, tmp_path / "out")
    model = load(tmp_path / "out")
    kernel = tf.variables["bert/encoder/layer_1/output/dense/kernel"]
    assert model.dtype == torch.bfloat16
    np.testing.assert_array_equal(
        model.encoder.layer[1].output.dense.weight.detach().float().numpy(), kernel.astype(np.float32).T
    )


@pytest.mark.parametrize(
    ("some", "rest", "expected"),
    [
        ("bfloat16", "float32", "float32"),
        ("float32", "bfloat16", "float32"),
        ("float16", "bfloat16", "float32"),
        ("float64", "float32", "float64"),
    ],
)
def test_of_several_dtypes_the_config_has_one_that_rounds_none_of_them(some, rest, expected, built, tmp_path):
    """from_pretrained reads every tensor in the dtype of config.json."""
    import ml_dtypes
    import tfwrite

    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from safetensors.torch import load_file

    made = built(head=None)
    mixed = {
        name: value.astype(np.dtype(getattr(ml_dtypes, dtype, dtype)))
        for name, value in made.variables.items()
        for dtype in [some if "layer_0" in name or "embeddings" in name else rest]
    }
    source = tfwrite.save(tmp_path / "mixed.ckpt", mixed)
    bridgeckpt.convert(source, tmp_path / "out", config=made.directory / "bert_config.json")
    model = transformers.BertModel.from_pretrained(tmp_path / "out")
    assert model.dtype == getattr(torch, expected)
    for name, tensor in load_file(tmp_path / "out" / "model.safetensors").items():
        assert torch.equal(model.state_dict()[name].double(), tensor.double()), name


@pytest.mark.parametrize("framework", ["np", "pt"])
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_load_state_dict_is_what_convert_writes(framework, dtype, built, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    tf = built(head="pretraining")
    bridgeckpt.convert(tf.prefix, tmp_path / "out", dtype=dtype)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    tensors = bridgeckpt.load_state_dict(tf.prefix, framework=framework, dtype=dtype)
    assert tensors.keys() == stored.keys()
    for name, tensor in tensors.items():
        if framework == "np":
            tensor = torch.from_numpy(tensor.astype(np.float32))
        assert torch.equal(tensor.float(), stored[name].float()), name


def test_a_state_dict_goes_straight_into_a_model(built):
    transformers = pytest.importorskip("transformers")
    tf = built(head="mlm")
    tensors = bridgeckpt.load_state_dict(tf.prefix, framework="pt")
    planned = bridgeckpt.plan(tf.prefix)
    model = transformers.BertForPreTraining(transformers.BertConfig.from_dict(planned.configuration.values))
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert set(missing) == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}  # tied


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """Two bare BERTs of the same matrices, the second with four times the layers: 54 and 204 MiB."""
    folder = tmp_path_factory.mktemp("growing")
    values = np.random.default_rng(0)
    dense = {
        "attention/self/query": (1024, 1024),
        "attention/self/key": (1024, 1024),
        "attention/self/value": (1024, 1024),
        "attention/output/dense": (1024, 1024),
        "intermediate/dense": (1024, 4096),
        "output/dense": (4096, 1024),
    }
    vectors = {"word_embeddings": (1000, 1024), "position_embeddings": (64, 1024), "token_type_embeddings": (2, 1024)}
    tensors = {f"bert/embeddings/{name}": values.random(shape, np.float32) for name, shape in vectors.items()}
    norm = {name: values.random(1024, np.float32) for name in ("LayerNorm/gamma", "LayerNorm/beta")}
    tensors |= {f"bert/embeddings/{name}": value for name, value in norm.items()}
    layer = {f"{name}/kernel": values.random(shape, np.float32) for name, shape in dense.items()}
    layer |= {f"{name}/bias": values.random(shape[1], np.float32) for name, shape in dense.items()}
    layer |= {f"{part}/{name}": value for part in ("attention/output", "output") for name, value in norm.items()}
    made = []
    for layers in (1, 4):
        every = {f"bert/encoder/layer_{n}/{name}": value for n in range(layers) for name, value in layer.items()}
        (folder / str(layers)).mkdir()
        made.append(save(folder / str(layers) / "bert_model.ckpt", tensors | every))
    return made


def test_memory_does_not_grow_with_the_model(growing, tmp_path):
    statement = "bridgeckpt.convert(sys.argv[1], sys.argv[2], heads=16)"
    small, large = (peak_memory(statement, prefix, tmp_path / prefix.parent.name) for prefix in growing)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("1", "4")]
    assert sizes[1] - sizes[0] > 140 << 20
    assert large - small < 16


def test_the_test_above_can_fail(growing):
    """A state dict in memory does grow: the measurement sees it."""
    statement = "state = bridgeckpt.load_state_dict(sys.argv[1], framework='np', heads=16)"
    small, large = (peak_memory(statement, prefix) for prefix in growing)
    assert large - small > 100
