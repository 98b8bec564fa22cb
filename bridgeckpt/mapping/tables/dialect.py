"""A dialect: the TOML file that says how one TensorFlow code base spells a model. This module loads it.

=============================  =========================================================================================
``schema = 1``                 version of the language
``title``                      one line for people
``model = "bert/model"``       the model table; by default the ``model.toml`` beside the file
``use = "bert/google"``        another dialect, which says everything that this file does not: groups, slots, wildcards,
                               config and graph by name, ignored tensors in addition, detect if this file has none
``detect``                     a name, or several, that every checkpoint of the dialect holds and no other does; with
                               ``!`` in front, a name that it does not hold (with any text for a wildcard of its own)
``names``                      ``"key"`` (the default) or ``"variable"``: which name of a variable the table speaks of,
                               its checkpoint key or the variable's own, which object graphs and Keras 2 keep too
``suffix``                     ends every tf name (``":0"``), those in ``detect`` too
``[wildcards]`` name = text    free text inside names (``{scope}``): bound by ``detect``; this text when writing
``[slots]`` name = template    optimizer state beside each weight, ``"{tf}/adam_m"``, or a list: the first is written
``[group.NAME]``               rows under a pair of prefixes ``tf``, ``pt``; ``also``: further tf prefixes accepted when
                               reading; an ``optional`` group is all or nothing; ``use = "bert/google.layer"`` borrows
                               another table's rows, and own rows replace a borrowed one with the same ``pt``;
                               ``refused = "reason"``: no class computes what the source does with these tensors
``rows = [{ ... }]``           ``tf``, ``pt``, ``layout``; ``tf`` or ``pt`` is a list when the layout has an ``[axis]``;
                               ``also``: other spellings of ``tf``, accepted when reading; ``optional``: may be absent;
                               ``fill``: value of added padding; ``orientation``: why a kernel is not transposed
``[[ignored]]`` tf, reason     never converted; ``**/`` in front is any path or none, ``**`` at the end any rest
``[[refused]]`` tf, reason     a checkpoint with such a tensor is of a variant that cannot be converted
``[config]``                   facts that the dialect implies (``layer_norm_eps = 1e-12``); ``[config.words.KEY]``: what
                               a word of the source's config means here
``[config.source]``            the config that the code writes: ``files`` (names or patterns, the first found is read;
                               also of texts in the checkpoint itself), ``roots`` (paths of keys to the objects with the
                               values; in a list a key is an element's name), ``[config.source.keys]`` renames what is
                               there or at a path from there, ``[config.source.required]`` are the only values that can
                               be converted; ``transformers = true``: it is transformers' own, and handed on
``[config.doubts]`` key =      why a value may be another where neither graph nor user gives it: a note
``[graph]`` key =              what a graph of the dialect says of a key of config.json: what is computed (``epsilon``,
{ computation = scope }        ``activation``, ``heads``), and the name scope in which
``[graph.head]``               how a graph tells heads apart: ``kernel``, the variable that makes the logits, and by
                               kind of head the scope whose output it is multiplied with
``[tokenizer]``                what differs from the model's: see :mod:`bridgeckpt.mapping.tables.tokenizer`
``[heads]`` head = ends        what one row of the logits is about (``span``), told by how the path of an object in the
                               object graph ends; the first that fits
=============================  =========================================================================================

A full name is the group's prefix and the row's name, so that grep finds both spellings. Names are described in
:mod:`bridgeckpt.mapping.notation.names`, layouts in :mod:`bridgeckpt.mapping.notation.layout`, expressions in
:mod:`bridgeckpt.mapping.notation.expressions`, ``model.toml`` in :mod:`bridgeckpt.mapping.tables.model`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.dialect_checks import check_detect, refuse_duplicates
from bridgeckpt.mapping.tables.graph import HEADS
from bridgeckpt.mapping.tables.graph_section import load_graph
from bridgeckpt.mapping.tables.groups import Naming, document, load_group
from bridgeckpt.mapping.tables.model import check_schema, load_model, parse_at, reason
from bridgeckpt.mapping.tables.model_records import ModelTable
from bridgeckpt.mapping.tables.records import ConfigSource, DialectConfig, Ignored, Table
from bridgeckpt.mapping.tables.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.mapping.tables.document import Section

__all__ = ["ModelTable", "Table", "load_table"]

_KEYS = (
    *("schema", "title", "model", "use", "detect", "names", "suffix"),
    *("wildcards", "slots", "group", "ignored", "refused", "config", "graph", "tokenizer", "heads"),
)


def load_table(name: str | Path) -> Table:
    """Load a dialect by the name of a shipped one (``"bert/google"``) or by the path of a file.

    Raises:
        TableError: there is no such table, or it is not well formed; the message begins with ``file:line``.
    """
    return _load(tables.find(name), ())


def _load(path: Path, borrowers: tuple[str, ...]) -> Table:
    name, label = tables.label(path)
    source = document(path)
    root = source.root
    if "dims" in root:
        hint = f"name a dialect, as in {tables.names()[0]}"
        raise root.error("schema", "is the PyTorch side of a model, not a dialect", hint=hint)
    if "front" in root:
        hint = "it is used where no dialect reads a checkpoint, and `bridgeckpt mappings show` prints it"
        raise root.error("schema", "is a table of rules, not a dialect", hint=hint)
    root.only(*_KEYS)
    check_schema(root)
    if label in borrowers:
        raise root.error("reference", f"borrows from itself: {' -> '.join((*borrowers, label))}", "use")
    base = _base_table(root, (*borrowers, label))
    model = base.model if base and "model" not in root else _model(root)
    wildcards = root.table("wildcards")
    suffix = base.suffix if base else root.text("suffix", "")
    inherited = base.wildcards if base else {}
    naming = Naming(model, {**inherited, **{key: wildcards.text(key) for key in wildcards}}, suffix)
    slots, heads = root.table("slots"), root.table("heads")
    heads.only(*HEADS)
    detect = root.texts("detect", () if base else None)
    files = {label: source.source}
    table = Table(
        name=name,
        path=path,
        title=root.text("title"),
        model=model,
        detect=tuple(naming.template(root, "detect", text + suffix) for text in detect if not text.startswith("!")),
        absent=tuple(naming.template(root, "detect", text[1:] + suffix) for text in detect if text.startswith("!")),
        names=base.names if base else _names(root),
        suffix=naming.suffix,
        wildcards=naming.wildcards,
        slots={key: tuple(naming.template(slots, key, text, {"tf": ""}) for text in slots.texts(key)) for key in slots},
        groups={key: load_group(source, key, naming, files) for key in root.table("group")},
        ignored=tuple(_ignored(section, naming) for section in root.tables("ignored")),
        refused=tuple(_ignored(section, naming) for section in root.tables("refused")),
        config=_config(root.table("config"), base.config.source if base else ConfigSource(model.config.files)),
        graph=load_graph(root.table("graph"), naming),
        tokenizer=load_tokenizer(root.table("tokenizer"), base.tokenizer if base else model.tokenizer),
        heads={key: heads.texts(key) for key in heads},
        files=files,
    )
    files[tables.label(model.path)[1]] = model.source
    if base:
        table = _merge_over_base(table, base)
    check_detect(table, root)
    refuse_duplicates(table, root)
    return table


def _base_table(root: Section, borrowers: tuple[str, ...]) -> Table | None:
    """The dialect that the file builds on, if it names one."""
    if "use" not in root:
        return None
    for key in ("names", "suffix"):
        if key in root:
            raise root.error("schema", f'"{key}" is that of the table in "use"', key, hint="leave it out")
    path = parse_at(root, "use", tables.find, root.text("use"), root.document.path.parent)
    return _load(path, borrowers)


def _merge_over_base(own: Table, base: Table) -> Table:
    """A dialect on top of the one that it builds on."""
    return own._replace(
        detect=own.detect or base.detect,
        absent=own.absent if own.detect else base.absent,
        slots={**base.slots, **own.slots},
        groups={**base.groups, **own.groups},
        ignored=(*own.ignored, *base.ignored),
        refused=(*own.refused, *base.refused),
        config=own.config._replace(
            values={**base.config.values, **own.config.values},
            words={**base.config.words, **own.config.words},
            doubts={**base.config.doubts, **own.config.doubts},
        ),
        graph=own.graph.over(base.graph),
        heads={**base.heads, **own.heads},
        files={**own.files, **base.files},
    )


def _model(root: Section) -> ModelTable:
    beside = root.document.path.parent
    if "model" in root:
        path = parse_at(root, "model", tables.find, root.text("model"), beside)
    else:
        path = beside / f"{tables.MODEL}.toml"
        if not path.is_file():
            hint = f'add  model = "{tables.label(tables.models()[0])[0]}"  below the schema'
            raise root.error("reference", "there is no model.toml beside the table", hint=hint)
    return load_model(path)


def _config(section: Section, inherited: ConfigSource) -> DialectConfig:
    words, doubts = section.table("words"), section.table("doubts")
    return DialectConfig(
        values={key: value for key, value in section.data.items() if key not in ("words", "source", "doubts")},
        words={key: {word: words.table(key).text(word) for word in words.table(key)} for key in words},
        source=_config_source(section.table("source"), inherited),
        doubts={key: doubts.text(key) for key in doubts},
    )


def _config_source(section: Section, inherited: ConfigSource) -> ConfigSource:
    """Where the config is; what is not said is as in the table that this one builds on."""
    section.only("files", "roots", "keys", "required", "transformers")
    keys, required = section.table("keys"), section.table("required")
    return ConfigSource(
        section.texts("files", inherited.files),
        section.texts("roots", inherited.roots),
        {**inherited.keys, **{key: keys.text(key) for key in keys}},
        {**inherited.required, **required.data},
        section.flag("transformers") or inherited.transformers,
    )


def _names(root: Section) -> str:
    names = root.text("names", "key")
    if names not in ("key", "variable"):
        raise root.error("schema", f'"names" is "{names}"', "names", hint='"key" or "variable"')
    return names


def _ignored(section: Section, naming: Naming) -> Ignored:
    section.only("tf", "reason")
    text = section.text("tf")
    template = naming.template(section, "tf", text)
    if template.indices or template.counters or "{" in text[1:]:
        hint = "a wildcard may stand at its front; for the rest use **"
        raise section.error("schema", f'"{text}" has a placeholder inside', "tf", hint=hint)
    if "**" in text.removeprefix("**/").removesuffix("**"):
        hint = 'it stands as "**/name", "prefix/**" or both'
        raise section.error("schema", f'"{text}" has ** in the middle', "tf", hint=hint)
    return Ignored(text, reason(section))
