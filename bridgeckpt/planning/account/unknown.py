"""Tensors that nothing in the table accounts for: a part of the model that is not known, or something beside it.

A tensor inside the encoder that no row maps makes it another architecture: hidden states depend on it. One outside is
of a head of one's own, or of another model, and the encoder is right without it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import Problem
from bridgeckpt.formats.places import places_of
from bridgeckpt.formats.training.words import names_a_computation
from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.graph.reach import Reach
from bridgeckpt.store.tensors import DTYPES
from bridgeckpt.wording import fold, listed, shape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bridgeckpt.mapping.tables.records import Group, Table
    from bridgeckpt.planning.account.expansion import Expanded, Expansion
    from bridgeckpt.planning.account.ledger import LedgerBuilder
    from bridgeckpt.store.tensors import TensorInfo

_SHOWN = 12  # families of tensors that a problem lists


class Encoder(NamedTuple):
    """Where the model without a head is: the beginnings of its names, and the tensors there that it may lack.

    What a graph has ``shown`` comes before names.
    """

    places: tuple[str, ...]
    optional: frozenset[str]
    shown: Reach = Reach()

    def holds(self, name: str) -> bool:
        """Whether a tensor of this name is a part of it."""
        by_name = bool(self.places) and name.startswith(self.places)
        return name in self.shown.inside or (by_name and name not in self.shown.outside)


def encoder_of(
    expansion: Expansion, groups: Iterable[tuple[Group, Sequence[Expanded]]], wildcards: Mapping[str, str]
) -> Encoder:
    """The place of the model whose ``groups`` were expanded with ``wildcards``."""
    bare = expansion.table.model.bare
    own: dict[str, list[str]] = {}
    others: list[str] = []
    for group, rows in groups:
        found = [name for row in rows for names in row.sources for name in names or ()]
        expected = [name for row in rows for names in row.expected for name in names]
        if group.name in bare.groups:
            own[group.name] = found or expected
        elif group.name not in bare.optional:
            others += found + expected
    zeros: dict[str, int | str] = {**wildcards, **dict.fromkeys(expansion.table.model.indices, 0)}
    absent = (expansion.table.groups[name] for name in bare.optional if name in expansion.table.groups)
    spellings = (row for group in absent for row in chain(group.rows, *group.alternative_prefixes))
    optional = frozenset(name for row in spellings for name in expansion.find(row, zeros) or ())
    return Encoder(places_of([*own.values()], others), optional)


def settle_unknown(
    ledger: LedgerBuilder,
    table: Table,
    tensors: Mapping[str, TensorInfo],
    encoder: Encoder,
    towers: Mapping[str, Encoder],
    left_out: str | None,
) -> None:
    """Account for tensors that no row reads: an unknown part of the model is a problem, another model is excluded.

    What is outside becomes the ledger's ``own_head``. It is excluded for the reason ``left_out``, if there is one.
    ``towers`` are the other models in the checkpoint, by their scopes.
    """
    inside: list[str] = []
    for name in [name for name, state in ledger.sources.items() if state == "unmapped"]:
        scope = next((scope for scope, tower in towers.items() if tower.holds(name)), None)
        if encoder.holds(name):
            inside.append(name)
        elif scope is not None:
            ledger.sources[name] = "excluded"
            ledger.reasons[name] = f"of another model in the checkpoint, under {scope}"
        else:
            ledger.own_head.append(name)
            if left_out is not None:
                ledger.sources[name], ledger.reasons[name] = "excluded", left_out
    if inside:
        incomplete = "missing" in ledger.targets.values()
        ledger.problems.append(_another_architecture(inside, tensors, table.model.bare.name, incomplete))
    ignored = [
        name
        for name, state in ledger.sources.items()
        if state == "ignored"
        and encoder.holds(name)
        and name not in encoder.optional
        and name in tensors
        and _is_weight(tensors[name])
    ]
    if ignored:
        ledger.problems.append(_wrongly_ignored(ignored, tensors, table))


def described(names: Sequence[str], tensors: Mapping[str, TensorInfo]) -> tuple[str, ...]:
    """Names with their shapes, one line for tensors of one shape that differ only in a number."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        by_shape.setdefault(tensors[name].shape, []).append(name)
    place = {name: at for at, name in enumerate(names)}
    folds = [(place[members[0]], text, shape) for shape, of in by_shape.items() for text, members in fold(of)]
    lines = [f"{text} {shape_text(shape)}" for _, text, shape in sorted(folds)]
    return (*lines[:_SHOWN], *([f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []))


def _is_weight(info: TensorInfo) -> bool:
    """Whether hidden states can depend on it: counters and states of random numbers are integers."""
    return info.dtype in DTYPES and DTYPES[info.dtype].floating


def _another_architecture(
    names: Sequence[str], tensors: Mapping[str, TensorInfo], bare: str, incomplete: bool
) -> Problem:
    if incomplete:
        hint: str = Sentence(
            "if these are other names of what is missing, map them with rows in a table of your own ({mapping:FILE}); "
            "if not, it is another architecture, which no table makes right"
        )
    else:
        hint = (
            f"{bare} computes other hidden states without them, so no option and no table makes this right: "
            "load it with the code that wrote it"
        )
        if len(words := {_word_beside(name, tensors) for name in names}) == 1 and (word := words.pop()):
            hint = Sentence(
                "{hint}; unless you know that it is optimizer state, which a table of your own ({mapping:FILE}) leaves "
                "out, with {row} in [slots]",
                hint=hint,
                row=f'state = "{{tf}}/{word}"',
            )
    subject = f"{_count(names)} inside the encoder that {bare} does not have: another architecture"
    return Problem("unmapped", subject, described(names, tensors), hint, tuple(names))


def _word_beside(name: str, tensors: Mapping[str, TensorInfo]) -> str:
    """The last part of a name if the rest is the name of a tensor of the same shape, and it may be an optimizer's."""
    weight, _, word = name.rpartition("/")
    if names_a_computation(word):
        return ""
    return word if weight in tensors and tensors[weight].shape == tensors[name].shape else ""


def _wrongly_ignored(names: Sequence[str], tensors: Mapping[str, TensorInfo], table: Table) -> Problem:
    patterns = {entry.pattern for entry in table.ignored if any(entry.matches(name) for name in names)}
    details = (
        *described(names, tensors),
        f"ignored by {table.name}: {listed(sorted(patterns))}",
        f"{table.model.bare.name} computes other hidden states without them: it is another architecture",
    )
    hint = "[[ignored]] is for tensors that no hidden state depends on; load this model with the code that wrote it"
    return Problem("refused", f"{_count(names)} inside the encoder would be ignored", details, hint, tuple(names))


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} tensor{'s' * (len(names) != 1)}"
