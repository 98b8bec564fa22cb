"""TOML files of mapping tables: values with their types checked, and the line of each value.

``tomllib`` keeps no line numbers. A second, much simpler scan finds the lines on which headers, keys and elements of
arrays begin. Every error is a :class:`LintError` with ``file:line``.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from bridgeckpt.mapping.notation.errors import LintError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bridgeckpt.errors import TableError

Key = tuple[str | int, ...]

# The tokens of the scan: strings and comments (which it skips), brackets, line ends, and "key =".
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
    r"|#[^\n]*|[\[\]{}\n]|([A-Za-z0-9_.-]+)[ \t]*=",
    re.DOTALL,
)
_HEADER = re.compile(r"[ \t]*(\[\[?)([^\[\]\n]+)\]\]?")


class Document:
    """A parsed TOML file; ``label`` is its name in messages, ``data`` its content, ``source`` its bytes."""

    def __init__(self, path: Path, label: str) -> None:
        self.path = path
        self.label = label
        try:
            self.source = path.read_bytes()
            text = self.source.decode().replace("\r\n", "\n")
            self.data: dict[str, Any] = tomllib.loads(text)
        except OSError as error:
            raise LintError("reference", f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise LintError("schema", f"is not UTF-8 text (byte {error.start})", where=label) from None
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise LintError("schema", f"is not TOML: {error}", where=label) from None
        self.lines = dict(_lines(text))

    @property
    def root(self) -> Section:
        """The whole file as a section."""
        return Section(self, (), self.data)

    def line(self, key: Key) -> int:
        """The line (from 1) on which ``key`` begins, or the innermost known section around it."""
        return self.lines[key] if key in self.lines else self.line(key[:-1]) if key else 1


class Section:
    """A table in a document. Its methods return the value of a key; a wrong type is a LintError with file and line."""

    def __init__(self, document: Document, key: Key, data: Mapping[str, Any]) -> None:
        self.document = document
        self.key = key
        self.data = data

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    @property
    def line(self) -> int:
        """The line on which the section begins."""
        return self.document.line(self.key)

    def where(self, *key: str | int) -> str:
        """``file:line`` of the section, or of ``key`` in it."""
        return f"{self.document.label}:{self.document.line((*self.key, *key))}"

    def error(self, code: str, message: str, *key: str | int, hint: str | None = None) -> LintError:
        """An error about the section, or about ``key`` in it."""
        return LintError(code, message, where=self.where(*key), hint=hint)

    def with_place(self, error: TableError, *key: str | int) -> LintError:
        """An error in a layout, a name or an expression, with ``file:line`` added."""
        code, message = (error.code, error.reason) if isinstance(error, LintError) else ("schema", error.message)
        return LintError(code, message, where=self.where(*key), hint=error.hint)

    def allow_only(self, *known: str) -> None:
        """Refuse keys that are not ``known``."""
        for key in self.data:
            if key not in known:
                from difflib import get_close_matches  # only for messages

                near = get_close_matches(key, known, 1)
                hint = f'did you mean "{near[0]}"?' if near else f"known keys here: {', '.join(known)}"
                raise self.error("schema", f'unknown key "{key}"{self._inside()}', key, hint=hint)

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        value = self.data.get(key, default)
        if value is None:
            raise self.error("schema", f'"{key}" is missing{self._inside()}')
        if not isinstance(value, str):
            raise self._wrong_type(key, "a string")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of strings; a single string is a list of one."""
        value = self.data.get(key, default)
        if value is None:
            raise self.error("schema", f'"{key}" is missing{self._inside()}')
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list | tuple) or not all(isinstance(element, str) for element in values):
            raise self._wrong_type(key, "a string or a list of strings")
        return tuple(values)

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """A string that is one of ``choices``."""
        value = self.text(key, default)
        if value not in choices:
            hint = f"one of {', '.join(choices)}"
            raise self.error("schema", f'"{key}"{self._inside()} is "{value}"', key, hint=hint)
        return value

    def flag(self, key: str) -> bool:
        """``true`` or ``false``; false when absent."""
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong_type(key, "true or false")
        return value

    def number(self, key: str) -> float | None:
        """A number, or None when absent."""
        value = self.data.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self._wrong_type(key, "a number")
        return value

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number above 0."""
        value = self.data.get(key, default)
        if value is None:
            raise self.error("schema", f'"{key}" is missing{self._inside()}')
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._wrong_type(key, "a whole number above 0")
        return value

    def table(self, key: str) -> Section:
        """An inner table; empty when absent."""
        value = self.data.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong_type(key, "a table")
        return Section(self.document, (*self.key, key), value)

    def tables(self, key: str) -> list[Section]:
        """A list of tables; empty when absent."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(element, dict) for element in value):
            raise self._wrong_type(key, "a list of tables")
        return [Section(self.document, (*self.key, key, number), element) for number, element in enumerate(value)]

    def _wrong_type(self, key: str, expected: str) -> LintError:
        return self.error("schema", f'"{key}"{self._inside()} is {self.data[key]!r}, not {expected}', key)

    def _inside(self) -> str:
        names = [str(part) for part in self.key if isinstance(part, str)]
        return f" in [{'.'.join(names)}]" if names else ""


def _lines(text: str) -> Iterator[tuple[Key, int]]:
    """The key and the line of every header, every key and every inline table in an array."""
    section: Key = ()
    key: Key = ()
    counts: dict[Key, int] = {}
    line, depth, position = 1, 0, 0
    is_line_start = True
    while position < len(text):
        if depth == 0 and is_line_start and (header := _HEADER.match(text, position)):
            section = tuple(part.strip().strip("\"'") for part in header[2].split("."))
            if header[1] == "[[":
                counts[section] = counts.get(section, -1) + 1
                section = (*section, counts[section])
            yield section, line
            position = header.end()
        is_line_start = False
        match = _TOKEN.search(text, position)
        if match is None:
            return
        position, symbol = match.end(), match[0]
        if symbol == "\n":
            line, is_line_start = line + 1, True
        elif symbol in ("[", "{"):
            if symbol == "{" and depth == 1:
                counts[key] = counts.get(key, -1) + 1
                yield (*key, counts[key]), line
            depth += 1
        elif symbol in ("]", "}"):
            depth -= 1
        elif match[1] is not None and depth == 0:
            key = (*section, *match[1].split("."))
            yield key, line
        else:
            line += symbol.count("\n")
