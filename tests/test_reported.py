"""Checkpoints rebuilt from public reports: each converts and computes what TensorFlow computed, or is refused by name.

They lie outside the repository, each in a folder with TensorFlow's outputs; the tests skip where they are not.
"""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from parity import TOLERANCE, load, worst
from paths import REPORTED

import bridgeckpt

pytestmark = pytest.mark.slow  # most load a model in transformers

Outputs = Mapping[str, np.ndarray]


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


HIDDEN = {f"hidden_{number}": f"hidden_{number}" for number in range(3)}
BODY = {**HIDDEN, "sequence": "sequence", "pooled": "pooled"}


class Converts(NamedTuple):
    """``source`` becomes ``architecture``, and computes the golden outputs under the names that ``outputs`` maps to.

    A golden output is compared with a function of the model's logits if it is not one that the model gives.
    """

    case: str
    source: str
    architecture: str
    outputs: Mapping[str, str | Callable[[Outputs], np.ndarray]]
    options: Mapping[str, Any] = {}
    golden: str = "golden.npz"
    proven: bool = False
    load: Mapping[str, Any] = {}

    def __str__(self) -> str:
        chosen = "".join(f" {name}={value}" for name, value in self.options.items())
        return f"{self.case.partition('-')[0]} {self.source}{chosen}"


class Refused(NamedTuple):
    """``source`` is refused, in a message with all of ``words`` and with none of ``never``."""

    case: str
    source: str
    words: tuple[str, ...]
    options: Mapping[str, Any] = {}
    never: tuple[str, ...] = ()

    def __str__(self) -> str:
        chosen = "".join(f" {name}={value}" for name, value in self.options.items())
        return f"{self.case.partition('-')[0]} {self.source}{chosen}"


ENCODER = {"architecture": "BertModel"}
SEQUENCE = {"architecture": "BertForSequenceClassification"}
PRETRAINING = {**BODY, "prediction_logits": "mlm_logits", "seq": "nsp_logits"}
PROBABILITIES = {"probs": lambda found: _softmax(found["logits"])}

CONVERTS = [
    Converts("01-deeppavlov-863-rubert-slots", "files", "BertForPreTraining", PRETRAINING, proven=True),
    Converts(
        "03-language-41-bert-joint-nq",
        "files/bert_joint.ckpt.data-00000-of-00001",
        "BertModel",
        BODY,
        ENCODER,
        proven=True,
    ),
    Converts("04-datasets-224-bleurt", "files", "BertModel", BODY, ENCODER),
    Converts(
        "04-datasets-224-bleurt",
        "files",
        "BertForSequenceClassification",
        {**BODY, "logits": lambda found: found["logits"][:, 0]},
        SEQUENCE,
        proven=True,
    ),
    *(
        Converts(
            "05-macanv-171-frozen-ner-pb",
            source,
            "BertModel",
            {**HIDDEN, "sequence": "sequence"},  # freezing dropped the pooler, which this head does not read
            ENCODER,
            proven=True,
            load={"add_pooling_layer": False},
        )
        for source in ("files", "files/ner_model.pb")
    ),
    Converts("05-macanv-171-frozen-ner-pb", "ckpt", "BertModel", BODY, ENCODER, proven=True),
    Converts(
        "09-tensorflow-43721-functional-h5",
        "files/bert_model.h5",
        "BertModel",
        {name: name for name in ("hidden_0", "hidden_2", "pooled")},
        ENCODER,
        proven=True,
    ),
    Converts(
        "09-tensorflow-43721-functional-h5",
        "files/bert_model.h5",
        "BertForSequenceClassification",
        PROBABILITIES,
        SEQUENCE,
    ),
    Converts(
        "09-tensorflow-43721-functional-h5",
        "files/weights.h5",
        "BertForSequenceClassification",
        PROBABILITIES,
        {**SEQUENCE, "heads": 3},
    ),
    Converts(
        "10-kerasio-37-functional-savedmodel",
        "files/model",
        "BertModel",
        {name: name for name in ("hidden_0", "hidden_2")},
        ENCODER,
        proven=True,
    ),
    Converts(
        "10-kerasio-37-functional-savedmodel",
        "files/w",
        "BertModel",
        {name: name for name in ("hidden_0", "hidden_2")},
        {**ENCODER, "heads": 3},
    ),
    Converts(
        "12-wobert-1-bert4keras-h5", "files", "BertForMaskedLM", {"probs": lambda found: _softmax(found["mlm_logits"])}
    ),
    Converts(
        "14-bert-843-estimator-savedmodel", "files", "BertForSequenceClassification", {**BODY, "logits": "logits"}
    ),
    Converts(
        "14-bert-843-estimator-savedmodel",
        "files/1583920000",
        "BertForSequenceClassification",
        {**BODY, "logits": "logits"},
        proven=True,
    ),
    Converts(
        "15-easytransfer-23-prefix",
        "files",
        "BertForMaskedLM",
        {**HIDDEN, "prediction_logits": "mlm_logits"},
        {"architecture": "BertForMaskedLM"},
    ),
    Converts("15-easytransfer-23-prefix", "files", "BertModel", BODY, ENCODER),
    Converts(
        "15-easytransfer-23-prefix", "files", "BertForSequenceClassification", {**BODY, "logits": "logits"}, SEQUENCE
    ),
    Converts("16-coref-41-coref-checkpoint", "files", "BertModel", BODY, ENCODER, proven=True),
    Converts(
        "17-transformers-10348-mlm-class",
        "files",
        "BertForMaskedLM",
        {**HIDDEN, "prediction_logits": "mlm_logits"},
        {"architecture": "BertForMaskedLM"},
        proven=True,
    ),
    Converts(
        "26-hub-843-other-heads",
        "files/imdb_bert",
        "BertModel",
        {"sequence": "sequence", "pooled": "pooled"},
        ENCODER,
        proven=True,
    ),
    Converts(
        "28-transformers-8292-tftrainer-checkpoint",
        "files/tftrainer/checkpoint",
        "BertForTokenClassification",
        {"logits": "logits"},
        proven=True,
    ),
    *(
        Converts(
            "28-transformers-8292-tftrainer-checkpoint",
            source,
            "BertForTokenClassification",
            {"logits": "logits"},
            {"heads": 3, "architecture": "BertForTokenClassification"},
            golden="golden_keras.npz",
        )
        for source in ("files/keras", "files/model_weights.h5", "files/v3/model.weights.h5")
    ),
    Converts(
        "29-bert-subset-ema", "files", "BertForSequenceClassification", {**BODY, "logits": "logits"}, {"ema": True}
    ),
]

REFUSED = [
    Refused("03-language-41-bert-joint-nq", "files", ("cls/nq/output_weights", "answer_type_output", "BertModel")),
    Refused("04-datasets-224-bleurt", "files", ("dense/kernel", "BertModel", "BertForSequenceClassification")),
    Refused("05-macanv-171-frozen-ner-pb", "ckpt", ("project/logits", "crf_loss/transitions", "BertModel")),
    Refused("07-adapterbert-1-adapters", "files", ("adapters", "layer_"), never=("ignored",)),
    Refused("07-adapterbert-1-adapters", "files", ("adapters", "layer_"), ENCODER, never=("ignored",)),
    Refused("07-adapterbert-1-adapters", "files", ("adapters", "layer_"), {"mapping": "table.toml"}),
    Refused("08-tapas-50-token-types", "files", ("TAPAS",)),
    Refused("09-tensorflow-43721-functional-h5", "files/bert_model.h5", ("dense", "BertForSequenceClassification")),
    Refused("16-coref-41-coref-checkpoint", "files", ("mention_scores", "BertModel")),
    Refused("18-transformers-3779-albert-squad2", "files", ("ALBERT",)),
    Refused("26-hub-843-other-heads", "files/imdb_bert", ("dense", "BertModel")),
    Refused("30-lfs-pointer-tf2", ".", ("Git LFS pointer",)),
    Refused("35-keras-bert-0.20", "keras-bert-0.20.0.h5", ("Encoder-1-MultiHeadSelfAttention with activation",)),
    Refused("31-keras-metadata-beside", ".", ("Git LFS pointer",)),
]


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[str], Path]:
    """A function that copies a case and unpacks its compressed files."""
    if not REPORTED.is_dir():
        pytest.skip("the reported checkpoints are not here")

    def copy(case: str) -> Path:
        folder = shutil.copytree(REPORTED / case, tmp_path / "case")
        for packed in folder.rglob("*.xz"):
            packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
            packed.unlink()
        return folder

    return copy


@pytest.mark.parametrize("expected", CONVERTS, ids=str)
def test_a_reported_checkpoint_computes_what_tensorflow_computed(expected, unpacked, tmp_path):
    folder = unpacked(expected.case)
    done = bridgeckpt.convert(folder / expected.source, tmp_path / "out", **expected.options)
    assert done.plan.architecture.name == expected.architecture
    stored = np.load(folder / expected.golden)
    golden = {name: stored[name] for name in expected.outputs}
    found = _outputs(load(tmp_path / "out", **expected.load), stored)
    compared = {name: found[how] if isinstance(how, str) else how(found) for name, how in expected.outputs.items()}
    shares = worst(compared, golden, stored["in_1"])
    assert max(shares.values()) <= TOLERANCE, shares


@pytest.mark.parametrize("expected", [case for case in CONVERTS if case.proven], ids=str)
def test_a_reported_checkpoint_is_proven(expected, unpacked, tmp_path):
    folder = unpacked(expected.case)
    done = bridgeckpt.convert(folder / expected.source, tmp_path / "out", **expected.options)
    verdict = bridgeckpt.verify(folder / expected.source, done.path, device="cpu")
    assert verdict.passed, verdict.failures


@pytest.mark.parametrize("expected", REFUSED, ids=str)
def test_a_reported_checkpoint_is_refused_by_name(expected, unpacked, tmp_path):
    folder = unpacked(expected.case)
    options = dict(expected.options)
    if "mapping" in options:
        options["mapping"] = folder / options["mapping"]
    with pytest.raises(bridgeckpt.BridgeckptError) as refusal:
        bridgeckpt.convert(folder / expected.source, tmp_path / "out", **options)
    text = str(refusal.value)
    assert all(word in text for word in expected.words), text
    assert not any(word in text for word in expected.never), text
    assert not (tmp_path / "out").exists()


def test_a_neighbour_does_not_hide_the_checkpoint_below(unpacked, tmp_path):
    folder = unpacked("32-pickle-beside")
    with pytest.raises(bridgeckpt.CheckpointError, match=r"model\.ckpt-3"):
        bridgeckpt.convert(folder, tmp_path / "out")


def _outputs(model: Any, stored: Outputs) -> dict[str, np.ndarray]:
    """What the model gives for the stored inputs, under the names of the golden outputs."""
    import torch

    names = ("input_ids", "attention_mask", "token_type_ids")
    feed = {name: torch.as_tensor(stored[f"in_{number}"], dtype=torch.long) for number, name in enumerate(names)}
    with torch.no_grad():
        out = model(**feed, output_hidden_states=True)
        body = getattr(model, "bert", model)
        pooled = body.pooler(out.hidden_states[-1]) if getattr(body, "pooler", None) is not None else None
    found = {
        **{f"hidden_{number}": hidden for number, hidden in enumerate(out.hidden_states)},
        "sequence": out.hidden_states[-1],
        "pooled": pooled,
        "mlm_logits": out.get("prediction_logits", out.get("logits")),
        "nsp_logits": out.get("seq_relationship_logits"),
        "logits": out.get("logits"),
    }
    return {name: value.float().numpy() for name, value in found.items() if value is not None}
