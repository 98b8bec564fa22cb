"""How a tokenizer, or a file of it, differs from the source's vocabulary, in words: tokens, roles, settings, texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridgeckpt.parity.reference.vocabulary import Encode, EncodedText, SourceVocabulary

Encoder = Callable[[str, str | None], tuple[Sequence[int], Sequence[int] | None]]  # ids and token types

_SHOWN = 60  # characters of a text
_WORDS = {  # by the name in transformers: without the setting, and with it
    "do_lower_case": ("keeps capital letters", "lower-cases"),
    "strip_accents": ("keeps accents", "removes accents"),
    "tokenize_chinese_chars": ("joins Chinese characters to words", "makes each Chinese character a word"),
}


def wrong_tokens(ids: Mapping[str, int], expected: Mapping[str, int], origin: str) -> Iterator[str]:
    """The first token with another id than the source's, and how many there are; ``origin`` is the source's file."""
    wrong = [token for token, number in expected.items() if ids.get(token) != number]
    wrong += [token for token in ids if token not in expected]
    if wrong:
        first = wrong[0]
        has = f"gives {first!r} the id {ids[first]}" if first in ids else f"has no token {first!r}"
        source = f"{expected[first]} in" if first in expected else "not in"
        more = f"; {len(wrong):,} tokens differ" if len(wrong) > 1 else ""
        yield f"{has}, which is {source} {origin} of the source{more}"


def wrong_roles(roles: Mapping[str, Any], vocabulary: SourceVocabulary) -> Iterator[str]:
    """The roles that another token has than in the source, or none."""
    for role, token in roles.items():
        if token != vocabulary.special[role]:
            has = f"has {token!r} as its {role}" if token else f"has no {role}"
            yield f"{has}, which is {vocabulary.special[role]!r} in the source"


def wrong_settings(stated: Mapping[str, Any], vocabulary: SourceVocabulary) -> Iterator[str]:
    """The settings that are stated with another value than the source's."""
    for key, value in _settings(vocabulary).items():
        if isinstance(stated.get(key), bool) and stated[key] != value:
            yield f"says {key} = {str(stated[key]).lower()}, which is {str(value).lower()} in the source"


def wrong_texts(encoder: Encoder, vocabulary: SourceVocabulary, encode: Encode) -> Iterator[str]:
    """The first text of which a tokenizer makes other ids, and the setting that explains it."""
    for expected in encode(vocabulary):
        ids, types = encoder(expected.text, expected.second)
        if tuple(ids) != expected.ids:
            yield f"{_cause(encoder, vocabulary, encode)}: {_difference(expected, ids, vocabulary)}"
            return
        if types is None or tuple(types) != expected.types:
            yield f"gives {'no' if types is None else 'other'} token types to the second of two texts"
            return


def _difference(expected: EncodedText, ids: Sequence[int], vocabulary: SourceVocabulary) -> str:
    at = next((at for at, pair in enumerate(zip(ids, expected.ids, strict=False)) if pair[0] != pair[1]), None)
    text = expected.text if len(expected.text) <= _SHOWN else f"{expected.text[:_SHOWN]}..."
    if at is None:
        return f"of {text!r} it makes {len(ids)} ids, and the source {len(expected.ids)}"
    made, source = _named(ids[at], vocabulary), _named(expected.ids[at], vocabulary)
    return f"of {text!r} it makes {made}, where the source has {source}"


def _named(number: int, vocabulary: SourceVocabulary) -> str:
    tokens = vocabulary.tokens
    return f"{number} ({tokens[number]})" if number < len(tokens) else str(number)


def _cause(encoder: Encoder, vocabulary: SourceVocabulary, encode: Encode) -> str:
    """The settings with other values than the source's that explain every text."""
    own = _settings(vocabulary)
    for lowercase, strip, chinese in product((True, False), repeat=3):
        other = vocabulary._replace(lowercase=lowercase, strip_accents=strip, chinese=chinese)
        if all(tuple(encoder(one.text, one.second)[0]) == one.ids for one in encode(other)):
            changed = [_WORDS[key][value] for key, value in _settings(other).items() if value != own[key]]
            return f"{' and '.join(changed)}, other than the source"
    return "divides text in another way than the source"


def _settings(vocabulary: SourceVocabulary) -> dict[str, bool]:
    """The settings by their names in transformers."""
    strip = vocabulary.lowercase if vocabulary.strip_accents is None else vocabulary.strip_accents
    return dict(zip(_WORDS, (vocabulary.lowercase, strip, vocabulary.chinese), strict=True))
