"""Runs commands as whole processes and measures them: seconds, memory, tables of both, and the machine."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
COPY = "cp"  # the command that tables compare with


def peak_mebibytes(usage: resource.struct_rusage) -> float:
    """The largest resident set of a process."""
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


@dataclass
class Runs:
    """A command, the seconds of its runs by round, and its largest resident set in MiB."""

    command: Sequence[str]
    every: int = 1  # rounds from one run to the next
    seconds: dict[int, float] = field(default_factory=dict)
    peak: float = 0

    def run(self, number: int, folder: Path) -> None:
        """Run the command once. OUTPUT in it becomes a path that does not exist."""
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
        self.peak = max(self.peak, peak_mebibytes(usage))
        shutil.rmtree(output, ignore_errors=True)

    def ratio(self, other: Runs) -> float:
        """The median ratio of this command's seconds to the other's, over the rounds that ran both."""
        both = self.seconds.keys() & other.seconds.keys()
        return median(self.seconds[number] / other.seconds[number] for number in both)


def table(runs: Mapping[str, Runs]) -> list[str]:
    """The runs as a Markdown table."""
    lines = ["| command | median s | fastest s | times cp | peak MiB |", "|---|---|---|---|---|"]
    own = peak_mebibytes(resource.getrusage(resource.RUSAGE_SELF))  # a process begins as a copy of this one
    for name, timed in runs.items():
        seconds = timed.seconds.values()
        peak = f"{timed.peak:.0f}" if timed.peak > own + 1 else f"< {own:.0f}"
        ratio = timed.ratio(runs[COPY])
        lines.append(f"| {name} | {median(seconds):.3f} | {min(seconds):.3f} | {ratio:.2f} | {peak} |")
    return lines


def machine(folder: Path) -> str:
    """Describe the machine that this runs on."""
    cpu, file_system = platform.machine(), "unknown file system"
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = next((line.split(":")[1].strip() for line in info.open() if line.startswith("model name")), cpu)
    if (mounts := Path("/proc/mounts")).exists():
        mounted = [line.split()[1:3] for line in mounts.open()]
        around = (mount for mount in mounted if folder.is_relative_to(mount[0]))
        file_system = max(around, key=lambda mount: len(mount[0]))[1]
    return f"{os.cpu_count()} cores of {cpu}, {file_system}, Python {platform.python_version()}"
