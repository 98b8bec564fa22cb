"""Records of a model's table, the PyTorch side: axes, classes, ties, buffers, config and tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.mapping.tables.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridgeckpt.mapping.notation.expressions import Expression
    from bridgeckpt.mapping.notation.layout import Layout
    from bridgeckpt.mapping.notation.templates import Template
    from bridgeckpt.mapping.tables.tokenizer import Tokenizer

HEADS = "heads"  # the option of a conversion that gives the number of attention heads


class Architecture(NamedTuple):
    """A Hugging Face class: the ``groups`` that it needs, and ``optional`` ones.

    Its parameter names are without ``drop_prefix``. ``head`` says what one row of its logits is about ("sequence",
    "token", "choice") if names and shapes do not show it. ``sizes`` are sizes of axes that the class fixes.
    ``load_without`` says, by optional group, how the class is loaded when a checkpoint lacks the group: with these
    arguments it is complete. Without such arguments, an absent optional group is a problem.
    ``filled`` are groups among ``groups`` that a checkpoint may lack: see :class:`Filled`.
    """

    name: str
    groups: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    drop_prefix: str = ""
    head: str | None = None
    sizes: Mapping[str, int] = FrozenDict()
    load_without: Mapping[str, str] = FrozenDict()
    filled: tuple[str, ...] = ()

    @property
    def all_groups(self) -> set[str]:
        """The groups that it needs, and its optional ones."""
        return {*self.groups, *self.optional}


def bare_class(classes: Mapping[str, Architecture]) -> Architecture:
    """The class without a head: the one with the fewest groups."""
    return min(classes.values(), key=lambda a: len(a.groups))


class Roles(NamedTuple):
    """The axes whose meaning a conversion needs; None if a model has no such axis.

    ``vocabulary`` counts tokens, ``positions`` is the length of the longest sequence, ``labels`` counts the labels of a
    classifier.
    """

    vocabulary: str | None = None
    positions: str | None = None
    labels: str | None = None


class Tied(NamedTuple):
    """``pt`` is a second name of the parameter ``to``, and is not stored."""

    pt: Template
    to: Template


class Derived(NamedTuple):
    """A buffer that the model rebuilds: ``value`` is one of arange, zeros, ones, lower_triangle."""

    pt: Template
    value: str
    layout: Layout
    reason: str


class Filled(NamedTuple):
    """A parameter of ``group`` that holds ``value`` everywhere if a checkpoint lacks the group.

    ``meaning`` says what the model computes with it. Without a ``layout`` it is one number, which is in no group.
    ``dtype`` is that of the weights, unless it is given.
    """

    group: str
    pt: Template
    value: float
    layout: Layout | None
    meaning: str
    dtype: str | None = None


class ModelConfig(NamedTuple):
    """What config.json needs beyond the source's own keys.

    Attributes:
        files: Names or patterns of the source's config, unless a dialect gives others.
        options: The config key that each option of a conversion sets (``heads``, ``hidden_act``, ``layer_norm_eps``).
        labels: The key of the number of labels.
        keys: Transformers' key by the source's key.
        defaults: Values for keys that the source lacks.
        kept: Further keys of the source that are copied. No others are: they could change what is loaded.
        needed: Keys that the class computes with and that no shape tells. Each has to have a value.
        padded: Sizes that the checkpoint may exceed.
        flags: Keys that are true or false.
        tokens: Keys of ids of tokens, which are below the size of the vocabulary.
        foreign: The name of another model, by a key that only configs of that model have.
        repeating: By such a key, the key of this model whose value it may repeat.
    """

    files: tuple[str, ...] = ()
    options: Mapping[str, str] = FrozenDict()
    labels: str | None = None
    keys: Mapping[str, str] = FrozenDict()
    defaults: Mapping[str, Any] = FrozenDict()
    kept: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    padded: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    foreign: Mapping[str, str] = FrozenDict()
    repeating: Mapping[str, str] = FrozenDict()


class ModelTable(NamedTuple):
    """The PyTorch side of a model: its axes, indices, ties, buffers, classes, config and tokenizer."""

    name: str
    path: Path
    model: str
    source: bytes
    architectures: Mapping[str, Architecture]
    dims: Mapping[str, Expression] = FrozenDict()
    indices: Mapping[str, Expression] = FrozenDict()
    roles: Roles = Roles()
    tied: tuple[Tied, ...] = ()
    derived: tuple[Derived, ...] = ()
    filled: tuple[Filled, ...] = ()
    config: ModelConfig = ModelConfig()
    tokenizer: Tokenizer | None = None
    wiring: Wiring = Wiring()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def bare(self) -> Architecture:
        """The class without a head."""
        return bare_class(self.architectures)

    @property
    def size_keys(self) -> tuple[str, ...]:
        """The config keys in the expressions of sizes, and that of the number of heads."""
        keys = [key for expression in (*self.dims.values(), *self.indices.values()) for key in expression.keys]
        heads = self.config.options.get(HEADS)
        return tuple(dict.fromkeys((*keys, heads) if heads is not None else keys))

    @property
    def config_keys(self) -> set[str]:
        """Every key of config.json that the table knows."""
        config = self.config
        return {*self.size_keys, *config.options.values(), *config.defaults, *config.kept, *config.needed}

    def derives(self, parameters: tuple[Template, ...]) -> bool:
        """Whether all these are buffers that the model rebuilds."""
        return {template.text for template in parameters} <= {buffer.pt.text for buffer in self.derived}
