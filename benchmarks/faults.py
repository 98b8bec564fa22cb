"""Measures what ``bridgeckpt verify`` catches, what it names, and how often it raises a false alarm.

    python benchmarks/faults.py --quick                        a minute
    python benchmarks/faults.py --models 200 --write           results/faults.md
    python benchmarks/faults.py --make cases/                  on a machine with TensorFlow, and then
    python benchmarks/faults.py --cases cases/ --device cuda   on one with a GPU, without TensorFlow

Every fault of ``fault_kinds`` is injected into models that real TensorFlow wrote, that were converted and whose
references were recorded; with weights that let errors show, and with BERT's own initialiser (normal, standard deviation
0.02; biases 0), whose logits hide them. Whether a fault changes anything is measured without the verdict: the faulty
model in float64 against the correct one, in units of the rounding of float32. Then as many correct models are verified,
of many sizes, depths and seeds, and every failure is a false alarm.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from convert import machine
from fault_kinds import Fault, config_faults, tensor_faults

import bridgeckpt
from bridgeckpt.parity.comparison import compare
from bridgeckpt.parity.judging import judge
from bridgeckpt.parity.passes import combined, in_float32, in_float64, what_to_run
from bridgeckpt.parity.pytorch import Subject, load
from bridgeckpt.parity.reference import Reference, read_reference
from bridgeckpt.parity.stages import HEADS
from bridgeckpt.parity.verifying import Clock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
CLASSES = {"token": "BertForTokenClassification", "classifier": "BertForSequenceClassification"}
# What a model is proven by: all that `record` writes, or what a function of one's own might return.
FULL, STATES, LOGITS = "record", "states and logits", "logits alone"
SAME, BELOW, HIDDEN, SHOWN = "changes nothing", "below rounding", "moves hidden states", "moves logits"


class Case(NamedTuple):
    """A converted model with its reference; ``facts`` say how it was made."""

    facts: Mapping[str, Any]
    subject: Subject
    reference: Reference


class Trial(NamedTuple):
    """What became of one fault: what it does, and by each kind of reference whether it was caught."""

    initialiser: str
    fault: Fault
    effect: str
    caught: Mapping[str, bool]
    located: bool
    named: bool
    found: str


def make(folder: Path, spec: Mapping[str, Any], initialiser: str) -> None:
    """A case on disk: ``model``, ``reference.safetensors`` and ``facts.json``."""
    from tfbert import build

    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = build(Path(scratch) / "tf", **spec)
        source = made.prefix if initialiser == "scaled" else _own_initialiser(Path(scratch) / "own", made)
        bridgeckpt.convert(source, folder / "model", architecture=CLASSES.get(spec.get("head")))
        bridgeckpt.record_checkpoint(source, folder / "reference.safetensors")
    facts = {**spec, "initialiser": initialiser}
    (folder / "facts.json").write_text(json.dumps(facts))


def _own_initialiser(folder: Path, made: Any) -> Path:
    """The same variables as BERT initialises them, with the graph and the config of ``made``."""
    import shutil

    import tensorflow as tf

    shutil.copytree(made.directory, folder)
    rng = np.random.default_rng(made.spec.seed)
    values = []
    for name, value in made.variables.items():
        ending = name.rpartition("/")[2]
        if value.ndim == 2:
            drawn = rng.standard_normal((*value.shape, 4)) * 0.02
            kept = np.take_along_axis(drawn, np.argmin(np.abs(drawn), -1, keepdims=True), -1)[..., 0]
            values.append(np.where(np.abs(drawn[..., 0]) < 0.04, drawn[..., 0], kept).astype(np.float32))
        else:
            values.append(np.full_like(value, float(ending == "gamma")))
    prefix = folder / made.prefix.name
    names = list(made.variables)
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    return prefix


def specs(models: int) -> Iterator[tuple[dict[str, Any], str]]:
    """Correct models of many kinds."""
    rng = np.random.default_rng(0)
    for number in range(models):
        hidden = int(rng.choice([24, 36, 48, 96, 192]))
        heads = int(rng.choice([n for n in (1, 2, 3, 4, 6, 8, 12) if hidden % n == 0]))
        layers = int(rng.choice([1, 2, 3, 4, 6, 12, 24], p=[0.15, 0.25, 0.2, 0.15, 0.1, 0.1, 0.05]))
        yield (
            {
                "seed": number,
                "hidden": hidden,
                "heads": heads,
                "layers": layers,
                "intermediate": int(rng.integers(40, 400)),
                "vocab": int(rng.integers(64, 1500)),
                "positions": int(rng.choice([16, 24, 64, 128])),
                "types": int(rng.choice([2, 2, 16])),
                "head": [None, "pretraining", "mlm", "nsp", "classifier", "token", "squad"][int(rng.integers(7))],
                "hidden_act": str(rng.choice(["gelu", "gelu_erf", "relu", "tanh", "swish"])),
                "port": str(rng.choice(["google", "google", "keras", "keras_all"])),
                "static": bool(rng.integers(2)),
                "meta": bool(rng.integers(4)),
            },
            ["scaled", "BERT's own"][number % 2],
        )


def cases(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.iterdir()):
        facts = json.loads((path / "facts.json").read_text())
        yield Case(facts, load(path / "model"), read_reference(path / "reference.safetensors"))


def reduced(reference: Reference, kind: str, subject: Subject) -> Reference:
    """What a function of one's own would have returned, in float32."""
    whole = reference.runs.get("float32") or reference.runs["graph"]
    kept = {
        stage: value
        for stage, value in whole["mixed"].items()
        if stage in subject.sites
        and (stage in HEADS or (kind == STATES and (stage == "embeddings" or stage.endswith(".output"))))
    }
    probe = reference.probes["mixed"]
    return reference._replace(probes={"mixed": probe}, runs={"float32": {"mixed": kept}} if kept else {})


def compared(subject: Subject, reference: Reference) -> list[bridgeckpt.StageResult]:
    """The stages as the verdict judges them, without looking for a cause."""
    wanted, _ = what_to_run(reference, subject)
    rounded = in_float32(reference, subject, wanted)
    truth, _ = in_float64(reference, subject, wanted, False)
    order = {name: name for probes in reference.runs.values() for stages in probes.values() for name in stages}
    return compare(reference, combined(truth, rounded, None, rounded.free), order)


def effect(correct: Any, rounded: Any, faulty: Any, stages: set[str]) -> float:
    """The largest change of a stage, root mean square, in units of the rounding of float32 there."""
    worst = 0.0
    for probe, values in correct.items():
        for stage in values.keys() & stages:
            noise = np.sqrt(np.mean((rounded[probe][stage] - values[stage]) ** 2)) + 1e-30
            worst = max(worst, float(np.sqrt(np.mean((faulty[probe][stage] - values[stage]) ** 2)) / noise))
    return worst


def inject(case: Case, faults: Sequence[Fault], device: str) -> Iterator[Trial]:
    """Every fault in turn, and what became of it."""
    subject, reference = case.subject, case.reference
    wanted, _ = what_to_run(reference, subject)
    rounded = in_float32(reference, subject, wanted).free
    correct = in_float64(reference, subject, wanted, False)[0].free
    every = {stage for names in wanted.values() for stage in names}
    for fault in faults:
        undo = fault.apply()
        try:
            faulty = in_float64(reference, subject, wanted, False)[0].free
            caught = {}
            for kind in (STATES, LOGITS):
                if (less := reduced(reference, kind, subject)).runs:
                    caught[kind] = not all(result.passed for result in compared(subject, less))
            verdict = judge(reference, subject, device, (), None, Clock())
        finally:
            undo()
        on_logits, on_any = (effect(correct, rounded, faulty, of) for of in (set(HEADS), every))
        done = SAME if on_any < 1e-6 else BELOW if on_any < 1 else HIDDEN if on_logits < 1 else SHOWN
        found = verdict.diagnosis
        blamed = (found.parameter or found.cause) if found else ""
        yield Trial(
            case.facts["initialiser"],
            fault,
            done,
            {FULL: not verdict.passed, **caught},
            verdict.first in fault.stages or (found is not None and found.stage in fault.stages),
            any(name in blamed for name in fault.named) if fault.named else _says(fault, found),
            f"{verdict.first}: {found.cause}" if found else "passes",
        )


def _says(fault: Fault, found: Any) -> bool:
    """Whether a fault that is no single parameter's is called by its name."""
    word = {"mask inverted": "mask", "layers shifted": "layer"}[fault.kind]
    return found is not None and word in found.cause


def matrix(trials: Sequence[Trial]) -> Iterator[str]:
    """The fault matrix as a Markdown table for each initialiser."""
    for initialiser in dict.fromkeys(trial.initialiser for trial in trials):
        yield f"### {initialiser} initialiser"
        yield ""
        yield f"| fault | injected | {SAME} | {BELOW} | {HIDDEN} only | {SHOWN} | caught | located | named |"
        yield "|---|---|---|---|---|---|---|---|---|"
        mine = [trial for trial in trials if trial.initialiser == initialiser]
        for kind in [*dict.fromkeys(trial.fault.kind for trial in mine), None]:
            these = [trial for trial in mine if kind in (None, trial.fault.kind)]
            counts = Counter(trial.effect for trial in these)
            caught = [trial for trial in these if trial.caught[FULL] and trial.effect != SAME]
            cells = [len(these), *(counts[e] for e in (SAME, BELOW, HIDDEN, SHOWN)), len(caught)]
            cells += [sum(trial.located for trial in caught), sum(trial.named for trial in caught)]
            yield f"| {kind or 'all'} | {' | '.join(map(str, cells))} |"
        yield ""
        for kind in (FULL, STATES, LOGITS):
            able = [trial for trial in mine if kind in trial.caught and trial.effect in (HIDDEN, SHOWN)]
            shown = [trial for trial in able if trial.effect == SHOWN]
            yield (
                f"- with a reference of {kind}: {sum(t.caught[kind] for t in able)} caught of {len(able)} that move "
                f"anything by more than rounding, {sum(t.caught[kind] for t in shown)} of {len(shown)} that move logits"
            )
        yield ""


def misses(trials: Sequence[Trial]) -> Iterator[str]:
    """What should have been caught, located or named, and was not."""
    for trial in trials:
        if trial.effect in (SAME, BELOW):
            if trial.effect == SAME and trial.caught[FULL]:
                yield f"- caught although it changes nothing: {_told(trial)}"
        elif not trial.caught[FULL]:
            yield f"- not caught: {_told(trial)}"
        elif not trial.located:
            yield f"- at another stage: {_told(trial)}"
        elif not trial.named:
            yield f"- under another name: {_told(trial)}"


def _told(trial: Trial) -> str:
    return f"{trial.initialiser}, {trial.fault.kind}, {trial.fault.subject} ({trial.effect}): {trial.found}"


class Alarms:
    """Failures of correct models, and how near to their limits the others come."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.shares: dict[str, list[float]] = {}

    def add(self, test: str, share: float, facts: Mapping[str, Any]) -> None:
        self.shares.setdefault(test, []).append(share)
        if not share <= 1:
            self.failed.append(f"{test}: {share:.3g} of its limit, {dict(facts)}")

    def verify(self, case: Case, device: str, dtypes: Sequence[str]) -> None:
        """Verify a correct model in every way there is."""
        verdict = judge(case.reference, case.subject, device, dtypes, None, Clock())
        self.add("the verdict (every stage, row and column)", max(s.excess for s in verdict.stages), case.facts)
        alone = [stage.rms / stage.limit for stage in verdict.stages]
        self.add("a stage by itself, float32", max(alone), case.facts)
        double = [stage.double / stage.limit for stage in verdict.stages if stage.double is not None]
        if double:
            self.add("the whole model, float64", max(double), case.facts)
        for one in verdict.devices:
            self.add(f"{one.dtype} on {one.device}", one.rms / one.limit, case.facts)
        for kind in (STATES, LOGITS):
            if (less := reduced(case.reference, kind, case.subject)).runs:
                self.add(f"a reference of {kind}", max(r.excess for r in compared(case.subject, less)), case.facts)

    def table(self) -> Iterator[str]:
        yield "| test | models | false alarms | median share of the limit | 99 % | largest |"
        yield "|---|---|---|---|---|---|"
        for test, shares in self.shares.items():
            figures = (np.median(shares), np.quantile(shares, 0.99), max(shares))
            failed = sum(not share <= 1 for share in shares)
            yield f"| {test} | {len(shares)} | {failed} | {' | '.join(f'{figure:.2f}' for figure in figures)} |"
        yield from ("", *(f"- false alarm: {one}" for one in self.failed))


def faulty_specs() -> list[dict[str, Any]]:
    """Models with all heads between them. Only the first has every tensor injected, the others those it lacks."""
    return [{"head": "pretraining", "positions": 40}, {"head": "classifier"}, {"head": "token"}, {"head": "squad"}]


def make_all(folder: Path, models: int) -> None:
    for initialiser in ("scaled", "BERT's own"):
        for number, spec in enumerate(faulty_specs()):
            make(folder / "faults" / f"{initialiser[:1]}{number}", spec, initialiser)
    for number, (spec, initialiser) in enumerate(specs(models)):
        make(folder / "correct" / f"{number:04d}", spec, initialiser)
        print(f"\rmade {number + 1} of {models}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200, help="how many correct models (default: 200)")
    parser.add_argument("--quick", action="store_true", help="a few correct models, and a fifth of the faults")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--make", type=Path, metavar="FOLDER", help="make the cases, and verify nothing")
    parser.add_argument("--cases", type=Path, metavar="FOLDER", help="cases made before; needs no TensorFlow")
    parser.add_argument("--write", action="store_true", help="write results/faults.md, or faults-cuda.md")
    options = parser.parse_args()
    models = 10 if options.quick else options.models
    if options.make:
        make_all(options.make, models)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.cases or Path(scratch)
        if not options.cases:
            make_all(folder, models)
        trials = list(_trials(folder / "faults", options.device, 5 if options.quick else 1))
        alarms = Alarms()
        dtypes = ("float16", "bfloat16") if options.device == "cpu" else ("tf32", "float16", "bfloat16")
        for case in cases(folder / "correct"):
            alarms.verify(case, options.device, dtypes)
    import torch
    import transformers

    where = machine(HERE) if options.device == "cpu" else torch.cuda.get_device_name(options.device)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    recorded = f"references by TensorFlow {case.reference.provenance.get('tensorflow')}"
    lines = ["# Faults", "", f"{where}; {versions}; {recorded}.", "", "## What is caught", "", *matrix(trials)]
    lines += ["What moves something by more than rounding and was missed, or blamed on something else:", ""]
    lines += [*(list(misses(trials)) or ["- nothing"]), "", "## False alarms on correct models", "", *alarms.table()]
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if options.write:
        (HERE / "results" / ("faults.md" if options.device == "cpu" else "faults-cuda.md")).write_text(text)


def _trials(folder: Path, device: str, step: int) -> Iterator[Trial]:
    seen: set[tuple[str, str]] = set()
    for case in cases(folder):
        names = {name for name, _ in case.subject.model.named_parameters()}
        fresh = {name for name in names if (case.facts["initialiser"], name) not in seen}
        first = not any(initialiser == case.facts["initialiser"] for initialiser, _ in seen)
        seen |= {(case.facts["initialiser"], name) for name in names}
        faults = [*tensor_faults(case.subject, fresh.__contains__), *(config_faults(case.subject) if first else ())]
        for number, trial in enumerate(inject(case, faults[::step], device)):
            print(f"\rfault {number + 1} of {len(faults[::step])}\033[K", end="", file=sys.stderr, flush=True)
            yield trial


if __name__ == "__main__":
    main()
