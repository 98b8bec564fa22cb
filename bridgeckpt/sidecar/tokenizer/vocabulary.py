"""The record of a vocabulary, and the search for its file."""

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
        tokens: The lines, without white space around them and without a byte order mark. An empty line is the token "".
        ids: The line number of each token, from 0; the last one if a token is there twice.
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
    """The vocabulary file: ``explicit``, else the first of ``names`` in ``directory``; None if there is no such file.

    A name may be a pattern (``*vocab*.txt``). Patterns are tried after the exact names, and only match files for which
    ``fits`` is true.

    Raises:
        ConfigError: ``explicit`` is missing or unreadable, or several files match a pattern.
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
    exact = next((path for name in names if "*" not in name and is_file(path := directory / name)), None)
    if exact is not None:
        return exact
    matches = [entry for name in names if "*" in name for entry in matching(directory, name)]
    vocabularies = [entry.path for entry in matches if entry.is_file and fits(entry.path)]
    if len(vocabularies) > 1:
        listed = ", ".join(path.name for path in vocabularies)
        raise ConfigError(
            f"{directory} holds {len(vocabularies)} vocabularies: {listed}",
            hint=Sentence("say which with {vocab:FILE}"),
        )
    return vocabularies[0] if vocabularies else None
