"""What one trial of ``silent.py`` found, the file that collects trials, and the tables of ``results/silent.md``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RESULTS = Path(__file__).resolve().parent / "results" / "silent.md"
RIGHT, WARNED, REFUSED, SILENT, FAILED = "right", "warned", "refused", "SILENT", "failed"
OUTCOMES = (RIGHT, WARNED, REFUSED, SILENT, FAILED)
_HEAD = """# Wrong models without a word

Made by `python benchmarks/silent.py MODE`. Each trial makes a model with TensorFlow that differs at random, converts or
assigns it as a user does, runs the result and compares it with what TensorFlow computed.

* right: the result computes what TensorFlow does;
* warned: it does not, or may not, and a warning or a key in `unproven` says so;
* refused: an error says why;
* SILENT: it computes something else, and nothing says so;
* failed: something that is no error of bridgeckpt was raised.
"""


class Trial(NamedTuple):
    """One trial: its number, the ``kind`` of difference that was drawn, the outcome, and what to know about it."""

    seed: int
    kind: str
    outcome: str
    detail: str = ""


def read(records: Path) -> list[Trial]:
    """The trials in a file that have an outcome, the last one of each seed. Empty if there is no such file."""
    if not records.exists():
        return []
    trials = [Trial(*json.loads(line)) for line in records.read_text().splitlines()]
    return [trial for trial in {trial.seed: trial for trial in trials}.values() if trial.outcome in OUTCOMES]


def collect(trials: Iterable[Trial], records: Path) -> Iterator[Trial]:
    """Pass on trials, each one once it is in the file."""
    for trial in trials:
        with records.open("a") as file:
            file.write(f"{json.dumps(trial)}\n")
        yield trial


def table(trials: Iterable[Trial]) -> list[str]:
    """The trials by kind and outcome, as a Markdown table."""
    counts: dict[str, Counter[str]] = {}
    for trial in trials:
        counts.setdefault(trial.kind, Counter())[trial.outcome] += 1
    total = sum(counts.values(), Counter[str]())
    lines = [f"| drawn | models | {' | '.join(OUTCOMES)} |", f"|---|---{'|---' * len(OUTCOMES)}|"]
    for kind, found in [*sorted(counts.items()), ("all", total)]:
        lines.append(f"| {kind} | {found.total()} | {' | '.join(str(found[outcome] or '') for outcome in OUTCOMES)} |")
    return lines


def write_section(mode: str, lines: Iterable[str]) -> None:
    """Put a section into the file of results, in place of an earlier one of the same mode."""
    text = RESULTS.read_text() if RESULTS.exists() else _HEAD
    head, *sections = text.split("\n## ")
    kept = {section.partition("\n")[0]: section.partition("\n")[2].strip() for section in sections}
    kept[mode] = "\n".join(lines).strip()
    RESULTS.write_text(
        "\n\n".join([head.strip(), *(f"## {name}\n\n{body}" for name, body in sorted(kept.items()))]) + "\n"
    )
