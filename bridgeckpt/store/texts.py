"""JSON, YAML and text, read with bounds: the one reader of every config, index and description beside a checkpoint.

A file that is too large is refused before it is read. YAML is refused if it nests deeply or has an alias: with aliases
a short text can describe an object of any size, or one that contains itself. Every failure is a :class:`TextError` with
the facts. The caller knows what the text means, and makes the error that its user sees.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from bridgeckpt.store import lfs
from bridgeckpt.store.source import open_file

if TYPE_CHECKING:
    from pathlib import Path

JSON = dict[str, Any]
Fault = Literal["unreadable", "a pointer", "too large", "no text", "not JSON", "not YAML", "no object"]

LARGEST = 16 << 20  # bytes; the config of a large model takes one MiB
LARGEST_YAML = 256 << 10  # bytes; parsing them takes seconds
_DEEPEST = 100  # levels of nesting in YAML; at every step its parser needs time for each level
_YAML = (".yaml", ".yml")
_CORRECT = "correct the file"


class TextError(Exception):
    """A text cannot be read.

    ``where`` is its place, ``fault`` the kind of failure, ``what`` the failure in words, ``hint`` what to do.
    """

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
        TextError: the file cannot be read, or is larger.
    """
    try:
        file = open_file(path)
        if lfs.is_pointer(path):
            raise TextError(str(path), "a pointer", f"is {lfs.WHAT}", lfs.HINT)
        if file.size > limit:
            raise TextError(str(path), "too large", f"has {file.size:,} bytes, more than the {limit:,} that are read")
        return file.read(0, file.size)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise TextError(str(path), "unreadable", reason or str(error), "check the path and its permissions") from error


def read_text(path: Path, limit: int = LARGEST) -> str:
    """The content of a file as text, which is UTF-8 with or without a byte order mark.

    Raises:
        TextError: as :func:`read_bytes`; or the content is not UTF-8.
    """
    return decode(read_bytes(path, limit), str(path))


def read_json(path: Path, limit: int = LARGEST) -> JSON:
    """The JSON object in a file.

    Raises:
        TextError: as :func:`read_bytes` and :func:`parse_json`.
    """
    return parse_json(read_bytes(path, limit), str(path))


def read_config(path: Path) -> JSON:
    """The object in a file of YAML, if its name ends in ``.yaml`` or ``.yml``, or else of JSON.

    Raises:
        TextError: as :func:`read_bytes`, :func:`parse_json` and :func:`parse_yaml`.
    """
    if path.suffix in _YAML:
        return parse_yaml(read_bytes(path, LARGEST_YAML), str(path))
    return read_json(path)


def decode(content: bytes, where: str) -> str:
    """Decode UTF-8 with or without a byte order mark. ``where`` is what an error calls the text.

    Raises:
        TextError: the content is not UTF-8. The message has the line.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"is not UTF-8 text: byte {content[error.start]:#04x} in line {line}"
        raise TextError(where, "no text", what, "write it as UTF-8") from error


def parse_json(text: str | bytes, where: str) -> JSON:
    """Parse a JSON object. ``where`` is what an error calls the text.

    Raises:
        TextError: the text is not JSON, or holds something other than an object.
    """

    def not_json(name: str) -> NoReturn:
        raise TextError(where, "not JSON", f"is not JSON: it holds {name}", "write a number")

    try:
        return _object(json.loads(text, parse_constant=not_json), where)
    except json.JSONDecodeError as error:
        what = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise TextError(where, "not JSON", what) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, a number with thousands of digits, or nested too deeply
        raise TextError(where, "not JSON", "is not JSON text") from error


def parse_yaml(text: bytes, where: str) -> JSON:
    """Parse a mapping of plain values in YAML, without aliases. ``where`` is what an error calls the text.

    Raises:
        TextError: the text is not YAML, has an alias, nests too deeply, or holds something other than a mapping.
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
    """A value as JSON text. Dates, which YAML has, become strings."""
    return json.dumps(value, default=str)
