"""Checksums that a file does not hold are taken in the pass that copies, and forgotten when the file changes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import bridgeckpt
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.fingerprint import fingerprint
from bridgeckpt.store.local import LocalFile

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> dict[Path, int]:
    """How many bytes were read of each file."""
    counted: dict[Path, int] = {}

    def count(method: Any, size_of: Any) -> Any:
        def counting(file: LocalFile, *arguments: Any) -> Any:
            counted[file.path] = counted.get(file.path, 0) + size_of(*arguments)
            return method(file, *arguments)

        return counting

    monkeypatch.setattr(LocalFile, "read", count(LocalFile.read, lambda offset, nbytes: nbytes))
    monkeypatch.setattr(LocalFile, "read_into", count(LocalFile.read_into, lambda buffer, offset: len(buffer)))
    return counted


def test_a_conversion_reads_a_file_without_checksums_once(tmp_path: Path, read: dict[Path, int]) -> None:
    source = FIXTURES / "hf440_masked_lm" / "source" / "tf_model.h5"
    checkpoint = open_checkpoint(source)
    expected = fingerprint(open_checkpoint(source))
    checkpoint.check_files()
    read.clear()
    converted = bridgeckpt.convert(checkpoint, tmp_path / "converted").path
    assert json.loads((converted / "conversion_report.json").read_bytes())["source"]["fingerprint"] == expected
    copies = sum(checkpoint.tensors[name].nbytes for name in checkpoint.by_variable(without=":0").copies)
    assert copies > 0  # each is compared with its tensor before anything is written
    assert read[source] <= source.stat().st_size + 2 * copies
    read.clear()
    assert fingerprint(checkpoint) == expected
    assert not read  # all of them are known


def test_checksums_of_a_file_that_has_changed_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": np.zeros(10, np.float32)}, path)
    checkpoint = open_checkpoint(path)
    before = fingerprint(checkpoint)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))
    assert fingerprint(open_checkpoint(path)) != before
    assert fingerprint(checkpoint) == fingerprint(open_checkpoint(path))
