"""Texts of the user as a probe, encoded by the tokenizer of the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.reference.probes import IDS, MASK, TYPES, Probe
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.source import is_file, is_folder
from bridgeckpt.store.texts import TextError, read_text

_NAME = "tokenizer.json"
_ANOTHER = Sentence("give another with {tokenizer:FOLDER}")
_LARGEST = 256 << 20  # bytes


def text_probe(texts: Sequence[str], tokenizer: Path, max_length: int) -> Probe:
    """Tokenise texts and pad them to the longest.

    Args:
        texts: One sequence each; a tab separates the two texts of a pair.
        tokenizer: A ``tokenizer.json``, or the folder that holds it.
        max_length: Longer sequences are cut.

    Returns:
        A probe of every stage: ids, mask and token types, int32 [texts, longest].

    Raises:
        ParityError: there are no texts, one has no tokens, or the tokenizer is missing or cannot be read.
    """
    from tokenizers import Tokenizer

    if not texts:
        raise ParityError("there are no texts to run", hint="leave them out to run random tokens")
    file = tokenizer / _NAME if is_folder(tokenizer) else tokenizer
    if not is_file(file):
        raise ParityError(
            f"there is no {file} to tokenise the texts with",
            hint=Sentence("{tokenizer:FOLDER}: the converted folder has one; without {texts}, random tokens are run"),
        )
    try:
        loaded = Tokenizer.from_str(read_text(file, _LARGEST))
    except TextError as error:
        raise ParityError(error.message, hint=_ANOTHER) from error
    except Exception as error:  # tokenizers raises Exception itself
        raise ParityError(f"{file} is not a tokenizer: {error}", hint=_ANOTHER) from error
    loaded.no_padding()
    loaded.enable_truncation(max_length)
    pairs = [text.partition("\t") for text in texts]
    encoded = [loaded.encode(first, second if tab else None) for first, tab, second in pairs]
    empty = [text for text, of in zip(texts, encoded, strict=True) if not of.ids]
    if empty:
        raise ParityError(f"the text {empty[0]!r} has no tokens", hint="leave it out")
    inputs = {}
    for name, rows in {
        IDS: [of.ids for of in encoded],
        MASK: [of.attention_mask for of in encoded],
        TYPES: [of.type_ids for of in encoded],
    }.items():
        inputs[name] = np.zeros((len(rows), max(map(len, rows))), np.int32)
        for at, row in enumerate(rows):
            inputs[name][at, : len(row)] = row
    return Probe(inputs)
