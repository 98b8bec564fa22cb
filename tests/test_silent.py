"""Sources that say one thing and compute another: each becomes the model that TensorFlow computed, or is refused.

They lie outside the repository, with TensorFlow's outputs; the tests skip where they are not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from parity import TOLERANCE, load
from paths import EXAMPLE, REPORTED

import bridgeckpt

pytestmark = pytest.mark.slow  # TensorFlow makes the graphs, and transformers loads the models

FOLDER = REPORTED / "silent"
ENCODER = {"architecture": "BertModel"}

# Runs the maker of the graphs once for each variant, in one process.
_MAKE = """
import runpy, sys
import tensorflow as tf
maker, folder, *variants = sys.argv[1:]
for variant in variants:
    tf.compat.v1.reset_default_graph()
    sys.argv = [maker, variant, f"{folder}/{variant}"]
    runpy.run_path(maker, run_name="__main__")
"""


class Right(NamedTuple):
    """The model that TensorFlow computed; ``told`` are words of its warnings, which are none if it is empty."""

    source: str
    told: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return self.source + "".join(f" {name}={value}" for name, value in self.options.items())


class Refused(NamedTuple):
    """Refused in a message with all of ``words``."""

    source: str
    words: tuple[str, ...]
    options: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return self.source + "".join(f" {name}={value}" for name, value in self.options.items())


FILES = [
    Right("01/src", ("tie_word_embeddings",)),
    Right("02/src", ("scale_attn_by_inverse_layer_idx",)),
    Refused("04/src", ("BertForSequenceClassification", "BertForTokenClassification", "architecture=")),
    Right("04/src", options={"architecture": "BertForSequenceClassification"}),
    Refused("rules-04", ("tie_word_embeddings",)),
    Refused("rules-06", ("use_weighted_layer_sum",)),
    Right("rules-10", ("pad_token_id",)),
]
GRAPHS = [
    Right("plain"),
    Refused("encoder_eps", ("0.01", "1e-12", "layer_norm_eps")),
    Refused("layer_1_relu", ("layer_1", "relu", "gelu")),
    Refused("pooler_relu", ("pooler", "relu")),
    Refused("no_scale", ("attention/self",)),
    Refused("pre_ln", ("LayerNorm",)),
    *(Refused(f"head_{name}", ("output_weights", "BertModel")) for name in ("relu", "cls", "mean", "prev")),
    *(Right(f"head_{name}", options=ENCODER) for name in ("relu", "cls", "mean", "prev")),
    Right("mish", ()),
    Right("folded_gelu", ()),
    Right("square_relu", ("hidden_act",)),
    Refused("leaky_relu", ("intermediate",)),
    Refused("capped_relu", ("intermediate",)),
    Refused("swish_1.5", ("intermediate",)),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the checkpoints whose graph is the source: one for each variant."""
    _skip_without()
    folder = tmp_path_factory.mktemp("graphs")
    variants = dict.fromkeys(expected.source for expected in GRAPHS)
    command = [sys.executable, "-c", _MAKE, str(FOLDER / "05" / "make.py"), str(folder), *variants]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("expected", FILES, ids=str)
def test_a_file_becomes_what_its_class_computed(expected, tmp_path):
    _skip_without()
    _check(expected, FOLDER / expected.source, tmp_path / "out")


@pytest.mark.parametrize("expected", GRAPHS, ids=str)
def test_a_checkpoint_becomes_what_its_graph_computes(expected, made, tmp_path):
    _check(expected, made / expected.source, tmp_path / "out")


def test_a_dtype_that_rounds_the_weights_while_they_are_loaded_is_a_failure(tmp_path):
    done = bridgeckpt.convert(EXAMPLE, tmp_path / "out")
    assert bridgeckpt.verify(EXAMPLE, done.path, device="cpu").passed
    config = done.path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "bfloat16"}))
    verdict = bridgeckpt.verify(EXAMPLE, done.path, device="cpu")
    assert not verdict.passed
    assert any("bfloat16" in failure for failure in verdict.failures)


def test_no_layer_of_a_keras_model_gets_the_values_of_another():
    _skip_without()
    script = FOLDER / "keras-numbers" / "repro.py"
    ran = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True)
    assert ran.stdout.count("file:") == 4
    assert "WRONG" not in ran.stdout, ran.stdout


def _skip_without() -> None:
    if not FOLDER.is_dir():
        pytest.skip("the sources are not here")


def _check(expected: Right | Refused, source: Path, out: Path) -> None:
    if isinstance(expected, Refused):
        with pytest.raises(bridgeckpt.BridgeckptError) as refusal:
            bridgeckpt.convert(source, out, **expected.options)
        assert all(word in str(refusal.value) for word in expected.words), refusal.value
        assert not out.exists()
        return
    done = bridgeckpt.convert(source, out, **expected.options)
    said = " ".join(done.plan.warnings)
    assert all(word in said for word in expected.told), said
    assert expected.told or not said, said
    differences = _differences(source, out)
    assert differences
    assert max(differences.values()) <= TOLERANCE, differences


def _differences(source: Path, out: Path) -> dict[str, float]:
    """How far each output is from TensorFlow's, as a share of max(1, the largest), as a user loads the folder."""
    import torch

    truth = next(path for path in (source / "truth.npz", source / "ref.npz") if path.exists())
    stored = dict(np.load(truth))
    fed = {name.removeprefix("in_"): value for name, value in stored.items() if name.startswith("in_")}
    fed = fed or {name: stored[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in stored}
    model = load(out)
    with torch.no_grad():
        found = model(**{name: torch.from_numpy(value) for name, value in fed.items()}, output_hidden_states=True)
    names = {"hidden": "last_hidden_state", "pooled": "pooler_output"}
    shares = {}
    for name in (name.removeprefix("out_") for name in stored if name not in fed and not name.startswith("in_")):
        actual = found["hidden_states"][-1] if name == "hidden" else found.get(names.get(name, name))
        if actual is not None:
            expected = stored.get(name, stored.get(f"out_{name}"))
            assert expected is not None and actual.shape == expected.shape, name
            shares[name] = float(np.abs(actual.numpy() - expected).max() / max(1.0, np.abs(expected).max()))
    return shares
