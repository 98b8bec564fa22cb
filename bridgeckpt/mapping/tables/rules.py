"""Rules: a table for any model of one code base whose names follow from the PyTorch ones, loaded and applied to names.

A dialect lists names; a table of rules (``mappings/transformers/general.toml``) says how to make them.

=========================  =============================================================================================
``suffix``                 what a name may end in, and says nothing
``front``                  what may stand in front of a weight's path; ``{name}`` is one segment
``segments = [{tf, pt}]``  how one segment is rewritten, as often as it fits; ``{name}`` is any text in it
``rows = [{ ... }]``       ``tf``, ``pt``, ``layouts``: ``{path**}`` is any path, on the PyTorch side rewritten as
                           ``segments`` say and joined with dots; the layouts are tried in their order, and the sizes
                           of their axes are the tensor's
``derived``                ``pt``, ``reason``: what the PyTorch model makes for itself
``[model.TYPE]``           of one ``model_type``: ``rows``, before the others; ``renames`` (``pt``, ``to``) of PyTorch
                           names by later versions; ``ignored`` (``tf``, ``reason``), where the class has no parameter;
                           ``optional`` (``pt``, ``reason``), what TensorFlow's class has not; ``notes``, where
                           the PyTorch class computes something else than TensorFlow's; ``refused`` (``class``,
                           ``reason``), where that is another result; ``config``, what TensorFlow's class
                           computes with, whatever its config says
=========================  =============================================================================================

Which of several names a tensor gets is not for the rules to say: planning asks the PyTorch class.
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
    """A name with ``{name}`` (any text without a divider) and ``{path**}`` (any text) in it."""

    text: str
    expression: re.Pattern[str]

    @classmethod
    def parse(cls, text: str, divider: str = "/") -> Pattern:
        """Parse the notation; the ``divider`` of the names is a slash in TensorFlow and a dot in PyTorch."""
        parts, at = [], 0
        for found in _PLACEHOLDER.finditer(text):
            some = ".+" if found[2] else f"[^{divider}]+?"
            parts += [re.escape(text[at : found.start()]), f"(?P<{found[1]}>{some})"]
            at = found.end()
        return cls(text, re.compile("".join(parts) + re.escape(text[at:])))

    def bind(self, name: str) -> dict[str, str] | None:
        """What each placeholder stands for in ``name``, None where it does not fit."""
        found = self.expression.fullmatch(name)
        return found.groupdict() if found else None

    def render(self, values: Mapping[str, str]) -> str:
        """The name with these values."""
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self.text)


class Rule(NamedTuple):
    """One row: its two names, its layout for each rank, and where it is written."""

    tf: Pattern
    pt: Pattern
    layouts: tuple[Layout, ...]
    where: Where


class Reason(NamedTuple):
    """Names that are accounted for without a row, and why."""

    pattern: Pattern
    reason: str


class ModelRules(NamedTuple):
    """What holds of one ``model_type`` beside the general rules."""

    rows: tuple[Rule, ...] = ()
    ignored: tuple[Reason, ...] = ()
    optional: tuple[Reason, ...] = ()
    renames: tuple[tuple[Pattern, Pattern], ...] = ()
    notes: tuple[str, ...] = ()
    config: Mapping[str, Any] = FrozenDict()
    refused: Mapping[str, str] = FrozenDict()

    def renamed(self, name: str) -> str:
        """A PyTorch name of transformers 4 as version 5 has it: every rename that fits, in their order."""
        for before, after in self.renames:
            if (values := before.bind(name)) is not None:
                name = after.render(values)
        return name


class Rules(NamedTuple):
    """A table of rules; ``source`` are its bytes and ``label`` its file as people are shown it."""

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
        """What holds of the ``model_type`` beside the rest."""
        return self.models.get(kind, ModelRules())

    def candidates(self, name: str, kind: str) -> Iterator[tuple[Rule, str]]:
        """The PyTorch names that a variable of a ``model_type`` may have, each with its rule; the model's own first."""
        for path in self._paths(name):
            for rule in (*self.model(kind).rows, *self.rows):
                values = rule.tf.bind(path)
                if values is not None:
                    made = rule.pt.render({key: self.rewritten(value) for key, value in values.items()})
                    yield rule, made
                    if (renamed := self.model(kind).renamed(made)) != made:
                        yield rule, renamed

    def why_ignored(self, name: str, kind: str) -> str | None:
        """Why a variable of a ``model_type`` is left out, None if it is not."""
        ignored = self.model(kind).ignored
        return next((one.reason for path in self._paths(name) for one in ignored if one.pattern.bind(path)), None)

    def why_derived(self, name: str) -> str | None:
        """Why a parameter is in no checkpoint, None if it should be."""
        return next((one.reason for one in self.derived if one.pattern.bind(name) is not None), None)

    def _paths(self, name: str) -> Iterator[str]:
        """A variable's name without each of the fronts that it has."""
        for front in self.fronts:
            if (values := front.bind(name.removesuffix(self.suffix))) is not None:
                yield values["rest"]

    def rewritten(self, path: str) -> str:
        """A path as PyTorch spells it."""
        return ".".join(filter(None, (self._segment(segment) for segment in path.split("/"))))

    def _segment(self, segment: str) -> str:
        for tf, pt in self.segments:
            while (values := tf.bind(segment)) is not None:
                segment = pt.render(values)
        return segment


def load_rules(name: str | Path) -> Rules:
    """Load a table of rules.

    Raises:
        TableError: there is no such table, or it is not well formed; the message begins with ``file:line``.
    """
    path = tables.find(name)
    table, label = tables.label(path)
    root = Document(path, label).root
    root.only("schema", "title", "names", "suffix", "front", "segments", "rows", "derived", "model")
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
    section.only("rows", "ignored", "optional", "renames", "notes", "config", "refused")
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
    section.only("pt", "to")
    return Pattern.parse(section.text("pt"), "."), Pattern.parse(section.text("to"), ".")


def _rules(section: Section, group: str) -> tuple[Rule, ...]:
    return tuple(_rule(one, at, group) for at, one in enumerate(section.tables("rows"), 1))


def _rule(section: Section, number: int, group: str) -> Rule:
    section.only("tf", "pt", "layouts")
    tf, pt = Pattern.parse(section.text("tf")), Pattern.parse(section.text("pt"))
    if alone := set(pt.expression.groupindex) - set(tf.expression.groupindex):
        raise section.error("index-mismatch", f'"{pt.text}" holds {{{min(alone)}}}, which "{tf.text}" does not bind')
    layouts = [parse_at(section, "layouts", Layout.parse, text) for text in section.texts("layouts")]
    for layout in layouts:
        if any(len(term.axes) > 1 or term.pad for term in layout.tf.terms) or layout.tf.listed or layout.pt.listed:
            hint = "the tensor's own shape gives the sizes: write one axis for each of its dimensions"
            raise section.error("schema", f'layout "{layout.text}" merges axes left of the arrow', "layouts", hint=hint)
    where = Where(section.document.label, section.line, number, group)
    return Rule(tf, pt, tuple(layouts), where)


def _reasons(section: Section, key: str, side: str) -> tuple[Reason, ...]:
    found = []
    for one in section.tables(key):
        one.only(side, "reason")
        found.append(Reason(Pattern.parse(one.text(side), "." if side == "pt" else "/"), reason(one)))
    return tuple(found)
