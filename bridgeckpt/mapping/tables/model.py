"""``model.toml``: the PyTorch side of a model, which all its dialects share.

=============================  =========================================================================================
``schema = 1``                 version of the language
``model = "bert"``             ``model_type`` in config.json
``[dims]`` axis = expression   the size of each axis: a config key, an integer, ``+ - * /`` over them, or ``"*"``: in no
                               config, computed from the shapes and the same everywhere (``labels``)
``[indices]`` name = ...       how many values ``{name}`` takes
``[roles]`` role = axis        which axis is the ``vocabulary``, which is the ``positions`` (the longest sequence), and
                               which is the ``labels`` of a classifier, if the model has them
``[[tied]]`` pt, to            ``pt`` is a second name of the parameter ``to`` and is not written
``[[derived]]`` pt, value,     a buffer that the model rebuilds: ``arange``, ``zeros``, ``ones`` or ``lower_triangle``
layout, reason
``[[filled]]`` group, pt,      the parameter ``pt`` of a group holds the number ``value`` everywhere if a checkpoint
value, layout, meaning         lacks the group and the class allows it (``filled``); ``meaning``: what is then computed
``[architectures]`` Class =    a Hugging Face class: ``groups`` that it needs; ``optional`` groups; ``drop_prefix``, a
{ groups, optional,            prefix that its parameter names lack; ``head``, what one row of its logits is about
drop_prefix, head, sizes,      (``sequence``, ``token``, ``choice``, ``span``); ``sizes`` that it fixes (``labels``);
load_without, filled }         ``load_without``: arguments with which it is complete without an optional group
                               (``add_pooling_layer=False``); a checkpoint may lack only such a group
                               ``filled``: groups that a checkpoint may lack. The class is only taken if it keeps more
                               of the checkpoint than every class that needs no filling
``[config]``                   for config.json: ``files`` are names or patterns of the source's config, unless a dialect
                               gives others (by default ``config.json``); ``labels`` is the key of the number of
                               labels; ``keys`` renames keys of the source, ``defaults`` are values of absent keys,
                               ``kept`` lists further keys that are copied (where the source has none, transformers'
                               default is right), ``needed`` lists keys that the class computes with and that no shape
                               tells: each is in the source's config, in a dialect's ``[config]``, in ``defaults``, or
                               the conversion is refused; ``padded`` lists sizes that a checkpoint may exceed,
                               ``flags`` lists keys that are true or false, ``tokens`` those of ids of tokens,
                               ``foreign`` maps a key found only in another model's config to the name of that
                               model, ``repeating`` such a key to one of this model: with an equal value it says nothing
``[config.options]``           the key of config.json that each option of a conversion sets, if the model has one:
option = key                   ``heads``, ``hidden_act``, ``layer_norm_eps``
``[wiring]``                   what each part is computed from: see :mod:`bridgeckpt.mapping.tables.wiring`
``[tokenizer]``                see :mod:`bridgeckpt.mapping.tables.tokenizer`
=============================  =========================================================================================
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar

from bridgeckpt.errors import TableError
from bridgeckpt.mapping.notation.expressions import Expression
from bridgeckpt.mapping.notation.layout import Layout
from bridgeckpt.mapping.notation.templates import Template
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.document import Document, Section
from bridgeckpt.mapping.tables.graph import HEADS
from bridgeckpt.mapping.tables.model_records import Architecture, Derived, Filled, ModelConfig, ModelTable, Roles, Tied
from bridgeckpt.mapping.tables.tokenizer import load_tokenizer
from bridgeckpt.mapping.tables.wiring import load_wiring

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

SCHEMA = 1
CONFIG = "config.json"  # the source's config, if neither the model nor the dialect names it
DERIVED_VALUES = ("arange", "zeros", "ones", "lower_triangle")
OPTIONS = ("heads", "hidden_act", "layer_norm_eps")  # options of a conversion that set a config key

_KEYS = (
    "schema",
    "model",
    "dims",
    "indices",
    "roles",
    "tied",
    "derived",
    "filled",
    "architectures",
    "config",
    "tokenizer",
    "wiring",
)

Parsed = TypeVar("Parsed")


def load_model(path: Path) -> ModelTable:
    """Load a model's table; it is loaded again only after the file is modified.

    Raises:
        TableError: the file is not a model table; the message begins with ``file:line``.
    """
    return _load(path, path.stat().st_mtime_ns)


def shipped_models() -> dict[str, ModelTable]:
    """The models that have tables, by their ``model_type``."""
    return {model.model: model for model in map(load_model, tables.models())}


@cache
def _load(path: Path, _modified: int) -> ModelTable:
    name, label = tables.label(path)
    document = Document(path, label)
    root = document.root
    root.allow_only(*_KEYS)
    check_schema(root)
    dims, indices = _expressions(root.table("dims")), _expressions(root.table("indices"))
    if both := sorted({*dims} & {*indices}):
        raise root.error("schema", f'"{both[0]}" is both an axis and an index', "indices", both[0])
    classes = root.table("architectures")
    filled = tuple(_filled(section, dims, indices) for section in root.tables("filled"))
    return ModelTable(
        name=name,
        path=path,
        model=root.text("model"),
        dims=dims,
        indices=indices,
        roles=_roles(root.table("roles"), dims),
        tied=tuple(_tied(section, indices) for section in root.tables("tied")),
        derived=tuple(_derived(section, dims, indices) for section in root.tables("derived")),
        filled=filled,
        architectures={name: _architecture(classes.table(name), dims, filled) for name in classes},
        config=_config(root.table("config")),
        tokenizer=load_tokenizer(root.table("tokenizer"), None),
        wiring=load_wiring(root.table("wiring"), indices),
        source=document.source,
    )


def check_schema(root: Section) -> None:
    """Refuse a version of the language that this program cannot read."""
    version = root.data.get("schema")
    if version != SCHEMA:
        raise root.error(
            "schema",
            f"schema is {version}, and this version of bridgeckpt reads {SCHEMA}" if version else '"schema" is missing',
            "schema",
            hint=f"begin the file with  schema = {SCHEMA}",
        )


def parse_at(section: Section, key: str, parse: Callable[..., Parsed], *arguments: object) -> Parsed:
    """``parse(*arguments)``; an error gets the place of ``key`` in ``section``."""
    try:
        return parse(*arguments)
    except TableError as error:
        raise section.with_place(error, key) from None


def check_axes(section: Section, layout: Layout, known: Collection[str]) -> None:
    """Refuse a layout with an axis that has no size because it is not ``known``."""
    for axis in layout.axes:
        if axis not in known:
            from difflib import get_close_matches  # only for messages

            near = get_close_matches(axis, known, 1)
            hint = f'did you mean "{near[0]}"?' if near else f'add  {axis} = "..."  to [dims] of the model table'
            message = f'layout "{layout.text}" has an unknown axis "{axis}"'
            raise section.error("unknown-axis", message, "layout", hint=hint)


def reason(section: Section, key: str = "reason") -> str:
    """A reason, which must not be empty."""
    text = section.text(key, "").strip()
    if not text:
        raise section.error(
            "reason", f'"{key}" is missing or empty', hint="give the reason in one line: the report prints it"
        )
    return text


def _expressions(section: Section) -> dict[str, Expression]:
    for name, value in section.data.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise section.error("schema", f'"{name}" is {value!r}, not a config key, an expression or an integer', name)
    return {name: parse_at(section, name, Expression.parse, section.data[name]) for name in section}


def _roles(section: Section, dims: dict[str, Expression]) -> Roles:
    section.allow_only(*Roles._fields)
    for role in section:
        if section.text(role) not in dims:
            message = f'"{role}" is "{section.text(role)}", which is not an axis'
            raise section.error("unknown-axis", message, role, hint=f"the axes are {', '.join(dims)}")
    return Roles(**{role: section.text(role) for role in section})


def _tied(section: Section, indices: dict[str, Expression]) -> Tied:
    section.allow_only("pt", "to")
    return Tied(_parameter(section, "pt", indices), _parameter(section, "to", indices))


def _derived(section: Section, dims: dict[str, Expression], indices: dict[str, Expression]) -> Derived:
    section.allow_only("pt", "value", "layout", "reason")
    value = section.text("value")
    if value not in DERIVED_VALUES:
        raise section.error("schema", f'"value" is "{value}"', "value", hint=f"one of {', '.join(DERIVED_VALUES)}")
    layout = parse_at(section, "layout", Layout.parse, section.text("layout"))
    check_axes(section, layout, (*dims, *indices))
    return Derived(_parameter(section, "pt", indices), value, layout, reason(section))


def _filled(section: Section, dims: dict[str, Expression], indices: dict[str, Expression]) -> Filled:
    section.allow_only("group", "pt", "value", "layout", "meaning")
    value = section.data.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise section.error("schema", f'"value" is {value!r}, not a number', "value")
    layout = parse_at(section, "layout", Layout.parse, section.text("layout"))
    check_axes(section, layout, (*dims, *indices))
    template = _parameter(section, "pt", indices)
    return Filled(
        group=section.text("group"), pt=template, value=value, layout=layout, meaning=reason(section, "meaning")
    )


def _parameter(section: Section, key: str, indices: dict[str, Expression]) -> Template:
    template = parse_at(section, key, Template.parse, section.text(key), indices)
    if template.wildcards or template.has_counter:
        raise section.error("schema", f'"{key}" is "{template.text}": a parameter\'s name may hold only indices', key)
    return template


def _architecture(section: Section, dims: dict[str, Expression], fillings: tuple[Filled, ...]) -> Architecture:
    section.allow_only("groups", "optional", "drop_prefix", "head", "sizes", "load_without", "filled")
    head = section.text("head") if "head" in section else None
    if head is not None and head not in HEADS:
        raise section.error("schema", f'"head" is "{head}"', hint=f"one of {', '.join(HEADS)}")
    sizes = section.table("sizes").data
    for axis, size in sizes.items():
        if axis not in dims:
            raise section.error("unknown-axis", f'"sizes" has an unknown axis "{axis}"')
        if isinstance(size, bool) or not isinstance(size, int):
            raise section.error("schema", f'the size of "{axis}" is {size!r}, not an integer')
    optional, load_without = section.texts("optional", ()), section.table("load_without")
    load_without.allow_only(*optional)
    groups, filled = section.texts("groups"), section.texts("filled", ())
    for group in filled:
        if group not in groups or all(entry.group != group for entry in fillings):
            raise section.error("schema", f'"filled" has "{group}", which is no group of it with [[filled]] entries')
    return Architecture(
        name=str(section.key[-1]),
        groups=groups,
        optional=optional,
        drop_prefix=section.text("drop_prefix", ""),
        head=head,
        sizes=sizes,
        load_without={group: load_without.text(group) for group in load_without},
        filled=filled,
    )


def _config(section: Section) -> ModelConfig:
    section.allow_only(
        *("files", "options", "labels", "keys", "defaults", "kept", "needed", "padded", "flags", "tokens"),
        *("foreign", "repeating"),
    )
    options, keys, foreign = section.table("options"), section.table("keys"), section.table("foreign")
    repeating = section.table("repeating")
    repeating.allow_only(*foreign)
    options.allow_only(*OPTIONS)
    return ModelConfig(
        files=section.texts("files", (CONFIG,)),
        options={option: options.text(option) for option in options},
        labels=section.text("labels") if "labels" in section else None,
        keys={key: keys.text(key) for key in keys},
        defaults=section.table("defaults").data,
        kept=section.texts("kept", ()),
        needed=section.texts("needed", ()),
        padded=section.texts("padded", ()),
        flags=section.texts("flags", ()),
        tokens=section.texts("tokens", ()),
        foreign={key: foreign.text(key) for key in foreign},
        repeating={key: repeating.text(key) for key in repeating},
    )
