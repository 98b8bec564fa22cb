"""Judging the tokenizer of a folder by the source's vocabulary: tokens, special tokens, casing, ids of texts.

It is loaded as its user does, with ``AutoTokenizer``. The files beside it must not say otherwise, since other programs
read those: ``tokenizer.json`` by itself, ``vocab.txt``, the settings, ``pad_token_id`` in config.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import ParityError
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.parity.judging.converted_folder import CONFIG, from_report
from bridgeckpt.parity.judging.loading import quiet
from bridgeckpt.parity.judging.pytorch import first_line, frameworks
from bridgeckpt.parity.judging.tokenizer_differences import wrong_roles, wrong_settings, wrong_texts, wrong_tokens
from bridgeckpt.store.source import is_file
from bridgeckpt.store.texts import TextError, read_json, read_text

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.parity.judging.verdict import Verdict
    from bridgeckpt.parity.reference.vocabulary import Encode, SourceVocabulary

WHOLE, VOCABULARY, SETTINGS, SPECIAL = "tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"
_LOADED = "the tokenizer"
_PADDING, _PADDING_ID = "pad_token", "pad_token_id"
_LARGEST = 256 << 20  # bytes


class TokenizerFindings(NamedTuple):
    """Why a tokenizer is not the source's, what was not judged, and what was judged, in words."""

    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    judged: str | None = None


def with_tokenizer(verdict: Verdict, findings: TokenizerFindings) -> Verdict:
    """The verdict with what was found about the tokenizer."""
    provenance = verdict.provenance
    if findings.judged is not None:
        provenance = FrozenDict({**provenance, "tokenizer": findings.judged})
    return verdict._replace(
        passed=verdict.passed and not findings.failures,
        failures=(*verdict.failures, *findings.failures),
        notes=(*verdict.notes, *findings.notes),
        provenance=provenance,
    )


def judge_tokenizer(
    folder: Path, padding: object, vocabulary: SourceVocabulary | None, encode: Encode
) -> TokenizerFindings:
    """Whether the tokenizer in ``folder`` makes of a text what the source does.

    ``padding`` is the model's id of padding, and ``encode`` encodes texts by a vocabulary.
    """
    has_one = any(is_file(folder / name) for name in (WHOLE, VOCABULARY, SETTINGS))
    if vocabulary is None or not has_one:
        of_source = "none is known of the source" if vocabulary is None else f"the source has {vocabulary.origin}"
        of_folder = "the folder has one" if has_one else "the folder has none"
        return TokenizerFindings(notes=(f"no tokenizer to judge: {of_folder}, and {of_source}",))
    found = [*_as_loaded(folder, vocabulary, encode), *_in_files(folder, vocabulary, encode)]
    failures = [f"{who} {what}" for at, (who, what) in enumerate(found) if what not in [told for _, told in found[:at]]]
    failures += _wrong_padding(padding, vocabulary)
    if failures and from_report(folder, "casing") is not None:  # else the conversion copies a tokenizer
        failures[-1] += "; converting again writes what belongs to the source"
    judged = f"{len(vocabulary.tokens):,} tokens of {vocabulary.origin} ({'un' * vocabulary.lowercase}cased)"
    return TokenizerFindings(tuple(failures), (), judged)


def _as_loaded(folder: Path, vocabulary: SourceVocabulary, encode: Encode) -> Iterator[tuple[str, str]]:
    try:
        tokenizer = _load(folder)
    except ParityError as error:
        yield _LOADED, error.message
        return
    found = [*wrong_tokens(tokenizer.get_vocab(), vocabulary.all_ids, vocabulary.origin)]
    found += wrong_roles({role: getattr(tokenizer, role, None) for role in vocabulary.special}, vocabulary)
    if not found:

        def encoder(text: str, second: str | None) -> tuple[Sequence[int], Sequence[int] | None]:
            with quiet(frameworks()[1]):  # it warns of texts that are too long for the model
                made = tokenizer(text, second)
            return made["input_ids"], made.get("token_type_ids")

        found += wrong_texts(encoder, vocabulary, encode)
    yield from ((_LOADED, what) for what in found)


def _in_files(folder: Path, vocabulary: SourceVocabulary, encode: Encode) -> Iterator[tuple[str, str]]:
    """What the files say otherwise than the source, each of them read by itself."""
    readers: dict[str, Callable[[Path], Iterator[str]]] = {
        VOCABULARY: lambda path: wrong_tokens(_lines(path), vocabulary.ids, vocabulary.origin),
        WHOLE: lambda path: _in_whole(path, vocabulary, encode),
        SETTINGS: lambda path: _in_settings(path, vocabulary),
        SPECIAL: lambda path: _in_settings(path, vocabulary),
    }
    for name, read in readers.items():
        if is_file(folder / name):
            yield from ((name, what) for what in read(folder / name))


def _in_whole(path: Path, vocabulary: SourceVocabulary, encode: Encode) -> Iterator[str]:
    try:
        tokenizer = _load_whole(path)
    except ParityError as error:
        yield error.message
        return
    found = [*wrong_tokens(tokenizer.get_vocab(), vocabulary.all_ids, vocabulary.origin)]
    if not found:

        def encoder(text: str, second: str | None) -> tuple[Sequence[int], Sequence[int] | None]:
            made = tokenizer.encode(text, second)
            return made.ids, made.type_ids

        found += wrong_texts(encoder, vocabulary, encode)
    yield from found


def _in_settings(path: Path, vocabulary: SourceVocabulary) -> Iterator[str]:
    try:
        stated = read_json(path)
    except TextError as error:
        yield error.what
        return
    # A special token is text or an object.
    said = {key: value.get("content") if isinstance(value, dict) else value for key, value in stated.items()}
    yield from wrong_roles({role: said[role] for role in vocabulary.special if role in said}, vocabulary)
    yield from wrong_settings(stated, vocabulary)


def _wrong_padding(padding: object, vocabulary: SourceVocabulary) -> Iterator[str]:
    token = vocabulary.special.get(_PADDING)
    if token is not None and isinstance(padding, int) and padding != vocabulary.ids[token]:
        yield f"{CONFIG} says {_PADDING_ID} = {padding}, and {token} is {vocabulary.ids[token]} in {vocabulary.origin}"


def _load(folder: Path) -> Any:  # noqa: ANN401
    _, transformers = frameworks()
    try:
        with quiet(transformers):
            return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # tokenizers raises Exception itself
        raise ParityError(f"is not loaded by AutoTokenizer: {first_line(error)}") from error


def _load_whole(path: Path) -> Any:  # noqa: ANN401
    from tokenizers import Tokenizer

    try:
        loaded = Tokenizer.from_str(read_text(path, _LARGEST))
    except Exception as error:  # tokenizers raises Exception itself
        raise ParityError(f"is not a tokenizer: {first_line(error)}") from error
    loaded.no_padding()
    loaded.no_truncation()
    return loaded


def _lines(path: Path) -> Mapping[str, int]:
    """The tokens of a vocabulary file with their ids; none if it cannot be read."""
    try:
        lines = read_text(path, _LARGEST).rstrip().split("\n")
    except TextError:
        return {}
    return {line.strip(): number for number, line in enumerate(lines)}
