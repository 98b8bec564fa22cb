"""TensorFlow classes of transformers 4: their files written again, and what the converted models compute."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from drawn import drawn
from paths import FIXTURES

FOLDER = FIXTURES / "architectures"
DERIVED = "inv_freq"  # what the config makes


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


def configured(folder: Path, **values: object) -> Path:
    """The folder, with other values in its config; None takes one out."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
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
        difference = np.abs(actual - expected)
        decoded = name == "out.logits" and "decoder_input_ids" in inputs
        if mask is not None and difference.shape[: mask.ndim] == mask.shape and not decoded:
            difference = difference[mask.astype(bool)]
        shares[name] = float(difference.max() / max(1.0, np.abs(expected).max()))
    return shares
