"""WordPiece in plain Python, after google-research/bert's ``tokenization.py``, and texts that tell tokenizers apart.

It is written apart from the tokenizer that a conversion makes, as an oracle has to be. The texts leave out what the two
are known to treat differently: words of more than 100 characters, a final sigma, private and rare characters.

Source: https://github.com/google-research/bert, tokenization.py
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from bridgeckpt.parity.reference.vocabulary import EncodedText, SourceVocabulary

_PIECE = "##"  # begins a token that is not the beginning of a word
_LONGEST = 200  # characters of a word; longer ones are unknown
_CHINESE = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B81F))
_WORDS = 24  # of the vocabulary, in each text
_PLAIN = 60  # characters of a word in a text
_LAST = 0x2FFF  # beyond it, scripts of which some libraries know less
_SIGMAS = "\u03c3\u03c2\u03a3"
_ACUTE = "\u0301"


def encoded_texts(vocabulary: SourceVocabulary) -> list[EncodedText]:
    """Texts of the vocabulary's own words, in several spellings, encoded by it."""
    ids = vocabulary.ids
    texts = list(_texts(vocabulary))
    pairs: list[tuple[str, str | None]] = [(text, None) for text in texts]
    return [_encoded(vocabulary, ids, *pair) for pair in [*pairs, (texts[0], texts[-1])]]


def _encoded(vocabulary: SourceVocabulary, ids: Mapping[str, int], text: str, second: str | None) -> EncodedText:
    first, last = (ids[vocabulary.special[role]] for role in ("cls_token", "sep_token"))
    own = [first, *_ids(vocabulary, ids, text), last]
    other = [] if second is None else [*_ids(vocabulary, ids, second), last]
    return EncodedText(text, second, (*own, *other), (*(0 for _ in own), *(1 for _ in other)))


def _ids(vocabulary: SourceVocabulary, ids: Mapping[str, int], text: str) -> Iterator[int]:
    unknown = ids[vocabulary.special["unk_token"]]
    for word in _words(text, vocabulary):
        pieces = list(_pieces(word, ids)) if len(word) <= _LONGEST else []
        yield from (ids[piece] for piece in pieces) if pieces else (unknown,)


def _words(text: str, vocabulary: SourceVocabulary) -> Iterator[str]:
    """The text divided at white space and punctuation, each Chinese character by itself."""
    strip = vocabulary.lowercase if vocabulary.strip_accents is None else vocabulary.strip_accents
    spaced = "".join(_spaced(character, vocabulary.chinese) for character in text)
    for word in spaced.split():
        if vocabulary.lowercase:
            word = word.lower()
        if strip:
            word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
        yield from "".join(f" {c} " if _is_punctuation(c) else c for c in word).split()


def _spaced(character: str, chinese: bool) -> str:
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    if character in "\0\ufffd" or unicodedata.category(character) in ("Cc", "Cf"):
        return ""
    apart = chinese and any(low <= ord(character) <= high for low, high in _CHINESE)
    return f" {character} " if apart else character


def _is_punctuation(character: str) -> bool:
    """Whether it is punctuation; in ASCII every character that is neither a letter nor a digit."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character).startswith("P")


def _pieces(word: str, ids: Mapping[str, int]) -> Iterator[str]:
    """The longest tokens from the left; none if a part of the word has no token."""
    found, start = [], 0
    while start < len(word):
        begin = _PIECE if start else ""
        end = next((end for end in range(len(word), start, -1) if begin + word[start:end] in ids), None)
        if end is None:
            return
        found.append(begin + word[start:end])
        start = end
    yield from found


def _texts(vocabulary: SourceVocabulary) -> Iterator[str]:
    plain = [token for token in vocabulary.tokens if _is_plain(token)]
    words = _sample(plain, _WORDS) or ["word"]
    capitals = _sample([token for token in plain if token != token.lower()], _WORDS)
    pieces = _sample([token[2:] for token in vocabulary.tokens if token[:2] == _PIECE and _is_plain(token[2:])], _WORDS)
    yield " ".join([*words, *sorted(plain, key=len)[-3:]])
    yield " ".join(word.upper() for word in words)
    yield " ".join(word.capitalize() for word in words)
    yield " ".join(capitals or words)
    yield " ".join(map(_accented, words))
    yield " ".join(unicodedata.normalize("NFC", _accented(word)) for word in words)
    yield "中".join(words[:4]) + "文"
    yield "".join(f"{word}{mark}" for word, mark in zip(words, ",.!?()'-$", strict=False))
    yield "\t".join(words[:3]) + "\n" + "\u00a0".join(words[3:6])
    yield " ".join(f"{word[:1]}\u200b{word[1:]}" for word in words)  # a character without width, which is dropped
    yield " ".join(f"{word}{piece}" for word, piece in zip(words, pieces, strict=False)) or words[0]
    yield " ".join(f"{word}☃" for word in words[:2])  # no token has a snowman


def _accented(word: str) -> str:
    """The word with an accent on its first vowel, or on its first letter."""
    at = next((at for at, letter in enumerate(word) if letter in "aeiouAEIOU"), 0)
    return word[: at + 1] + _ACUTE + word[at + 1 :]


def _is_plain(token: str) -> bool:
    """Whether a token is letters that have one upper and one lower case, so that every tokenizer agrees on them."""
    return (
        token.isalpha()
        and len(token) <= _PLAIN
        and max(map(ord, token)) <= _LAST
        and unicodedata.normalize("NFD", token) == unicodedata.normalize("NFC", token) == token
        and len(token.upper()) == len(token.lower()) == len(token)
        and token.upper().lower() == token.lower()
        and not {*token} & {*_SIGMAS}
    )


def _sample(tokens: Sequence[str], count: int) -> list[str]:
    """Tokens from everywhere in the vocabulary."""
    step = max(1, len(tokens) // count)
    return list(islice(tokens[::step], count))
