"""Which TensorFlow architectures of transformers 4 convert by the general rules, and how far the outputs are apart.

Every case of ``tests/fixtures/architectures`` is converted and run as the tests do; ``--write`` writes the table to
``results/architectures.md``. Needs what the tests need.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "architectures.md"
HEAD = """# TensorFlow architectures of transformers 4

Made by `python benchmarks/architectures.py --write`: tiny models of transformers 4.40.2's TensorFlow classes, with every
weight drawn, converted by `transformers/general`, and run in {transformers}. The difference is the largest of any
output, as a share of max(1, the largest value); 3e-5 is what the tests allow. BERT's own classes have a table.

| model type | class | difference |
|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    import transformers
    from test_architectures import CASES, FOLDER, differences, write_source

    import bridgeckpt

    rows = []
    for case in CASES:
        kind = json.loads((FOLDER / f"{case}.json").read_text())["config"]["model_type"]
        with tempfile.TemporaryDirectory() as work:
            try:
                bridgeckpt.convert(write_source(case, Path(work) / "source"), Path(work) / "out")
                told = f"{max(differences(case, Path(work) / 'out').values()):.1e}"
            except bridgeckpt.BridgeckptError as error:
                told = f"refused: {error.message.partition(chr(10))[0]}"
        rows.append(f"| {kind} | {case} | {told.replace(work, '').replace('|', ' ')} |")
        print(rows[-1], flush=True)
    text = HEAD.format(transformers=f"transformers {transformers.__version__}") + "\n".join(sorted(rows)) + "\n"
    if arguments.write:
        RESULTS.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
