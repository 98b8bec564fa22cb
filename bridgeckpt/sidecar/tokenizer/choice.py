"""The tokenizer of a conversion: transformers' own files handed on, or made from a vocabulary and its casing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ConfigError, Problem
from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.tokenizer.casing import Casing, casing_of, infer_casing
from bridgeckpt.sidecar.tokenizer.files import TOKENIZER_NAMES, companions, has_tokenizer
from bridgeckpt.sidecar.tokenizer.kinds import KINDS
from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary, find_vocabulary

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.tables.tokenizer import Tokenizer


class Tokenizing(NamedTuple):
    """What a tokenizer is made from, and ``companions``, the files that are handed on as they are.

    ``notes`` are for the user, ``problems`` the reasons to refuse.
    """

    vocabulary: Vocabulary | None
    casing: Casing | None
    companions: tuple[Path, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]


def tokenizing(
    checkpoint: Checkpoint,
    graph: Graph | None,
    tokenizer: Tokenizer | None,
    *,
    by_transformers: bool,
    vocab: str | os.PathLike[str] | None,
    lowercase: bool | None,
    rows: int | None,
) -> Tokenizing:
    """The tokenizer of what is beside the checkpoint.

    Args:
        checkpoint: Where to look.
        graph: It may say what the casing is.
        tokenizer: What the table says of the tokenizer; without it only files of transformers are handed on.
        by_transformers: Whether the files beside it are transformers' own; they are handed on unless the user says
            otherwise.
        vocab: The user's vocabulary.
        lowercase: The user's word on casing.
        rows: How many rows the table of words has, if it is known.

    Raises:
        ConfigError: the vocabulary is malformed, several could be it, or one is given and the table knows of none.
    """
    handed_on = companions(checkpoint.directory) if by_transformers else ()
    if has_tokenizer(handed_on) and vocab is None and lowercase is None:
        return Tokenizing(None, None, handed_on, (), ())
    others = tuple(path for path in handed_on if path.name not in TOKENIZER_NAMES)
    if tokenizer is None and vocab is not None:
        hint = "convert without a vocabulary; a table may describe one in [tokenizer]"
        raise ConfigError(f"nothing can be made of {vocab}: the table says nothing of a tokenizer", hint=hint)
    vocabulary = read_beside(checkpoint.directory, tokenizer, vocab) if tokenizer is not None else None
    if vocabulary is None:
        return Tokenizing(None, None, others, (), ())
    casing, notes = _casing(vocabulary, checkpoint, graph, lowercase)
    return Tokenizing(vocabulary, casing, others, notes, _too_long(vocabulary, rows))


def read_beside(directory: Path, tokenizer: Tokenizer, vocab: str | os.PathLike[str] | None) -> Vocabulary | None:
    """The vocabulary in ``directory``, or the one given; None without.

    Raises:
        ConfigError: it is malformed, or several could be it.
    """
    kind = KINDS[tokenizer.kind]

    def fits(path: Path) -> bool:
        """Whether a file is a vocabulary of the model: it may list labels, or the words of another model."""
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
    """The user's word, else the source's own, else what the vocabulary looks like; and what speaks against it."""
    if lowercase is not None:
        return Casing(lowercase, f"{'un' * lowercase}cased, as asked"), ()
    inferred, stated = infer_casing(vocabulary), casing_of(checkpoint, graph)
    if stated is None or stated.lowercase == inferred.lowercase:
        return stated or inferred, ()
    return stated, (f"the tokenizer is {stated.reason}; {vocabulary.path.name} looks {inferred.reason}",)


def _too_long(vocabulary: Vocabulary, rows: int | None) -> tuple[Problem, ...]:
    if rows is None or len(vocabulary.tokens) <= rows:
        return ()
    subject = f"{vocabulary.path.name} has {len(vocabulary.tokens)} tokens, the embedding table only {rows} rows"
    hint = Sentence("is it the vocabulary of another checkpoint? Give the right one with {vocab:FILE}")
    return (Problem("vocabulary", subject, (), hint),)
