"""Rules: a table for many models of one code base, whose TensorFlow names follow from the PyTorch names.

A dialect lists names. A table of rules (``mappings/transformers/general.toml``) says how to make them.

=========================  =============================================================================================
``suffix``                 an ending that names may have, and that means nothing
``front``                  what may be in front of a weight's path; ``{name}`` is one segment
``segments = [{tf, pt}]``  how one segment is rewritten, as often as it matches; ``{name}`` is any text in it
``rows = [{ ... }]``       ``tf``, ``pt``, ``layouts``: ``{path**}`` is any path, rewritten by ``segments`` and joined
                           with dots on the PyTorch side; the layouts are tried in their order, and the tensor's shape
                           gives the sizes of their axes
``derived``                ``pt``, ``reason``: what the PyTorch model makes itself
``[model.TYPE]``           for one ``model_type``: ``rows``, tried before the others; ``renames`` (``pt``, ``to``) of
                           PyTorch names in later versions; ``ignored`` (``tf``, ``reason``): the PyTorch class has no
                           such parameter; ``optional`` (``pt``, ``reason``): TensorFlow's class has no such variable;
                           ``notes`` on differences between the two classes; ``refused`` (``class``, ``reason``): the
                           PyTorch class gives other results; ``config``: values that TensorFlow's class always uses,
                           also if its config differs
=========================  =============================================================================================

If rules give several names for a tensor, planning chooses the one that the PyTorch class has.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.mapping.notation.layout import Layout
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.document import Document
from bridgeckpt.mapping.tables.model import check_schema, parse_at, reason
from bridgeckpt.mapping.tables.records import TableSummary, Where

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bridgeckpt.mapping.tables.document import Section

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
    notes: tuple[str, ...] = ()
    config: Mapping[str, Any] = FrozenDict()
    refused: Mapping[str, str] = FrozenDict()

    def rename(self, name: str) -> str:
        """The name in transformers 5 of a PyTorch parameter of version 4: every rename that matches, in their order."""
        for before, after in self.renames:
            if (values := before.bind(name)) is not None:
                name = after.render(values)
        return name


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
    models: Mapping[str, ModelRules]
    source: bytes

    @property
    def summary(self) -> TableSummary:
        """What a plan keeps of the table."""
        return TableSummary(self.name, self.title, {self.label: self.source})

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


def load_rules(name: str | Path) -> Rules:
    """Load a table of rules.

    Raises:
        TableError: the table does not exist or is malformed; the message begins with ``file:line``.
    """
    path = tables.find(name)
    table, label = tables.label(path)
    root = Document(path, label).root
    root.allow_only("schema", "title", "names", "suffix", "front", "segments", "rows", "derived", "model")
    check_schema(root)
    models = root.table("model")
    return Rules(
        name=table,
        path=path,
        label=label,
        title=root.text("title"),
        suffix=root.text("suffix", ""),
        fronts=tuple(Pattern.parse(text + "{rest**}") for text in root.texts("front")),
        segments=tuple(
            (Pattern.parse(segment.text("tf")), Pattern.parse(segment.text("pt")))
            for segment in root.tables("segments")
        ),
        rows=_rules(root, "any model"),
        derived=_reasons(root, "derived", "pt"),
        models={kind: _model(models.table(kind), kind) for kind in models},
        source=root.document.source,
    )


def _model(section: Section, kind: str) -> ModelRules:
    section.allow_only("rows", "ignored", "optional", "renames", "notes", "config", "refused")
    return ModelRules(
        rows=_rules(section, kind),
        ignored=_reasons(section, "ignored", "tf"),
        optional=_reasons(section, "optional", "pt"),
        renames=tuple(_rename(rename) for rename in section.tables("renames")),
        notes=section.texts("notes", ()),
        config=section.table("config").data,
        refused={refused.text("class"): reason(refused) for refused in section.tables("refused")},
    )


def _rename(section: Section) -> tuple[Pattern, Pattern]:
    section.allow_only("pt", "to")
    return Pattern.parse(section.text("pt"), "."), Pattern.parse(section.text("to"), ".")


def _rules(section: Section, group: str) -> tuple[Rule, ...]:
    return tuple(_rule(row, number, group) for number, row in enumerate(section.tables("rows"), 1))


def _rule(section: Section, number: int, group: str) -> Rule:
    section.allow_only("tf", "pt", "layouts")
    tf, pt = Pattern.parse(section.text("tf")), Pattern.parse(section.text("pt"))
    if unbound := set(pt.expression.groupindex) - set(tf.expression.groupindex):
        raise section.error("index-mismatch", f'"{pt.text}" holds {{{min(unbound)}}}, which "{tf.text}" does not bind')
    layouts = [parse_at(section, "layouts", Layout.parse, text) for text in section.texts("layouts")]
    for layout in layouts:
        if any(len(term.axes) > 1 or term.pad for term in layout.tf.terms) or layout.tf.listed or layout.pt.listed:
            hint = "the tensor's shape gives the sizes: write one axis for each dimension"
            raise section.error("schema", f'layout "{layout.text}" merges axes left of the arrow', "layouts", hint=hint)
    where = Where(section.document.label, section.line, number, group)
    return Rule(tf, pt, tuple(layouts), where)


def _reasons(section: Section, key: str, side: str) -> tuple[Reason, ...]:
    reasons = []
    for entry in section.tables(key):
        entry.allow_only(side, "reason")
        reasons.append(Reason(Pattern.parse(entry.text(side), "." if side == "pt" else "/"), reason(entry)))
    return tuple(reasons)
