"""Whether a model's text is lower-cased: as the source states it, or inferred from the vocabulary.

A TF1 hub module states it in a constant, an output of the signature ``tokenization_info``; a TF2 module in a bool
variable, ``do_lower_case``; a KerasHub preset in the description of its tokenizer, ``tokenizer.json``.

Source: https://github.com/google-research/albert, export_to_tfhub.py; https://github.com/tensorflow/models,
official/nlp/tools/export_tfhub_lib.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.store.texts import TextError, read_json

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary

_SIGNATURE, _OUTPUT = "tokenization_info", "do_lower_case"
_PRESET = "tokenizer.json"
_VARIABLE = f"{_OUTPUT}/.ATTRIBUTES/VARIABLE_VALUE"
# A vocabulary of a lower-cased corpus may still have a few capitals; in one of a cased corpus, about a third have one.
_STRAY = 0.01


class Casing(NamedTuple):
    """Whether text is lower-cased before it is looked up, and the reason.

    ``strip_accents``: whether accents are removed; None if they are removed exactly when text is lower-cased.
    """

    lowercase: bool
    reason: str
    strip_accents: bool | None = None


def read_stated_casing(checkpoint: Checkpoint, graph: Graph | None) -> Casing | None:
    """The casing that the source states, or None. Reads at most one byte, that of the variable.

    Raises:
        CheckpointError: the variable or the graph is damaged.
    """
    for info in checkpoint.tensors.values():
        if info.name.endswith(_VARIABLE) and info.dtype == "bool" and info.shape == () and len(info.extents) == 1:
            stored = b"".join(checkpoint.pieces(info.extents[0], info.name))
            return _casing(stored != b"\0", f"its variable {_OUTPUT}")
    if (casing := _keras_tokenizer(checkpoint.directory / _PRESET)) is not None:
        return casing
    value = graph.constant(graph.signature(_SIGNATURE).get(_OUTPUT, "")) if graph is not None else None
    if value is None or len(value) != 1:
        return None
    return _casing(bool(value[0]), f"{_OUTPUT} of its signature {_SIGNATURE}")


def _keras_tokenizer(path: Path) -> Casing | None:
    """The casing in KerasHub's tokenizer.json; None if the file is missing or another library's."""
    try:
        config = read_json(path)["config"]
        lowercase, strip_accents = config["lowercase"], config.get("strip_accents", False)
    except (TextError, LookupError, TypeError, AttributeError):
        return None
    if not isinstance(lowercase, bool) or not isinstance(strip_accents, bool):
        return None
    return Casing(lowercase, f"{'un' * lowercase}cased: {path.name} of the preset says so", strip_accents)


def _casing(lowercase: bool, where: str) -> Casing:
    return Casing(lowercase, f"{'un' * lowercase}cased: the module says so ({where})")


def infer_casing(vocabulary: Vocabulary) -> Casing:
    """The casing that a tokenizer_config.json beside the vocabulary states, else the one inferred from the tokens."""
    beside = vocabulary.path.with_name("tokenizer_config.json")
    try:
        settings = read_json(beside)
    except TextError:  # missing or unreadable
        settings = {}
    stated, accents = settings.get("do_lower_case"), settings.get("strip_accents")
    if isinstance(stated, bool):
        strip_accents = accents if isinstance(accents, bool) else None
        return Casing(stated, f"{'un' * stated}cased: {beside.name} beside the vocabulary says so", strip_accents)
    return _casing_of_tokens(vocabulary)


def _casing_of_tokens(vocabulary: Vocabulary) -> Casing:
    """Infer the casing: if the text was lower-cased, at most a few tokens have a capital letter."""
    words = [token for token in vocabulary.tokens if token[:1] + token[-1:] not in {"[]", "<>"}]
    capital = sum(token != token.lower() for token in words)
    total = f"{len(vocabulary.tokens):,} tokens"
    if capital > _STRAY * len(words):
        return Casing(False, f"cased: {capital:,} of {total} hold a capital letter")
    if capital:
        return Casing(True, f"uncased: only {capital:,} of {total} hold a capital letter")
    if all(token == token.upper() for token in words):
        return Casing(True, f"uncased by default: none of {total} holds a letter that has a case")
    return Casing(True, f"uncased: none of {total} holds a capital letter")
