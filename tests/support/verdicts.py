"""Verdicts made by hand, for the tests of how they are shown."""

from __future__ import annotations

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.parity.bert.stages import HEADS, is_coarse, stages
from bridgeckpt.parity.judging.verdict import DeviceResult, Diagnosis, StageResult, Verdict
from bridgeckpt.sentences import Sentence

LEFT_OUT = {"logits", "token_logits", "span_logits"}
REFERENCE = {
    "tensorflow": "2.21.0",
    "device": "CPU",
    "checkpoint": "bert_model.ckpt",
    "fingerprint": "0123456789abcdef" * 4,
    "settings": {"heads": "12 (bert_config.json)"},
    "scope": "",
    "ema": False,
}
PROVENANCE = {"reference": REFERENCE, "class": "BertForPreTraining", "parameters": 110_104_890, "torch": "2.13.0"}
DEVICES = (
    DeviceResult("cuda", "NVIDIA H100 80GB HBM3", "float32", "layer.1.output", 1.3, 4.5, 1.0, 2e-13, True),
    DeviceResult("cuda", "NVIDIA H100 80GB HBM3", "bfloat16", "layer.1.output", 2.1, 4.5, 0.9687, 1.4e-3, True),
)


def stage(name, **changes):
    """A stage that agrees, as :class:`StageResult` has it but for ``changes``."""
    head = name in HEADS
    agreed = StageResult(
        name=name,
        module=f"bert.{name}",
        elements=1000,
        difference=1e-7,
        rms=0.9,
        peak=3.8,
        limit=4.7,
        accumulated=1.0,
        double=0.5,
        excess=0.2,
        where="all values",
        argmax=1.0 if head else None,
        kl=3e-13 if head else None,
        passed=True,
        coarse=is_coarse(name),
    )
    return agreed._replace(**changes)


def passing(layers=12):
    """A verdict on a correct model."""
    found = tuple(stage(name, excess=0.1 + at / 1000) for at, name in enumerate(stages(layers)) if name not in LEFT_OUT)
    return Verdict(
        True, found, DEVICES, None, None, (), ("assumed: epsilon",), PROVENANCE, {"loading": 1.25, "x": 0.01}
    )


def unproven():
    """A verdict on a correct model whose activation and epsilon both sides assume."""
    said = {
        "hidden_act": Sentence("hidden_act = gelu is assumed: {hidden_act:NAME} settles it"),
        "layer_norm_eps": Sentence("layer_norm_eps = 1e-12 is assumed: {layer_norm_eps:X} settles it"),
    }
    return passing()._replace(assumed=FrozenDict(said))


def failing(layers=12, first="layer.3.query"):
    """A verdict on a model that goes wrong at one stage, and is wrong from there on."""
    found, wrong = [], False
    for name in stages(layers):
        if name in LEFT_OUT:
            continue
        wrong = wrong or name == first
        found.append(
            stage(name, rms=28113.0, excess=9876.0, accumulated=31250.0, passed=False) if wrong else stage(name)
        )
    layer = first.rpartition(".")[0]
    diagnosis = Diagnosis(
        first,
        "query and key are swapped",
        "swap the two",
        f"bert.encoder.{layer}.query.weight",
        "bert/encoder/query/kernel",
        True,
        ("pooler",),
    )
    reason = f"some stages differ by more than rounding explains, first {first}"
    return Verdict(False, tuple(found), DEVICES[:1], first, diagnosis, (reason,), (), PROVENANCE, {})


def empty():
    """A verdict on nothing."""
    return Verdict(False, (), (), None, None, ("nothing was compared",), (), PROVENANCE, {})
