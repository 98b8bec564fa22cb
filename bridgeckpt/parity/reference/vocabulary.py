"""The vocabulary of the source and how text becomes its ids: what the tokenizer of a converted folder is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bridgeckpt.frozen import FrozenDict


class SourceVocabulary(NamedTuple):
    """The tokens of the source, and how a text is changed before it is divided into them.

    Attributes:
        origin: The file that they are from, for messages.
        tokens: In the order of their ids; of a token that is there twice, the last place counts.
        special: The tokens with a role, by the role's name in transformers (``pad_token``).
        lowercase: Whether a text is lower-cased.
        strip_accents: Whether accents are removed; None if they are removed exactly when text is lower-cased.
        chinese: Whether each Chinese character is a word.
        stated: Whether the source says this of the casing; if not, it follows from the tokens.
        added: Tokens with the ids after those of the vocabulary, which a tokenizer of transformers beside it adds.
    """

    origin: str
    tokens: tuple[str, ...]
    special: Mapping[str, str]
    lowercase: bool
    strip_accents: bool | None = None
    chinese: bool = True
    stated: bool = False
    added: tuple[str, ...] = ()

    @property
    def ids(self) -> dict[str, int]:
        """The id of each token, without the added ones."""
        return {token: number for number, token in enumerate(self.tokens)}

    @property
    def all_ids(self) -> dict[str, int]:
        """The id of each token, with the added ones."""
        return {token: number for number, token in enumerate((*self.tokens, *self.added))}

    def record(self) -> dict[str, Any]:
        """The vocabulary as JSON-ready values."""
        return {**self._asdict(), "special": dict(self.special)}


class EncodedText(NamedTuple):
    """A text, or two, and what the source makes of it: ids and token types, with the special tokens around them."""

    text: str
    second: str | None
    ids: tuple[int, ...]
    types: tuple[int, ...]


Encode = Callable[[SourceVocabulary], Sequence[EncodedText]]  # texts that tell tokenizers apart, encoded


def vocabulary_of(record: Mapping[str, Any] | None) -> SourceVocabulary | None:
    """What :meth:`SourceVocabulary.record` made.

    Raises:
        TypeError: it was not made by that.
    """
    if record is None:
        return None
    lists = {key: tuple(record[key]) for key in ("tokens", "added")}
    return SourceVocabulary(**{**record, **lists, "special": FrozenDict(record["special"])})
