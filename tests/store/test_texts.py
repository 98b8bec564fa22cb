"""JSON, YAML and text with bounds: what is refused, how quickly, and what the error says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bridgeckpt.store.texts import (
    LARGEST,
    LARGEST_YAML,
    TextError,
    decode,
    parse_json,
    parse_yaml,
    read_config,
    read_json,
    read_text,
)

LAUGHS = b"a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b]\n"


def test_what_is_sound_is_read(tmp_path: Path) -> None:
    assert parse_json('{"a": [1, 2.5, null]}', "it") == {"a": [1, 2.5, None]}
    assert parse_yaml(b"task:\n  model: {layers: 2}\n", "it") == {"task": {"model": {"layers": 2}}}
    (tmp_path / "params.yml").write_text("a: 1\n")
    (tmp_path / "config.json").write_text('{"a": 2}')
    (tmp_path / "text").write_bytes("\ufeffzwei\nWörter".encode())
    assert read_config(tmp_path / "params.yml") == {"a": 1}
    assert read_config(tmp_path / "config.json") == {"a": 2}
    assert read_text(tmp_path / "text") == "zwei\nWörter"


@pytest.mark.parametrize(
    ("text", "fault", "message"),
    [
        ("", "not JSON", "it is not JSON: Expecting value at line 1, column 1"),
        ('{"a": 1,\n}', "not JSON", "it is not JSON: .* at line 2, column 1"),
        ('{"a": NaN}', "not JSON", "it is not JSON: it holds NaN"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON", "it is not JSON text"),
        (b"\xff\xfe\xff", "not JSON", "it is not JSON text"),
        ("[" * 100_000, "not JSON", "it is not JSON text"),
        ("[1, 2]", "no object", r"it holds no JSON object but \[1, 2\]"),
    ],
)
def test_what_is_no_json(text: str | bytes, fault: str, message: str) -> None:
    with pytest.raises(TextError, match=message) as told:
        parse_json(text, "it")
    assert (told.value.fault, told.value.where) == (fault, "it")


@pytest.mark.parametrize(
    ("text", "fault", "message"),
    [
        (b"a: [1", "not YAML", "it is not YAML: "),
        (b"a: !!python/object/apply:os.system [ls]", "not YAML", "it is not YAML: "),
        (LAUGHS, "not YAML", r"it holds aliases \(\*name\)"),
        (b"a: " + b"[" * 200_000, "not YAML", "it has more than 100 levels, one inside the other"),
        (b"a: 1\n" * (LARGEST_YAML // 5 + 1), "too large", "more than the 262,144 of YAML"),
        (b"1: a", "no object", "it holds the key 1, which is no name"),
        (b"- a", "no object", "it holds no JSON object"),
    ],
)
def test_what_is_no_yaml_is_refused_at_once(text: bytes, fault: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(TextError, match=message) as told:
        parse_yaml(text, "it")
    assert told.value.fault == fault
    assert time.process_time() - began < 5  # a second at most where nothing else runs


def test_files_are_refused_by_their_size(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with path.open("wb") as file:
        file.truncate(LARGEST_YAML + 1)
    with pytest.raises(TextError, match=r"params\.yaml has 262,145 bytes, more than the 262,144 that are read") as told:
        read_config(path)
    assert told.value.fault == "too large"
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(TextError, match="more than"):
        read_json(tmp_path / "config.json")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"cannot read .*absent: No such file or directory") as told:
        read_json(tmp_path / "absent")
    assert told.value.fault == "unreadable"
    with pytest.raises(TextError, match=r"cannot read .*: Is a directory"):
        read_json(tmp_path)


def test_text_that_is_not_utf8_is_told_by_its_line() -> None:
    with pytest.raises(TextError, match="it is not UTF-8 text: byte 0xff in line 3"):
        decode(b"a\nb\n\xff", "it")
