"""A dialect is a TOML file: how one TensorFlow code base names the tensors of a model. This module loads it.

=============================  =========================================================================================
``schema = 1``                 version of the language
``title``                      one line for people
``model = "bert/model"``       the model table; by default the ``model.toml`` beside the file
``use = "bert/google"``        another dialect that this one builds on. Groups, slots, wildcards, config and graph are
                               inherited by name, ignored tensors are added, detect is inherited if this file has none
``detect``                     one or more names that all checkpoints of the dialect hold, and no others do; with ``!``
                               in front, a name that they lack (a wildcard only there stands for any text)
``names``                      ``"key"`` (the default) or ``"variable"``: which name of a variable the table uses: its
                               checkpoint key, or the variable's own name, which object graphs and Keras 2 also keep
``suffix``                     ends every tf name (``":0"``), also those in ``detect``
``[wildcards]`` name = text    free text inside names (``{scope}``): ``detect`` binds it; this text is written
``[slots]`` name = template    what names beside each weight mean, ``"{tf}/adam_m"``, or a list, whose first is written.
                               Optimizer state is also known without this, by its form (formats/training/state.py)
``[group.NAME]``               rows under a pair of prefixes ``tf``, ``pt``; ``also``: further tf prefixes accepted when
                               reading; an ``optional`` group is complete or absent; ``use = "bert/google.layer"``
                               borrows another table's rows, and an own row replaces one with the same ``pt``;
                               ``refused = "reason"``: no class computes what the source does with these tensors
``rows = [{ ... }]``           ``tf``, ``pt``, ``layout``; ``tf`` or ``pt`` is a list when the layout has an ``[axis]``;
                               ``also``: other spellings of ``tf``, accepted when reading; ``optional``: may be absent;
                               ``fill``: value of added padding; ``orientation``: why a kernel is not transposed
``[[ignored]]`` tf, reason     never converted; ``**/`` in front is any path, also none; ``**`` at the end is any rest
``[[refused]]`` tf, reason     a checkpoint with such a tensor is a variant that cannot be converted
``[config]``                   values for config.json (``layer_norm_eps = 1e-12``). An activation, an epsilon or a size
                               is used where neither shapes, a graph nor the source's config give it; any other value
                               is what the code always computes with, whatever the config says. A value of the first
                               kind is an assumption in a shipped table, except for the keys in ``constants``: no
                               program can give the code another. In your own table it is your word.
                               ``[config.words.KEY]``: the meaning of a word in the source's config; it settles an
                               inherited doubt about the word
``[config.source]``            the config that the code writes: ``files`` (names or patterns, of files or of texts in a
                               checkpoint; a text in the checkpoint is believed before a file beside it, and the first
                               file that exists is read), ``classes`` (patterns of the classes whose configs have the
                               values, at any depth of Keras' description in a checkpoint), ``roots`` (paths of keys to
                               the objects with the values; in a list a key is an element's name),
                               ``[config.source.keys]`` renames keys (or paths of keys) there,
                               ``[config.source.required]`` are the only values that can be converted;
                               ``transformers = true``: transformers wrote it, and it is copied
``[config.doubts]`` key =      why the value may be wrong, whatever the source's config says, if neither the graph nor
                               the user gives it; ``[config.doubts.KEY]`` word = the same, if the config has this word,
                               or if it says nothing and the word is the model's default
``[graph]`` key =              where a graph shows the value of a key of config.json: the kind of computation
{ computation = scopes }       (``epsilon``, ``activation``, ``heads``) and all name scopes of such computations
``[graph.head]``               how a graph shows which head it has: ``kernel`` is the variable that makes the logits;
                               each kind of head gives the scope whose output is multiplied with it
``[described]``                the layers that Keras describes in a file, and what each of them reads: see
                               :mod:`bridgeckpt.mapping.tables.described`
``[tokenizer]``                the differences from the model's: see :mod:`bridgeckpt.mapping.tables.tokenizer`
``[heads]`` head = endings     the head (what one row of the logits is about: ``span``) of a checkpoint with such an
                               ending of a path in its object graph; the first match counts
=============================  =========================================================================================

A full name is the group's prefix and the row's name, so grep finds both. Names are described in
:mod:`bridgeckpt.mapping.notation.templates`, layouts in :mod:`bridgeckpt.mapping.notation.layout`, expressions in
:mod:`bridgeckpt.mapping.notation.expressions`, ``model.toml`` in :mod:`bridgeckpt.mapping.tables.model`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.config_section import load_config, merged_config
from bridgeckpt.mapping.tables.described_section import load_described
from bridgeckpt.mapping.tables.dialect_checks import check_detect, refuse_duplicates
from bridgeckpt.mapping.tables.graph import HEADS
from bridgeckpt.mapping.tables.graph_section import load_graph
from bridgeckpt.mapping.tables.groups import Naming, load_group, read_document
from bridgeckpt.mapping.tables.model import check_schema, load_model, parse_at, reason
from bridgeckpt.mapping.tables.model_records import ModelTable
from bridgeckpt.mapping.tables.records import ConfigSource, Ignored, Table
from bridgeckpt.mapping.tables.tokenizer import load_tokenizer
from bridgeckpt.options import checked

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.mapping.tables.described import DescribedLayers
    from bridgeckpt.mapping.tables.document import Section

__all__ = ["ModelTable", "Table", "load_table"]

_KEYS = (
    *("schema", "title", "model", "use", "detect", "names", "suffix"),
    *("wildcards", "slots", "group", "ignored", "refused", "config", "described", "graph"),
    *("tokenizer", "heads"),
)


@checked()
def load_table(name: str | os.PathLike[str]) -> Table:
    """Load a dialect by the name of a shipped one (``"bert/google"``) or by the path of a file.

    Raises:
        TableError: the table does not exist or is malformed; the message begins with ``file:line``.
    """
    return _load(tables.find(name), ())


def _load(path: Path, borrowers: tuple[str, ...]) -> Table:
    name, label = tables.label(path)
    source = read_document(path)
    root = source.root
    if "dims" in root:
        hint = f"name a dialect, as in {tables.names()[0]}"
        raise root.error("schema", "is the PyTorch side of a model, not a dialect", hint=hint)
    if "front" in root:
        hint = "it is used where no dialect reads a checkpoint, and `bridgeckpt mappings show` prints it"
        raise root.error("schema", "is a table of rules, not a dialect", hint=hint)
    root.allow_only(*_KEYS)
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
    heads.allow_only(*HEADS)
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
        config=load_config(
            root.table("config"), model, base.config.source if base else ConfigSource(model.config.files), name
        ),
        described=load_described(
            root.table("described"), naming, lambda at, text: _borrowed(at, text, (*borrowers, label))
        ),
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
    """The dialect that the file builds on, or None."""
    if "use" not in root:
        return None
    for key in ("names", "suffix"):
        if key in root:
            raise root.error("schema", f'"{key}" is inherited from the table in "use"', key, hint="leave it out")
    path = parse_at(root, "use", tables.find, root.text("use"), root.document.path.parent)
    return _load(path, borrowers)


def _borrowed(section: Section, text: str, borrowers: tuple[str, ...]) -> DescribedLayers:
    """``[described]`` of the table that the section names."""
    path = parse_at(section, "use", tables.find, text, section.document.path.parent)
    return _load(path, borrowers).described


def _merge_over_base(table: Table, base: Table) -> Table:
    """A dialect with everything that it inherits from its base."""
    return table._replace(
        detect=table.detect or base.detect,
        absent=table.absent if table.detect else base.absent,
        slots={**base.slots, **table.slots},
        groups={**base.groups, **table.groups},
        ignored=(*table.ignored, *base.ignored),
        refused=(*table.refused, *base.refused),
        config=merged_config(table.config, base.config),
        described=table.described.merged_over(base.described),
        graph=table.graph.merged_over(base.graph),
        heads={**base.heads, **table.heads},
        files={**table.files, **base.files},
    )


def _model(root: Section) -> ModelTable:
    directory = root.document.path.parent
    if "model" in root:
        path = parse_at(root, "model", tables.find, root.text("model"), directory)
    else:
        path = directory / f"{tables.MODEL}.toml"
        if not path.is_file():
            hint = f'add  model = "{tables.label(tables.models()[0])[0]}"  below the schema'
            raise root.error("reference", "there is no model.toml beside the table", hint=hint)
    return load_model(path)


def _names(root: Section) -> str:
    names = root.text("names", "key")
    if names not in ("key", "variable"):
        raise root.error("schema", f'"names" is "{names}"', "names", hint='"key" or "variable"')
    return names


def _ignored(section: Section, naming: Naming) -> Ignored:
    section.allow_only("tf", "reason")
    text = section.text("tf")
    template = naming.template(section, "tf", text)
    if template.indices or template.has_counter or "{" in text[1:]:
        hint = "a wildcard is allowed at the front; for the rest use **"
        raise section.error("schema", f'"{text}" has a placeholder inside', "tf", hint=hint)
    if "**" in text.removeprefix("**/").removesuffix("**"):
        hint = 'write "**/name", "prefix/**" or both'
        raise section.error("schema", f'"{text}" has ** in the middle', "tf", hint=hint)
    return Ignored(text, reason(section))
