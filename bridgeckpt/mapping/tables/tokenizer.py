"""``[tokenizer]`` of a model or a dialect: the vocabulary file beside a checkpoint, and the tokenizer made of it.

=======================  ===============================================================================================
``kind``                 the algorithm: ``wordpiece``
``files``                names of the vocabulary: the first that exists, else the only file that matches a pattern
``normalizer``           how a text is changed before it is split: ``basic`` is google-research/bert's BasicTokenizer
``longest_word``         a word with more characters than this becomes the unknown token
``single``, ``pair``     the tokens around one text and around two: ``[CLS] $A [SEP] $B:1 [SEP]:1``
``inputs``               the inputs of the model that the tokenizer makes
``[tokenizer.special]``  special tokens by their names in transformers (``pad_token = "[PAD]"``); a vocabulary of the
                         model has the unknown token and those in ``single`` and ``pair``
=======================  ===============================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.mapping.tables.document import Section

KINDS = ("wordpiece",)
NORMALIZERS = ("basic",)
UNKNOWN, PADDING = "unk_token", "pad_token"
_KEYS = ("kind", "files", "normalizer", "longest_word", "single", "pair", "inputs", "special")
_TEXT = "$"  # begins the placeholder of a text in a template


class Tokenizer(NamedTuple):
    """The tokenizer of a model; the fields are the keys described in :mod:`bridgeckpt.mapping.tables.tokenizer`."""

    kind: str
    files: tuple[str, ...]
    normalizer: str
    longest_word: int
    single: str
    pair: str
    inputs: tuple[str, ...]
    special: Mapping[str, str]

    @property
    def frame(self) -> tuple[str, ...]:
        """The special tokens around a text."""
        return _frame(self.single, self.pair)

    @property
    def needed(self) -> tuple[str, ...]:
        """The tokens that a vocabulary must have."""
        return tuple(dict.fromkeys((self.special[UNKNOWN], *self.frame)))


def load_tokenizer(section: Section, inherited: Tokenizer | None) -> Tokenizer | None:
    """Load ``[tokenizer]``. Missing keys are as in ``inherited``; None if both are absent.

    Raises:
        TableError: a key is missing or unknown, or a value is invalid.
    """
    section.allow_only(*_KEYS)
    if not section.data:
        return inherited
    special = section.table("special")
    tokenizer = Tokenizer(
        kind=section.choice("kind", KINDS, inherited and inherited.kind),
        files=section.texts("files", inherited.files if inherited else None),
        normalizer=section.choice("normalizer", NORMALIZERS, inherited and inherited.normalizer),
        longest_word=section.count("longest_word", inherited and inherited.longest_word),
        single=section.text("single", inherited and inherited.single),
        pair=section.text("pair", inherited and inherited.pair),
        inputs=section.texts("inputs", inherited.inputs if inherited else None),
        special={**(inherited.special if inherited else {}), **{role: special.text(role) for role in special}},
    )
    _check(tokenizer, section)
    return tokenizer


def _check(tokenizer: Tokenizer, section: Section) -> None:
    """Refuse a tokenizer without an unknown token, and templates with a token that is not special."""
    if UNKNOWN not in tokenizer.special:
        hint = f'as in  {UNKNOWN} = "<unk>"'
        raise section.error("schema", f'"{UNKNOWN}" is missing in [tokenizer.special]', "special", hint=hint)
    for token in tokenizer.frame:
        if token not in tokenizer.special.values():
            key = "single" if token in _frame(tokenizer.single) else "pair"
            hint = f"special tokens here: {', '.join(tokenizer.special.values())}"
            raise section.error("schema", f'"{key}" has "{token}", which is not a special token', key, hint=hint)


def _frame(*templates: str) -> tuple[str, ...]:
    """The tokens in the templates, each once: ``[CLS] $A [SEP]:1`` has two."""
    words = [word.partition(":")[0] for template in templates for word in template.split()]
    return tuple(dict.fromkeys(word for word in words if not word.startswith(_TEXT)))
