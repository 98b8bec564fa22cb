"""The vocabulary beside a checkpoint, and the tokenizer files that make transformers split text as its code did.

``tokenizer.json`` is the serialisation of Hugging Face's tokenizers library. Two settings differ from what transformers
would make of the same vocabulary, and are why it is told to load this file instead of rebuilding it:
google-research/bert gives up on words above 200 characters, not 100, and lower-cases a Greek sigma at the end of a word
to its final form, as Python does.

What stays different: special tokens are recognised in running text ("[MASK]" is one token, not three); private-use
characters are dropped, which google-research/bert keeps as a part of the word; 256 rare Chinese characters (U+2B820 to
U+2B91F) are not split off; and characters newer than the library's Unicode tables are classed as those tables have it.

Source: https://github.com/huggingface/tokenizers, and tokenization.py of https://github.com/google-research/bert
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_NAME, _PATTERN = "vocab.txt", "*vocab*.txt"
# In the folder, in the assets of a SavedModel or hub module, of a KerasHub preset.
_PLACES = (_NAME, f"assets/{_NAME}", "assets/tokenizer/vocabulary.txt")
_LARGEST = 64 << 20
_UNREADABLE = "check the path and its permissions; --vocab FILE gives another"
_PAD, _UNKNOWN, _CLASS, _SEPARATOR, _MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
_ROLES = {
    "pad_token": _PAD,
    "unk_token": _UNKNOWN,
    "cls_token": _CLASS,
    "sep_token": _SEPARATOR,
    "mask_token": _MASK,
}
# A vocabulary of a lower-cased corpus may still hold a capital or two; one of a cased corpus holds about every third.
_STRAY = 0.01
_LONGEST_WORD = 200
# A capital sigma after a cased letter and before none, as Unicode has it (SpecialCasing.txt, Final_Sigma): marks,
# apostrophes and the like between them do not count. Before the sigma one of them is provided for, since the library's
# regular expressions look back over fixed widths.
_CASED = r"[\p{Lu}\p{Ll}\p{Lt}]"
_UNCOUNTED = r"[\p{Mn}\p{Me}\p{Cf}\p{Lm}\p{Sk}\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f'.:·‘’․‧]"  # noqa: RUF001
_FINAL_SIGMA = rf"(?<={_CASED}|{_CASED}{_UNCOUNTED})Σ(?!{_UNCOUNTED}*{_CASED})"


class Vocabulary(NamedTuple):
    """A wordpiece vocabulary.

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


class Casing(NamedTuple):
    """Whether text is lower-cased before it is looked up, and why that is so.

    ``strip_accents``: whether accents are taken off; None when they are with lower-casing, as in google-research/bert.
    """

    lowercase: bool
    reason: str
    strip_accents: bool | None = None


def find_vocabulary(directory: Path, explicit: Path | None = None) -> Path | None:
    """The vocabulary file: ``explicit``, else the one at its usual place, or the only ``*vocab*.txt``; None without.

    The usual places are ``vocab.txt`` in ``directory`` and the assets of a SavedModel or of a KerasHub preset.

    Raises:
        ConfigError: ``explicit`` is no file or cannot be reached; several files could be it.
    """
    try:
        return _find(directory, explicit)
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}", hint=_UNREADABLE) from error


def _find(directory: Path, explicit: Path | None) -> Path | None:
    if explicit is not None:
        if not explicit.is_file():
            raise ConfigError(f"there is no vocabulary {explicit}", hint="--vocab takes the path of a vocab.txt")
        return explicit
    usual = next((path for place in _PLACES if (path := directory / place).is_file()), None)
    if usual is not None:
        return usual
    there = [*sorted(directory.glob(_PATTERN)), *sorted(directory.glob(f"assets/{_PATTERN}"))]
    similar = [path for path in there if _is_vocabulary(path)]
    if len(similar) > 1:
        names = ", ".join(path.name for path in similar)
        raise ConfigError(f"{directory} holds {len(similar)} vocabularies: {names}", hint="say which with --vocab FILE")
    return similar[0] if similar else None


def _is_vocabulary(path: Path) -> bool:
    """Whether a file of another name is a BERT vocabulary: it may list labels, or the words of another model."""
    try:
        read_vocabulary(path)
    except ConfigError:
        return False
    return True


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary of one token a line (UTF-8), numbered as google-research/bert numbers it.

    Raises:
        ConfigError: the file cannot be read, is no text, or lacks a token that every BERT needs.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise ConfigError(f"{path} is no vocabulary: it has {size:,} bytes", hint="give it with --vocab FILE")
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint=_UNREADABLE) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        hint = "write it as UTF-8, one token a line; or give another with --vocab FILE"
        raise ConfigError(
            f"{path} is not UTF-8 text: byte {content[error.start]:#04x} in line {line}", hint=hint
        ) from error
    tokens = [line.strip() for line in text.rstrip().split("\n")]
    ids = {token: number for number, token in enumerate(tokens)}
    missing = [token for token in (_UNKNOWN, _CLASS, _SEPARATOR) if token not in ids]
    if missing:
        found = f"{len(tokens):,} lines without {', '.join(missing)}" if text.strip() else "nothing"
        raise ConfigError(
            f"{path} is no BERT vocabulary: it holds {found}",
            hint="a vocab.txt holds one wordpiece a line, [UNK], [CLS] and [SEP] among them; give it with --vocab "
            "FILE, or move this file away to convert without a tokenizer",
        )
    return Vocabulary(path, content, tokens, ids)


def infer_casing(vocabulary: Vocabulary) -> Casing:
    """The casing that a tokenizer_config.json beside the vocabulary states, else what the tokens themselves tell."""
    beside = vocabulary.path.with_name("tokenizer_config.json")
    try:
        stated = json.loads(beside.read_bytes()).get("do_lower_case")
    except (OSError, ValueError, AttributeError):  # there is none, or it is of no use
        stated = None
    if isinstance(stated, bool):
        return Casing(stated, f"{'un' * stated}cased: {beside.name} beside the vocabulary says so")
    return _casing_of_tokens(vocabulary)


def _casing_of_tokens(vocabulary: Vocabulary) -> Casing:
    """Whether the model was trained on lower-cased text: no token of its vocabulary, bar a few, has a capital then."""
    pieces = [token for token in vocabulary.tokens if token[:1] + token[-1:] not in {"[]", "<>"}]
    capital = sum(token != token.lower() for token in pieces)
    total = f"{len(vocabulary.tokens):,} tokens"
    if capital > _STRAY * len(pieces):
        return Casing(False, f"cased: {capital:,} of {total} hold a capital letter")
    if capital:
        return Casing(True, f"uncased: only {capital:,} of {total} hold a capital letter")
    if all(token == token.upper() for token in pieces):
        return Casing(
            True, f"uncased, as google-research/bert is by default: none of {total} holds a letter that has a case"
        )
    return Casing(True, f"uncased: none of {total} holds a capital letter")


def tokenizer_files(
    vocabulary: Vocabulary, lowercase: bool, model_max_length: int | None, strip_accents: bool | None = None
) -> dict[str, bytes]:
    """The files that ``AutoTokenizer`` reads, by name; ``vocab.txt`` is the source's byte for byte.

    ``model_max_length`` is the longest sequence in tokens, the two special ones included; None where there is no limit.
    ``strip_accents`` as in :class:`Casing`.
    """
    special = {role: token for role, token in _ROLES.items() if token in vocabulary.ids}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # BertTokenizer would rebuild tokenizer.json by its own defaults
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **({"model_max_length": model_max_length} if model_max_length is not None else {}),
        "do_lower_case": lowercase,
        "strip_accents": strip_accents,
        "tokenize_chinese_chars": True,
        "clean_up_tokenization_spaces": True,
        **special,
    }
    return {
        "tokenizer.json": _tokenizer(vocabulary, lowercase, strip_accents, special.values()).encode(),
        "tokenizer_config.json": (json.dumps(settings, indent=2) + "\n").encode(),
        _NAME: vocabulary.content,
    }


def _tokenizer(vocabulary: Vocabulary, lowercase: bool, strip_accents: bool | None, special: Iterable[str]) -> str:
    """The content of tokenizer.json: google-research/bert's FullTokenizer, as the library serialises it."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    ids = vocabulary.ids
    wordpiece = models.WordPiece(dict(ids), unk_token=_UNKNOWN, max_input_chars_per_word=_LONGEST_WORD)
    tokenizer = Tokenizer(wordpiece)
    # By default accents are stripped with lower-casing, and only with it.
    basic = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    sigma = normalizers.Replace(Regex(_FINAL_SIGMA), "ς")
    tokenizer.normalizer = normalizers.Sequence([sigma, basic]) if lowercase else basic
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_CLASS} $A {_SEPARATOR}",
        pair=f"{_CLASS} $A {_SEPARATOR} $B:1 {_SEPARATOR}:1",
        special_tokens=[(token, ids[token]) for token in (_CLASS, _SEPARATOR)],
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(special))
    return str(tokenizer.to_str())
