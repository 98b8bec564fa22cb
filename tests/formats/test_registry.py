"""The registry of formats: readers say what is true, folders are read once, and a new format is a reader and a row."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
import tfwrite
from paths import CASES, ROOT

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.formats.locating import kinds
from bridgeckpt.formats.locating.folder import only_file
from bridgeckpt.formats.locating.kinds import FileKind, starts_with
from bridgeckpt.formats.locating.locate import locate
from bridgeckpt.formats.locating.registry import FORMATS, FileFormat, FormatExistsError, NoFormatError
from bridgeckpt.store.local import LocalDisk
from bridgeckpt.store.tensors import Extent, TensorInfo

SOURCES = {case.name: case / json.loads((case / "case.json").read_text())["source"] for case in CASES}
FOLDERS = sorted(name for name, path in SOURCES.items() if path.is_dir())


class Looks:
    """How often each folder was listed, and each file identified."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listed: Counter[Path] = Counter()
        self.identified: Counter[Path] = Counter()
        members, start = LocalDisk.members, kinds.FileStart.__init__

        def counted_members(store, folder):
            self.listed[folder] += 1
            return members(store, folder)

        def counted_start(self_, path):
            self.identified[path] += 1
            start(self_, path)

        monkeypatch.setattr(LocalDisk, "members", counted_members)
        monkeypatch.setattr(kinds.FileStart, "__init__", counted_start)


@pytest.fixture
def looks(monkeypatch):
    return Looks(monkeypatch)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_listed_once_and_each_file_identified_once(name, looks):
    open_checkpoint(SOURCES[name])
    assert looks.listed == {SOURCES[name]: 1}
    assert set(looks.identified.values()) == {1}


def test_folders_with_a_state_file_and_with_nothing_in_them_are_listed_once(example, tmp_path, looks):
    shutil.copytree(example, tmp_path / "run")
    (tmp_path / "run" / "checkpoint").write_text('model_checkpoint_path: "/gone/model.ckpt"\n')
    open_checkpoint(tmp_path / "run")
    assert looks.listed == {tmp_path / "run": 1, Path("/gone"): 1}
    assert set(looks.identified.values()) == {1}
    looks.listed.clear()
    (tmp_path / "text").write_text("hello")
    with pytest.raises(CheckpointError, match="did you mean"):
        open_checkpoint(tmp_path)
    assert looks.listed == {tmp_path: 1, tmp_path / "run": 1}


def test_a_file_and_a_prefix_need_no_list_of_their_folder(example, looks):
    open_checkpoint(example / "bert_model.ckpt")
    open_checkpoint(SOURCES["hf440_masked_lm"])
    open_checkpoint(next(SOURCES["hf440_safetensors"].glob("*.safetensors")))
    assert sum(looks.listed.values()) == SOURCES["hf440_masked_lm"].is_dir()


@pytest.mark.slow
def test_tensorflow_reads_what_a_reader_says_that_it_reads(example_folder):
    tf = tfwrite.tensorflow()
    said: dict[str, bool] = {}
    for path in (*SOURCES.values(), example_folder):
        name = FORMATS.of_kind(locate(path).kind).name
        checkpoint = open_checkpoint(path)
        if name not in said:
            said[name] = checkpoint.read_by_tensorflow
            try:
                reads = bool(tf.train.load_checkpoint(str(checkpoint.path)).get_variable_to_shape_map())
            except (tf.errors.OpError, ValueError, RuntimeError):
                reads = False
            assert reads == said[name], path
        assert checkpoint.read_by_tensorflow == said[name]
    # There is no fixture of V1 or of a frozen graph: the tests of their readers write some.
    assert said.keys() == {row.name for row in FORMATS.formats} - {"v1", "frozen_graph"}


def test_safetensors_whose_header_begins_as_a_pickle(tmp_path):
    """A header of 640 bytes begins with 80 02, as a pickle of protocol 2 does."""
    path = tmp_path / "model.safetensors"
    path.write_bytes((640).to_bytes(8, "little") + b"{}".ljust(640))
    assert open_checkpoint(path).keys() == []


class ToyCheckpoint(Checkpoint):
    """The format of these tests: TOY1, and the bytes of one tensor."""

    format = "toy"

    def __init__(self, path: Path, *, notes: tuple[str, ...] = ()) -> None:
        size = path.stat().st_size - 4
        super().__init__(
            path, {"w": TensorInfo("w", "uint8", (size,), (Extent(path, 4, size, (0,), (size,), None),))}, notes=notes
        )


TOY_FILE = FileKind("a toy file", matches=starts_with(b"TOY1"))
TOY = FileFormat(
    name="toy",
    readers={TOY_FILE: f"{__name__}:ToyCheckpoint"},
    find=lambda folder: only_file(folder, "*.toy", kinds=(TOY_FILE,)),
    precedence=45,
    patterns=("*.toy",),
)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """A file of a format that is registered for one test."""
    monkeypatch.setattr(FORMATS, "_formats", {row.name: row for row in FORMATS.formats})
    path = tmp_path / "sub" / "model.toy"
    path.parent.mkdir()
    path.write_bytes(b"TOY1\1\2\3")
    return path


def test_a_new_format_is_a_reader_and_a_row(toy, tmp_path):
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        open_checkpoint(toy)
    FORMATS.add(TOY)
    for path in (toy, toy.parent):
        checkpoint = open_checkpoint(path)
        assert (checkpoint.path, checkpoint.format, checkpoint.get_tensor("w").tolist()) == (toy, "toy", [1, 2, 3])
        assert not checkpoint.read_by_tensorflow and not checkpoint.has_pytorch_names
    with pytest.raises(CheckpointError, match=rf"did you mean {toy}\?"):
        open_checkpoint(tmp_path)
    shutil.copy(toy, toy.with_name("other.toy"))
    with pytest.raises(CheckpointError, match=r"holds model\.toy, other\.toy\n  hint: pass one of them"):
        open_checkpoint(toy.parent)


def test_precedence_decides_between_formats_in_a_folder(toy, example):
    FORMATS.add(TOY)
    for file in example.glob("bert_model.ckpt.*"):
        shutil.copy(file, toy.parent)
    assert open_checkpoint(toy.parent).path.name == "bert_model.ckpt"


def test_a_name_and_a_kind_of_file_belong_to_one_format(toy):
    FORMATS.add(TOY)
    with pytest.raises(FormatExistsError, match='there is a format "toy" already'):
        FORMATS.add(TOY)
    with pytest.raises(FormatExistsError, match='a toy file is opened by the format "toy" already'):
        FORMATS.add(TOY._replace(name="other"))
    with pytest.raises(NoFormatError, match="no format opens an empty file"):
        FORMATS.open(locate(toy)._replace(kind=kinds.EMPTY))


def test_only_the_registry_knows_the_readers():
    """Other rooms ask a checkpoint what it can do; parity opens its own references, which are safetensors."""
    readers = {path.partition(":")[2] for row in FORMATS.formats for path in row.readers.values()}
    package = ROOT / "bridgeckpt"
    importing = {
        path.relative_to(package).as_posix()
        for path in package.glob("**/*.py")
        if path.relative_to(package).parts[0] != "formats"
        and re.search(rf"import\b.*\b({'|'.join(readers)})\b", path.read_text())
    }
    assert importing <= {"parity/reference/reference.py"}
