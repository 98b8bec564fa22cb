"""Parity in a test suite: the fixture ``parity``, which pytest finds wherever bridgeckpt is installed.

    def test_parity(parity):
        parity.assert_matches("reference.safetensors", "converted/", device="cuda")

Every run of pytest in the environment loads this plugin, so importing it imports only the package and its version.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridgeckpt.parity.judging.verdict import Verdict
    from bridgeckpt.parity.reference.reference import Reference

    AnyPath = str | os.PathLike[str]


class Parity:
    """What the fixture ``parity`` gives.

    A relative path is looked up beside the test file, then in pytest's root folder, then in the current folder; the
    first that exists is used. A page is written relative to the current folder, like pytest's own reports.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def assert_matches(
        self,
        reference: AnyPath | Reference,
        folder: AnyPath,
        *,
        device: str = "auto",
        dtypes: Sequence[str] = (),
        atol: float | None = None,
        rtol: float | None = None,
        any_checkpoint: bool = False,
        strict: bool = False,
        html: AnyPath | None = None,
    ) -> Verdict:
        """Assert that the PyTorch model in ``folder`` computes what the reference holds.

        The test is skipped only if ``device`` is a GPU that PyTorch does not see. A missing package or file fails it.
        The arguments are those of :func:`bridgeckpt.verify`.

        Args:
            reference: A file that `bridgeckpt record` wrote, or a TensorFlow checkpoint if TensorFlow is installed.
            folder: The folder of the PyTorch model.
            device: "cpu", "cuda", "cuda:1", or "auto", a GPU if there is one.
            dtypes: Further dtypes to run in, besides float32: "tf32", "float16", "bfloat16".
            atol: Absolute part of a tolerance that replaces the measured rounding; see ``rtol``.
            rtol: Relative part of that tolerance.
            any_checkpoint: Accept a reference that was recorded from another checkpoint.
            strict: Fail too if a setting is assumed on both sides (``verdict.unproven``), rather than shown.
            html: Where to write the HTML page, whether the test passes or fails.

        Returns:
            The verdict, which is a pass.

        Raises:
            AssertionError: The verdict is a failure; the message is what `bridgeckpt verify` prints.
        """
        __tracebackhide__ = True
        from bridgeckpt.errors import BridgeckptError
        from bridgeckpt.parity import verifying
        from bridgeckpt.parity.showing.page import PAGE, is_page, render
        from bridgeckpt.parity.showing.rendering import text
        from bridgeckpt.store.file import check_output
        from bridgeckpt.store.source import write_text

        refusal = None
        try:
            page = None if html is None else Path(html)
            if page is not None:
                check_output(page, PAGE, is_page)
            source = self._find(reference) if isinstance(reference, str | os.PathLike) else reference
            target = self._find(folder)
            skip_without(device)
            verdict = verifying.verify(
                source,
                target,
                device=device,
                dtypes=dtypes,
                atol=atol,
                rtol=rtol,
                any_checkpoint=any_checkpoint,
                strict=strict,
            )
            if page is not None:
                write_text(page, render(verdict, f"{reference} and {folder}"))
        except BridgeckptError as error:
            refusal = str(error)
        if refusal is not None:
            pytest.fail(refusal)
        if not verdict.passed:
            raise AssertionError(text(verdict))
        return verdict

    def _find(self, path: AnyPath) -> Path:
        """The first existing path among those that a relative path can mean.

        Raises:
            CheckpointError: None of them exists.
        """
        from bridgeckpt.errors import CheckpointError
        from bridgeckpt.store.source import is_file, look

        given = Path(path).expanduser()
        for folder in self._folders:
            candidate = folder / given
            index = candidate.with_name(f"{candidate.name}.index")
            if look(candidate) is not None or is_file(index):  # the path itself, or a checkpoint's prefix
                return candidate
        searched = "" if given.is_absolute() else f" in {' or '.join(str(folder) for folder in self._folders)}"
        hint = "a reference is made by `bridgeckpt record SRC reference.safetensors`, a folder by `bridgeckpt convert`"
        raise CheckpointError(f"there is no {path}{searched}", path=given, hint=hint)


def skip_without(device: str) -> None:
    """Skip the test if ``device`` is a GPU that PyTorch does not see. Do not skip it if PyTorch is missing."""
    __tracebackhide__ = True
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return
    try:
        import torch
    except ImportError:  # `verify` says what to install, and that is a failure
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count <= (int(number) if number.isdecimal() else 0):
        pytest.skip(f"no GPU: PyTorch sees no {device}")


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Parity:
    """Compares converted models with TensorFlow's references: ``parity.assert_matches(reference, folder)``."""
    return Parity([*dict.fromkeys((request.path.parent, request.config.rootpath, Path.cwd()))])
