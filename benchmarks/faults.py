"""Measures what ``bridgeckpt verify`` catches, what it names, and how often it raises a false alarm.

    python benchmarks/faults.py --quick                             a minute
    python benchmarks/faults.py --models 200 --write                results/faults.md
    python benchmarks/faults.py --make cases/                       on a machine with TensorFlow, and then
    python benchmarks/faults.py --references cases/ --device cuda   on one with a GPU, without TensorFlow

Every fault of ``fault_kinds`` is injected into models that real TensorFlow wrote, that were converted and whose
references were recorded; with weights that let errors show, and with BERT's own initialiser (normal, standard deviation
0.02; biases 0), whose logits hide them. What a fault changes is measured without the verdict: the faulty model in
float64 against the correct one, in units of the rounding of float32. Then as many correct models as are asked for are
verified, of many sizes, depths and seeds, and every failure is a false alarm.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from convert import machine
from false_alarms import Ratios, Reading, alarm_table, ratio_table, verify_correct
from fault_cases import OWN, SCALED, correct_specs, faulty_specs, make, read
from fault_trials import LOGITS, STATES, Trial, by_reference, coarse_misses, inject, matrix, misses

HERE = Path(__file__).resolve().parent
_PARTS = 12  # that the faults of a case are divided in; --quick injects one of them
_REPRODUCE = """\
Made by `python benchmarks/faults.py --models 200 --write`; for a machine without TensorFlow, in two steps: with
`--make FOLDER` where it is, and with `--references FOLDER --device cuda --write` there.
"""
_INTRODUCTION = """\
A fault changes what is told in the third to seventh column, measured in float64: nothing; something by less than the
rounding of float32; only values inside a layer (as a key's bias does, which the softmax cancels); hidden states but no
logit by more than rounding; or logits. Caught: the verdict fails. Located: it or its diagnosis names the stage that the
fault is in. Named: the diagnosis blames the tensor or the config key. Proven: undoing what it blames set the stage
right.
"""
_REFERENCES = """\
Caught, by how many times the rounding of float32 the fault moves what the reference holds; of a row of it, root mean
square. The reference holds all that `record` writes; or what a function of one's own may return, in float32 alone: the
hidden states and logits, or only logits, for which no cause is looked for here.
"""
_RATIOS = """\
For each stage, the largest ratio sqrt(x / F) of `bridgeckpt/parity/judging/rounding.py` over its rows, its columns and
as a whole, at the chance of a false alarm that is in force: what MARGIN would have to be for it to pass. The last
columns give the share of stages that exceed the limit at MARGIN = 1 for a chance of 1 in 10, 100 and 1,000 of each
stage: what it would be if rounding errors were normal, independent and the same in both frameworks.
"""


def make_all(pool: Executor, folder: Path, models: int, *, quick: bool) -> None:
    """Make every case below ``folder``."""
    specs = faulty_specs()[:1] if quick else faulty_specs()
    cases = [
        (folder / "faults" / f"{letter}{number}", spec, initialiser)
        for letter, initialiser in (("a", SCALED), ("b", OWN))
        for number, spec in enumerate(specs)
    ]
    cases += [(folder / "correct" / f"{at:04}", *one) for at, one in enumerate(correct_specs(models))]
    for _ in _spread(pool, "made", make, cases):
        pass


def inject_all(pool: Executor, folder: Path, device: str, *, quick: bool) -> list[Trial]:
    """Every fault in every case below ``folder``, in the order of the faults."""
    parts = range(1 if quick else _PARTS)
    tasks = [(path, device, part, _PARTS) for path in sorted(folder.iterdir()) for part in parts]
    trials = [trial for found in _spread(pool, "faults injected, parts", inject, tasks) for trial in found]
    return sorted(trials, key=lambda trial: trial.initialiser != SCALED)


def verify_all(pool: Executor, folder: Path, device: str) -> tuple[list[Reading], list[Ratios]]:
    """The figures of every correct case below ``folder``."""
    dtypes = ("float16", "bfloat16") if device == "cpu" else ("tf32", "float16", "bfloat16")
    tasks = [(path, device, dtypes) for path in sorted(folder.iterdir())]
    readings: list[Reading] = []
    ratios: list[Ratios] = []
    for some, others in _spread(pool, "correct models verified", verify_correct, tasks):
        readings += some
        ratios += others
    return readings, ratios


def _spread(pool: Executor, what: str, do: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    """The results of ``do`` for all tasks, in their order, and a line of progress meanwhile."""
    futures = [pool.submit(do, *task) for task in tasks]
    for done, future in enumerate(as_completed(futures), 1):
        future.result()
        print(f"\r{done} of {len(tasks)} {what}\033[K", end="", file=sys.stderr, flush=True)
    print("\r\033[K", end="", file=sys.stderr)
    return (future.result() for future in futures)


def report(
    described: str, trials: Sequence[Trial], readings: Sequence[Reading], ratios: Sequence[Ratios]
) -> Iterator[str]:
    """The lines of the results file."""
    yield from ("# Faults and false alarms", "", described, "", *_REPRODUCE.splitlines(), "")
    yield from ("## Faults injected", "", *_INTRODUCTION.splitlines(), "")
    for initialiser in dict.fromkeys(trial.initialiser for trial in trials):
        mine = [trial for trial in trials if trial.initialiser == initialiser]
        yield from (f"### Weights: {initialiser} initialiser", "", *matrix(mine), "", *by_reference(mine), "")
    yield from (*_REFERENCES.splitlines(), "", "### Missed, or blamed on something else", "")
    yield from (*(list(misses(trials)) or ["- nothing"]), "", "### Missed by smaller references", "")
    for kind in (STATES, LOGITS):
        yield from (f"With {kind}:", "", *(list(coarse_misses(trials, kind)) or ["- nothing"]), "")
    yield from ("## Correct models", "", *alarm_table(readings), *_RATIOS.splitlines(), "", *ratio_table(ratios))


def describe(folder: Path, device: str) -> str:
    """The machine and the versions."""
    import torch
    import transformers

    where = machine(HERE)
    if device != "cpu":
        where = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}; {where}"
    recorded = read(next((folder / "faults").iterdir())).reference.provenance["tensorflow"]
    versions = (
        f"torch {torch.__version__}, transformers {transformers.__version__}, references by TensorFlow {recorded}"
    )
    return f"{where}; {versions}."


def _quiet() -> None:
    """What every worker begins with."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import torch

    torch.set_num_threads(1)  # the models are small, and every core has a worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200, help="how many correct models (default: 200)")
    parser.add_argument("--quick", action="store_true", help="a few correct models, and a few of the faults")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, help="worker processes (default: one for each core, or one for a GPU)")
    parser.add_argument("--make", type=Path, metavar="FOLDER", help="make the cases, and verify nothing")
    parser.add_argument("--references", type=Path, metavar="FOLDER", help="cases made before; needs no TensorFlow")
    parser.add_argument("--write", action="store_true", help="write results/faults.md, or faults-cuda.md")
    options = parser.parse_args()
    models = 6 if options.quick else options.models
    jobs = options.jobs or (os.cpu_count() if options.device == "cpu" else 1)
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as scratch,
        ProcessPoolExecutor(jobs, get_context("spawn"), _quiet) as pool,
    ):
        folder = options.make or options.references or Path(scratch)
        if not options.references:
            make_all(pool, folder, models, quick=options.quick)
        if options.make:
            return
        trials = inject_all(pool, folder / "faults", options.device, quick=options.quick)
        figures = verify_all(pool, folder / "correct", options.device)
        text = "\n".join(report(describe(folder, options.device), trials, *figures)).rstrip() + "\n"
    print(text)
    if options.write:
        (HERE / "results" / ("faults.md" if options.device == "cpu" else "faults-cuda.md")).write_text(text)


if __name__ == "__main__":
    main()
