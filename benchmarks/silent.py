"""Searches for wrong models without a word: models that differ at random, against TensorFlow's own outputs.

    python benchmarks/silent.py graphs --count 50            seeds 0 to 49
    python benchmarks/silent.py graphs --first 50 --count 50 --write
    python benchmarks/silent.py warm_starts --count 50       warm starts of Keras models
    python benchmarks/silent.py configs --peer-python OTHER/bin/python --only "Albert*,Electra*"

Trials are added to a file (``--records``), and ``--write`` makes a section of ``results/silent.md`` of all in it. The
exit status is 1 if any trial was SILENT or failed. It needs the packages that the tests need.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from silent_trials import FAILED, SILENT, collect, read, table, write_section

# A mode is a module with INTRODUCTION, a text for the results, and trial(seed, folder), which makes one Trial; or with
# prepared(arguments), which returns the seeds and that function.
MODES = {"configs": "silent_configs", "graphs": "silent_graphs", "warm_starts": "silent_warm_starts"}
_BAD = {SILENT, FAILED}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=sorted(MODES))
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=20, help="how many seeds")
    parser.add_argument("--records", type=Path, help="the file of trials, by default one for each mode in /tmp")
    parser.add_argument("--peer-python", help="configs: an interpreter with transformers 4 and TensorFlow")
    parser.add_argument("--only", default="*", help="configs: patterns of PyTorch classes, with commas between them")
    parser.add_argument("--write", action="store_true", help="write results/silent.md")
    arguments = parser.parse_args()
    mode = import_module(MODES[arguments.mode])
    records = arguments.records or Path(tempfile.gettempdir()) / f"silent_{arguments.mode}.jsonl"
    with tempfile.TemporaryDirectory() as work:
        seeds, trial = range(arguments.first, arguments.first + arguments.count), getattr(mode, "trial", None)
        if hasattr(mode, "prepared"):
            seeds, trial = mode.prepared(arguments)
        made = (trial(seed, Path(work) / str(seed)) for seed in seeds)
        for done in collect(made, records):
            print(*done, flush=True)
    trials = read(records)
    lines = table(trials)
    print("\n".join(lines))
    if arguments.write:
        bad = [f"* seed {one.seed}, {one.kind}: {one.outcome}, {one.detail}" for one in trials if one.outcome in _BAD]
        write_section(arguments.mode, [mode.INTRODUCTION.strip(), "", *lines, *([""] if bad else []), *bad])
    return int(any(one.outcome in _BAD for one in trials))


if __name__ == "__main__":
    sys.exit(main())
