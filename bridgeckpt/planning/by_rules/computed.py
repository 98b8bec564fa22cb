"""The config of a model of transformers, with what TensorFlow's class computed where the two differ.

The table of rules says where a class of some version did not read a key, or read it in another way
(:mod:`bridgeckpt.mapping.tables.computed`). A model inside the model (an encoder, a tower of CLIP) has its own config
inside the config, and the entries of its own ``model_type`` are about that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import Problem
from bridgeckpt.mapping.tables.computed import stated_value, version_of
from bridgeckpt.mapping.tables.library import RULES
from bridgeckpt.mapping.tables.model_records import bare_class
from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.store.texts import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.mapping.tables.computed import ClassFact, Version
    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.mapping.tables.rule_records import Rules


class Corrected(NamedTuple):
    """The ``values`` that PyTorch needs for what TensorFlow computed.

    ``provenance`` has the origin of each value that the table gives, ``assumed`` a warning for each key that the source
    leaves open, ``warnings`` are about the stated values that are not written, and ``problems`` about what no PyTorch
    class computes. Keys of an inner config are written ``text_config.hidden_act``.
    """

    values: Mapping[str, Any]
    provenance: Mapping[str, str]
    assumed: Mapping[str, str]
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]


def corrected(config: Mapping[str, Any], rules: Rules, name: str, bare: str | None) -> Corrected:
    """The config of the class ``name`` as TensorFlow's class computed; ``bare`` is the class without a head."""
    work = _Correction(rules, name, bare, version_of(config))
    values = work.corrected(config, "")
    return Corrected(values, work.provenance, work.assumed, tuple(work.warnings), tuple(work.problems))


def corrected_by_class(stated: Mapping[str, Any], table: Table, architecture: Architecture) -> Corrected:
    """The config of a class that ``table`` lists, if it is one of the code base that the rules are about."""
    if not stated or not table.config.source.transformers:
        return Corrected(stated, {}, {}, (), ())
    from bridgeckpt.mapping.tables.rules import load_rules  # most checkpoints need no rules, and start quicker

    bare = bare_class(table.model.architectures).name
    return corrected({"model_type": table.model.model, **stated}, load_rules(RULES), architecture.name, bare)


class _Correction:
    """Collects what is said while the entries are applied, each to the config that it is about."""

    def __init__(self, rules: Rules, name: str, bare: str | None, version: Version) -> None:
        self.rules, self.name, self.bare, self.version = rules, name, bare, version
        self.provenance: dict[str, str] = {}
        self.assumed: dict[str, str] = {}
        self.warnings: list[str] = []
        self.problems: list[Problem] = []

    def corrected(self, config: Mapping[str, Any], place: str) -> dict[str, Any]:
        values = dict(config)
        for entry in (*self.rules.computes, *self.rules.model(str(config.get("model_type"))).computes):
            if entry.holds(values, self.name, self.version):
                self._apply(entry, values, config, place)
                values |= entry.written(values)
                values = {key: value for key, value in values.items() if key not in entry.without}
        inner = {key: value for key, value in values.items() if isinstance(value, dict) and "model_type" in value}
        return values | {key: self.corrected(value, f"{place}{key}.") for key, value in inner.items()}

    def _apply(self, entry: ClassFact, values: Mapping[str, Any], config: Mapping[str, Any], place: str) -> None:
        """Note the outcome of an entry that is about these values; ``config`` has those that are stated."""
        if entry.until and not self.version:
            self._doubt(entry, values, place, because="; the config does not say which version wrote it")
        elif entry.refused:
            self._refuse(entry, values, place)
        elif entry.doubt:
            self._doubt(entry, values, place)
        for key, value in entry.written(values).items():
            if config.get(key) != value:
                self.provenance[place + key] = f"TF{self.name} computes with no other: {entry.reason}"
                if key in config and place + key not in self.assumed:
                    stated = f"{place}{key} = {shown(value)} is written, not {shown(config[key])}"
                    self.warnings.append(f"{stated}: {entry.reason}")

        for key in entry.without:
            if values.get(key):
                self.warnings.append(f"{place}{key} is not written, which says {shown(values[key])}: {entry.reason}")

    def _doubt(self, entry: ClassFact, values: Mapping[str, Any], place: str, because: str = "") -> None:
        written = {**values, **entry.written(values)}
        for key in entry.written(values) or entry.doubt or entry.keys:
            value = f" = {shown(written[key])} is written, and" if key in written else " is"
            said = f"{place}{key}{value} not proven to be what was computed: {entry.reason}{because}"
            self.assumed[place + key] = said

    def _refuse(self, entry: ClassFact, values: Mapping[str, Any], place: str) -> None:
        stated = [f"{place}{key} = {shown(stated_value(values, key))}" for key in entry.keys]
        hint = Sentence("is it the config of this checkpoint? {config:FILE} gives another")
        if entry.classes and self.bare is not None and not entry.holds(values, self.bare, self.version):
            hint = Sentence("{without} converts it without the head", without=Setting("architecture", self.bare))
        hint = Sentence(entry.hint) if entry.hint else hint
        self.problems.append(Problem("refused", " and ".join(stated) or self.name, (entry.reason,), hint))
