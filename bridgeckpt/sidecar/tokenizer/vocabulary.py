"""A vocabulary as a record, and the file beside a checkpoint that holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ConfigError
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.source import is_file, matching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

UNREADABLE = Sentence("check the path and its permissions; {vocab:FILE} gives another")


class Vocabulary(NamedTuple):
    """The tokens that a model knows.

    Attributes:
        path: The file.
        content: Its bytes.
        tokens: One for each line, stripped of white space; an empty line is the token "". A byte order mark is no part.
        ids: Number of the line by token, from 0; the last one of a token that stands twice.
    """

    path: Path
    content: bytes
    tokens: list[str]
    ids: Mapping[str, int]

    def __repr__(self) -> str:
        return f"Vocabulary({str(self.path)!r}, {len(self.tokens)} tokens)"


def find_vocabulary(
    directory: Path, names: tuple[str, ...], fits: Callable[[Path], bool], explicit: Path | None = None
) -> Path | None:
    """The vocabulary file: ``explicit``, else the first of ``names`` that is there; None without.

    A name may be a pattern (``*vocab*.txt``). Patterns are tried after the plain names, and of the files that they
    find those count that are a vocabulary of the model, as ``fits`` says.

    Raises:
        ConfigError: ``explicit`` is no file or cannot be reached; several files could be it.
    """
    try:
        return _find(directory, names, fits, explicit)
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}", hint=UNREADABLE) from error


def _find(directory: Path, names: tuple[str, ...], fits: Callable[[Path], bool], explicit: Path | None) -> Path | None:
    if explicit is not None:
        if not is_file(explicit):
            takes = Sentence("{vocab} takes the path of a {name}", name=names[0])
            raise ConfigError(f"there is no vocabulary {explicit}", hint=takes)
        return explicit
    plain = next((path for name in names if "*" not in name and is_file(path := directory / name)), None)
    if plain is not None:
        return plain
    there = [entry for name in names if "*" in name for entry in matching(directory, name)]
    similar = [entry.path for entry in there if entry.is_file and fits(entry.path)]
    if len(similar) > 1:
        listed = ", ".join(path.name for path in similar)
        raise ConfigError(
            f"{directory} holds {len(similar)} vocabularies: {listed}", hint=Sentence("say which with {vocab:FILE}")
        )
    return similar[0] if similar else None
