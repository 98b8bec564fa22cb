"""The body of a program's model: its embeddings and layers, apart from the heads on top of them.

A head may be trained from its initial values. A body that keeps them is nearly always a mistake: its names differ from
the checkpoint's, and only a head or a counter matched. What belongs to the body:

* In a program that a mapping table recognises, the tensors of the groups that every class of the model has.
* Any layer that has no value at all, if it is one of several of the same prefix and has more variables than two dense
  layers (``decoder/layer_0/...``, ``decoder/layer_1/...``). A single variable inside a layer, such as an adapter's, is
  not body.
* In a program that no table recognises, all variables without a value, if these are more than half of the variables.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

from bridgeckpt.mapping.notation.names import bind
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.mapping.tables.model_records import bare_class
from bridgeckpt.mapping.tables.shortlist import shortlist

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from bridgeckpt.mapping.notation.templates import Template
    from bridgeckpt.mapping.tables.records import Table

_HEAD = 4  # variables of two dense layers, as a head may have them: a larger numbered part is a layer of a body
NUMBER = re.compile(r"(?<=[-_/.])\d{1,3}(?!\d)")  # a layer's number; a digit inside a word, as in conv2d, is not one


def body_among(
    lacking: Collection[str], asked: Mapping[str, str], others: Iterable[str], state: Collection[str] = ()
) -> frozenset[str]:
    """Those of the variables without a value that belong to the model's body.

    Args:
        lacking: The variables without a value.
        asked: The checkpoint's name for each variable that was asked for. Tables may know either name.
        others: The names of further variables of the program; they help to recognise it.
        state: Those of ``asked`` that an optimizer made, and counters of the training. They are no part of the model.
    """
    asked = {name: key for name, key in asked.items() if name not in state}
    lacking = [name for name in lacking if name in asked]
    known = _known_to_tables({name: name for name in lacking}, asked)
    by_key = _known_to_tables({name: asked[name] for name in lacking}, [*asked.values(), *others])
    if known is None and by_key is None and 2 * len(lacking) > len(asked):
        return frozenset(lacking)
    return frozenset((*(known or ()), *(by_key or ()), *_empty_layers(lacking, asked)))


def _known_to_tables(keys: Mapping[str, str], program: Iterable[str]) -> set[str] | None:
    """The variables whose key a table has in its body; None if no table recognises the program's names."""
    names = list(program)
    recognised = False
    found = set[str]()
    for table in map(load_table, shortlist({"key": names, "variable": names})):
        for wildcards in bind(table.detect, names, table.absent):
            recognised = True
            patterns = [template.pattern(wildcards) for template in _body(table)]
            for name, key in keys.items():
                matches = filter(None, (pattern.fullmatch(key) for pattern in patterns))
                if any(all(map(str.isdigit, match.groupdict().values())) for match in matches):  # the indices
                    found.add(name)
    return found if recognised else None


def _body(table: Table) -> Iterator[Template]:
    """The names of the tensors of the groups that the bare class needs, as every other class does."""
    for name in bare_class(table.model.architectures).groups:
        if group := table.groups.get(name):
            for row in chain(group.rows, *group.alternative_prefixes):
                if not row.optional:
                    yield from chain(row.tf, *row.also)


def _empty_layers(lacking: Collection[str], asked: Iterable[str]) -> Iterator[str]:
    """The variables of layers without any value, of several layers below one prefix."""
    stacks: dict[str, dict[str, list[str]]] = {}  # by the name before the layer's number, then by the number
    for name in asked:
        for number in NUMBER.finditer(name):
            stacks.setdefault(name[: number.start()], {}).setdefault(number[0], []).append(name)
    for layers in stacks.values():
        for names in layers.values() if len(layers) > 1 else ():
            if len(names) > _HEAD and all(name in lacking for name in names):
                yield from names
