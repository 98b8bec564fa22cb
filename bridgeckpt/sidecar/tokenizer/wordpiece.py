"""WordPiece: its vocabulary, and the tokenizer files that make transformers split text as the source's code did.

``tokenizer.json`` is the serialisation of Hugging Face's tokenizers library. Transformers must load it, and not rebuild
it from the vocabulary, because two settings differ from its defaults. The source may accept words of more than 100
characters (google-research/bert accepts 200). It lower-cases a Greek sigma at the end of a word to its final form, as
Python does.

These differences remain. Special tokens are recognised in running text ("[MASK]" is one token, not three). Private-use
characters are dropped; google-research/bert keeps them as a part of the word. 256 rare Chinese characters (U+2B820 to
U+2B91F) are not separated. Characters newer than the library's Unicode tables are classed by those tables.

Source: https://github.com/huggingface/tokenizers, and tokenization.py of https://github.com/google-research/bert
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bridgeckpt.errors import ConfigError
from bridgeckpt.mapping.tables.tokenizer import UNKNOWN
from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.tokenizer.vocabulary import UNREADABLE, Vocabulary
from bridgeckpt.store.texts import TextError, decode, read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tokenizers.normalizers import Normalizer

    from bridgeckpt.mapping.tables.tokenizer import Tokenizer
    from bridgeckpt.sidecar.tokenizer.casing import Casing

_NAME = "vocab.txt"  # the name that transformers uses
_LARGEST = 64 << 20
# A capital sigma after a cased letter and not before one (Unicode's SpecialCasing.txt, Final_Sigma). Marks, apostrophes
# and similar characters in between do not count. Only one of them is allowed before the sigma, because the library's
# regular expressions look back over fixed widths.
_CASED = r"[\p{Lu}\p{Ll}\p{Lt}]"
_UNCOUNTED = r"[\p{Mn}\p{Me}\p{Cf}\p{Lm}\p{Sk}\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f'.:·‘’․‧]"  # noqa: RUF001
_FINAL_SIGMA = rf"(?<={_CASED}|{_CASED}{_UNCOUNTED})Σ(?!{_UNCOUNTED}*{_CASED})"


def read_vocabulary(path: Path, tokenizer: Tokenizer) -> Vocabulary:
    """Read a vocabulary of one token a line (UTF-8), numbered as in google-research/bert.

    Raises:
        ConfigError: the file is unreadable, is not text, or lacks a token that the model needs.
    """
    text, content = _text(path)
    tokens = [line.strip() for line in text.rstrip().split("\n")]
    ids = {token: number for number, token in enumerate(tokens)}
    missing = [token for token in tokenizer.needed if token not in ids]
    if missing:
        found = f"{len(tokens):,} lines without {', '.join(missing)}" if text.strip() else "nothing"
        *others, last = tokenizer.needed
        raise ConfigError(
            f"{path} is not the vocabulary of this model: it holds {found}",
            hint=Sentence(
                "a {name} holds one wordpiece a line, {needed} among them; give it with {vocab:FILE}, "
                "or move this file away to convert without a tokenizer",
                name=_NAME,
                needed=f"{', '.join(others)} and {last}",
            ),
        )
    return Vocabulary(path, content, tokens, ids)


def _text(path: Path) -> tuple[str, bytes]:
    """The text of a file without a byte order mark, and its bytes."""
    try:
        content = read_bytes(path, _LARGEST)
        return decode(content, str(path)), content
    except TextError as error:
        if error.fault == "too large":
            hint = Sentence("give it with {vocab:FILE}")
            raise ConfigError(f"{path} is not a vocabulary: it {error.what}", hint=hint) from error
        if error.fault == "a pointer":
            raise ConfigError(error.message, hint=error.hint) from error
        hint = Sentence("write it as UTF-8, one token a line; or give another with {vocab:FILE}")
        raise ConfigError(error.message, hint=UNREADABLE if error.fault == "unreadable" else hint) from error


def tokenizer_files(
    tokenizer: Tokenizer, vocabulary: Vocabulary, casing: Casing, model_max_length: int | None
) -> dict[str, bytes]:
    """The files that ``AutoTokenizer`` reads, by name; the vocabulary is the source's byte for byte.

    ``model_max_length`` is the longest sequence in tokens, with special ones; None if there is no limit.
    """
    special = {role: token for role, token in tokenizer.special.items() if token in vocabulary.ids}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # a model's class would rebuild tokenizer.json from defaults
        "model_input_names": list(tokenizer.inputs),
        **({"model_max_length": model_max_length} if model_max_length is not None else {}),
        "do_lower_case": casing.lowercase,
        "strip_accents": casing.strip_accents,
        "tokenize_chinese_chars": True,  # as BasicTokenizer does
        "clean_up_tokenization_spaces": True,
        **special,
    }
    return {
        "tokenizer.json": _serialised(tokenizer, vocabulary, casing, list(special.values())).encode(),
        "tokenizer_config.json": (json.dumps(settings, indent=2) + "\n").encode(),
        _NAME: vocabulary.content,
    }


def _serialised(tokenizer: Tokenizer, vocabulary: Vocabulary, casing: Casing, special: list[str]) -> str:
    """The content of tokenizer.json: google-research/bert's FullTokenizer, serialised by the library."""
    import tokenizers as library

    ids = dict(vocabulary.ids)
    built = library.Tokenizer(
        library.models.WordPiece(
            ids, unk_token=tokenizer.special[UNKNOWN], max_input_chars_per_word=tokenizer.longest_word
        )
    )
    built.normalizer = _NORMALIZERS[tokenizer.normalizer](casing)
    built.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    built.post_processor = library.processors.TemplateProcessing(
        single=tokenizer.single,
        pair=tokenizer.pair,
        special_tokens=[(token, ids[token]) for token in tokenizer.frame],
    )
    built.decoder = library.decoders.WordPiece()
    built.add_special_tokens(special)
    return str(built.to_str())


def _basic(casing: Casing) -> Normalizer:
    """What BasicTokenizer does to a text before it splits it."""
    from tokenizers import Regex, normalizers

    # By default accents are stripped with lower-casing, and only with it.
    basic = normalizers.BertNormalizer(lowercase=casing.lowercase, strip_accents=casing.strip_accents)
    sigma = normalizers.Replace(Regex(_FINAL_SIGMA), "ς")
    return normalizers.Sequence([sigma, basic]) if casing.lowercase else basic


_NORMALIZERS: Mapping[str, Callable[[Casing], Normalizer]] = {"basic": _basic}
