"""What TensorFlow's class computes whatever its config says: the entries of ``computes`` in a table of rules.

A config states flags that the class of its time did not read, or read in another way than PyTorch's class. An entry
says for which configs that is so, and has one outcome.

=====================  ================================================================================================
``class``              names of PyTorch classes, in which ``*`` is any text; without it the entry is about all classes
``when``               values of the config, each a value or a list of values, which all have to be stated; the key of
                       an inner config is written ``"mask_decoder_config.layer_norm_eps"``
``unless``             the same, but another value has to be stated for each key
``since``, ``until``   the versions of transformers that the entry is about, without ``until`` itself
``reason``             what TensorFlow's class does
``hint``               with ``refused``: what to do instead; settings are written as ``{config:FILE}``
``values``             outcome: the class computes with these values; they are written, also if the config differs
``none = ["KEY"]``     outcome: the class does not read these keys, and PyTorch's needs null for the same result
``without = ["KEY"]``  outcome: the keys are not about what TensorFlow's class computes, and are not written
``same = {KEY = ...}``  outcome: the class reads another key, which is named here; this one gets its value
``refused = true``     outcome: no PyTorch class computes this
``doubt = ["KEY"]``    outcome: the source leaves open which value of these keys was computed
=====================  ================================================================================================

Versions before 4 did not write their number into the config. A config without it is of such a version as far as anyone
can tell: an entry with ``until`` holds for it, and its keys are left open; an entry with ``since`` does not.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.mapping.tables.model import reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.mapping.tables.document import Section

Version = tuple[int, ...]
UNSTATED = object()
VERSION = "transformers_version"  # in configs since 4.2 or 4.3: the version that wrote it
_VERSION = re.compile(r"\d+(?:\.\d+)*")
_OUTCOMES = ("values", "none", "same", "without", "refused", "doubt")


class ClassFact(NamedTuple):
    """One entry: the configs that it is about, and its outcome: one of ``values``, ``same``,
    ``without``, ``refused`` and ``doubt``.

    Keys of ``none`` are values that are None.
    """

    classes: tuple[str, ...]
    when: Mapping[str, tuple[Any, ...]]
    unless: Mapping[str, tuple[Any, ...]]
    since: Version
    until: Version
    reason: str
    values: Mapping[str, Any] = FrozenDict()
    without: tuple[str, ...] = ()
    same: Mapping[str, str] = FrozenDict()
    refused: bool = False
    hint: str = ""
    doubt: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the config that the entry is about."""
        return tuple(dict.fromkeys((*self.values, *self.same, *self.doubt, *self.when, *self.unless)))

    def written(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The values that are written into this config."""
        return {**self.values, **{key: config[other] for key, other in self.same.items() if other in config}}

    def holds(self, config: Mapping[str, Any], name: str, version: Version) -> bool:
        """Whether the entry is about this config of the class ``name``; ``version`` is () if none is stated."""
        return (
            (not self.classes or any(fnmatchcase(name, pattern) for pattern in self.classes))
            and all(stated_value(config, key) in values for key, values in self.when.items())
            and all(stated_value(config, key) not in (*values, UNSTATED) for key, values in self.unless.items())
            and self.since <= version
            and (not self.until or version < self.until)
        )


def stated_value(config: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - of any type
    """The value of a key, which has dots if it is in an inner config; UNSTATED if there is none."""
    first, _, rest = key.partition(".")
    value = config.get(first, UNSTATED)
    if not rest:
        return value
    return stated_value(value, rest) if isinstance(value, dict) else UNSTATED


def version_of(config: Mapping[str, Any]) -> Version:
    """The version of transformers that wrote the config; () if it does not say it."""
    match = _VERSION.match(str(config.get(VERSION, "")))
    return tuple(map(int, match[0].split("."))) if match else ()


def computed(section: Section) -> tuple[ClassFact, ...]:
    """The entries of ``computes`` in a section.

    Raises:
        TableError: An entry is malformed, or does not have exactly one outcome.
    """
    return tuple(map(_entry, section.tables("computes")))


def _entry(section: Section) -> ClassFact:
    section.allow_only("class", "when", "unless", "since", "until", "reason", "hint", *_OUTCOMES)
    outcomes = [key for key in _OUTCOMES if key in section]
    if len(outcomes) != 1:
        message = f"an entry has one outcome, not {' and '.join(outcomes) or 'none'}"
        raise section.error("schema", message, hint=f"give one of {', '.join(_OUTCOMES)}")
    return ClassFact(
        classes=section.texts("class", ()),
        when=_conditions(section, "when"),
        unless=_conditions(section, "unless"),
        since=_version(section, "since"),
        until=_version(section, "until"),
        reason=reason(section),
        values=FrozenDict({**section.table("values").data, **dict.fromkeys(section.texts("none", ()))}),
        without=section.texts("without", ()),
        same=FrozenDict({key: section.table("same").text(key) for key in section.table("same")}),
        refused=section.flag("refused"),
        hint=section.text("hint", ""),
        doubt=section.texts("doubt", ()),
    )


def _conditions(section: Section, key: str) -> Mapping[str, tuple[Any, ...]]:
    stated = section.table(key).data
    return FrozenDict({name: tuple(value) if isinstance(value, list) else (value,) for name, value in stated.items()})


def _version(section: Section, key: str) -> Version:
    text = section.text(key, "")
    if text and not _VERSION.fullmatch(text):
        raise section.error("schema", f'"{key}" is "{text}", not a version such as 4.2', key)
    return tuple(map(int, text.split("."))) if text else ()
