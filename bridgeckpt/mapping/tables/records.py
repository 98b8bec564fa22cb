"""What a mapping table is made of once it is loaded: plain records that planning reads and nothing here changes.

The language itself is described in :mod:`bridgeckpt.mapping.tables.dialect`. Records are tuples here and elsewhere in
the package, since the machinery of dataclasses costs a dozen milliseconds each time the program starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.mapping.tables.graph import GraphScopes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridgeckpt.mapping.notation.layout import Layout
    from bridgeckpt.mapping.notation.names import Template
    from bridgeckpt.mapping.tables.model_records import Architecture, ModelTable
    from bridgeckpt.mapping.tables.tokenizer import Tokenizer

Spelling = tuple["Template", ...]


class Where(NamedTuple):
    """Where a row is written: the file as shown to people, its line, and its number (from 1) in its group."""

    file: str
    line: int
    row: int
    group: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Row(NamedTuple):
    """One line of a table: TensorFlow tensors, PyTorch parameters, and the axes of both.

    ``tf`` and ``pt`` are full names, prefix included; one, unless the layout has an ``[axis]`` and the table lists
    them. ``also`` holds further spellings of the whole of ``tf``, accepted when reading. ``fill`` is what added padding
    holds, ``orientation`` the reason why a kernel is not transposed. ``axes`` are sizes of this row's alone, where its
    axes have names that mean nothing elsewhere.
    """

    group: str
    tf: Spelling
    pt: Spelling
    also: tuple[Spelling, ...]
    layout: Layout
    optional: bool
    fill: float | None
    orientation: str | None
    where: Where
    axes: Mapping[str, int] = FrozenDict()


class Group(NamedTuple):
    """Rows under one prefix a side (``pt`` is PyTorch's), there together or, when ``optional``, not at all.

    ``alternative_prefixes`` holds the same rows under each further tf prefix at which a checkpoint may have the group
    instead.
    ``refused`` says why no class of transformers computes what the source does with these tensors.
    """

    name: str
    pt: str
    optional: bool
    refused: str | None
    rows: tuple[Row, ...]
    alternative_prefixes: tuple[tuple[Row, ...], ...]


class Ignored(NamedTuple):
    """Tensors that are never converted, or because of which nothing is, and why.

    ``pattern`` is a name; ``**/`` in front is any path or none, a wildcard there any text, ``**`` at the end any rest.
    """

    pattern: str
    reason: str

    def matches(self, name: str) -> bool:
        """Whether the pattern covers ``name``."""
        front, body = "", self.pattern
        if body.startswith("**/"):
            front, name, body = "**", "/" + name, body[2:]
        elif body.startswith("{"):
            front, _, body = body.partition("}")
        if body.endswith("**"):
            return body[:-2] in name if front else name.startswith(body[:-2])
        return name.endswith(body) if front else name == body


class ConfigSource(NamedTuple):
    """The config that a code base writes.

    ``files`` are its names, or patterns, the first found is taken; a text that the checkpoint itself holds goes by a
    name too. Its values are at ``roots``; ``keys`` renames them, or what is at a path of keys from there; those in
    ``required`` must be as they are there.
    ``transformers``: it is transformers' own, all of which is handed on.
    """

    files: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    keys: Mapping[str, str] = FrozenDict()
    required: Mapping[str, Any] = FrozenDict()
    transformers: bool = False


class DialectConfig(NamedTuple):
    """What a dialect implies: ``values`` for config.json and, by key, what a word of the source's config means here.

    ``source`` is where that config is. ``doubts`` says, by key, why a value that no graph tells may be another.
    """

    values: Mapping[str, Any] = FrozenDict()
    words: Mapping[str, Mapping[str, str]] = FrozenDict()
    source: ConfigSource = ConfigSource()
    doubts: Mapping[str, str] = FrozenDict()


class TableSummary(NamedTuple):
    """What a plan was made by, for messages and the report: a dialect, or a table of rules.

    ``files`` are the bytes of the files that it is made of, by the name that people are shown.
    """

    name: str
    title: str
    files: Mapping[str, bytes]

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each of ``files``, in hexadecimal."""
        from hashlib import sha256  # loads OpenSSL: only when a report is written

        return {name: sha256(data).hexdigest() for name, data in self.files.items()}


class Table(NamedTuple):
    """A dialect: how one TensorFlow code base spells the tensors of ``model``.

    ``detect`` names are all in a checkpoint of the dialect and ``absent`` names are not. ``names`` says which name of a
    variable the table speaks of: "key" (in the checkpoint) or "variable" (its full name in the object graph). Every tf
    name ends in ``suffix`` already. A checkpoint with one of the ``refused`` tensors is of a variant that no class
    computes. ``graph`` says where a graph holds what no tensor does, ``tokenizer`` what a vocabulary beside the
    checkpoint is made into. ``heads`` says which head a checkpoint has by how the path of one of its objects ends.
    ``files`` are the bytes of the files that it is made of, by the name that people are shown: its own, those it
    borrows from, the model's.
    """

    name: str
    path: Path
    title: str
    model: ModelTable
    files: Mapping[str, bytes]
    detect: tuple[Template, ...] = ()
    absent: tuple[Template, ...] = ()
    names: str = "key"
    suffix: str = ""
    wildcards: Mapping[str, str] = FrozenDict()
    slots: Mapping[str, tuple[Template, ...]] = FrozenDict()
    groups: Mapping[str, Group] = FrozenDict()
    ignored: tuple[Ignored, ...] = ()
    refused: tuple[Ignored, ...] = ()
    config: DialectConfig = DialectConfig()
    graph: GraphScopes = GraphScopes()
    tokenizer: Tokenizer | None = None
    heads: Mapping[str, tuple[str, ...]] = FrozenDict()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def summary(self) -> TableSummary:
        """What a plan keeps of the table."""
        return TableSummary(self.name, self.title, self.files)

    def rows_of(self, architecture: Architecture) -> list[Row]:
        """The rows of the groups that a class needs or takes."""
        names = (*architecture.groups, *architecture.optional)
        return [row for name in names if name in self.groups for row in self.groups[name].rows]

    @property
    def rows(self) -> list[Row]:
        """Every row."""
        return [row for group in self.groups.values() for row in group.rows]
