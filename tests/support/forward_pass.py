"""The forward pass in plain TensorFlow, run on a checkpoint and compared with what another graph computed."""

from __future__ import annotations

import numpy as np
import pytest

from bridgeckpt.parity.bert.running import run_forward
from bridgeckpt.parity.bert.settings import read_settings
from bridgeckpt.parity.bert.variables import find_bert
from bridgeckpt.parity.reference.probes import IDS, MASK, Probe
from bridgeckpt.parity.request import GivenSettings
from bridgeckpt.parity.tensorflow.stored import TensorFlowVariables

tf = pytest.importorskip("tensorflow")

NAMES = (IDS, MASK, "token_type_ids")
LIMIT = 6e-6  # float32 against float32


def forward(folder, prefix, inputs, dtype="float32", *, ema=False, **asked):
    """What the forward pass computes on ``inputs``, every stage of it."""
    variables = TensorFlowVariables(tf, prefix)
    bert = find_bert(variables.shapes, str(prefix), ema=ema)
    settings = read_settings(folder, bert, None, GivenSettings(**asked))
    probe = Probe({name: inputs[name] for name in NAMES}, "fine" if dtype == "float32" else "coarse")
    return run_forward(tf, bert, settings, variables, {"": probe}, dtype)[""]


def distances(found, outputs, mask, prefix=""):
    """The largest difference of each output that somebody else's graph computed; padding left out."""
    states = outputs[f"{prefix}hidden_states"]
    expected = {"embeddings": states[0]} | {f"layer.{at}.output": of for at, of in enumerate(states[1:])}
    names = {"pooler": "pooled_output", "token_logits": "logits"}
    for stage in ("pooler", "mlm_logits", "nsp_logits", "logits", "token_logits"):
        name = prefix + names.get(stage, stage)
        if name in outputs and (stage != "logits" or outputs[name].ndim == 2):
            expected[stage] = outputs[name]
    if "start_logits" in outputs:
        expected["span_logits"] = np.stack([outputs["start_logits"], outputs["end_logits"]], -1)
    compared = {}
    for stage, values in expected.items():
        if stage in found and found[stage].shape == values.shape:
            compared[stage] = float(np.abs(found[stage] - values)[mask if values.ndim > 2 else ...].max())
    return compared


def agree(found, outputs, inputs, limit=LIMIT, prefix=""):
    """Assert that everything agrees; which stages were compared."""
    compared = distances(found, outputs, inputs[MASK].astype(bool), prefix)
    assert {stage: one for stage, one in compared.items() if one > limit} == {}
    return set(compared)


def save(variables, prefix):
    """Write a TensorBundle of these values."""
    names = list(variables)
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=list(variables.values())
    )
