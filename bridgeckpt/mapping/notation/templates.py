"""Templates: names in mapping tables with placeholders, such as ``{scope}bert/encoder/layer_{layer}/``.

A template expands to exact names. Patterns are matched only where a dialect is recognised.

=====================  =============================================================================================
``{layer}``            an index of the model table; ``{layer + 1}`` is arithmetic over indices
``{scope}``            a wildcard: any text, also empty (``my_model/``), bound when the dialect is recognised
``{tf}``               in ``[slots]``: the name of the weight that the slot belongs to
``{#}``, ``{#layer}``  a counter. Keras numbers the layers of one kind in a model: no number for the first, then ``_1``,
                       ``_2``, ... The numbers depend on the layers built before, so only their order counts:
                       ``dense{#k}`` is the k-th name (from 1, in numeric order) of those that differ from the
                       template only in the counter. ``{#}`` is ``{#1}``. Where a name holds several counters, only
                       the last has a k: those before it are ``{#}``, as in ``attention{#}/dense{#3}``.
=====================  =============================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from bridgeckpt.mapping.notation.errors import LintError
from bridgeckpt.mapping.notation.expressions import Expression

COUNTER = r"(?:_[0-9]{1,9})?"  # a pattern of the number that Keras may give

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_COUNTER = re.compile(r"\{#([^{}]*)\}")
_WORD = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)

Values = Mapping[str, int | str]


class Counter(NamedTuple):
    """The last counter of a template: the text before and after it, and the position among the numbered names.

    The text ``before`` it may hold more counters.
    """

    before: Template
    after: Template
    ordinal: Expression


class Template:
    """A parsed name: ``text`` as written, its ``wildcards`` and ``indices``, and its ``counter`` or None."""

    __slots__ = ("_computed", "counter", "indices", "text", "wildcards")

    def __init__(self, text: str, indices: Collection[str]) -> None:
        self.text = text
        self.counter: Counter | None = None
        self._computed: dict[str, Expression] = {}  # by the text between the braces
        wildcards: dict[str, None] = {}
        used: dict[str, None] = {}
        for content in _PLACEHOLDER.findall(text):
            if content in indices:
                used[content] = None
            elif _WORD.match(content):
                wildcards[content] = None
            else:
                expression = Expression.parse(1 if content == "#" else content.removeprefix("#"))
                if unknown := [key for key in expression.keys if key not in indices]:
                    raise LintError("schema", f'name "{text}": "{unknown[0]}" in {{{content}}} is not an index')
                used.update(dict.fromkeys(expression.keys))
                self._computed[content] = expression
        self.wildcards = tuple(wildcards)
        self.indices = tuple(used)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @classmethod
    def parse(cls, text: str, indices: Collection[str] = ()) -> Template:
        """Parse a template; a placeholder named in ``indices`` is an index, any other name a wildcard.

        Raises:
            TableError: a brace is unmatched, arithmetic uses a name that is not an index, or a counter before the last
                has a position.
        """
        rest = _PLACEHOLDER.sub("", text)
        if "{" in rest or "}" in rest:
            raise LintError("schema", f'name "{text}" has an unmatched brace')
        template = cls(text, indices)
        pieces = _COUNTER.split(text)
        if any(pieces[1:-2:2]):
            hint = "write the first ones {#}"
            raise LintError("schema", f'name "{text}" has a position in a counter before the last', hint=hint)
        if len(pieces) > 1:
            ordinal = template._computed[f"#{pieces[-2]}"]
            template.counter = Counter(cls.parse("{#}".join(pieces[:-2:2]), indices), cls(pieces[-1], indices), ordinal)
        return template

    @property
    def has_counter(self) -> bool:
        """Whether the name holds a counter."""
        return self.counter is not None

    @property
    def depends_on_sibling_order(self) -> bool:
        """Whether the counter may select a name other than the first of the numbered names."""
        return self.counter is not None and self.counter.ordinal.text != "1"

    def render(self, values: Values) -> str:
        """The name for these ``values`` of its wildcards and indices; a counter is numbered as in a fresh model."""
        if not self._computed:
            return self.text.format_map(values)
        filled = dict(values)
        for content, expression in self._computed.items():
            number = evaluate(expression, values)
            filled[content] = number if content[0] != "#" else f"_{number - 1}" if number > 1 else ""
        return self.text.format_map(filled)

    def render_range(self, values: Values, index: str, count: int) -> list[str]:
        """The names for ``index`` = 0 to ``count`` - 1, as :meth:`render` makes them, but faster."""
        placeholder = f"{{{index}}}"
        if self._computed or self.text.count(placeholder) != 1:
            return [self.render({**values, index: number}) for number in range(count)]
        before, after = (part.format_map(values) for part in self.text.split(placeholder))
        return [f"{before}{number}{after}" for number in range(count)]

    def pattern(self, values: Values) -> re.Pattern[str]:
        """A pattern of the names for any counter; wildcards that are not in ``values`` are groups for any text."""
        pieces = _PLACEHOLDER.split(self.text)
        parts, bound = [re.escape(pieces[0])], set[str]()
        for content, literal in zip(pieces[1::2], pieces[2::2], strict=True):
            if content[0] == "#":
                parts.append(COUNTER)
            elif content in self._computed:
                known = all(key in values for key in self._computed[content].keys)
                parts.append(str(evaluate(self._computed[content], values)) if known else "[0-9]+")
            elif content in values:
                parts.append(re.escape(str(values[content])))
            else:
                parts.append(f"(?P={content})" if content in bound else f"(?P<{content}>.*)")
                bound.add(content)
            parts.append(re.escape(literal))
        return re.compile("".join(parts), re.DOTALL)


def evaluate(expression: Expression, values: Values) -> int:
    """The value of an expression over indices."""
    return expression.evaluate({key: int(values[key]) for key in expression.keys})
