"""Makes and reads the models for fault injection and for counting false alarms, each with its reference.

TensorFlow writes a checkpoint (``tests/support/tfbert.py``), which is converted and recorded. The files that stay are
enough for a machine without TensorFlow: the converted folder, the reference, and the facts of how both were made.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import bridgeckpt
from bridgeckpt.parity.bert.stages import HEADS
from bridgeckpt.parity.families import family_of
from bridgeckpt.parity.judging.loading import load
from bridgeckpt.parity.reference.reference import Reference, read_reference

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.pytorch import Subject

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
SCALED, OWN = "scaled", "BERT's own"
STATES, LOGITS = "hidden states and logits", "logits alone"  # what a user's own function may return
_CLASSES = {"token": "BertForTokenClassification", "classifier": "BertForSequenceClassification"}
_ACTIVATIONS = {"gelu": "gelu_pytorch_tanh", "gelu_erf": "gelu", "relu": "relu", "tanh": "tanh", "swish": "silu"}

Spec = dict[str, Any]  # the fields of tfbert.Spec


class Case(NamedTuple):
    """A converted model with its reference; ``facts`` say how it was made."""

    facts: Mapping[str, Any]
    subject: Subject
    reference: Reference


def faulty_specs() -> list[Spec]:
    """Models that together have all heads, and that differ in other facts that faults may depend on."""
    return [
        {"head": "pretraining", "positions": 40, "seed": 1},
        {"head": "classifier", "port": "keras", "hidden_act": "gelu_erf", "seed": 2},
        {"head": "token", "layers": 3, "hidden_act": "relu", "seed": 3},
        {"head": "squad", "layers": 1, "hidden": 48, "heads": 4, "hidden_act": "swish", "seed": 4},
    ]


def correct_specs(count: int) -> Iterator[tuple[Spec, str]]:
    """Models of many sizes, depths, heads, activations, epsilons, ports and seeds, with both initialisers."""
    rng = np.random.default_rng(0)
    for number in range(count):
        hidden = int(rng.choice([8, 24, 36, 48, 96, 192, 384], p=[0.1, 0.2, 0.2, 0.2, 0.15, 0.1, 0.05]))
        layers = int(rng.choice([1, 2, 3, 4, 6, 12, 24], p=[0.2, 0.25, 0.2, 0.15, 0.1, 0.06, 0.04]))
        head = [None, "pretraining", "mlm", "nsp", "classifier", "token", "squad"][int(rng.integers(7))]
        spec = {
            "seed": number,
            "hidden": hidden,
            "heads": int(rng.choice([n for n in (1, 2, 3, 4, 6, 8, 12) if hidden % n == 0])),
            "layers": min(layers, 6) if hidden > 96 else layers,
            "intermediate": int(rng.integers(40, 400)),
            "vocab": int(rng.integers(64, 1500)),
            "positions": int(rng.choice([16, 24, 64, 128])),
            "types": int(rng.choice([2, 2, 16])),
            "head": head,
            "hidden_act": str(rng.choice(list(_ACTIVATIONS))),
            "eps": [None, None, 1e-12, 1e-5, 1e-3][int(rng.integers(5))],
            "port": str(rng.choice(["google", "google", "keras", "keras_all"])),
            "static": bool(rng.integers(2)),
            # Only a graph distinguishes a token classifier from a sequence classifier.
            "meta": bool(rng.integers(2)) or head == "token",
        }
        yield spec, (SCALED, OWN)[number % 2]


def make(folder: Path, spec: Spec, initialiser: str) -> None:
    """Make a case on disk: ``model``, ``reference.safetensors`` and ``facts.json``."""
    from tfbert import build

    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        made = build(Path(scratch) / "scaled", **spec)
        source = made.prefix if initialiser == SCALED else _initialised(made, Path(scratch) / "own")
        known: dict[str, Any] = {}  # what the graph would show
        if not made.spec.meta:
            known = {"hidden_act": _ACTIVATIONS[made.spec.hidden_act], "layer_norm_eps": made.spec.epsilon}
        bridgeckpt.convert(source, folder / "model", architecture=_CLASSES.get(made.spec.head), **known)
        bridgeckpt.record_checkpoint(source, folder / "reference.safetensors", **known)
    (folder / "facts.json").write_text(json.dumps({**spec, "initialiser": initialiser}))


def _initialised(made: Any, folder: Path) -> Path:
    """Write the checkpoint ``made`` again, with its variables as BERT initialises them."""
    import tensorflow as tf

    shutil.copytree(made.directory, folder)
    rng = np.random.default_rng(made.spec.seed)
    values = []
    for name, value in made.variables.items():
        drawn = np.full(value.shape, float(name.endswith("gamma")))
        if value.ndim == 2:
            drawn = rng.standard_normal(value.shape)
            while (far := np.abs(drawn) > 2).any():  # truncated at two standard deviations
                drawn[far] = rng.standard_normal(far.sum())
            drawn *= 0.02
        values.append(drawn.astype(value.dtype))
    prefix = folder / made.prefix.name
    names = list(made.variables)
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    return prefix


def read(folder: Path) -> Case:
    """Read a case that :func:`make` made."""
    facts = json.loads((folder / "facts.json").read_text())
    return Case(facts, load(folder / "model", family_of), read_reference(folder / "reference.safetensors"))


def reduced(reference: Reference, kind: str, run: str = "float32", probe: str = "mixed") -> Reference | None:
    """The reference that a user's own function would give in float32 on one probe; None without such outputs."""

    def is_kept(stage: str) -> bool:
        return stage in HEADS or (kind == STATES and (stage == "embeddings" or stage.endswith(".output")))

    values = reference.runs.get(run, {}).get(probe, {})
    kept = {stage: value for stage, value in values.items() if is_kept(stage)}
    probes, provenance = {probe: reference.probes[probe]} if kept else {}, {"how": "the caller's function"}
    return Reference(probes, {"float32": {probe: kept}}, provenance) if kept else None
