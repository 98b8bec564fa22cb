"""Measures ``bridgeckpt convert tf2pt``: whole processes, in turn with ``cp`` and with today's alternatives.

    python benchmarks/convert.py --preset base --preset large --preset tiny100k
    python benchmarks/convert.py --hidden 512 --layers 8 --slots --shards 4 --rounds 15

A round runs each command once, one after another, from a warm page cache into new files. A ratio is the median of the
rounds' ratios: a machine that is busy for a while slows both sides. The checkpoints are made with TensorFlow, which
this interpreter needs. They stay in ``--keep`` if it is given. The peer that needs transformers before 5.0 runs only
with ``--peer-python``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from measuring import COPY, HERE, ROOT, Runs, machine, table

SIZES = {"hidden": 768, "layers": 12, "heads": 12, "vocab": 30522, "intermediate": 3072, "positions": 512, "shards": 1}
PRESETS: Mapping[str, Mapping[str, int]] = {
    "base": {},
    "base+slots": {},
    "large": {"hidden": 1024, "layers": 24, "heads": 16, "intermediate": 4096},
    "tiny100k": {"hidden": 8, "layers": 6248, "heads": 2, "vocab": 100, "intermediate": 16, "positions": 16},
}
CONVERT, BARE, SUMS, SCRIPT, LOADER = (
    "bridgeckpt convert",
    "bridgeckpt convert, CRC-32C not checked",
    "bridgeckpt convert, with SHA-256",
    "load_checkpoint, numpy, save_file",
    "load_tf_weights_in_bert, save_pretrained",
)
WITHOUT_SLOTS = "bridgeckpt convert, no slots"
# By preset: the command, the command that it is compared with (None: seconds), and the largest ratio (or seconds).
AIMS: Mapping[str, Sequence[tuple[str, str | None, float]]] = {
    "base": [(CONVERT, COPY, 1.8), (CONVERT, SCRIPT, 1 / 15), (CONVERT, LOADER, 1 / 35)],
    "base+slots": [(CONVERT, WITHOUT_SLOTS, 1.1)],
    "large": [(CONVERT, COPY, 1.3)],
    "tiny100k": [(CONVERT, None, 1.5)],
}
MEMORY_AIM = 64  # MiB, up to BERT-large


def commands(folder: Path, with_slots: Path | None, peer_python: str | None) -> dict[str, Runs]:
    """The commands for a checkpoint; with ``with_slots``, for the same checkpoint with slots too."""
    python, peers = sys.executable, str(HERE / "peers.py")
    convert = [python, "-m", "bridgeckpt", "convert", "tf2pt", str(folder), "OUTPUT"]
    data = [str(path) for path in sorted(folder.glob("*.data-*"))]
    copy = Runs(["sh", "-c", 'mkdir "$0" && cp "$@" "$0"', "OUTPUT", *data])
    plain = Runs([*convert])
    if with_slots:
        slots = [python, "-m", "bridgeckpt", "convert", "tf2pt", str(with_slots), "OUTPUT"]
        return {COPY: copy, WITHOUT_SLOTS: plain, CONVERT: Runs(slots)}
    runs = {
        COPY: copy,
        CONVERT: plain,
        BARE: Runs([*convert, "--skip-crc"]),
        SUMS: Runs([*convert, "--checksums"]),
        SCRIPT: Runs([python, peers, "script", str(folder), "OUTPUT"], every=5),
    }
    if peer_python:
        runs[LOADER] = Runs([peer_python, peers, "transformers", str(folder), "OUTPUT"], every=5)
    return runs


def make(folder: Path, sizes: Mapping[str, int], *, slots: bool) -> Path:
    """Make the checkpoint of these sizes if it is missing, and read it into the page cache."""
    path = folder / "-".join([*(f"{key}{value}" for key, value in sizes.items()), *["slots"] * slots])
    if not path.exists():
        options = [*(f"--{key}={value}" for key, value in sizes.items()), *["--slots"] * slots]
        subprocess.run([sys.executable, HERE / "make_bert.py", path, *options], check=True, stderr=subprocess.DEVNULL)
    for file in path.iterdir():
        with file.open("rb") as opened:
            while opened.read(1 << 24):
                pass
    return path


def measure(
    folder: Path, sizes: Mapping[str, int], rounds: int, *, slots: bool, peer_python: str | None
) -> dict[str, Runs]:
    """Run every command on a checkpoint of these sizes."""
    runs = commands(make(folder, sizes, slots=False), make(folder, sizes, slots=True) if slots else None, peer_python)
    if sizes["layers"] > 100:  # the peers take hours: transformers' loader is quadratic in the number of variables
        runs = {name: timed for name, timed in runs.items() if name not in (SCRIPT, LOADER)}
    for number in range(rounds):
        for name, timed in runs.items():
            if number % timed.every == 0:
                print(f"\r{name}, round {number + 1} of {rounds}\033[K", end="", file=sys.stderr, flush=True)
                timed.run(number, folder)
    print("\r\033[K", end="", file=sys.stderr)
    return runs


def verdicts(preset: str, runs: Mapping[str, Runs]) -> list[str]:
    """Each aim of a preset, and whether it is reached."""
    lines = []
    for name, other, aim in AIMS.get(preset, ()):
        if other is not None and other not in runs:
            continue
        value = runs[name].ratio(runs[other]) if other else median(runs[name].seconds.values())
        wanted, got = (f"1/{1 / aim:.0f}", f"1/{1 / value:.0f}") if aim < 0.5 else (f"{aim:g}", f"{value:.2f}")
        unit = f"of {other}" if other else "s"
        lines.append(f"- {name} at most {wanted} {unit}: {got}, {'reached' if value <= aim else 'missed'}")
    if preset in ("base", "large"):
        peak = runs[CONVERT].peak
        lines.append(f"- at most {MEMORY_AIM} MiB: {peak:.0f}, {'reached' if peak <= MEMORY_AIM else 'missed'}")
    return lines


def startup() -> list[str]:
    """The seconds of commands that do nothing."""
    lines = []
    for option, aim in (("--version", 0.1), ("--help", 0.3)):
        seconds = []
        for _ in range(9):
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "bridgeckpt", option], check=True, cwd=ROOT, stdout=subprocess.DEVNULL
            )
            seconds.append(time.perf_counter() - begin)
        value = median(seconds)
        lines.append(f"- `bridgeckpt {option}` under {aim} s: {value:.3f}, {'reached' if value < aim else 'missed'}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", action="append", choices=PRESETS, help="a known size; may be given several times")
    for name, value in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default: {value}")
    parser.add_argument("--slots", action="store_true", help="with the slots of an optimizer beside every weight")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--peer-python", help="interpreter of an environment with tensorflow, torch, transformers<4.48")
    parser.add_argument("--keep", type=Path, help="folder for the checkpoints, to use them again")
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results/convert.md")
    options = parser.parse_args()

    cases: dict[str, Mapping[str, int]] = {name: {**SIZES, **PRESETS[name]} for name in options.preset or ()}
    lines = ["# Converting", ""]
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        lines += [f"{machine(folder)}; {options.rounds} rounds, warm page cache, fresh output.", ""]
        for name, sizes in (cases or {"own": {key: getattr(options, key) for key in SIZES}}).items():
            slots = options.slots or name.endswith("slots")
            runs = measure(folder, sizes, options.rounds, slots=slots, peer_python=options.peer_python)
            listed = ", ".join(f"{key} {value}" for key, value in sizes.items())
            lines += [f"## {name}", "", f"{listed}.", "", *table(runs), "", *verdicts(name, runs), ""]
    lines += ["## Start-up", "", *startup()]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "convert.md").write_text(text)


if __name__ == "__main__":
    main()
