"""Fixtures shared by all tests: the samples, the example, and checkpoints that TensorFlow wrote once per session."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from paths import EXAMPLE, FIXTURES, SAMPLES
from tfbert import Built, build

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models this small only wait for one another's threads


hypothesis.settings.register_profile("tests", deadline=None)  # a busy machine is no error
hypothesis.settings.load_profile("tests")

# Fixtures that start TensorFlow, which takes seconds.
_OF_TENSORFLOW = {"built", "example_values", "keras"}


# How a test file takes the checkpoints of tests/fixtures.
_OF_FIXTURES = re.compile(
    r"^(from paths import .*\b(FIXTURES|CASES)\b|from architectures |import architectures\b)", re.M
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files that are not even imported: slow ones when only others run, and what needs fixtures that are not here."""
    if collection_path.suffix != ".py":
        return None
    content = collection_path.read_text(encoding="utf-8")
    if config.getoption("markexpr") == "not slow" and "\npytestmark = pytest.mark.slow\n" in content:
        return True  # it may import TensorFlow, which takes seconds
    return (not FIXTURES.is_dir() and _OF_FIXTURES.search(content) is not None) or None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that tests were left out, as in an sdist."""
    if not FIXTURES.is_dir():
        terminalreporter.line(
            "tests/fixtures is in the repository, not in an sdist: test files that need it were left out"
        )


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start TensorFlow by a fixture are slow; tests that need a GPU are skipped without one."""
    for item in items:
        if _OF_TENSORFLOW & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    if not any(item.get_closest_marker("cuda") for item in items):
        return
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def samples() -> Path:
    """Real checkpoints kept outside the repository; tests that need them skip where they are not."""
    if not SAMPLES.is_dir():
        pytest.skip("the samples are not here")
    return SAMPLES


@pytest.fixture(scope="session")
def example() -> Path:
    """The checkpoint in the repository."""
    return EXAMPLE


@pytest.fixture(scope="session")
def example_folder(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That checkpoint as a Hugging Face folder. Do not modify it."""
    import bridgeckpt

    return bridgeckpt.convert(example, tmp_path_factory.mktemp("example") / "folder").path


@pytest.fixture(scope="session")
def example_values(example: Path) -> dict[str, Any]:
    """The tensors of that checkpoint, as TensorFlow reads them."""
    reader = pytest.importorskip("tensorflow").train.load_checkpoint(str(example / "bert_model.ckpt"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Built]:
    """``built(**spec)``: a checkpoint written by TensorFlow, made once for each spec in a session. Do not modify it."""
    pytest.importorskip("tensorflow")
    made: dict[str, Built] = {}

    def make(**spec: Any) -> Built:
        key = repr(sorted(spec.items()))
        if key not in made:
            made[key] = build(tmp_path_factory.mktemp("tf"), **spec)
        return made[key]

    return make
