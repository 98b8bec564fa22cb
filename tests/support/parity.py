"""Judging a converted folder with real transformers: nothing missing or unexpected, and the outputs of the original."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# What float32 rounding explains, as a share of max(1, the largest value): the samples' own criterion.
TOLERANCE = 3e-5


def load(folder: Path, **options: Any) -> Any:
    """The model of ``folder`` as the class its config names, in evaluation mode.

    Raises:
        AssertionError: transformers reports a parameter missing, unexpected or of another shape.
    """
    import transformers

    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, info = getattr(transformers, name).from_pretrained(folder, output_loading_info=True, **options)
    report = {key: value for key, value in info.items() if value}
    assert not report, f"{name}: {report}"
    return model.eval()


def outputs(model: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of a PyTorch model under the names that the fixtures and the samples use."""
    import torch

    names = ("input_ids", "attention_mask", "token_type_ids")
    feed = {name: torch.as_tensor(np.asarray(inputs[name]), dtype=torch.long) for name in names}
    with torch.no_grad():
        out = model(**feed, output_hidden_states=True)
        body = getattr(model, "bert", model)
        pooled = body.pooler(out.hidden_states[-1]) if getattr(body, "pooler", None) is not None else None
    found = {
        "hidden_states": torch.stack(out.hidden_states),
        "sequence_output": out.hidden_states[-1],
        "pooled_output": pooled,
        "mlm_logits": out.get("prediction_logits", out.get("logits")),
        "nsp_logits": out.get("seq_relationship_logits", out.get("logits")),
        "logits": out.get("logits"),
        "start_logits": out.get("start_logits"),
        "end_logits": out.get("end_logits"),
    }
    return {name: value.float().numpy() for name, value in found.items() if value is not None}


def worst(found: Mapping[str, np.ndarray], golden: Mapping[str, np.ndarray], mask: np.ndarray) -> dict[str, float]:
    """Largest difference of each golden output as a share of max(1, its largest value), padded positions apart.

    Raises:
        AssertionError: nothing could be compared, or a golden output has no counterpart of its shape.
    """
    shares = {}
    for name, expected in golden.items():
        assert name in found, f"the converted model gives no {name}"
        actual = found[name]
        assert actual.shape == expected.shape, f"{name}: {actual.shape} against {expected.shape}"
        difference = np.abs(actual.astype(np.float64) - expected)
        rows = [axis for axis in range(expected.ndim - 1) if expected.shape[axis : axis + 2] == mask.shape]
        if rows:
            difference = np.moveaxis(difference, (rows[0], rows[0] + 1), (0, 1))[mask.astype(bool)]
        shares[name] = float(difference.max() / max(1.0, np.abs(expected).max()))
    assert shares, "nothing was compared"
    return shares


def assert_parity(
    folder: Path, inputs: Mapping[str, np.ndarray], golden: Mapping[str, np.ndarray], **options: Any
) -> None:
    """The converted folder computes the golden outputs."""
    shares = worst(outputs(load(folder, **options), inputs), golden, inputs["attention_mask"])
    wrong = {name: share for name, share in shares.items() if not share <= TOLERANCE}
    assert not wrong, f"differs by more than {TOLERANCE} of scale: {wrong}"
