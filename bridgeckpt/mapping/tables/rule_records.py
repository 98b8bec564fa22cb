"""Records of a table of rules, and how the rules are applied to names."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.mapping.tables.records import TableSummary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bridgeckpt.mapping.notation.layout import Layout
    from bridgeckpt.mapping.tables.computed import ClassFact
    from bridgeckpt.mapping.tables.records import Where

_PLACEHOLDER = re.compile(r"\{([a-z_]+)(\*\*)?\}")


class Pattern(NamedTuple):
    """A name that may hold ``{name}`` (any text without a divider) and ``{path**}`` (any text)."""

    text: str
    expression: re.Pattern[str]

    @classmethod
    def parse(cls, text: str, divider: str = "/") -> Pattern:
        """Parse the notation; the ``divider`` of the names is a slash in TensorFlow and a dot in PyTorch."""
        parts, end = [], 0
        for match in _PLACEHOLDER.finditer(text):
            any_text = ".+" if match[2] else f"[^{divider}]+?"
            parts += [re.escape(text[end : match.start()]), f"(?P<{match[1]}>{any_text})"]
            end = match.end()
        return cls(text, re.compile("".join(parts) + re.escape(text[end:])))

    def bind(self, name: str) -> dict[str, str] | None:
        """The values of the placeholders in ``name``; None if it does not match."""
        match = self.expression.fullmatch(name)
        return match.groupdict() if match else None

    def render(self, values: Mapping[str, str]) -> str:
        """The name with these values."""
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.text)


class Rule(NamedTuple):
    """One row: its two names, its layouts for tensors of different rank, and where it is written."""

    tf: Pattern
    pt: Pattern
    layouts: tuple[Layout, ...]
    where: Where


class Reason(NamedTuple):
    """Names that need no row, and the reason."""

    pattern: Pattern
    reason: str


class ModelRules(NamedTuple):
    """The rules of one ``model_type``, in addition to the general ones."""

    rows: tuple[Rule, ...] = ()
    ignored: tuple[Reason, ...] = ()
    optional: tuple[Reason, ...] = ()
    renames: tuple[tuple[Pattern, Pattern], ...] = ()
    computes: tuple[ClassFact, ...] = ()

    def rename(self, name: str) -> str:
        """The name in transformers 5 of a PyTorch parameter of version 4: every rename that matches, in their order."""
        for before, after in self.renames:
            if (values := before.bind(name)) is not None:
                name = after.render(values)
        return name


class FilledNumber(NamedTuple):
    """Parameters of one number, ``value`` of ``dtype``, that no TensorFlow class has; ``meaning`` says what it is."""

    pattern: Pattern
    value: int
    dtype: str
    meaning: str


class Part(NamedTuple):
    """Parameters that a class lacks if it is built with ``argument``, as in ``add_pooling_layer=False``."""

    name: str
    pattern: Pattern
    argument: str


class Rules(NamedTuple):
    """A table of rules; ``source`` are its bytes, ``label`` is the file's name in messages."""

    name: str
    path: Path
    label: str
    title: str
    suffix: str
    fronts: tuple[Pattern, ...]
    segments: tuple[tuple[Pattern, Pattern], ...]
    rows: tuple[Rule, ...]
    derived: tuple[Reason, ...]
    filled: tuple[FilledNumber, ...]
    parts: tuple[Part, ...]
    of_training: tuple[str, ...]
    computes: tuple[ClassFact, ...]
    models: Mapping[str, ModelRules]
    source: bytes

    @property
    def summary(self) -> TableSummary:
        """What a plan keeps of the table."""
        return TableSummary(self.name, self.title, {self.label: self.source})

    def is_of_training(self, key: str) -> bool:
        """Whether no output of a trained model depends on a key of its config."""
        return any(fnmatchcase(key, pattern) for pattern in self.of_training)

    def model(self, kind: str) -> ModelRules:
        """The rules of a ``model_type``, in addition to the general ones."""
        return self.models.get(kind, ModelRules())

    def candidates(self, name: str, kind: str) -> Iterator[tuple[Rule, str]]:
        """The PyTorch names that a variable of a ``model_type`` may have, each with its rule; its own rules first."""
        for path in self._paths(name):
            for rule in (*self.model(kind).rows, *self.rows):
                values = rule.tf.bind(path)
                if values is not None:
                    target = rule.pt.render({key: self.rewrite(value) for key, value in values.items()})
                    yield rule, target
                    if (renamed := self.model(kind).rename(target)) != target:
                        yield rule, renamed

    def why_ignored(self, name: str, kind: str) -> str | None:
        """The reason why a variable of a ``model_type`` is left out, or None."""
        ignored = self.model(kind).ignored
        return next((entry.reason for path in self._paths(name) for entry in ignored if entry.pattern.bind(path)), None)

    def why_derived(self, name: str) -> str | None:
        """The reason why no checkpoint has a parameter, or None."""
        return next((entry.reason for entry in self.derived if entry.pattern.bind(name) is not None), None)

    def number(self, name: str) -> FilledNumber | None:
        """The entry of a parameter that is one number, which no checkpoint has; None of any other."""
        return next((entry for entry in self.filled if entry.pattern.bind(name) is not None), None)

    def _paths(self, name: str) -> Iterator[str]:
        """A variable's name without each front that matches."""
        for front in self.fronts:
            if (values := front.bind(name.removesuffix(self.suffix))) is not None:
                yield values["rest"]

    def rewrite(self, path: str) -> str:
        """The path in PyTorch's spelling."""
        return ".".join(filter(None, (self._rewrite_segment(segment) for segment in path.split("/"))))

    def _rewrite_segment(self, segment: str) -> str:
        for tf, pt in self.segments:
            while (values := tf.bind(segment)) is not None:
                segment = pt.render(values)
        return segment
