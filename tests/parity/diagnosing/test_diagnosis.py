"""The diagnosis: faults made in converted folders are blamed on the right tensor or setting, by real references."""

from __future__ import annotations

import json
import shutil

import pytest

import bridgeckpt
from bridgeckpt.parity.recording import record_checkpoint
from bridgeckpt.parity.verifying import verify

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.slow
pytest.importorskip("transformers")

LAYER = "bert.encoder.layer.{}."
QUERY, KEY, VALUE = (f"attention.self.{name}.weight" for name in ("query", "key", "value"))


@pytest.fixture(scope="module")
def recorded(built, tmp_path_factory):
    """``recorded(**spec)``: a converted folder and its reference, made once."""
    made = {}

    def make(architecture=None, **spec):
        key = repr(sorted(spec.items()))
        if key not in made:
            source = built(**spec)
            folder = tmp_path_factory.mktemp("diagnosis") / "model"
            bridgeckpt.convert(source.prefix, folder, architecture=architecture)
            made[key] = folder, record_checkpoint(source.prefix, None)
        return made[key]

    return make


@pytest.fixture
def diagnosed(recorded, tmp_path):
    """``diagnosed(change, **spec)``: the verdict on a copy of the folder with ``change(tensors, config)`` made."""

    def make(change, reduce=None, **spec):
        from safetensors.torch import load_file, save_file

        folder, reference = recorded(**spec)
        copy = tmp_path / "broken"
        shutil.copytree(folder, copy)
        tensors, config = load_file(copy / "model.safetensors"), json.loads((copy / "config.json").read_text())
        change(tensors, config)
        save_file(
            {k: v.contiguous() for k, v in tensors.items()}, copy / "model.safetensors", metadata={"format": "pt"}
        )
        (copy / "config.json").write_text(json.dumps(config))
        return verify(reduce(reference) if reduce else reference, copy, device="cpu")

    return make


def swap(one, other):
    def change(tensors, config):
        tensors[one], tensors[other] = tensors[other].clone(), tensors[one].clone()

    return change


def put(name, function):
    return lambda tensors, config: tensors.update({name: function(tensors[name])})


def setting(**values):
    return lambda tensors, config: config.update(values)


def heads_interleaved(weight):
    """(heads head_dim) read as (head_dim heads), of 3 heads."""
    return weight.reshape(3, 12, -1).transpose(0, 1).reshape(weight.shape)


def edit(name, at, factor):
    def function(weight):
        changed = weight.clone()
        changed[at] *= factor
        return changed

    return put(name, function)


def shift_layers(tensors, config):
    rotated = {}
    for name, value in tensors.items():
        if ".layer.0." in name:
            rotated[name.replace(".layer.0.", ".layer.1.")] = value
        elif ".layer.1." in name:
            rotated[name.replace(".layer.1.", ".layer.0.")] = value
    tensors.update(rotated)


ONE = LAYER.format(1)
CASES = {
    "erf for tanh": (setting(hidden_act="gelu"), "layer.0.intermediate", "hidden_act", "gelu_pytorch_tanh"),
    "relu for gelu": (setting(hidden_act="relu"), "layer.0.intermediate", "hidden_act", "gelu_pytorch_tanh"),
    "another epsilon": (setting(layer_norm_eps=1e-3), "embeddings", "layer_norm_eps", "1e-12"),
    "other heads": (setting(num_attention_heads=4), "layer.0.context", "num_attention_heads", "3"),
    "transposed": (put(ONE + QUERY, lambda w: w.t()), "layer.1.query", ONE + QUERY, "transposed"),
    "transposed output": (
        put(ONE + "attention.output.dense.weight", lambda w: w.t()),
        "layer.1.attention",
        ONE + "attention.output.dense.weight",
        "transposed",
    ),
    "query and key": (swap(ONE + QUERY, ONE + KEY), "layer.1.query", ONE + QUERY, "key"),
    "head order": (put(ONE + VALUE, heads_interleaved), "layer.1.value", ONE + VALUE, "head"),
    "layers": (shift_layers, "layer.0.query", None, "layer"),
    "scaled": (
        put(ONE + "output.dense.weight", lambda w: w * 1.01),
        "layer.1.output",
        ONE + "output.dense.weight",
        "1.01",
    ),
    "zeroed": (
        put(ONE + "intermediate.dense.bias", lambda w: w * 0),
        "layer.1.intermediate",
        ONE + "intermediate.dense.bias",
        "zero",
    ),
    "one element": (
        edit(ONE + "attention.output.LayerNorm.weight", 5, 1.01),
        "layer.1.attention",
        ONE + "attention.output.LayerNorm.weight",
        "5",
    ),
    "gamma and beta": (
        swap(ONE + "output.LayerNorm.weight", ONE + "output.LayerNorm.bias"),
        "layer.1.output",
        ONE + "output.LayerNorm.",
        "",
    ),
    "a token's row": (
        edit("bert.embeddings.word_embeddings.weight", 77, 1.1),
        "embeddings",
        "bert.embeddings.word_embeddings.weight",
        "77",
    ),
    "positions one row off": (
        put("bert.embeddings.position_embeddings.weight", lambda w: w.roll(1, 0)),
        "embeddings",
        "bert.embeddings.position_embeddings.weight",
        "",
    ),
    "types swapped": (
        put("bert.embeddings.token_type_embeddings.weight", lambda w: w.flip(0)),
        "embeddings",
        "bert.embeddings.token_type_embeddings.weight",
        "",
    ),
    "pooler": (put("bert.pooler.dense.weight", lambda w: w.t()), "pooler", "bert.pooler.dense.weight", "transposed"),
    "nsp labels": (put("cls.seq_relationship.weight", lambda w: w.flip(0)), "nsp_logits", "cls.seq_relationship", ""),
    "transform": (
        put("cls.predictions.transform.dense.bias", lambda w: w + 0.01),
        "transform",
        "cls.predictions.transform.dense.bias",
        "",
    ),
    "mlm bias": (put("cls.predictions.bias", lambda w: w * 0), "mlm_logits", "cls.predictions.bias", "zero"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_cause_is_named(case, diagnosed):
    change, stage, parameter, said = CASES[case]
    verdict = diagnosed(change)
    assert not verdict.passed
    found = verdict.diagnosis
    assert found.stage == verdict.first == stage
    assert found.proven, found
    if parameter is not None:
        assert parameter in found.parameter, found
    assert said in found.cause, found
    assert found.remedy


def test_the_tensorflow_variable_is_named_too(diagnosed):
    found = diagnosed(put(ONE + QUERY, lambda w: w.t())).diagnosis
    assert found.variable == "bert/encoder/layer_1/attention/self/query/kernel"
    assert found.variable in found.remedy


def test_two_faults_are_two_stages(diagnosed):
    def both(tensors, config):
        put(LAYER.format(0) + KEY, lambda w: w.t())(tensors, config)
        put("bert.pooler.dense.bias", lambda w: w * 0)(tensors, config)

    found = diagnosed(both).diagnosis
    assert found.stage == "layer.0.key"
    assert "pooler" in found.others


def test_a_parameter_that_is_missing_is_blamed(diagnosed):
    found = diagnosed(lambda tensors, config: tensors.pop("bert.pooler.dense.weight")).diagnosis
    assert found.stage == "pooler"
    assert found.parameter == "bert.pooler.dense.weight"
    assert "made up" in found.cause


def test_a_model_that_does_not_look_back(diagnosed):
    found = diagnosed(setting(is_decoder=True)).diagnosis
    assert "is_decoder" in found.parameter


@pytest.mark.parametrize(
    ("head", "architecture", "name", "stage"),
    [
        ("classifier", "BertForSequenceClassification", "classifier.weight", "logits"),
        ("token", "BertForTokenClassification", "classifier.weight", "token_logits"),
        ("squad", "BertForQuestionAnswering", "qa_outputs.weight", "span_logits"),
    ],
)
def test_every_head(head, architecture, name, stage, diagnosed):
    found = diagnosed(put(name, lambda w: w.roll(1, 0)), head=head, architecture=architecture).diagnosis
    assert (found.stage, found.parameter) == (stage, name)


def test_with_the_graph_alone_the_half_of_the_layer_is_found(diagnosed):
    def graph(reference):
        return reference._replace(runs={"graph": reference.runs["graph"]})

    found = diagnosed(put(ONE + "output.dense.bias", lambda w: w * 0), reduce=graph).diagnosis
    assert found.stage == "layer.1.output"


def test_with_logits_alone_it_says_what_it_knows(diagnosed):
    def logits(reference):
        values = reference.runs["float32"]["mixed"]
        return reference._replace(runs={"float32": {"mixed": {"nsp_logits": values["nsp_logits"]}}})

    found = diagnosed(put(ONE + QUERY, lambda w: w.t()), reduce=logits).diagnosis
    assert found.stage == "nsp_logits"
    assert not found.proven
