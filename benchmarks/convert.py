"""Measures ``bridgeckpt convert tf2pt``: whole processes, in turn with ``cp`` and with what people use today.

    python benchmarks/convert.py --preset base --preset large --preset tiny100k
    python benchmarks/convert.py --hidden 512 --layers 8 --slots --shards 4 --rounds 15

A round runs every command once, one after another, from a warm page cache into fresh files; a ratio is the median of the
rounds' ratios, so that a machine that is busy for a while slows both sides of it. Checkpoints are made with TensorFlow,
which this interpreter needs, and stay in ``--keep`` if it is given. The peer that needs transformers before 5.0 runs under
``--peer-python``, or not at all.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DEFAULTS = dict(hidden=768, layers=12, heads=12, vocab=30522, intermediate=3072, positions=512, shards=1, slots=False)
PRESETS: Mapping[str, Mapping[str, int]] = {
    "base": {},
    "base+slots": {"slots": True},
    "large": {"hidden": 1024, "layers": 24, "heads": 16, "intermediate": 4096},
    "tiny100k": {"hidden": 8, "layers": 6248, "heads": 2, "vocab": 100, "intermediate": 16, "positions": 16},
}
CONVERT, BARE, SUMS, SCRIPT, LOADER, COPY = (
    "bridgeckpt convert",
    "bridgeckpt convert --skip-crc",
    "bridgeckpt convert --checksums",
    "load_checkpoint, numpy, save_file",
    "load_tf_weights_in_bert, save_pretrained",
    "cp",
)
WITHOUT_SLOTS = "bridgeckpt convert, no slots"
# preset: (what the issue asks for, the command it is about, the one it is compared with or None for seconds, at most)
AIMS: Mapping[str, Sequence[tuple[str, str | None, float]]] = {
    "base": [(CONVERT, COPY, 1.8), (CONVERT, SCRIPT, 1 / 15), (CONVERT, LOADER, 1 / 35)],
    "base+slots": [(CONVERT, WITHOUT_SLOTS, 1.1)],
    "large": [(CONVERT, COPY, 1.3)],
    "tiny100k": [(CONVERT, None, 1.5)],
}
MEMORY_AIM = 64  # MiB, up to BERT-large


@dataclass
class Runs:
    """A command, the seconds that each of its runs took (by round) and the most memory it had, in MiB."""

    command: Sequence[str]
    every: int = 1  # rounds from one run to the next
    seconds: dict[int, float] = field(default_factory=dict)
    peak: float = 0

    def run(self, number: int, folder: Path) -> None:
        """Run it once. OUTPUT in the command becomes a path that does not exist."""
        output = folder / "output"
        command = [word.replace("OUTPUT", str(output)) for word in self.command]
        with (folder / "log").open("w+") as log:
            begin = time.perf_counter()
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
            _, status, usage = os.wait4(process.pid, 0)
            self.seconds[number] = time.perf_counter() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                log.seek(0)
                raise SystemExit(f"{' '.join(command)} failed:\n{log.read()}")
        self.peak = max(self.peak, usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20))
        shutil.rmtree(output, ignore_errors=True)

    def ratio(self, other: Runs) -> float:
        """The median over the rounds that ran both of this one's time over the other's."""
        return median(self.seconds[at] / other.seconds[at] for at in self.seconds.keys() & other.seconds.keys())


def commands(folder: Path, slots: Path | None, peer_python: str | None) -> dict[str, Runs]:
    """What is measured on a checkpoint, and the same one with slots in it if there is one."""
    python, source = sys.executable, slots or folder
    convert = [python, "-m", "bridgeckpt", "convert", "tf2pt"]
    data = [str(path) for path in sorted(folder.glob("*.data-*"))]
    runs = {
        COPY: Runs(["sh", "-c", 'mkdir "$0" && cp "$@" "$0"', "OUTPUT", *data]),
        CONVERT: Runs([*convert, str(source), "OUTPUT"]),
    }
    if slots:
        runs[WITHOUT_SLOTS] = Runs([*convert, str(folder), "OUTPUT"])
        return runs
    runs[BARE] = Runs([*convert, str(source), "OUTPUT", "--skip-crc"])
    runs[SUMS] = Runs([*convert, str(source), "OUTPUT", "--checksums"])
    runs[SCRIPT] = Runs([python, str(HERE / "peers.py"), "script", str(source), "OUTPUT"], every=5)
    if peer_python:
        runs[LOADER] = Runs([peer_python, str(HERE / "peers.py"), "transformers", str(source), "OUTPUT"], every=5)
    return runs


def make(folder: Path, sizes: Mapping[str, int]) -> Path:
    """The checkpoint of these sizes, made if it is not there yet."""
    name = "-".join(f"{key}{int(value)}" for key, value in sizes.items())
    path = folder / name
    if not path.exists():
        options = [f"--{key}={value}" for key, value in sizes.items() if key != "slots"] + ["--slots"] * sizes["slots"]
        subprocess.run([sys.executable, HERE / "make_bert.py", path, *options], check=True, stderr=subprocess.DEVNULL)
    for file in path.iterdir():  # into the page cache
        with file.open("rb") as opened:
            while opened.read(1 << 24):
                pass
    return path


def measure(folder: Path, sizes: Mapping[str, int], rounds: int, peer_python: str | None) -> dict[str, Runs]:
    """Every command's runs on a checkpoint of these sizes."""
    plain = make(folder, {**sizes, "slots": False})
    runs = commands(plain, make(folder, sizes) if sizes["slots"] else None, peer_python)
    for number in range(rounds):
        for name, one in runs.items():
            if number % one.every == 0:
                print(f"\r{name}, round {number + 1} of {rounds}\033[K", end="", file=sys.stderr, flush=True)
                one.run(number, folder)
    print("\r\033[K", end="", file=sys.stderr)
    return runs


def table(runs: Mapping[str, Runs]) -> list[str]:
    """The runs as a Markdown table."""
    lines = ["| command | median s | fastest s | times cp | peak MiB |", "|---|---|---|---|---|"]
    for name, one in runs.items():
        seconds = one.seconds.values()
        lines.append(
            f"| {name} | {median(seconds):.2f} | {min(seconds):.2f} | {one.ratio(runs[COPY]):.2f} | {one.peak:.0f} |"
        )
    return lines


def verdicts(preset: str, runs: Mapping[str, Runs]) -> list[str]:
    """Each aim of a preset, and whether it is reached."""
    lines = []
    for name, other, aim in AIMS.get(preset, ()):
        if other is not None and other not in runs:
            continue
        found = runs[name].ratio(runs[other]) if other else median(runs[name].seconds.values())
        wanted, got = (f"1/{1 / aim:.0f}", f"1/{1 / found:.0f}") if aim < 0.5 else (f"{aim:g}", f"{found:.2f}")
        unit = f"of {other}" if other else "s"
        lines.append(f"- {name} at most {wanted} {unit}: {got}, {'reached' if found <= aim else 'missed'}")
    if preset in ("base", "large"):
        peak = runs[CONVERT].peak
        lines.append(f"- at most {MEMORY_AIM} MiB: {peak:.0f}, {'reached' if peak <= MEMORY_AIM else 'missed'}")
    return lines


def startup() -> list[str]:
    """How long the commands take that do nothing."""
    lines = []
    for option, aim in (("--version", 0.1), ("--help", 0.3)):
        seconds = []
        for _ in range(9):
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "bridgeckpt", option], check=True, cwd=ROOT, stdout=subprocess.DEVNULL
            )
            seconds.append(time.perf_counter() - begin)
        found = median(seconds)
        lines.append(f"- `bridgeckpt {option}` under {aim} s: {found:.3f}, {'reached' if found < aim else 'missed'}")
    return lines


def machine(folder: Path) -> str:
    """What this ran on."""
    info = Path("/proc/cpuinfo")
    models = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    mounts = Path("/proc/mounts")
    system = ""
    if mounts.exists():
        inside = [line.split()[1:3] for line in mounts.read_text().splitlines()]
        system = max((at for at in inside if folder.is_relative_to(at[0])), key=lambda at: len(at[0]))[1]
    return f"{os.cpu_count()} cores of {models[0] if models else platform.machine()}, {system}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", action="append", choices=PRESETS, help="a known size; may be given several times")
    for name, value in DEFAULTS.items():
        if name == "slots":
            parser.add_argument(
                "--slots", action="store_true", help="with the slots of an optimizer beside every weight"
            )
        else:
            parser.add_argument(f"--{name}", type=int, help=f"default: {value}")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument(
        "--peer-python", help="interpreter of an environment with tensorflow, torch and transformers<4.48"
    )
    parser.add_argument("--keep", type=Path, help="folder for the checkpoints, to use them again")
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results/convert.md")
    options = parser.parse_args()

    own = {key: value for key in DEFAULTS if (value := getattr(options, key))}
    cases = {name: {**DEFAULTS, **PRESETS[name]} for name in options.preset or ()} or {"own": {**DEFAULTS, **own}}
    lines = ["# Converting", ""]
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        lines += [f"{machine(folder)}; {options.rounds} rounds, warm page cache, fresh output.", ""]
        for name, sizes in cases.items():
            runs = measure(folder, sizes, options.rounds, options.peer_python)
            said = ", ".join(f"{key} {value}" for key, value in sizes.items())
            lines += [f"## {name}", "", f"{said}.", "", *table(runs), "", *verdicts(name, runs), ""]
    lines += ["## Start-up", "", *startup()]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "convert.md").write_text(text)


if __name__ == "__main__":
    main()
