"""Names in mapping tables: templates such as ``{scope}bert/encoder/layer_{layer}/``, and the names of a checkpoint.

A template expands to exact names. Patterns are matched only where a dialect is recognised.

=====================  =============================================================================================
``{layer}``            an index of the model table; ``{layer + 1}`` is arithmetic over indices
``{scope}``            a wildcard: any text, also empty (``my_model/``), bound when the dialect is recognised
``{tf}``               in ``[slots]``: the name of the weight that the slot belongs to
``{#}``, ``{#layer}``  a counter. Keras numbers the layers of one kind in a model: no number for the first, then ``_1``,
                       ``_2``, ... The numbers depend on the layers built before, so only their order counts:
                       ``dense{#k}`` is the k-th name (from 1, in numeric order) of those that differ from the
                       template only in the counter. ``{#}`` is ``{#1}``. A name holds at most one counter.
=====================  =============================================================================================
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bridgeckpt.mapping.notation.errors import LintError
from bridgeckpt.mapping.notation.expressions import Expression

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_COUNTER = re.compile(r"\{#([^{}]*)\}")
_WORD = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_NUMBER = re.compile(r"_[0-9]{1,9}\Z")
_MANY = 2000  # names that difflib compares in a few milliseconds

Values = Mapping[str, int | str]


class Counter(NamedTuple):
    """The counter of a template: the text before and after it, and the position among the numbered names."""

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
            TableError: a brace is unmatched, arithmetic uses a name that is not an index, or there are two counters.
        """
        rest = _PLACEHOLDER.sub("", text)
        if "{" in rest or "}" in rest:
            raise LintError("schema", f'name "{text}" has an unmatched brace')
        template = cls(text, indices)
        pieces = _COUNTER.split(text)
        if len(pieces) > 3:
            raise LintError("schema", f'name "{text}" has two counters', hint="a name holds at most one {#}")
        if len(pieces) == 3:
            ordinal = template._computed[f"#{pieces[1]}"]
            template.counter = Counter(cls(pieces[0], indices), cls(pieces[2], indices), ordinal)
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
            number = _evaluate(expression, values)
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
                parts.append(r"(?:_[0-9]+)?")
            elif content in self._computed:
                known = all(key in values for key in self._computed[content].keys)
                parts.append(str(_evaluate(self._computed[content], values)) if known else "[0-9]+")
            elif content in values:
                parts.append(re.escape(str(values[content])))
            else:
                parts.append(f"(?P={content})" if content in bound else f"(?P<{content}>.*)")
                bound.add(content)
            parts.append(re.escape(literal))
        return re.compile("".join(parts), re.DOTALL)


class Names:
    """The names of a checkpoint's tensors, with a lookup of templates."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)  # a set that keeps the order
        self._sorted: list[str] | None = None
        self._numbered: dict[tuple[str, str], list[str]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def find(self, template: Template, values: Values) -> str | None:
        """The name that the template stands for, or None when the checkpoint lacks it."""
        if template.counter is None:
            name = template.render(values)
            return name if name in self._names else None
        before, after, ordinal = template.counter
        numbered = self._with_counter(before.render(values), after.render(values))
        position = _evaluate(ordinal, values)
        return numbered[position - 1] if 1 <= position <= len(numbered) else None

    def nearest(self, name: str, n: int = 3) -> list[str]:
        """The ``n`` names most similar to ``name``, best first."""
        from difflib import get_close_matches  # only for messages

        candidates: Iterable[str] = self._names
        if len(self._names) > _MANY:
            last = name.rpartition("/")[2]
            candidates = [other for other in self._names if other.rpartition("/")[2] == last][:_MANY]
        return get_close_matches(name, candidates, n)

    def _with_counter(self, before: str, after: str) -> list[str]:
        """The names of the form ``before``, counter, ``after``, in the order of the counter."""
        if (known := self._numbered.get((before, after))) is not None:
            return known
        if self._sorted is None:
            self._sorted = sorted(self._names)
        matches: list[tuple[int, str]] = []
        for position in range(bisect_left(self._sorted, before), len(self._sorted)):
            name = self._sorted[position]
            if not name.startswith(before):
                break
            counter = name[len(before) : len(name) - len(after)]
            if name == f"{before}{counter}{after}" and (not counter or _NUMBER.match(counter)):
                matches.append((int(counter[1:] or 0), name))
        self._numbered[before, after] = numbered = [name for _, name in sorted(matches)]
        return numbered


def bind(
    templates: Sequence[Template], names: Collection[str], absent: Sequence[Template] = ()
) -> list[dict[str, str]]:
    """The values of the wildcards with which all ``templates`` are among ``names``, and no template of ``absent`` is.

    Every index is 0. The time is linear in the number of names. A checkpoint with two towers (``bert/...`` and
    ``student/bert/...``) has two bindings.
    """
    bindings: list[dict[str, str]] = [{}]
    for template in templates:
        bindings = [extended for binding in bindings for extended in _extend(binding, template, names)]
    return [binding for binding in bindings if not any(_extend(binding, template, names) for template in absent)]


def _extend(binding: dict[str, str], template: Template, names: Collection[str]) -> list[dict[str, str]]:
    """``binding`` with the wildcards of ``template`` added: one for each way in which it is among ``names``."""
    pattern = template.pattern({**dict.fromkeys(template.indices, 0), **binding})
    literal_end = template.text.rpartition("}")[2]  # cheap to compare, and excludes nearly every name
    matches = filter(None, (pattern.fullmatch(name) for name in names if name.endswith(literal_end)))
    extended = dict.fromkeys(tuple({**binding, **match.groupdict()}.items()) for match in matches)
    return [dict(items) for items in extended]


def _evaluate(expression: Expression, values: Values) -> int:
    return expression.evaluate({key: int(values[key]) for key in expression.keys})
