"""What is stated about the source: by the description inside the file, and by the config beside it, in that order.

A description inside the file is certainly of this model; a config that lies beside may have been put there. So the
description comes first. A config that the caller names comes before both. What two of them state differently is kept:
planning knows what the tensors and the graph decide of it.
"""

from __future__ import annotations

from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ConfigError
from bridgeckpt.formats.descriptions import IN_HDF5, IN_SAVED_MODEL, described_objects, plain
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.mapping.tables.computed import VERSION
from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.config_files import check_values, find_config, parse_values, read_config, read_values
from bridgeckpt.sidecar.differences import Disagreement, differences
from bridgeckpt.store.source import matching
from bridgeckpt.store.texts import JSON, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.descriptions import Described
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.sidecar.described.layers import DescribedFacts


class SourceConfig(NamedTuple):
    """What is stated.

    Attributes:
        values: By transformers' keys; {} if nothing is stated.
        name: The file or the description that most is from; "no config" without one.
        origins: By key, the name of what says it, where it is not ``name``.
        unread: Why a config beside the checkpoint was not read.
        differing: The values of which two sources say something else.
        is_given: The caller gave the config, which decides then.
    """

    values: JSON
    name: str
    origins: Mapping[str, str] = FrozenDict()
    unread: tuple[str, ...] = ()
    differing: tuple[Disagreement, ...] = ()
    is_given: bool = False

    def origin_of(self, key: str) -> str:
        """The name of what says the value of ``key``."""
        return self.origins.get(key, self.name)

    @property
    def described(self) -> dict[str, str]:
        """The keys whose values a description that is no file of its own says, each with the description's name."""
        origins = {key: self.origin_of(key) for key in self.values}
        return {key: name for key, name in origins.items() if name in (IN_HDF5, IN_SAVED_MODEL)}


class _Stated(NamedTuple):
    """The values of one source, and its name."""

    values: JSON
    name: str


def load_config(
    checkpoint: Checkpoint,
    table: Table,
    explicit: Path | None = None,
    *,
    scope: str = "",
    described: DescribedFacts | None = None,
) -> SourceConfig:
    """Read what is stated about a checkpoint.

    Args:
        checkpoint: the checkpoint.
        table: the dialect. It says where its code writes a config, and which classes of Keras have one.
        explicit: the config that the caller gives: a file, or a folder to look in.
        scope: the scope of the model, which decides between several in one description.
        described: what the layers in Keras' description say.

    Raises:
        ConfigError: ``explicit`` is missing or of another model; a config is unreadable, or a value is invalid.
    """
    inside = _inside(checkpoint, table, scope, described)
    unread: list[str] = []
    if explicit is not None:
        path = find_config(checkpoint.directory, explicit, table.config.source.files)
        outside = _Stated(read_config(path, table.model, table.config.source), path.name) if path else None
        stated = [one for one in (outside, inside) if one is not None]
    else:
        beside = _beside(checkpoint, table, unread)
        stated = [one for one in (inside, beside) if one is not None]
    if not stated:
        return SourceConfig(values={}, name="no config", unread=tuple(unread), is_given=explicit is not None)
    others = stated[1:] if explicit is not None else [*stated[1:], *_further(checkpoint, table, stated)]
    values = {key: value for one in reversed(stated) for key, value in one.values.items()}
    origins = dict.fromkeys(stated[-1].values.keys() - stated[0].values.keys(), stated[-1].name)
    return SourceConfig(
        values=values,
        name=stated[0].name,
        origins=FrozenDict(origins),
        unread=tuple(unread),
        differing=tuple(differences(values, origins, stated[0].name, others, table)),
        is_given=explicit is not None,
    )


def _beside(checkpoint: Checkpoint, table: Table, unread: list[str]) -> _Stated | None:
    """The first of the dialect's configs that lies beside the checkpoint; ``unread`` gets those of other models."""
    for name in table.config.source.files:
        path = find_config(checkpoint.directory, None, [name])
        if path is None:
            continue
        kind = read_values(path).get("model_type", table.model.model)
        if kind == table.model.model:
            return _Stated(read_config(path, table.model, table.config.source), path.name)
        unread.append(
            Sentence(
                "{name} is not read: it is the config of another model ({kind}), and the names are those of {table}; "
                "{config:FILE} gives another",
                name=path.name,
                kind=shown(kind),
                table=table.name,
            )
        )
    return None


def _inside(checkpoint: Checkpoint, table: Table, scope: str, described: DescribedFacts | None) -> _Stated | None:
    """What the checkpoint's own texts say; None if they say nothing that a conversion uses."""
    source, model = table.config.source, table.model
    found = _described(checkpoint, table, scope)
    if described is not None and described.values:
        found = _Stated({**described.values, **(found.values if found is not None else {})}, described.place)
    if found is not None:
        found = found._replace(values=check_values(found.values, f"{found.name} of {checkpoint.path}", model, source))
    text = next((name for name in source.files if name in checkpoint.metadata), None) if source.roots else None
    if text is None:
        return found
    where = f"{text} of {checkpoint.path}"
    values = check_values(parse_values(checkpoint.metadata[text], where), where, model, source)
    return _Stated({**values, **(found.values if found is not None else {})}, text)


def _described(checkpoint: Checkpoint, table: Table, scope: str) -> _Stated | None:
    """What Keras' description says of the only object of the dialect's classes, or of the one called like the scope."""
    if not table.config.source.classes:
        return None
    distinct: dict[str, tuple[Described, _Stated]] = {}
    for where, text in checkpoint.descriptions.items():
        for found in described_objects(text, where):
            if values := _needed_values(found, table):
                distinct.setdefault(shown(values), (found, _Stated(values, where)))
    here = [pair for pair in distinct.values() if _is_part(pair[0].name, scope)] if len(distinct) > 1 else []
    chosen = here or list(distinct.values())
    if len(chosen) != 1:
        return None
    found, stated = chosen[0]
    architecture = found.class_name.removeprefix("TF")
    named = {"architectures": [architecture]} if architecture in table.model.architectures else {}
    return stated._replace(values={**stated.values, **named})


def _is_part(name: str, scope: str) -> bool:
    """Whether an object of this name is part of a scope."""
    return name in scope.split("/") if name else False


def _needed_values(found: Described, table: Table) -> JSON:
    """What the computation needs of the config of an object, by the code's keys; {} for one of another class."""
    source, model = table.config.source, table.model
    if not any(fnmatchcase(found.class_name, pattern) for pattern in source.classes):
        return {}
    wanted = {*model.size_keys, *model.config.options.values(), *model.config.needed, *source.required}
    if source.transformers:
        wanted |= {*model.config.flags, VERSION}
    values = {key: plain(value) for key, value in found.config.items() if source.keys.get(key, key) in wanted}
    return {key: value for key, value in values.items() if value is not None}


def _further(checkpoint: Checkpoint, table: Table, known: list[_Stated]) -> Iterator[_Stated]:
    """The other configs of the model beside the checkpoint, which are not read, but may contradict what is.

    One that is damaged or of another model says nothing.
    """
    names = {one.name for one in known}
    for pattern in dict.fromkeys((*table.config.source.files, *table.model.config.files)):
        with suppress(OSError):
            for entry in matching(checkpoint.directory, pattern):
                if entry.is_file and entry.path.name not in names:
                    names.add(entry.path.name)
                    with suppress(ConfigError):
                        yield _Stated(read_config(entry.path, table.model, table.config.source), entry.path.name)
