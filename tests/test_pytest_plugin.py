"""The fixture ``parity`` in a project of somebody else's: pass, fail, skip, and what is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT, SUPPORT

from bridgeckpt import record

HEADER = f"import sys\nsys.path.insert(0, {str(SUPPORT)!r})\n"
GIVEN = """
from bridgeckpt.parity import verifying
from verdicts import passing, failing, empty

def give(monkeypatch, verdict):
    monkeypatch.setattr(verifying, "verify", lambda *given, **options: verdict)
"""


def pytest_in(folder, *options, installed=False, environment=None):
    """A run of pytest in a process of its own, without any configuration of ours.

    Only where it is ``installed`` is our plugin found as in a user's project. Else it is named and the others are left
    out: some that may be installed, as jaxtyping's, import frameworks, which takes seconds.
    """
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200", **(environment or {})}
    if not installed:
        command += ["-p", "bridgeckpt.pytest_plugin"]
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command += options
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder, env=environment)


@pytest.fixture
def project(tmp_path):
    """``project(test)``: write a test file into a project that has a reference and a folder; returns its root."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "reference.safetensors").touch()
    (tmp_path / "converted").mkdir()

    def make(test):
        (tmp_path / "tests" / "test_parity.py").write_text(HEADER + GIVEN + test)
        return tmp_path

    return make


def test_the_plugin_is_light():
    code = (
        "import json, sys, bridgeckpt.pytest_plugin;"
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] in {'numpy', 'torch', 'rich', 'transformers'}"
        " or m.startswith('bridgeckpt.')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert json.loads(done.stdout) == ["bridgeckpt._version", "bridgeckpt.pytest_plugin"]


def test_a_run_of_pytest_that_does_not_use_it_imports_nothing(project):
    test = "def test():\n    assert not {'numpy', 'torch', 'transformers', 'tensorflow'} & {*sys.modules}\n"
    folder = project("")
    (folder / "tests" / "test_parity.py").write_text("import sys\n" + test)
    done = pytest_in(folder)
    assert done.returncode == 0, done.stdout


def test_a_pass_returns_the_verdict(project):
    done = pytest_in(
        project(
            "def test_parity(parity, monkeypatch):\n"
            "    give(monkeypatch, passing())\n"
            "    found = parity.assert_matches('reference.safetensors', 'converted', html='parity.html')\n"
            "    assert found == passing()\n"
        )
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_page_is_written_where_pytest_runs(project):
    folder = project(
        "def test_parity(parity, monkeypatch):\n"
        "    give(monkeypatch, failing())\n"
        "    parity.assert_matches('reference.safetensors', 'converted', html='parity.html')\n"
    )
    assert pytest_in(folder).returncode == 1
    assert "query and key are swapped" in (folder / "parity.html").read_text(encoding="utf-8")
    (folder / "parity.html").write_text("mine")
    done = pytest_in(folder)
    assert "parity.html exists and is not a page" in done.stdout
    assert (folder / "parity.html").read_text() == "mine"


def test_a_failure_reads_as_on_the_terminal(project):
    from verdicts import failing

    from bridgeckpt.parity.showing.rendering import text

    done = pytest_in(
        project(
            "def test_parity(parity, monkeypatch):\n"
            "    give(monkeypatch, failing())\n"
            "    parity.assert_matches('reference.safetensors', 'converted')\n"
        )
    )
    assert done.returncode == 1
    assert "AssertionError" in done.stdout
    shown = [line.removeprefix("E").strip() for line in done.stdout.splitlines() if line.startswith("E ")]
    assert [line for line in shown if line][1:] == [line.strip() for line in text(failing()).splitlines() if line][1:]
    assert "pytest_plugin.py" not in done.stdout  # the traceback ends in the user's test
    assert ">       parity.assert_matches('reference.safetensors', 'converted')" in done.stdout


def test_strict_reaches_the_verification(project):
    test = (
        "def test_parity(parity, monkeypatch):\n"
        "    given = {}\n"
        "    monkeypatch.setattr(verifying, 'verify', lambda *_, **options: given.update(options) or passing())\n"
        "    parity.assert_matches('reference.safetensors', 'converted', strict=True)\n"
        "    assert given['strict'] is True\n"
    )
    assert pytest_in(project(test)).returncode == 0


def test_an_empty_comparison_fails(project):
    done = pytest_in(
        project(
            "def test_parity(parity, monkeypatch):\n"
            "    give(monkeypatch, empty())\n"
            "    parity.assert_matches('reference.safetensors', 'converted')\n"
        )
    )
    assert done.returncode == 1
    assert "nothing was compared" in done.stdout


@pytest.mark.parametrize("device", ["cuda", "cuda:9"])
@pytest.mark.slow
def test_it_skips_without_the_gpu(device, project):
    pytest.importorskip("torch")
    done = pytest_in(
        project(
            "def test_parity(parity):\n"
            f"    parity.assert_matches('reference.safetensors', 'converted', device={device!r})\n"
        ),
        environment={"CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stdout
    assert f"no GPU: PyTorch sees no {device}" in done.stdout
    assert "1 skipped" in done.stdout


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_without_torch_it_fails_and_says_what_to_install(device, project):
    """A skip here would be a silent pass."""
    folder = project(
        "def test_parity(parity, monkeypatch):\n"
        "    monkeypatch.setitem(sys.modules, 'torch', None)\n"
        f"    parity.assert_matches('reference.safetensors', 'converted', device={device!r})\n"
    )
    (folder / "converted" / "config.json").write_text("{}")
    values = np.ones((1, 2), np.float32)
    record(lambda x: {"logits": x}, {"x": values}, folder / "tests" / "reference.safetensors")
    done = pytest_in(folder)
    assert done.returncode == 1, done.stdout
    assert "pip install" in done.stdout
    assert "1 failed" in done.stdout


@pytest.mark.parametrize("missing", ["reference.safetensors", "converted"])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_what_is_not_there_fails(missing, device, project):
    folder = project(
        "def test_parity(parity):\n"
        f"    parity.assert_matches('reference.safetensors', 'converted', device={device!r})\n"
    )
    (folder / "tests" / "reference.safetensors").unlink() if "." in missing else (folder / "converted").rmdir()
    done = pytest_in(folder)
    assert done.returncode == 1, done.stdout
    assert f"there is no {missing} in {folder / 'tests'} or {folder}" in done.stdout
    assert "pytest_plugin.py" not in done.stdout


def test_paths_are_found_beside_the_test_then_in_the_root_then_here(project):
    folder = project(
        "def test_parity(parity, monkeypatch):\n"
        "    seen = []\n"
        "    monkeypatch.setattr(verifying, 'verify', lambda *given, **options: seen.append(given) or passing())\n"
        "    for name in ('both', 'root', 'here', 'model.ckpt', '/etc'):\n"
        "        parity.assert_matches('reference.safetensors', name)\n"
        "    import json; print('SEEN', json.dumps([str(folder) for _, folder in seen]))\n"
    )
    here = folder / "elsewhere"
    here.mkdir()
    for path in (folder / "tests" / "both", folder / "both", folder / "root", here / "root", here / "here"):
        path.mkdir()
    (folder / "tests" / "model.ckpt.index").touch()
    done = pytest_in(here, "--rootdir", str(folder), "-s", str(folder / "tests"))
    assert done.returncode == 0, done.stdout
    found = json.loads(next(line for line in done.stdout.splitlines() if "SEEN" in line).partition("SEEN ")[2][: 10**6])
    tests = folder / "tests"
    assert found == [*map(str, (tests / "both", folder / "root", here / "here", tests / "model.ckpt", "/etc"))]


@pytest.mark.slow
def test_the_real_thing(example, tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("torch")
    from bridgeckpt import convert
    from bridgeckpt.parity.recording import record_checkpoint

    convert(example, tmp_path / "converted")
    record_checkpoint(example, tmp_path / "reference.safetensors")
    (tmp_path / "test_parity.py").write_text(
        "def test_parity(parity):\n    parity.assert_matches('reference.safetensors', 'converted/', device='cpu')\n"
    )
    done = pytest_in(tmp_path, installed=True)
    assert done.returncode == 0, done.stdout
