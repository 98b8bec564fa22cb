"""What became of one model: converted as a user does it, loaded with transformers, and compared with TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from silent_trials import FAILED, REFUSED, RIGHT, SILENT, WARNED

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

_NEAR = 5e-5  # of max(1, the largest value)
_OF_OTHERS = "the pooler is left out"  # a warning that is about no difference here
_NAMES = {
    "hidden": lambda outputs: outputs.hidden_states[-1],
    "pooled": lambda outputs: getattr(outputs, "pooler_output", None),
    "logits": lambda outputs: getattr(outputs, "logits", getattr(outputs, "prediction_logits", None)),
    "relation": lambda outputs: getattr(outputs, "seq_relationship_logits", None),
}


def judged(source: Path, expected: Mapping[str, Any]) -> tuple[str, str]:
    """The outcome of converting ``source``, whose model computes ``expected``, and what to know about it."""
    import bridgeckpt

    out = source.parent / f"{source.name}-out"
    try:
        done = bridgeckpt.convert(source, out)
    except bridgeckpt.TableError as error:
        return FAILED, error.message
    except bridgeckpt.BridgeckptError as error:
        problems = getattr(error, "problems", ())
        return REFUSED, (problems[0].explanation[0] if problems and problems[0].explanation else error.message)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a defect
        return FAILED, f"{type(error).__name__}: {error}"
    shares = _differences(out, expected)
    wrong = {name: share for name, share in shares.items() if share > _NEAR}
    warnings = [text for text in done.plan.warnings if not text.startswith(_OF_OTHERS)]
    said = "; ".join((*warnings, *done.plan.unproven))
    if not wrong:
        return RIGHT, said
    worst = max(wrong, key=wrong.__getitem__)
    return (WARNED if said else SILENT), f"{worst} differs by {wrong[worst]:.1e} of scale. {said}"


def _differences(folder: Path, expected: Mapping[str, Any]) -> dict[str, float]:
    """The largest difference of each output, as a share of max(1, the largest value)."""
    import torch
    import transformers

    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, name).from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        outputs = model(torch.from_numpy(expected["input_ids"]).long(), output_hidden_states=True)
    shares: dict[str, float] = {}
    for key, read in _NAMES.items():
        found = read(outputs)
        if found is not None and key in expected:
            shares[key] = _share(found.numpy(), expected[key])
    return shares


def _share(found: np.ndarray, wanted: np.ndarray) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    return float(abs(found - wanted).max() / max(1.0, abs(wanted).max()))
