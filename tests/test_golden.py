"""The samples that third-party TensorFlow code wrote: converted, loaded in transformers, compared with its outputs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from parity import assert_parity

import bridgeckpt

# The class of each head in case.json, and the golden outputs that this class computes.
CASES = {
    "t1_pretrain_v2_slots": "BertForPreTraining",
    "t1_pretrain_sharded": "BertForPreTraining",
    "t1_ema": "BertForPreTraining",
    "t1_squad": "BertForQuestionAnswering",
    "t1_classifier2_noslots": "BertForSequenceClassification",
    "hf_bert_pretraining": "BertForPreTraining",
    "hf_bert_pretraining_safetensors": "BertForPreTraining",
    "hfold200_bert_pretraining": "BertForPreTraining",
}
NOT_OUTPUTS = {"input_ids", "attention_mask", "token_type_ids", "probabilities"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.slow
def test_golden_case_of_google_and_transformers(case, samples, tmp_path):
    folder = samples / "golden" / case
    golden = dict(np.load(folder / "golden.npz"))
    done = bridgeckpt.convert(folder, tmp_path / "out")
    assert done.plan.architecture.name == CASES[case]
    expected = {
        name: value for name, value in golden.items() if name not in NOT_OUTPUTS and not name.startswith("ema_")
    }
    if case == "t1_squad":
        del expected["pooled_output"]  # the class has no pooler; the report says so
    assert_parity(tmp_path / "out", golden, expected)


@pytest.mark.slow
def test_the_shadows_of_the_ema_case(samples, tmp_path):
    folder = samples / "golden" / "t1_ema"
    golden = dict(np.load(folder / "golden.npz"))
    bridgeckpt.convert(folder, tmp_path / "out", ema=True)
    assert_parity(
        tmp_path / "out", golden, {k.removeprefix("ema_"): v for k, v in golden.items() if k.startswith("ema_")}
    )


def test_the_published_toy_checkpoint_of_keras_bert(samples, tmp_path):
    folder = samples / "real" / "kerasbert-toy-tf1"
    done = bridgeckpt.convert(folder / "bert_model.ckpt", tmp_path / "out")
    counts = done.plan.ledger.source_counts()
    assert sum(counts.values()) == 139
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert report["source_states"] == counts
