"""Measures which TensorFlow architectures of transformers 4 convert by the general rules, and how the outputs differ.

Converts and runs each case of ``tests/fixtures/architectures`` as the tests do, or each case in a FOLDER that
``tests/fixtures/make_architectures.py --every FOLDER`` made. ``--write`` writes the table to
``results/architectures.md``. It needs the packages that the tests need.
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

Made by `python tests/fixtures/make_architectures.py --every FOLDER` (transformers 4.40.2, TensorFlow 2.15.1) and
`python benchmarks/architectures.py FOLDER --write`: tiny models of the TensorFlow classes, with every weight drawn,
converted by `transformers/general`, and run in {transformers}. The difference is the largest of any output, as a share
of max(1, the largest value); 3e-5 is what the tests allow. BERT's own classes have a table.

| model type | class | difference |
|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="cases of make_architectures.py, by default the tests'")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    import architectures as cases
    import transformers

    import bridgeckpt

    cases.FOLDER = arguments.folder or cases.FOLDER
    rows = []
    for case in sorted(path.stem for path in cases.FOLDER.glob("*.json")):
        model_type = json.loads((cases.FOLDER / f"{case}.json").read_text())["config"]["model_type"]
        with tempfile.TemporaryDirectory() as work:
            try:
                bridgeckpt.convert(cases.write_source(case, Path(work) / "source"), Path(work) / "out")
                shares = cases.differences(case, Path(work) / "out")
                result = f"{max(shares.values()):.1e}" if shares else "not compared: no output is small enough to keep"
            except bridgeckpt.BridgeckptError as error:
                problems = getattr(error, "problems", ())
                why = problems[0].explanation[0] if problems else error.message.partition("\n")[0]
                result = f"refused: {why}"
            except AssertionError as error:  # in the PyTorch class, or in the comparison
                result = f"not compared: {str(error).partition('. ')[0]}"
        rows.append(f"| {model_type} | {case} | {result.replace(work, '').replace('|', ' ')} |")
        print(rows[-1], flush=True)
    text = HEAD.format(transformers=f"transformers {transformers.__version__}") + "\n".join(sorted(rows)) + "\n"
    if arguments.write:
        RESULTS.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
