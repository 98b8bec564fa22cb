"""The forward pass in plain TensorFlow on what other code than google-research/bert saved, against its own outputs."""

from __future__ import annotations

import json

import architectures
import numpy as np
import pytest
from parity import TOLERANCE
from paths import CASES, FIXTURES

from bridgeckpt.errors import ParityError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.parity.bert.recording import _variables
from bridgeckpt.parity.bert.running import run_forward
from bridgeckpt.parity.bert.settings import read_settings
from bridgeckpt.parity.bert.variables import find_bert
from bridgeckpt.parity.reference.probes import IDS, MASK, Probe
from bridgeckpt.parity.request import GivenSettings

tf = pytest.importorskip("tensorflow")

pytestmark = pytest.mark.slow


def forward(source, inputs, *, ema=False, **asked):
    """What the forward pass computes on ``inputs``: stage to values."""
    with open_checkpoint(source) as checkpoint:
        variables = _variables(tf, checkpoint)
        bert = find_bert(variables.shapes, str(source), ema=ema)
        settings = read_settings(checkpoint.directory, bert, None, GivenSettings(**asked), checkpoint.metadata)
        probe = Probe({name: inputs[name].astype(np.int32) for name in (IDS, MASK, "token_type_ids")}, "fine")
        return run_forward(tf, bert, settings, variables, {"": probe}, "float32")[""], bert


def compare(found, layers, golden):
    """Assert that every output that both have agrees; the names of those compared."""
    found = {
        **{"pooled_output" if name == "pooler" else name: values for name, values in found.items()},
        "sequence_output": found[f"layer.{layers - 1}.output"],
        "layers": np.stack([found[f"layer.{layer}.output"] for layer in range(layers)]),
    }
    found["hidden_states"] = np.concatenate([found["embeddings"][None], found["layers"]])
    if "span_logits" in found:
        found["start_logits"], found["end_logits"] = np.moveaxis(found["span_logits"], -1, 0)
    if golden.get("logits", np.empty(0)).ndim == 3:
        found["logits"] = found["token_logits"]
    for head in {"mlm", "nsp"} & {name.partition("_")[0] for name in found}:
        powers = np.exp(found[f"{head}_logits"] - found[f"{head}_logits"].max(-1, keepdims=True))
        found[f"{head}_probabilities"] = powers / powers.sum(-1, keepdims=True)
    compared = set()
    for name in golden.keys() & found.keys():
        expected = golden[name]
        difference = np.abs(found[name].astype(np.float64) - expected)
        rows = [at for at in range(expected.ndim - 1) if expected.shape[at : at + 2] == golden[MASK].shape]
        if rows:
            difference = np.moveaxis(difference, (rows[0], rows[0] + 1), (0, 1))[golden[MASK].astype(bool)]
        assert difference.max() <= TOLERANCE * max(1.0, np.abs(expected).max()), name
        compared.add(name)
    return compared


SAMPLES = [
    ("mg23_encoder", ".", {"sequence_output", "pooled_output"}),
    ("mg_bertencoder_v2", ".", {"sequence_output", "pooled_output", "layers"}),
    ("mg_classifier_head", ".", {"logits"}),
    ("mg_pretrainer_v2_items", ".", {"sequence_output", "pooled_output", "layers", "mlm_logits"}),
    ("mg_hub_savedmodel", "saved_model", {"sequence_output", "pooled_output", "layers", "mlm_logits"}),
    ("hf_bert_pretraining", ".", {"hidden_states", "mlm_logits", "nsp_logits"}),
    ("hf_bert_pretraining_safetensors", ".", {"hidden_states", "mlm_logits", "nsp_logits"}),
    ("hfold200_bert_pretraining", ".", {"mlm_logits", "nsp_logits"}),
    ("kh_bert_backbone", "preset", {"sequence_output", "pooled_output"}),
    ("kerasbert_pretrain", "model_weights.h5", {"sequence_output", "mlm_probabilities", "nsp_probabilities"}),
    ("bft2_bert", "model.h5", {"sequence_output"}),
    ("bft2_bert", "tf_ckpt", {"sequence_output"}),
]


@pytest.mark.parametrize(("case", "source", "outputs"), SAMPLES)
def test_samples(samples, case, source, outputs):
    folder = samples / "golden" / case
    golden = dict(np.load(folder / "golden.npz"))
    found, bert = forward(folder / source, golden)
    assert not bert.is_google
    assert compare(found, bert.layers, golden) == outputs


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_fixtures(folder):
    case = json.loads((folder / "case.json").read_text())
    golden = dict(np.load(folder / "golden.npz"))
    found, bert = forward(folder / case["source"], golden, heads=3, **asked(case))
    if bert.is_google:
        pytest.skip("its activation is in its graph, which is run when it is verified")
    compared = compare(found, bert.layers, golden)
    assert compared >= {name for name in golden if name.endswith(("logits", "sequence_output", "hidden_states"))}


def asked(case):
    """What a case says of its settings, and is not found out by the forward pass alone."""
    told = (
        {"hidden_act": "relu"} if case.get("notes", "").startswith("Keras' own SavedModel") else {}
    )  # as its graph says
    return told | {key: value for key, value in case["options"].items() if key in (*GivenSettings._fields, "ema")}


def shapes(**changed):
    """The variables of a Model Garden encoder of one layer, as far as the search looks."""
    with open_checkpoint(FIXTURES / "mg_encoder_v2" / "source") as checkpoint:
        found = {name: info.shape for name, info in checkpoint.by_variable().tensors.items()}
    return {name: shape for name, shape in {**found, **changed}.items() if shape is not None}


def test_a_missing_variable_is_named():
    name = next(name for name in shapes() if name.endswith("layer_1/intermediate/bias"))
    with pytest.raises(
        ParityError, match=rf"for layer.1.intermediate.bias of a BERT, as Model Garden names it: {name}"
    ):
        find_bert(shapes(**{name: None}), "x")


def test_a_prefix_before_all_names_of_a_model():
    with open_checkpoint(FIXTURES / "b4k_pretraining" / "source") as checkpoint:
        plain = {name: info.shape for name, info in checkpoint.by_variable(without=":0").tensors.items()}
    student, teacher = ({f"{prefix}{name}": shape for name, shape in plain.items()} for prefix in ("S-", "T-"))
    for shapes, scope in ((student, None), ({**student, **teacher}, "S-")):
        bert = find_bert(shapes, "x", scope=scope)
        assert bert.variables["layer.1.value.kernel"].startswith("S-Transformer-1-MultiHeadSelfAttention_1/dense_")
        assert bert.has("mlm_logits")
        assert bert.has("nsp_logits")
    with pytest.raises(ParityError, match='2 BERTs, under "S-", "T-"'):
        find_bert({**student, **teacher}, "x")


def test_a_head_that_is_there_twice_is_refused():
    heads = {f"{place}/cls/predictions/output_bias/bias": [61] for place in ("a", "b")}
    with pytest.raises(ParityError, match=r"several variables for mlm_logits\.bias: a/cls"):
        find_bert(shapes(**heads), "x")


@pytest.mark.parametrize("case", ["RobertaForMaskedLM", "CamembertForMaskedLM", "XLMRobertaForTokenClassification"])
def test_a_model_with_the_names_of_a_bert_that_is_none_is_refused(case, tmp_path):
    """RoBERTa's positions begin at 2: a BERT's forward pass would call a right conversion wrong."""
    source = architectures.write_source(case, tmp_path / "source")
    with pytest.raises(ParityError, match="the forward pass known here is that of a BERT") as caught:
        forward(source, dict(np.load(FIXTURES / "hf351_model" / "golden.npz")))
    assert "bridgeckpt.record" in caught.value.hint
