"""Git LFS pointers in place of files: called that wherever a file is read, with the command that fetches it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from paths import EXAMPLE, FIXTURES
from safetensors.numpy import save_file

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.errors import BridgeckptError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.parity.judging.converted_folder import check_folder

HINT = "run `git lfs pull` in the repository that it came from"


def point(path: Path) -> Path:
    """Put a pointer in the place of a file, as git does in a clone."""
    size = path.stat().st_size if path.exists() else 9
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'8' * 64}\nsize {size}\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "bert")
    return tmp_path / "bert"


def check(error: BridgeckptError, path: Path) -> None:
    assert f"{path.name} is a Git LFS pointer, not the file itself" in error.message
    assert error.hint == HINT


def test_where_nothing_else_is_wrong(folder, tmp_path):
    bridgeckpt.convert(folder, tmp_path / "out")
    check_folder(tmp_path / "out")


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001", "meta"])
@pytest.mark.parametrize("given", ["", "bert_model.ckpt", "bert_model.ckpt.index", "bert_model.ckpt.meta"])
def test_parts_of_a_bundle(folder, tmp_path, part, given, capsys):
    pointer = point(folder / f"bert_model.ckpt.{part}")
    with pytest.raises(BridgeckptError) as refused:
        bridgeckpt.convert(folder / given, tmp_path / "out")
    check(refused.value, pointer)
    if part != "meta":
        with pytest.raises(BridgeckptError) as refused:
            bridgeckpt.diff(folder / given, folder / given)
        check(refused.value, pointer)
    main(["inspect", str(folder / given)])
    shown = capsys.readouterr()
    assert f"{pointer.name} is a Git LFS pointer, not the file itself" in shown.out + shown.err
    assert HINT in shown.out + shown.err


@pytest.mark.slow
@pytest.mark.parametrize("part", ["index", "data-00000-of-00001", "meta"])
def test_a_recording(folder, tmp_path, part):
    bridgeckpt.convert(folder, tmp_path / "out")
    pointer = point(folder / f"bert_model.ckpt.{part}")
    with pytest.raises(BridgeckptError) as refused:
        bridgeckpt.verify(folder, tmp_path / "out")
    check(refused.value, pointer)


@pytest.mark.parametrize("given", ["", "saved_model.pb", "variables/variables"])
def test_the_graph_of_a_saved_model(tmp_path, given):
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / "hub_tf2_classifier" / "source", folder)
    pointer = point(folder / "saved_model.pb")
    for act in (bridgeckpt.record_checkpoint, bridgeckpt.plan):
        with pytest.raises(BridgeckptError) as refused:
            act(folder / given)
        check(refused.value, pointer)


def test_the_read_of_one_tensor(folder):
    checkpoint = open_checkpoint(folder)
    pointer = point(folder / "bert_model.ckpt.data-00000-of-00001")
    with pytest.raises(BridgeckptError) as refused:
        checkpoint.get_tensor(next(iter(checkpoint)))
    check(refused.value, pointer)


@pytest.mark.parametrize("name", ["bert_config.json", "vocab.txt", "other_vocab.txt"])
def test_what_lies_beside(folder, tmp_path, name):
    if name == "other_vocab.txt":
        (folder / "vocab.txt").rename(folder / name)
    pointer = point(folder / name)
    with pytest.raises(BridgeckptError) as refused:
        bridgeckpt.convert(folder, tmp_path / "out")
    check(refused.value, pointer)


@pytest.mark.parametrize(
    "name",
    [
        "tf_model.h5",
        "model.weights.h5",
        "model.keras",
        "model.safetensors",
        "saved_model.pb",
        "ner.pb",
        "a.h5.index.json",
    ],
)
def test_files_of_their_own(tmp_path, name):
    pointer = point(tmp_path / "model" / name)
    for path in (pointer, pointer.parent):
        if path.is_dir() and name == "a.h5.index.json":
            continue
        with pytest.raises(BridgeckptError) as refused:
            open_checkpoint(path)
        said = str(refused.value)
        assert "is a Git LFS pointer, not the file itself" in said
        assert HINT in said


@pytest.mark.parametrize("name", ["model-1.safetensors", "tf_model-1.h5"])
def test_shards(tmp_path, name):
    pointer = point(tmp_path / name)
    index = tmp_path / ("model.safetensors.index.json" if "safetensors" in name else "tf_model.h5.index.json")
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(BridgeckptError) as refused:
        open_checkpoint(tmp_path)
    check(refused.value, pointer)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_converted_folder(folder, tmp_path, name):
    bridgeckpt.convert(folder, tmp_path / "out")
    pointer = point(tmp_path / "out" / name)
    with pytest.raises(BridgeckptError) as refused:
        bridgeckpt.verify(folder, tmp_path / "out")
    check(refused.value, pointer)


def test_a_reference(folder, tmp_path):
    bridgeckpt.convert(folder, tmp_path / "out")
    pointer = point(tmp_path / "reference.safetensors")
    with pytest.raises(BridgeckptError) as refused:
        bridgeckpt.verify(pointer, tmp_path / "out")
    check(refused.value, pointer)


def test_a_file_that_only_begins_like_a_pointer(tmp_path):
    save_file({"version": np.zeros(500, "f")}, tmp_path / "model.safetensors")
    assert len(open_checkpoint(tmp_path)) == 1
