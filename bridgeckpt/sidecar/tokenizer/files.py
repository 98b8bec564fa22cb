"""Files that transformers writes beside a TensorFlow model and also reads beside a PyTorch model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import ConfigError
from bridgeckpt.store import lfs
from bridgeckpt.store.source import is_file
from bridgeckpt.store.texts import TextError, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Files that save_pretrained of tokenizers (transformers 2 to 4), processors and generating models writes.
TOKENIZER_NAMES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "emoji.json", "entity_vocab.json", "normalizer.json"),
    *("spiece.model", "sentencepiece.bpe.model", "sentencepiece.model", "spm.model", "tokenizer.model"),
    *("source.spm", "target.spm", "vocab-src.json", "vocab-tgt.json", "chat_template.jinja"),
)
OTHER_NAMES = ("generation_config.json", "preprocessor_config.json", "processor_config.json")
_SETTINGS = TOKENIZER_NAMES[:4]  # a tokenizer with one of these files is complete
_LARGEST = 256 << 20


def find_companions(directory: Path) -> tuple[Path, ...]:
    """The files in ``directory`` that a conversion copies."""
    return tuple(path for name in (*TOKENIZER_NAMES, *OTHER_NAMES) if is_file(path := directory / name))


def has_tokenizer(files: Iterable[Path]) -> bool:
    """Whether ``files`` hold a tokenizer that transformers saved, and not only a vocabulary."""
    return any(path.name in _SETTINGS for path in files)


def read_companion(path: Path) -> bytes:
    """The content of a file that a conversion copies.

    Raises:
        ConfigError: the file is unreadable, or too large for a file of a tokenizer.
    """
    try:
        return read_bytes(path, _LARGEST)
    except TextError as error:
        hints = {"too large": "move it away", "a pointer": lfs.HINT}
        hint = hints.get(error.fault, "check its permissions, or move it away")
        raise ConfigError(error.message, hint=hint) from error
