"""JSON, YAML and text, read with bounds: the one reader for every config, index and description beside a checkpoint.

A file is refused by its size before it is read. YAML is refused when it nests deeply or has an alias, with which a
short text can be one of any size or hold itself. What a text means is for its caller to know, and so is the error that
its user meets: here every failure is a :class:`TextError` with the facts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from bridgeckpt.store.source import open_file

if TYPE_CHECKING:
    from pathlib import Path

JSON = dict[str, Any]
Fault = Literal["unreadable", "too large", "no text", "not JSON", "not YAML", "no object"]

LARGEST = 16 << 20  # bytes; the config of a large model takes one MiB
LARGEST_YAML = 256 << 10  # it takes seconds to parse that much
_DEEPEST = 100  # objects and lists inside one another in YAML, whose parser needs time for each of them at every step
_YAML = (".yaml", ".yml")
_CORRECT = "correct the file"


class TextError(Exception):
    """A text that cannot be read: ``where`` it is, the ``fault``, what is wrong in words, and what to do about it."""

    def __init__(self, where: str, fault: Fault, what: str, hint: str | None = _CORRECT) -> None:
        super().__init__(where, fault, what, hint)
        self.where = where
        self.fault = fault
        self.what = what
        self.hint = hint

    @property
    def message(self) -> str:
        """A sentence without its full stop: the place, and what is wrong."""
        if self.fault == "unreadable":
            return f"cannot read {self.where}: {self.what}"
        return f"{self.where} {self.what}"

    def __str__(self) -> str:
        return self.message


def read_bytes(path: Path, limit: int = LARGEST) -> bytes:
    """The content of a file of at most ``limit`` bytes.

    Raises:
        TextError: it cannot be read, or has more.
    """
    try:
        file = open_file(path)
        if file.size > limit:
            raise TextError(str(path), "too large", f"has {file.size:,} bytes, more than the {limit:,} that are read")
        return file.read(0, file.size)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise TextError(str(path), "unreadable", reason or str(error), "check the path and its permissions") from error


def read_text(path: Path, limit: int = LARGEST) -> str:
    """The content of a file as text, which is UTF-8 with or without a byte order mark.

    Raises:
        TextError: as :func:`read_bytes`, or it is no UTF-8.
    """
    return decode(read_bytes(path, limit), str(path))


def read_json(path: Path, limit: int = LARGEST) -> JSON:
    """The JSON object in a file.

    Raises:
        TextError: as :func:`read_bytes` and :func:`parse_json`.
    """
    return parse_json(read_bytes(path, limit), str(path))


def read_config(path: Path) -> JSON:
    """The object in a file of JSON, or of YAML if its name ends so.

    Raises:
        TextError: as :func:`read_bytes`, :func:`parse_json` and :func:`parse_yaml`.
    """
    if path.suffix in _YAML:
        return parse_yaml(read_bytes(path, LARGEST_YAML), str(path))
    return read_json(path)


def decode(content: bytes, where: str) -> str:
    """UTF-8 with or without a byte order mark.

    Raises:
        TextError: it is no UTF-8; the message has the line.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"is not UTF-8 text: byte {content[error.start]:#04x} in line {line}"
        raise TextError(where, "no text", what, "write it as UTF-8") from error


def parse_json(text: str | bytes, where: str) -> JSON:
    """A JSON object; ``where`` is what an error calls the text.

    Raises:
        TextError: it is no JSON, or no object.
    """

    def not_json(name: str) -> NoReturn:
        raise TextError(where, "not JSON", f"is not JSON: it holds {name}", "write a number")

    try:
        return _object(json.loads(text, parse_constant=not_json), where)
    except json.JSONDecodeError as error:
        what = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise TextError(where, "not JSON", what) from error
    except (ValueError, RecursionError) as error:  # no text, a number of thousands of digits, or too deep
        raise TextError(where, "not JSON", "is not JSON text") from error


def parse_yaml(text: bytes, where: str) -> JSON:
    """A mapping in YAML of plain values, without aliases; ``where`` is what an error calls the text.

    Raises:
        TextError: it is no YAML, has an alias or nests too deeply, or is no mapping.
    """
    import yaml

    if len(text) > LARGEST_YAML:
        what = f"has {len(text):,} bytes, more than the {LARGEST_YAML:,} of YAML that are read"
        raise TextError(where, "too large", what)
    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise TextError(where, "not YAML", "holds aliases (*name)", "write out what they stand for")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise TextError(where, "not YAML", f"has more than {_DEEPEST} levels, one inside the other")
        return _object(yaml.safe_load(text), where)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TextError(where, "not YAML", f"is not YAML: {error}") from error


def _object(values: object, where: str) -> JSON:
    if not isinstance(values, dict):
        what = f"holds no JSON object but {shown(values)[:40]}"
        raise TextError(where, "no object", what, 'a config is { "key": value }')
    if other := [key for key in values if not isinstance(key, str)]:
        raise TextError(where, "no object", f"holds the key {shown(other[0])}, which is no name")
    return values


def shown(value: object) -> str:
    """A value as JSON has it; YAML has dates, too."""
    return json.dumps(value, default=str)
