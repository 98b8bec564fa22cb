"""TensorFlow classes of transformers 4, other than BERT's: converted by the general rules and run in PyTorch.

``fixtures/make_architectures.py`` ran each model with weights drawn from their names and kept what it computed, but not
the weights: the file that ``save_pretrained`` wrote is written again here, from its layout.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from drawn import drawn

import bridgeckpt
from bridgeckpt.errors import PlanError

FOLDER = Path(__file__).parent / "fixtures" / "architectures"
CASES = sorted(path.stem for path in FOLDER.glob("*.json"))
TOLERANCE = 3e-5
DERIVED = ("num_batches_tracked", "inv_freq")  # a counter that inference does not read, and what the config makes
# Where the two classes of transformers differ for the same weights: the tanh approximation for the error function.
TOLERANCES = {"OpenAIGPTLMHeadModel": 1e-3}
# transformers 5 zeroes the row of the padding token, 0, after it loaded the embeddings: its logit is not compared.
PADDING_ZEROED = ("FunnelForMaskedLM",)
# What cannot be converted, and what the refusal says.
REFUSED = dict.fromkeys(("EfficientFormerForImageClassification", "TransfoXLLMHeadModel"), "has no PyTorch class")


def write_source(case: str, folder: Path) -> Path:
    """Write tf_model.h5 and config.json as transformers wrote them; returns the folder."""
    record = json.loads((FOLDER / f"{case}.json").read_text())
    kept = np.load(FOLDER / f"{case}.npz")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(record["config"]))
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.attrs["layer_names"] = [layer for layer, _ in record["layers"]]
        file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", "2.15.0"
        for layer, weights in record["layers"]:
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name for name, _, _ in weights]
            for name, shape, dtype in weights:
                value = kept[f"kept.{name}"] if f"kept.{name}" in kept else drawn(name, tuple(shape))
                group[name] = value.astype(dtype)
    return folder


def differences(case: str, folder: Path) -> dict[str, float]:
    """How far each output of the converted model is from TensorFlow's, as a share of max(1, the largest)."""
    import torch
    import transformers

    arrays = np.load(FOLDER / f"{case}.npz")
    inputs = {name.removeprefix("in."): arrays[name] for name in arrays if name.startswith("in.")}
    model, loading = getattr(transformers, case).from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    loading["missing_keys"] = {name for name in loading["missing_keys"] if not name.endswith(DERIVED)}
    assert not {key: value for key, value in loading.items() if value}
    with torch.no_grad():
        outputs = model.eval()(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    mask, shares = inputs.get("attention_mask"), {}
    for name in (name for name in arrays if name.startswith("out.")):
        expected, actual = arrays[name], outputs[name.removeprefix("out.")].numpy()
        assert actual.shape == expected.shape, name
        difference = np.abs(actual - expected)[..., 1 if case in PADDING_ZEROED else 0 :]
        decoded = name == "out.logits" and "decoder_input_ids" in inputs
        if mask is not None and difference.shape[: mask.ndim] == mask.shape and not decoded:
            difference = difference[mask.astype(bool)]
        shares[name] = float(difference.max() / max(1.0, np.abs(expected).max()))
    return shares


@pytest.mark.parametrize("case", [case for case in CASES if case not in REFUSED])
def test_it_converts_and_computes_what_tensorflow_computed(case, tmp_path):
    done = bridgeckpt.convert(write_source(case, tmp_path / "source"), tmp_path / "out")
    assert done.plan.table.name == "transformers/general"
    assert done.plan.architecture.name == case
    shares = differences(case, tmp_path / "out")
    assert shares
    assert {name: share for name, share in shares.items() if not share <= TOLERANCES.get(case, TOLERANCE)} == {}
    assert (case in TOLERANCES) == any("TFOpenAIGPT" in note for note in done.plan.notes)


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_cannot_be_settled_is_refused(case, tmp_path):
    with pytest.raises(PlanError, match=REFUSED[case]):
        bridgeckpt.plan(write_source(case, tmp_path / "source"))


def test_a_class_that_is_asked_for(tmp_path):
    plan = bridgeckpt.plan(write_source("ElectraForMaskedLM", tmp_path / "source"), architecture="ElectraModel")
    assert plan.architecture.name == "ElectraModel"
    excluded = [name for name, state in plan.ledger.sources.items() if state == "excluded"]
    assert excluded
    assert all("electra/electra" not in name and "generator" in name for name in excluded)


def test_a_config_of_another_size_is_refused(tmp_path):
    source = write_source("ElectraModel", tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "intermediate_size": 44}))
    with pytest.raises(PlanError, match=r"is \[44, 24\]"):
        bridgeckpt.plan(source)


def test_a_tensor_that_the_class_lacks_and_a_parameter_that_is_missing(tmp_path):
    source = write_source("ElectraModel", tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    with pytest.raises(PlanError, match=r"unmapped .*layer_._1"):
        bridgeckpt.plan(source)
    (source / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(PlanError, match=r"missing .*encoder.layer.2"):
        bridgeckpt.plan(source)
