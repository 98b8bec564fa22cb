"""Files that transformers wrote beside a TensorFlow model and that it reads beside a PyTorch model too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import ConfigError
from bridgeckpt.store.source import is_file
from bridgeckpt.store.texts import TextError, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# What save_pretrained of tokenizers (transformers 2 to 4), processors and generating models writes.
TOKENIZER_NAMES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "emoji.json", "entity_vocab.json", "normalizer.json"),
    *("spiece.model", "sentencepiece.bpe.model", "sentencepiece.model", "spm.model", "tokenizer.model"),
    *("source.spm", "target.spm", "vocab-src.json", "vocab-tgt.json", "chat_template.jinja"),
)
OTHER_NAMES = ("generation_config.json", "preprocessor_config.json", "processor_config.json")
_SETTINGS = TOKENIZER_NAMES[:4]  # a tokenizer with one of these says all of itself
_LARGEST = 256 << 20


def companions(directory: Path) -> tuple[Path, ...]:
    """The files in ``directory`` that are handed on."""
    return tuple(path for name in (*TOKENIZER_NAMES, *OTHER_NAMES) if is_file(path := directory / name))


def has_tokenizer(files: Iterable[Path]) -> bool:
    """Whether a tokenizer that transformers saved is among ``files``, rather than a bare vocabulary."""
    return any(path.name in _SETTINGS for path in files)


def read_companion(path: Path) -> bytes:
    """The content of such a file.

    Raises:
        ConfigError: it cannot be read, or is no file of a tokenizer by its size.
    """
    try:
        return read_bytes(path, _LARGEST)
    except TextError as error:
        hint = "move it away" if error.fault == "too large" else "check its permissions, or move it away"
        raise ConfigError(error.message, hint=hint) from error
