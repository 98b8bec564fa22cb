"""``[config]`` of a dialect: values, the meaning of words, doubts, and where the source's config is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.records import ANY_WORD, ConfigSource, DialectConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.mapping.tables.document import Section
    from bridgeckpt.mapping.tables.model_records import ModelTable

    Words = Mapping[str, Mapping[str, str]]

_NO_VALUES = ("words", "source", "doubts", "constants")  # keys of [config] that are not for config.json


def load_config(section: Section, model: ModelTable, inherited: ConfigSource, name: str) -> DialectConfig:
    """The section of the table ``name``; ``inherited`` is what its base says of the source's config.

    Raises:
        TableError: the section is malformed.
    """
    words, doubts = section.table("words"), section.table("doubts")
    for key in model.size_keys:
        size = section.data.get(key, 1)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise section.error("schema", f'"{key}" is {size!r}', key, hint="a size is a whole number above 0")
    values = {key: value for key, value in section.data.items() if key not in _NO_VALUES}
    constants = section.texts("constants", ())
    if unknown := [key for key in constants if key not in values]:
        message = f'"constants" has "{unknown[0]}", which has no value in [config]'
        raise section.error("schema", message, "constants", hint=f"add  {unknown[0]} = ...")
    certain = {} if name in tables.names() else dict.fromkeys(values, f"{name} says it")
    return DialectConfig(
        values=values,
        words={key: {word: words.table(key).text(word) for word in words.table(key)} for key in words},
        source=_config_source(section.table("source"), inherited),
        doubts={key: _doubts(doubts, key) for key in doubts},
        certain={**certain, **dict.fromkeys(constants, f"{name} computes with no other")},
    )


def _doubts(section: Section, key: str) -> dict[str, str]:
    """The doubts about the value of ``key``, by the word in the config; one text alone is about any word."""
    if isinstance(section.data[key], str):
        return {ANY_WORD: section.text(key)}
    words = section.table(key)
    return {word: words.text(word) for word in words}


def _config_source(section: Section, inherited: ConfigSource) -> ConfigSource:
    """Where the config is; what the section leaves out is as in ``inherited``."""
    section.allow_only("files", "roots", "keys", "required", "transformers", "classes")
    keys, required = section.table("keys"), section.table("required")
    return ConfigSource(
        files=section.texts("files", inherited.files),
        roots=section.texts("roots", inherited.roots),
        keys={**inherited.keys, **{key: keys.text(key) for key in keys}},
        required={**inherited.required, **required.data},
        transformers=section.flag("transformers") or inherited.transformers,
        classes=section.texts("classes", inherited.classes),
    )


def merged_config(own: DialectConfig, base: DialectConfig) -> DialectConfig:
    """The section of a table, with all that it inherits from its base."""
    return own._replace(
        values={**base.values, **own.values},
        words=_merged(base.words, own.words),
        doubts={**_without(base.doubts, own.words), **own.doubts},
        certain=_certain(own, base),
    )


def _merged(base: Words, own: Words) -> dict[str, Mapping[str, str]]:
    return {key: {**base.get(key, {}), **own.get(key, {})} for key in {**base, **own}}


def _without(doubts: Words, words: Words) -> dict[str, Mapping[str, str]]:
    """The doubts about words that do not get a meaning in ``words``."""
    return {
        key: {word: why for word, why in by_word.items() if word not in words.get(key, {})}
        for key, by_word in doubts.items()
    }


def _certain(own: DialectConfig, base: DialectConfig) -> dict[str, str]:
    """Why values are certain: a value that the table gives anew has its own reason, or none."""
    return {**{key: why for key, why in base.certain.items() if key not in own.values}, **own.certain}
