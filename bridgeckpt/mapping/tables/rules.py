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
``filled``                 ``pt``, ``value``, ``dtype``, ``meaning``: a single number that the PyTorch model loads, and
                           that no TensorFlow class has
``parts``                  ``part``, ``pt``, ``argument``: parameters that a class lacks if it is loaded with the
                           argument, so that a checkpoint may lack them
``of_training``            patterns of config keys that no output of a trained model depends on
``computes``               what TensorFlow's classes of any model compute, also if their configs say otherwise
``[model.TYPE]``           for one ``model_type``: ``rows``, tried before the others; ``renames`` (``pt``, ``to``) of
                           PyTorch names in later versions; ``ignored`` (``tf``, ``reason``): the PyTorch class has no
                           such parameter; ``optional`` (``pt``, ``reason``): TensorFlow's class has no such variable;
                           ``computes``: what TensorFlow's class computes, also if its config says otherwise
                           (:mod:`bridgeckpt.mapping.tables.computed`)
=========================  =============================================================================================

If rules give several names for a tensor, planning chooses the one that the PyTorch class has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.mapping.notation.layout import Layout
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.computed import computed
from bridgeckpt.mapping.tables.document import Document
from bridgeckpt.mapping.tables.model import check_schema, parse_at, reason
from bridgeckpt.mapping.tables.records import Where
from bridgeckpt.mapping.tables.rule_records import FilledNumber, ModelRules, Part, Pattern, Reason, Rule, Rules

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.mapping.tables.document import Section


_DTYPES = ("int64", "int32", "float32")  # of a number that is filled


def load_rules(name: str | Path) -> Rules:
    """Load a table of rules.

    Raises:
        TableError: the table does not exist or is malformed; the message begins with ``file:line``.
    """
    path = tables.find(name)
    table, label = tables.label(path)
    root = Document(path, label).root
    root.allow_only(
        "schema",
        "title",
        "names",
        "suffix",
        "front",
        "segments",
        "rows",
        "derived",
        "filled",
        "parts",
        "of_training",
        "computes",
        "model",
    )
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
        filled=tuple(map(_filled, root.tables("filled"))),
        parts=tuple(map(_part, root.tables("parts"))),
        of_training=root.texts("of_training", ()),
        computes=computed(root),
        models={kind: _model(models.table(kind), kind) for kind in models},
        source=root.document.source,
    )


def _model(section: Section, kind: str) -> ModelRules:
    section.allow_only("rows", "ignored", "optional", "renames", "computes")
    return ModelRules(
        rows=_rules(section, kind),
        ignored=_reasons(section, "ignored", "tf"),
        optional=_reasons(section, "optional", "pt"),
        renames=tuple(_rename(rename) for rename in section.tables("renames")),
        computes=computed(section),
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


def _filled(section: Section) -> FilledNumber:
    section.allow_only("pt", "value", "dtype", "meaning")
    value, dtype = section.data.get("value"), section.choice("dtype", _DTYPES)
    if isinstance(value, bool) or not isinstance(value, int):
        raise section.error("schema", f'"value" is {value!r}, not an integer', "value")
    return FilledNumber(Pattern.parse(section.text("pt"), "."), value, dtype, reason(section, "meaning"))


def _part(section: Section) -> Part:
    section.allow_only("part", "pt", "argument")
    return Part(section.text("part"), Pattern.parse(section.text("pt"), "."), section.text("argument"))


def _reasons(section: Section, key: str, side: str) -> tuple[Reason, ...]:
    reasons = []
    for entry in section.tables(key):
        entry.allow_only(side, "reason")
        reasons.append(Reason(Pattern.parse(entry.text(side), "." if side == "pt" else "/"), reason(entry)))
    return tuple(reasons)
