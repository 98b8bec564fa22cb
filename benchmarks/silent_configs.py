"""The mode ``configs`` of ``silent.py``: every TensorFlow class of transformers 4, with configs drawn at random.

Trial N is of the class N modulo the number of classes. ``silent_configs_tf.py`` makes the models, in an interpreter
with transformers 4 and TensorFlow, which ``--peer-python`` names. The converted folder is loaded as a user loads it.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import warnings
from fnmatch import fnmatch
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from silent_trials import FAILED, REFUSED, RIGHT, SILENT, WARNED, Trial

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

INTRODUCTION = """Classes of transformers 4.49 with configs drawn at random: flags, activations, epsilons, sizes, words,
special tokens. The source is what `save_pretrained` writes; transformers 5 loads the result by `from_pretrained`. A
difference is one of more than 1e-4 of max(1, the largest value) in any output. A trial for which TensorFlow built or
ran none of the configs that were drawn is not counted.
"""
TOLERANCE = 1e-4
NOT_MADE = "not made"  # an outcome that is not counted


class Maker:
    """The process that makes models, and the classes that it knows."""

    def __init__(self, python: str) -> None:
        self._command = [python, str(Path(__file__).with_name("silent_configs_tf.py"))]
        self.cases = self._start()

    def make(self, seed: int, folder: Path) -> dict[str, Any]:
        """Have the model of a trial made in ``folder``, and return what was drawn."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"seed": seed, "folder": str(folder)}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if answer is None:  # TensorFlow aborts the process for some configs
            self._start()
        return answer or {"case": self.cases[seed % len(self.cases)], "failed": "the process ended", "drawn": {}}

    def _start(self) -> list[str]:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        first = self._answer()
        if first is None:
            raise SystemExit(f"{self._command[0]} does not run: has it transformers 4 and TensorFlow?")
        cases: list[str] = first["cases"]
        return cases

    def _answer(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] | None = json.loads(line) if line else None
        return answer


def trial(maker: Maker, seed: int, folder: Path) -> Trial:
    """Make, convert, load and compare one model."""
    made = maker.make(seed, folder / "source")
    case, drawn = made["case"], ", ".join(f"{key}={value!r}" for key, value in made["drawn"].items())
    if "failed" in made:
        return Trial(seed, case, NOT_MADE, f"{made['failed']}; {drawn}")
    outcome, detail = judged(case, folder)
    return Trial(seed, case, outcome, f"{detail}; {drawn}".replace(str(folder), ""))


def judged(case: str, folder: Path) -> tuple[str, str]:
    """The outcome of converting and running ``folder/source``."""
    import bridgeckpt

    try:
        done = bridgeckpt.convert(folder / "source", folder / "out")
    except bridgeckpt.BridgeckptError as error:
        problems = [f"{one.subject}: {' '.join(one.explanation)}" for one in getattr(error, "problems", ())]
        return REFUSED, "; ".join(problems[:3]) or error.message.partition("\n")[0]
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return FAILED, f"convert: {type(error).__name__}: {error}"
    told = [*done.plan.unproven, *(one for one in done.plan.warnings if " is written, not " not in one)]
    try:
        difference = compare(case, folder / "out", folder / "source" / "truth.npz")
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return (WARNED if told else FAILED), f"it does not run: {type(error).__name__}: {str(error)[:300]}"
    if difference <= TOLERANCE:
        return (WARNED if done.plan.unproven else RIGHT), f"{difference:.0e}"
    return (WARNED if told else SILENT), f"{difference:.0e}" + (f": {told[0]}" if told else "")


def compare(case: str, folder: Path, truth: Path) -> float:
    """The largest difference of an output of the converted model, as a share of max(1, the largest value)."""
    import torch
    import transformers

    arrays = np.load(truth)
    inputs = {name[3:]: torch.from_numpy(arrays[name]) for name in arrays if name.startswith("in.")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(transformers, case).from_pretrained(folder).eval()
    taken = signature(model.forward).parameters
    with torch.no_grad():
        outputs = model(**{name: value for name, value in inputs.items() if name in taken or name == "input_ids"})
    mask, shares = inputs.get("attention_mask"), [0.0]
    computed = {name: name[4:] for name in arrays if name.startswith("out.") and name != "out.loss"}
    names = [name for name, key in computed.items() if outputs.get(key) is not None]
    if not names:
        raise ValueError("no output is one of TensorFlow's")
    for name in names:
        expected, actual = arrays[name], outputs[name[4:]].float().numpy()
        if actual.shape != expected.shape:
            raise ValueError(f"{name[4:]} is {list(actual.shape)}, not {list(expected.shape)}")
        difference = np.abs(actual - expected)
        decoded = name == "out.logits" and "decoder_input_ids" in inputs
        if mask is not None and difference.shape[: mask.ndim] == tuple(mask.shape) and not decoded:
            difference = difference[mask.numpy().astype(bool)]
        shares.append(float(difference.max() / max(1.0, np.abs(expected).max())))
    return float("inf") if any(np.isnan(shares)) else max(shares)


def prepared(arguments: Namespace) -> tuple[list[int], Callable[[int, Path], Trial]]:
    """The numbers of the trials, which are of classes that ``--only`` names, and the function that makes one."""
    if arguments.peer_python is None:
        raise SystemExit("--peer-python names an interpreter that has transformers 4 and TensorFlow")
    maker = Maker(arguments.peer_python)
    return chosen(maker.cases, arguments.first, arguments.count, arguments.only), partial(trial, maker)


def chosen(cases: list[str], first: int, count: int, only: str) -> list[int]:
    """The first ``count`` numbers from ``first`` on of trials of the classes that the patterns ``only`` name.

    Classes that transformers 5 has dropped are left out: none of their models converts.
    """
    import transformers

    named = {case for case in cases for pattern in only.split(",") if fnmatch(case, pattern)}
    named = {case for case in named if hasattr(transformers, case)}
    if not named:
        raise SystemExit(f"no class is called {only}")
    of_named = (seed for seed in itertools.count(first) if cases[seed % len(cases)] in named)
    return list(itertools.islice(of_named, count))
