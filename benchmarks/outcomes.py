"""Records what every command makes of every available checkpoint, and compares two versions of bridgeckpt.

::

    python benchmarks/outcomes.py record before.json --verify      # with one version on PYTHONPATH
    python benchmarks/outcomes.py record after.json --verify       # with another
    python benchmarks/outcomes.py compare before.json after.json

Each checkpoint is inspected, converted, compared with its conversion by ``diff``, and with ``--verify`` verified. The
record holds exit statuses, the JSON of each command and the SHA-256 of every written file.

``compare`` lists what differs: ``file`` (other bytes) and ``fact`` (another exit status, or another value of the JSON).
It counts ``text`` (sentences for people), ``added`` (new keys of the JSON) and ``table`` (the digest of an edited
mapping table); ``--all`` also lists these.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from outcome_differences import differences

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
# Keys of the JSON whose values depend on the clock and the machine.
NEVER = {"seconds", "created", "time", "device", "version", "versions", "environment", "path", "made_by", "bridgeckpt"}

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def sources(work: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Every available checkpoint: its name here, its path, and the options for its conversion."""
    yield "example", ROOT / "examples/tiny-bert", {}
    fixtures = ROOT / "tests/fixtures"
    for case in sorted(fixtures.glob("*/case.json")):
        facts = json.loads(case.read_text(encoding="utf-8"))
        yield f"fixture/{case.parent.name}", case.parent / facts["source"], facts["options"]
    for path in sorted((fixtures / "refused").glob("*")):
        yield f"refused/{path.name}", path, {}
    for path in sorted((fixtures / "architectures").glob("*.json")):
        yield f"architecture/{path.stem}", _write_architecture(path.stem, work), {}
    for kind in ("samples/golden", "samples/real", "cases", "cases/silent"):
        for path in sorted((SHARED / kind).glob("*")):
            if path.is_dir() and path.name not in ("_lib", "silent"):
                yield f"{kind}/{path.name}", path / "files" if (path / "files").is_dir() else path, {}
    for name in ("t1_ema", "t1_hub_module"):
        if (SHARED / "samples/golden" / name).is_dir():
            yield f"ema/{name}", SHARED / "samples/golden" / name, {"ema": True}


def _write_architecture(name: str, work: Path) -> Path:
    """Write the checkpoint of an architecture as its test does."""
    for folder in ("tests/support", "tests"):
        if str(ROOT / folder) not in sys.path:
            sys.path.insert(0, str(ROOT / folder))
    with contextlib.suppress(ImportError):
        from architectures import write_source  # type: ignore[import-not-found]

        return write_source(name, work / "drawn" / name)
    from test_architectures import write_source  # type: ignore[import-not-found]

    return write_source(name, work / "drawn" / name)


def run(*arguments: str) -> dict[str, Any]:
    """Run a command with --json in this process; returns its exit status and its output."""
    from bridgeckpt.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status: Any = main([*arguments, "--json"])
        except SystemExit as error:
            status = error.code
        except Exception as error:  # noqa: BLE001 - a traceback is an outcome too
            status = f"{type(error).__name__}: {error}"
    try:
        printed: Any = json.loads(out.getvalue())
    except ValueError:
        printed = out.getvalue()
    return {"status": status, "json": printed}


def options(given: dict[str, Any]) -> list[str]:
    """Python keywords as options of the command line."""
    words: list[str] = []
    for key, value in given.items():
        if key == "lowercase":
            words.append("--uncased" if value else "--cased")
        else:
            words += [f"--{key.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return words


def outcome(source: Path, given: dict[str, Any], folder: Path, *, verify: bool) -> dict[str, Any]:
    """The results of all commands on one checkpoint."""
    words = options(given)
    results = {"inspect": run("inspect", str(source), *words)}
    results["convert"] = run("convert", "tf2pt", str(source), str(folder), *words)
    if results["convert"]["status"] != 0:
        return results
    results["files"] = {path.name: _digest(path) for path in sorted(folder.iterdir())}
    results["diff"] = run("diff", str(source), str(folder), *(["--ema"] if given.get("ema") else []))
    if verify:
        settings = {key: value for key, value in given.items() if key in ("hidden_act", "layer_norm_eps", "heads")}
        results["verify"] = run("verify", str(source), str(folder), "--device", "cpu", *options(settings))
    return results


def _digest(path: Path) -> str:
    if path.name == "conversion_report.json":
        return "listed"  # it holds paths and versions; its facts are in convert --json
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _without(value: Any, replaced: dict[str, str]) -> Any:
    """JSON without the facts of this run: folders become roles; times and versions are left out."""
    if isinstance(value, dict):
        return {key: _without(inner, replaced) for key, inner in value.items() if key not in NEVER}
    if isinstance(value, list):
        return [_without(inner, replaced) for inner in value]
    if isinstance(value, str):
        for path, role in replaced.items():
            value = value.replace(path, role)
    return value


def record(to: Path, *, verify: bool, only: str) -> None:
    """Write the outcomes of every checkpoint whose name contains ``only``."""
    outcomes: dict[str, Any] = {}
    work = Path(tempfile.mkdtemp())
    for name, path, given in sources(work):
        if only not in name:
            continue
        folder = work / "out"
        roles = {str(work): "WORK", str(ROOT): "ROOT", str(SHARED): "SHARED"}
        outcomes[name] = _without(outcome(path, given, folder, verify=verify), roles)
        shutil.rmtree(folder, ignore_errors=True)
        print(name, {key: result["status"] for key, result in outcomes[name].items() if key != "files"}, flush=True)
        to.write_text(json.dumps(outcomes, indent=1), encoding="utf-8")
    shutil.rmtree(work)
    print(f"{len(outcomes)} checkpoints")


def compare(before: Path, after: Path, *, every: bool) -> int:
    """Print the differences; returns 1 if a file or a fact differs."""
    a, b = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    counts: Counter[str] = Counter()
    for kind, where, old, new in differences(a, b):
        counts[kind] += 1
        if every or kind in ("file", "fact"):
            print(f"{kind} {where}\n  - {old}\n  + {new}")
    files = sum(len(outcome.get("files", ())) for outcome in a.values())
    verified = sum("verify" in outcome for outcome in a.values())
    print(f"{len(a)} checkpoints, {files} files, {verified} verdicts: {dict(counts) or 'no difference'}")
    return 1 if counts["file"] or counts["fact"] else 0


def main() -> int:
    """Record or compare, as the module's docstring says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording = verbs.add_parser("record")
    recording.add_argument("to", type=Path)
    recording.add_argument(
        "--verify", action="store_true", help="verify too (needs TensorFlow, torch and transformers)"
    )
    recording.add_argument("--only", default="", help="only checkpoints whose name contains this")
    comparing = verbs.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("--all", action="store_true", help="list every difference")
    given = parser.parse_args()
    if given.verb == "compare":
        return compare(given.before, given.after, every=given.all)
    record(given.to, verify=given.verify, only=given.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
