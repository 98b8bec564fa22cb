"""The kinds of tokenizers that can be made: one module for each, by the kind's name in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bridgeckpt.sidecar.tokenizer import wordpiece

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridgeckpt.mapping.tables.tokenizer import Tokenizer
    from bridgeckpt.sidecar.tokenizer.casing import Casing
    from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary


class TokenizerKind(Protocol):
    """The functions that the module of a kind has."""

    def read_vocabulary(self, path: Path, tokenizer: Tokenizer) -> Vocabulary:
        """Read a vocabulary file.

        Raises:
            ConfigError: the file is unreadable, or it is the vocabulary of another model.
        """
        ...

    def tokenizer_files(
        self, tokenizer: Tokenizer, vocabulary: Vocabulary, casing: Casing, model_max_length: int | None
    ) -> dict[str, bytes]:
        """The files that ``AutoTokenizer`` reads, by name.

        ``model_max_length`` is the longest sequence in tokens, with special ones; None if there is no limit.
        """
        ...


KINDS: Mapping[str, TokenizerKind] = {"wordpiece": wordpiece}
