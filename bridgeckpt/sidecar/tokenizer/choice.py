"""Chooses the tokenizer of a conversion: copied files of transformers, or one made from a vocabulary and its casing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ConfigError, Problem
from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.tokenizer.casing import Casing, infer_casing, read_stated_casing
from bridgeckpt.sidecar.tokenizer.files import TOKENIZER_NAMES, find_companions, has_tokenizer
from bridgeckpt.sidecar.tokenizer.kinds import KINDS
from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary, find_vocabulary
from bridgeckpt.store import lfs

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.tables.tokenizer import Tokenizer


class TokenizerChoice(NamedTuple):
    """The sources of a tokenizer, and ``companions``, the files that are copied unchanged.

    ``notes`` are for the user, ``problems`` the reasons to refuse.
    """

    vocabulary: Vocabulary | None
    casing: Casing | None
    companions: tuple[Path, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]


def select_tokenizer(
    checkpoint: Checkpoint,
    graph: Graph | None,
    tokenizer: Tokenizer | None,
    *,
    by_transformers: bool,
    vocab: str | os.PathLike[str] | None,
    lowercase: bool | None,
    rows: int | None,
) -> TokenizerChoice:
    """Choose the tokenizer from the files beside the checkpoint.

    Args:
        checkpoint: Where to look.
        graph: Its graph, which may state the casing.
        tokenizer: The table's description of the tokenizer. Without it, only files of transformers are copied.
        by_transformers: Whether transformers wrote the files beside the checkpoint. They are copied unless ``vocab`` or
            ``lowercase`` is given.
        vocab: The path of the user's vocabulary.
        lowercase: The user's choice of casing.
        rows: The number of rows of the word embedding table, if known.

    Raises:
        ConfigError: the vocabulary is malformed, several files match, or the table has no tokenizer for ``vocab``.
    """
    copied = find_companions(checkpoint.directory) if by_transformers else ()
    if has_tokenizer(copied) and vocab is None and lowercase is None:
        return TokenizerChoice(None, None, copied, (), ())
    others = tuple(path for path in copied if path.name not in TOKENIZER_NAMES)
    if tokenizer is None and vocab is not None:
        hint = "convert without a vocabulary; a table may describe one in [tokenizer]"
        raise ConfigError(f"{vocab} cannot be used: the table describes no tokenizer", hint=hint)
    vocabulary = read_vocabulary_in(checkpoint.directory, tokenizer, vocab) if tokenizer is not None else None
    if vocabulary is None:
        return TokenizerChoice(None, None, others, (), ())
    casing, notes = _casing(vocabulary, checkpoint, graph, lowercase)
    notes += _too_short(vocabulary, rows)
    return TokenizerChoice(vocabulary, casing, others, notes, _too_long(vocabulary, rows))


def read_vocabulary_in(
    directory: Path, tokenizer: Tokenizer, vocab: str | os.PathLike[str] | None
) -> Vocabulary | None:
    """Read the vocabulary ``vocab``, or the one in ``directory``; None if there is no vocabulary.

    Raises:
        ConfigError: the vocabulary is malformed, or several files match.
    """
    kind = KINDS[tokenizer.kind]

    def fits(path: Path) -> bool:
        """Whether a file is a vocabulary of the model. It may hold labels, or the vocabulary of another model."""
        if lfs.is_pointer(path):  # which holds nothing yet: reading it says so
            return True
        try:
            kind.read_vocabulary(path, tokenizer)
        except ConfigError:
            return False
        return True

    path = find_vocabulary(directory, tokenizer.files, fits, Path(vocab) if vocab is not None else None)
    return kind.read_vocabulary(path, tokenizer) if path is not None else None


def _casing(
    vocabulary: Vocabulary, checkpoint: Checkpoint, graph: Graph | None, lowercase: bool | None
) -> tuple[Casing, tuple[str, ...]]:
    """The user's choice, else the casing that the source states, else the inferred one; and notes on contradictions."""
    if lowercase is not None:
        return Casing(lowercase, f"{'un' * lowercase}cased, as asked"), ()
    inferred, stated = infer_casing(vocabulary), read_stated_casing(checkpoint, graph)
    if stated is None or stated.lowercase == inferred.lowercase:
        return stated or inferred, ()
    return stated, (f"the tokenizer is {stated.reason}; {vocabulary.path.name} looks {inferred.reason}",)


def _too_long(vocabulary: Vocabulary, rows: int | None) -> tuple[Problem, ...]:
    if rows is None or len(vocabulary.tokens) <= rows:
        return ()
    subject = f"{vocabulary.path.name} has {len(vocabulary.tokens)} tokens, the embedding table only {rows} rows"
    hint = Sentence("is it the vocabulary of another checkpoint? Give the right one with {vocab:FILE}")
    return (Problem("vocabulary", subject, (), hint),)


def _too_short(vocabulary: Vocabulary, rows: int | None) -> tuple[str, ...]:
    """A note on rows without a token: tables are padded for speed, but a file may also have been cut short."""
    count = len(vocabulary.tokens)
    if rows is None or count >= rows:
        return ()
    return (
        f"{vocabulary.path.name} has {count} tokens, and the embedding table {rows} rows: the others have no token",
    )
