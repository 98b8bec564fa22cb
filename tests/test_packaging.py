"""What a user installs: a wheel that carries its tables, imports that stay light, a command line that works."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from paths import ROOT

HEAVY = ("tensorflow", "torch", "transformers", "numpy", "h5py", "rich", "tokenizers")


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, **options)


def imported_by(statement, *arguments):
    """The heavy packages that a fresh interpreter has loaded after ``statement``."""
    code = f"import sys, json\n{statement}\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = run(sys.executable, "-c", code, *arguments, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_bridgeckpt_imports_nothing_heavy():
    assert imported_by("import bridgeckpt, bridgeckpt.cli") == set()


def test_planning_imports_not_even_numpy(example):
    assert imported_by("import bridgeckpt; bridgeckpt.plan(sys.argv[1])", example) == set()


def test_converting_imports_neither_tensorflow_nor_torch(example, tmp_path):
    statement = "import bridgeckpt; bridgeckpt.convert(sys.argv[1], sys.argv[2])"
    loaded = imported_by(statement, example, tmp_path / "out")
    assert not loaded & {"tensorflow", "torch", "transformers", "h5py", "rich"}


@pytest.mark.slow
def test_warm_starts_import_tensorflow_only_when_they_are_asked_for():
    assert imported_by("import bridgeckpt.tf; from bridgeckpt.tf import assign, scaffold_fn") <= {"numpy"}
    assert "tensorflow" in imported_by("from bridgeckpt.tf import WarmStartHook")


@pytest.mark.slow
def test_the_test_above_can_fail(example):
    """Asking for torch tensors does import torch: the probe sees it."""
    pytest.importorskip("torch")
    assert "torch" in imported_by("import bridgeckpt; bridgeckpt.load_state_dict(sys.argv[1], framework='pt')", example)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The sdist, built from a copy of the sources that is then deleted."""
    import shutil

    folder = tmp_path_factory.mktemp("sdist")
    source = folder / "source"
    ignored = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".hypothesis", ".venv")
    shutil.copytree(ROOT, source, ignore=ignored)
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=source)
    assert built.returncode == 0, built.stderr
    shutil.rmtree(source)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(sdist, tmp_path_factory):
    """The wheel, built from the sdist alone, installed elsewhere."""
    import shutil
    import tarfile

    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 and newer
        archive.extractall(folder / "unpacked", **safely)
    built = run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel",
        "-d",
        folder,
        cwd=next((folder / "unpacked").iterdir()),
    )
    assert built.returncode == 0, built.stderr
    shutil.rmtree(folder / "unpacked")
    done = run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        "--target",
        folder / "site",
        next(folder.glob("*.whl")),
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.mark.slow
def test_the_sdist_has_the_tests_and_no_fixtures(sdist):
    import tarfile

    assert sdist.stat().st_size < 3 << 20
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("tests/conftest.py", "tests/support/paths.py", "mappings/bert/google.toml", "pyproject.toml"):
        assert name in names
    for name in ("docs/architecture.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", "README.md"):
        assert name in names
    assert not {name for name in names if name.startswith("tests/fixtures")}


@pytest.mark.slow
def test_an_installed_wheel_converts_without_its_source(installed, example, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    where = run(sys.executable, "-c", "import bridgeckpt; print(bridgeckpt.__file__)", env=environment, cwd=tmp_path)
    assert where.stdout.startswith(str(installed))
    command = [sys.executable, "-m", "bridgeckpt", "convert", "tf2pt", example, tmp_path / "out"]
    done = run(*command, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.safetensors").stat().st_size > 10_000
    listed = run(sys.executable, "-m", "bridgeckpt", "mappings", "list", env=environment, cwd=tmp_path)
    assert "bert/google" in listed.stdout


@pytest.mark.slow
def test_a_wheel_without_its_tables_says_so(installed, example, tmp_path):
    import shutil

    broken = tmp_path / "site"
    shutil.copytree(installed, broken)
    shutil.rmtree(broken / "bridgeckpt" / "mappings")
    command = [sys.executable, "-m", "bridgeckpt", "convert", "tf2pt", example, tmp_path / "out"]
    done = run(*command, env={**os.environ, "PYTHONPATH": str(broken)}, cwd=tmp_path)
    assert done.returncode == 1
    assert "mapping" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_wheel_has_types_and_no_tests(installed):
    assert (installed / "bridgeckpt" / "py.typed").exists()
    assert (installed / "bridgeckpt" / "mappings" / "bert" / "google.toml").exists()
    assert not (installed / "tests").exists()
