"""Measures ``bridgeckpt record`` and ``verify``: whole processes, in turn with loading and running the model.

    python benchmarks/verify.py --rounds 5 --write
    python benchmarks/verify.py --hidden 256 --layers 4 --vocab 2000

The baseline is a script that loads the converted folder with transformers and runs the reference's inputs once in
float32, the least that any look at a model's outputs needs. TensorFlow is needed to make the checkpoint and to record.
A ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from convert import SIZES, make
from measuring import HERE, Runs, machine

LOAD = "load and run with transformers"
VERIFY = "bridgeckpt verify REF DST"
RECORD = "bridgeckpt record SRC REF"


def load_and_run(reference: str, folder: str) -> None:
    """The baseline, in a separate process."""
    import torch
    import transformers

    from bridgeckpt import read_reference

    model = transformers.BertForPreTraining.from_pretrained(folder).eval()
    with torch.no_grad():
        for probe in read_reference(Path(reference)).probes.values():
            if probe.depth != "embeddings":
                model(**{name: torch.as_tensor(value).long() for name, value in probe.inputs.items()})


def steps(command: list[str]) -> dict[str, float]:
    """The seconds of each step of a verification, from its JSON."""
    done = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    verdict: dict[str, Any] = json.loads(done.stdout)
    if not verdict["passed"]:
        raise SystemExit(f"the benchmark's own model fails: {verdict['failures']}")
    return dict(verdict["seconds"])


def main() -> None:
    if sys.argv[1:2] == ["--load-and-run"]:
        load_and_run(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default: {value}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", type=Path, help="folder for the checkpoint, to use it again")
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results/verify.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = (options.keep or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        source = make(work, {name: getattr(options, name) for name in SIZES}, slots=False)
        folder, reference = Path(scratch, "converted"), Path(scratch, "reference.safetensors")
        program = [sys.executable, "-m", "bridgeckpt"]
        subprocess.run([*program, "convert", "tf2pt", source, folder], check=True, stdout=subprocess.DEVNULL)
        verify = [*program, "verify", str(reference), str(folder), "--device", options.device]
        runs = {
            RECORD: Runs([*program, "record", str(source), str(reference)]),
            LOAD: Runs([sys.executable, __file__, "--load-and-run", str(reference), str(folder)]),
            VERIFY: Runs(verify),
        }
        for number in range(options.rounds):
            for timed in runs.values():
                timed.run(number, work)
        taken = steps(verify)
        size = reference.stat().st_size
        head = f"{machine(work)}; {options.rounds} rounds, warm page cache, device {options.device}."
    lines = ["# Verifying", "", head, "", f"{', '.join(f'{name} {getattr(options, name)}' for name in SIZES)}.", ""]
    lines += ["| command | median s | fastest s | times loading and running | peak MiB |", "|---|---|---|---|---|"]
    for name, timed in runs.items():
        seconds = timed.seconds.values()
        ratio = timed.ratio(runs[LOAD])
        lines.append(f"| {name} | {median(seconds):.2f} | {min(seconds):.2f} | {ratio:.2f} | {timed.peak:.0f} |")
    lines += ["", f"The reference has {size / 1e6:.0f} MB. Steps of one verification, as it reports them:", ""]
    lines += ["| step | s |", "|---|---|", *(f"| {step} | {took:.2f} |" for step, took in taken.items())]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        (HERE / "results" / "verify.md").write_text(text)


if __name__ == "__main__":
    main()
