"""The vocabulary beside a TensorFlow checkpoint, and whether its text is lower-cased.

A SavedModel says so in a variable or in its signature ``tokenization_info``, KerasHub and transformers in a file of
their tokenizer; else the tokens show it. The names of the files are spelled here again: the proof uses no tables.

Sources: https://github.com/tensorflow/models, official/nlp/tools/export_tfhub_lib.py; https://github.com/google-research/
albert, export_to_tfhub.py; https://github.com/huggingface/transformers, tokenization_bert.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import CheckpointError
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.parity.reference.vocabulary import SourceVocabulary
from bridgeckpt.store.source import is_file, matching
from bridgeckpt.store.texts import TextError, read_json, read_text

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint

_NAMES = ("vocab.txt", "assets/vocab.txt", "assets/tokenizer/vocabulary.txt")
_PATTERNS = ("*vocab*.txt", "assets/*vocab*.txt")
_SETTINGS, _SPECIAL, _WHOLE = "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"
_ADDED = "added_tokens.json"
SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_CLASSES = (None, "BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend")
_OTHER_WORDS = ("word_tokenizer_type", "subword_tokenizer_type")  # a text is divided by another program
_NEEDED = ("unk_token", "cls_token", "sep_token")
_VARIABLE = "do_lower_case/.ATTRIBUTES/VARIABLE_VALUE"
_SIGNATURE, _OUTPUT = "tokenization_info", "do_lower_case"
_MANY = 0.01  # of the words of a vocabulary of lower-cased text, at most this share has a capital letter
_LARGEST = 256 << 20  # bytes


class _Casing(NamedTuple):
    lowercase: bool
    strip_accents: bool | None = None
    chinese: bool = True
    stated: bool = True


def source_vocabulary(checkpoint: Checkpoint, graph: Path | None) -> SourceVocabulary | None:
    """The vocabulary beside a checkpoint; None if there is none, or several. ``graph`` is the file of its graph."""
    folder = checkpoint.directory
    path = _find(folder)
    whole = _json(folder / _WHOLE)
    tokens = _tokens(path) if path is not None else _tokens_of_whole(whole)
    special = {role: token for role, token in _special(folder, tokens).items() if token in {*tokens}}
    if not {*_NEEDED} <= {*special}:
        return None
    settings = _json((path.parent if path is not None else folder) / _SETTINGS)
    if settings.get("tokenizer_class") not in _CLASSES or any(key in settings for key in _OTHER_WORDS):
        return None
    casing = _said(checkpoint, graph, whole) or _of_settings(settings, whole) or _of_tokens(tokens, settings)
    return SourceVocabulary(
        origin=path.name if path is not None else _WHOLE,
        tokens=tokens,
        special=FrozenDict(special),
        lowercase=casing.lowercase,
        strip_accents=casing.strip_accents,
        chinese=casing.chinese,
        stated=casing.stated,
        added=_added(folder, whole, tokens),
    )


def vocabulary_in(path: Path, lowercase: bool) -> SourceVocabulary | None:
    """The vocabulary in a file; None if the file holds none."""
    tokens = _tokens(path) if is_file(path) else ()
    special = {role: token for role, token in SPECIAL.items() if token in {*tokens}}
    if not {*_NEEDED} <= {*special}:
        return None
    return SourceVocabulary(path.name, tokens, FrozenDict(special), lowercase)


def _find(folder: Path) -> Path | None:
    for name in _NAMES:
        if is_file(folder / name):
            return folder / name
    try:
        entries = [entry for pattern in _PATTERNS for entry in matching(folder, pattern) if entry.is_file]
    except OSError:
        return None
    fitting = [entry.path for entry in entries if {SPECIAL[role] for role in _NEEDED} <= {*_tokens(entry.path)}]
    return fitting[0] if len(fitting) == 1 else None


def _tokens(path: Path) -> tuple[str, ...]:
    """The tokens in a file of one a line, by their ids; () if it cannot be read."""
    try:
        lines = read_text(path, _LARGEST).split("\n")
    except TextError:
        return ()
    while lines and not lines[-1].strip():
        lines.pop()
    return tuple(line.strip() for line in lines)


def _tokens_of_whole(whole: Mapping[str, Any]) -> tuple[str, ...]:
    """The tokens in a tokenizer.json of Hugging Face's library, if it is of this kind."""
    model = whole.get("model")
    if not isinstance(model, dict) or model.get("type") != "WordPiece" or not isinstance(model.get("vocab"), dict):
        return ()
    added = {str(one.get("content")): one.get("id") for one in _added_in(whole)}
    ids: dict[str, Any] = {**model["vocab"], **added}
    return tuple(sorted(ids, key=lambda token: ids[token])) if {*ids.values()} == {*range(len(ids))} else ()


def _special(folder: Path, tokens: Sequence[str]) -> dict[str, str]:
    """The tokens with a role; the files of transformers say it where they name tokens of the vocabulary."""
    found = dict(SPECIAL)
    known = {*tokens}
    for name in (_SETTINGS, _SPECIAL):
        for role, value in _json(folder / name).items():
            token = value.get("content") if isinstance(value, dict) else value
            if role in found and isinstance(token, str) and token in known:
                found[role] = token
    return found


def _added(folder: Path, whole: Mapping[str, Any], tokens: Sequence[str]) -> tuple[str, ...]:
    """The tokens that files of transformers add after those of the vocabulary."""
    ids = {**_json(folder / _ADDED), **{str(one.get("content")): one.get("id") for one in _added_in(whole)}}
    by_id = {number: token for token, number in ids.items() if isinstance(number, int) and token not in {*tokens}}
    following = [len(tokens) + at for at in range(len(by_id))]
    return tuple(by_id[number] for number in following) if {*following} == {*by_id} else ()


def _added_in(whole: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    added = whole.get("added_tokens")
    return [one for one in added if isinstance(one, dict)] if isinstance(added, list) else []


def _said(checkpoint: Checkpoint, graph: Path | None, whole: Mapping[str, Any]) -> _Casing | None:
    """What the model itself says: a variable, a preset of KerasHub, a signature."""
    for info in checkpoint.tensors.values():
        if info.name.endswith(_VARIABLE) and info.dtype == "bool" and info.shape == ():
            return _Casing(bool(checkpoint.get_tensor(info.name)))
    preset = whole.get("config")
    if isinstance(preset, dict) and isinstance(preset.get("lowercase"), bool):
        return _Casing(preset["lowercase"], bool(preset.get("strip_accents", False)))
    constant = None if graph is None else _of_signature(graph)
    return None if constant is None else _Casing(constant)


def _of_signature(path: Path) -> bool | None:
    from bridgeckpt.formats.tensorflow.graphdef import read_graph

    try:
        graph = read_graph(path)
        value = graph.constant(graph.signature(_SIGNATURE).get(_OUTPUT, ""))
    except CheckpointError:  # a damaged graph is told where it is run
        return None
    return bool(value[0]) if value is not None and len(value) == 1 else None


def _of_settings(settings: Mapping[str, Any], whole: Mapping[str, Any]) -> _Casing | None:
    """What the files of transformers' tokenizer say."""
    normalizer = next(_normalizers(whole.get("normalizer")), {})
    lowercase = settings.get("do_lower_case", normalizer.get("lowercase"))
    if not isinstance(lowercase, bool):
        return None
    strip = settings.get("strip_accents", normalizer.get("strip_accents"))
    chinese = settings.get("tokenize_chinese_chars", normalizer.get("handle_chinese_chars"))
    return _Casing(lowercase, strip if isinstance(strip, bool) else None, chinese is not False)


def _normalizers(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        if value.get("type") == "BertNormalizer":
            yield value
        for inner in value.get("normalizers") or ():
            yield from _normalizers(inner)


def _of_tokens(tokens: Sequence[str], settings: Mapping[str, Any]) -> _Casing:
    """What the tokens show; a tokenizer of transformers whose settings do not say it lower-cases."""
    words = [token for token in tokens if token[:1] + token[-1:] not in ("[]", "<>")]
    capital = sum(token != token.lower() for token in words)
    return _Casing(bool(settings) or capital <= _MANY * len(words), stated=False)


def _json(path: Path) -> Mapping[str, Any]:
    try:
        return read_json(path, _LARGEST)
    except TextError:
        return {}
