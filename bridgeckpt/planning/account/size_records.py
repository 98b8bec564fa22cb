"""The sizes of a model as a record, and in the making."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.frozen import FrozenDict

if TYPE_CHECKING:
    from bridgeckpt.errors import Problem


class Sizes(NamedTuple):
    """The sizes of a model. They are never changed.

    ``values`` maps config keys to sizes, and ``origin`` to where each is from: the config's file name, the shapes or
    the graph. ``axes`` maps the axes and indices of the table to sizes. ``assumed`` has a warning for each key
    whose size only the tables give, ``told`` are the keys whose size the shapes or names tell. ``problems``,
    ``warnings`` and ``notes`` came up on the way.
    """

    values: Mapping[str, int]
    axes: Mapping[str, int]
    origin: Mapping[str, str]
    assumed: Mapping[str, str]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    told: frozenset[str] = frozenset()

    def of_axis(self, axis: str | None) -> int | None:
        """The size of an axis; None if the model has no such axis, or its size is unknown."""
        return self.axes.get(axis) if axis is not None else None


NO_SIZES = Sizes(  # of a model that is converted by rules
    values=FrozenDict(),
    axes=FrozenDict(),
    origin=FrozenDict(),
    assumed=FrozenDict(),
    problems=(),
    notes=(),
)


class SizesBuilder:
    """:class:`Sizes` in the making, with the same attributes."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.axes: dict[str, int] = {}
        self.origin: dict[str, str] = {}
        self.assumed: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.told: set[str] = set()

    def set(self, key: str, value: int, origin: str) -> None:
        """Set the size of a config key, and where it is from."""
        self.values[key] = value
        self.origin[key] = origin

    def build(self) -> Sizes:
        """The sizes with all that was added so far."""
        return Sizes(
            values=FrozenDict(self.values),
            axes=FrozenDict(self.axes),
            origin=FrozenDict(self.origin),
            assumed=FrozenDict(self.assumed),
            problems=tuple(self.problems),
            notes=tuple(self.notes),
            warnings=tuple(self.warnings),
            told=frozenset(self.told),
        )
