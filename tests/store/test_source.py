"""The contract of a store, held by the local disk: what lies at a path, folders, ranges, and errors."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from bridgeckpt.store.contract import EndsEarlyError
from bridgeckpt.store.fileobject import FileObject
from bridgeckpt.store.source import (
    is_file,
    is_folder,
    look,
    matching,
    members,
    open_file,
    read_head,
)

CONTENT = bytes(range(200))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").write_bytes(CONTENT)
    return tmp_path / "data"


def test_what_lies_at_a_path(path: Path) -> None:
    entry = look(path)
    assert entry is not None
    assert (entry.name, entry.is_file, entry.is_folder, entry.size) == ("data", True, False, 200)
    assert is_file(path)
    assert is_folder(path.parent)
    assert not is_folder(path)
    for absent in (path.parent / "absent", path / "below a file", Path("nul\0")):
        assert look(absent) is None
    path.with_name("loop").symlink_to("loop")
    assert look(path.with_name("loop")) is None
    with pytest.raises(OSError, match="too long"):
        look(path.with_name("x" * 1000))


def test_what_lies_in_a_folder(path: Path) -> None:
    for name in ("b_vocab.txt", "a_vocab.txt", "[1]"):
        path.with_name(name).touch()
    (path.parent / "assets").mkdir()
    (path.parent / "assets" / "my_vocab.txt").touch()
    path.with_name("dangling").symlink_to("nothing")
    assert [entry.name for entry in members(path.parent)] == [
        *("[1]", "a_vocab.txt", "assets", "b_vocab.txt", "dangling", "data")
    ]
    assert [entry.name for entry in matching(path.parent, "*vocab*.txt")] == ["a_vocab.txt", "b_vocab.txt"]
    assert [entry.path for entry in matching(path.parent, "assets/*.txt")] == [path.parent / "assets/my_vocab.txt"]
    assert [entry.name for entry in matching(path.parent, "data")] == ["data"]
    assert matching(path.parent, "absent") == matching(path.parent / "absent", "*") == []
    with pytest.raises(FileNotFoundError):
        members(path.parent / "absent")


def test_ranges_are_whole_or_an_error(path: Path) -> None:
    file = open_file(path)
    assert file.size == 200
    assert file.read(10, 5) == CONTENT[10:15]
    assert file.read(200, 0) == b""
    buffer = bytearray(7)
    file.read_into(buffer, 193)
    assert buffer == CONTENT[193:]
    with pytest.raises(EndsEarlyError, match="it ends at byte 200, 3 bytes too early") as told:
        file.read(193, 10)
    assert (told.value.end, told.value.missing, told.value.filename) == (200, 3, str(path))
    with pytest.raises(EndsEarlyError):
        file.read_into(bytearray(8), 193)
    assert read_head(path, 3) == CONTENT[:3]
    assert read_head(path, 1000) == CONTENT


def test_what_cannot_be_opened(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_file(path.with_name("absent"))
    with pytest.raises(IsADirectoryError):
        open_file(path.parent)


def test_a_descriptor_is_closed_with_the_last_reference(path: Path) -> None:
    def opened() -> list[str]:
        return [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if os.path.lexists(one)]

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("nothing tells which files are open")
    file = open_file(path)
    assert str(path) in opened()
    del file
    assert str(path) not in opened()


def test_a_part_of_a_file_as_a_file_object(path: Path) -> None:
    part = FileObject(open_file(path), 50, 100)
    assert part.read() == CONTENT[50:150]
    assert part.read() == b""
    assert part.seek(-10, io.SEEK_END) == 90
    assert part.read(20) == CONTENT[140:150]
    part.seek(5)
    assert part.seek(5, io.SEEK_CUR) == part.tell() == 10
    assert part.read(4) == CONTENT[60:64]
    with pytest.raises(OSError, match="Invalid argument"):
        part.seek(-1)
    assert FileObject(open_file(path)).read() == CONTENT
