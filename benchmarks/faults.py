"""Measures which faults ``bridgeckpt verify`` catches and names, and how often it raises a false alarm.

    python benchmarks/faults.py --quick                             a minute
    python benchmarks/faults.py --models 200 --write                results/faults.md
    python benchmarks/faults.py --make cases/                       on a machine with TensorFlow, and then
    python benchmarks/faults.py --references cases/ --device cuda   on one with a GPU, without TensorFlow

Each fault of ``fault_kinds`` is injected into converted models that TensorFlow wrote and that have recorded references.
The weights either let errors show, or are drawn by BERT's own initialiser (normal, standard deviation 0.02; biases 0),
whose logits hide errors. The effect of a fault is measured without the verdict: the faulty model in float64 against the
correct one, in units of the rounding of float32. Then ``--models`` correct models of many sizes, depths and seeds are
verified. Each failure of theirs is a false alarm.
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

from false_alarms import Ratios, Reading, alarm_table, ratio_table, verify_correct
from fault_cases import OWN, SCALED, correct_specs, faulty_specs, make, read
from fault_trials import LOGITS, STATES, Trial, by_reference, coarse_misses, inject, matrix, misses
from measuring import machine

HERE = Path(__file__).resolve().parent
_PARTS = 12  # the faults of a case are divided into parts; --quick injects one part
_REPRODUCE = """\
Made by `python benchmarks/faults.py --models 200 --write`; for a machine without TensorFlow, in two steps: with
`--make FOLDER` where it is, and with `--references FOLDER --device cuda --write` there.
"""
_INTRODUCTION = """\
The third to seventh column say what a fault changes, measured in float64: nothing; values by less than the rounding of
float32; only values inside a layer (as a key's bias, which the softmax cancels); hidden states but no logit by more
than rounding; or logits. Caught: the verdict fails. Located: the verdict or its diagnosis names the stage of the
fault. Named: the diagnosis blames the tensor or the config key. Proven: undoing the blamed change corrected the stage.
"""
_REFERENCES = """\
Faults caught, by the size of the change in the reference's values: the root mean square of a row, as a multiple of the
rounding of float32. The reference holds all that `record` writes, or only what a user's own function may return in
float32: hidden states and logits, or only logits. With logits alone, there is no diagnosis here.
"""
_RATIOS = """\
For each stage, the largest ratio sqrt(x / F) of `bridgeckpt/parity/judging/rounding.py` over its rows, its columns and
the whole, at the usual chance of a false alarm. With a MARGIN of this size, the stage just passes. The last columns
give the share of stages that exceed the limit at MARGIN = 1 for a chance of 1 in 10, 100 and 1,000 per stage. These
shares would equal the chances if rounding errors were normal, independent and equally distributed in both frameworks.
"""


def make_all(pool: Executor, folder: Path, models: int, *, quick: bool) -> None:
    """Make every case below ``folder``."""
    specs = faulty_specs()[:1] if quick else faulty_specs()
    cases = [
        (folder / "faults" / f"{letter}{number}", spec, initialiser)
        for letter, initialiser in (("a", SCALED), ("b", OWN))
        for number, spec in enumerate(specs)
    ]
    cases += [(folder / "correct" / f"{number:04}", *spec) for number, spec in enumerate(correct_specs(models))]
    for _ in _spread(pool, "made", make, cases):
        pass


def inject_all(pool: Executor, folder: Path, device: str, *, quick: bool) -> list[Trial]:
    """Inject every fault into every case below ``folder``; the scaled initialiser first."""
    parts = range(1 if quick else _PARTS)
    tasks = [(path, device, part, _PARTS) for path in sorted(folder.iterdir()) for part in parts]
    trials = [trial for part in _spread(pool, "faults injected, parts", inject, tasks) for trial in part]
    return sorted(trials, key=lambda trial: trial.initialiser != SCALED)


def verify_all(pool: Executor, folder: Path, device: str) -> tuple[list[Reading], list[Ratios]]:
    """Verify every correct case below ``folder``."""
    dtypes = ("float16", "bfloat16") if device == "cpu" else ("tf32", "float16", "bfloat16")
    tasks = [(path, device, dtypes) for path in sorted(folder.iterdir())]
    readings: list[Reading] = []
    ratios: list[Ratios] = []
    for case_readings, case_ratios in _spread(pool, "correct models verified", verify_correct, tasks):
        readings += case_readings
        ratios += case_ratios
    return readings, ratios


def _spread(pool: Executor, what: str, do: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    """The results of ``do`` for all tasks, in their order; prints the progress."""
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
        alike = [trial for trial in trials if trial.initialiser == initialiser]
        yield from (f"### Weights: {initialiser} initialiser", "", *matrix(alike), "", *by_reference(alike), "")
    yield from (*_REFERENCES.splitlines(), "", "### Missed, or blamed on something else", "")
    yield from (*(list(misses(trials)) or ["- nothing"]), "", "### Missed by smaller references", "")
    for kind in (STATES, LOGITS):
        yield from (f"With {kind}:", "", *(list(coarse_misses(trials, kind)) or ["- nothing"]), "")
    yield from ("## Correct models", "", *alarm_table(readings), *_RATIOS.splitlines(), "", *ratio_table(ratios))


def describe(folder: Path, device: str) -> str:
    """Describe the machine and the versions."""
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


def _set_up_worker() -> None:
    """Silence TensorFlow, and use one thread in each worker."""
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
        ProcessPoolExecutor(jobs, get_context("spawn"), _set_up_worker) as pool,
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
