"""Where things are: the repository, the example in it, the fixtures, and the samples that may lie beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "tiny-bert"
SUPPORT = ROOT / "tests" / "support"
FIXTURES = ROOT / "tests" / "fixtures"
CASES = sorted(path.parent for path in FIXTURES.glob("*/case.json"))
SAMPLES = ROOT.parent / "shared" / "samples"
REPORTED = ROOT.parent / "shared" / "cases"
