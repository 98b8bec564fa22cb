"""Records of a loaded mapping table. Planning reads them; nothing changes them.

The language is described in :mod:`bridgeckpt.mapping.tables.dialect`. Records are tuples in the whole package, because
importing dataclasses costs about 12 ms at each start of the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.mapping.tables.described import DescribedLayers
from bridgeckpt.mapping.tables.graph import GraphScopes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridgeckpt.mapping.notation.layout import Layout
    from bridgeckpt.mapping.notation.templates import Template
    from bridgeckpt.mapping.tables.model_records import Architecture, ModelTable
    from bridgeckpt.mapping.tables.tokenizer import Tokenizer

Spelling = tuple["Template", ...]


class Where(NamedTuple):
    """Where a row is written: the file's name in messages, the line, and the row's number (from 1) in its group."""

    file: str
    line: int
    row: int
    group: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Row(NamedTuple):
    """One line of a table: TensorFlow tensors, PyTorch parameters, and the axes of both.

    ``tf`` and ``pt`` are full names, with the prefix: one name each, or several if the layout has an ``[axis]``.
    ``also`` holds alternatives to the whole of ``tf``, accepted when reading. ``fill`` is the value of added padding,
    ``orientation`` the reason why a kernel is not transposed. ``axes`` are sizes of axes that only this row has.
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
    """Rows under one TensorFlow prefix and one PyTorch prefix (``pt``). An ``optional`` group may be absent as a whole.

    ``alternative_prefixes`` holds the same rows under each further tf prefix that a checkpoint may use instead.
    ``refused`` is the reason why no class of transformers computes what the source does with these tensors, or None.
    """

    name: str
    pt: str
    optional: bool
    refused: str | None
    rows: tuple[Row, ...]
    alternative_prefixes: tuple[tuple[Row, ...], ...]


class Ignored(NamedTuple):
    """Tensors that are never converted, or that make a checkpoint unsupported, and the reason.

    ``pattern`` is a name. ``**/`` in front stands for any path, also none; a wildcard in front for any text; ``**`` at
    the end for any rest.
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


ANY_WORD = "*"  # in ``doubts``: whatever the source's config says


class ConfigSource(NamedTuple):
    """The config that a code base writes.

    Attributes:
        files: Names or patterns of files, or of texts inside the checkpoint. The first that exists is read.
        roots: Paths of keys to the objects with the values.
        keys: Transformers' key, by the key or path of keys below a root.
        required: The only values of these keys that can be converted.
        transformers: Whether transformers wrote the config. Then all of it is copied.
        classes: Patterns of the classes whose configs, in Keras' description inside a checkpoint, have the values.
    """

    files: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    keys: Mapping[str, str] = FrozenDict()
    required: Mapping[str, Any] = FrozenDict()
    transformers: bool = False
    classes: tuple[str, ...] = ()


class DialectConfig(NamedTuple):
    """What a dialect implies: ``values`` for config.json, and by key the meaning of ``words`` in the source's config.

    ``source`` says where that config is. ``doubts`` says why a value that no graph shows may be wrong: by key, and by
    the word for it in the source's config, or :data:`ANY_WORD`. ``certain`` says by key why a value is no assumption:
    the code computes with no other, or the user's own table says it.
    """

    values: Mapping[str, Any] = FrozenDict()
    words: Mapping[str, Mapping[str, str]] = FrozenDict()
    source: ConfigSource = ConfigSource()
    doubts: Mapping[str, Mapping[str, str]] = FrozenDict()
    certain: Mapping[str, str] = FrozenDict()


class TableSummary(NamedTuple):
    """The table that a plan was made with, for messages and the report: a dialect or a table of rules.

    ``files`` are the bytes of its files, by their names in messages.
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
    """A dialect: how one TensorFlow code base names the tensors of ``model``.

    A checkpoint of the dialect has all ``detect`` names and no ``absent`` names. ``names`` says which name of a
    variable the table uses: "key" (in the checkpoint) or "variable" (its full name in the object graph). Every tf name
    already ends in ``suffix``. A checkpoint with a ``refused`` tensor is a variant that no class computes. ``graph``
    says where a graph shows what no tensor shows, ``described`` which layers Keras' description in a file has,
    ``tokenizer`` what is made of a vocabulary beside the checkpoint.
    ``heads`` gives, by head, endings of paths in the object graph. ``files`` are the bytes of its files, by their names
    in messages: its own, those it borrows from, the model's.
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
    described: DescribedLayers = DescribedLayers()
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
        """The rows of the groups that a class needs, and of its optional groups."""
        names = (*architecture.groups, *architecture.optional)
        return [row for name in names if name in self.groups for row in self.groups[name].rows]

    @property
    def rows(self) -> list[Row]:
        """Every row."""
        return [row for group in self.groups.values() for row in group.rows]
