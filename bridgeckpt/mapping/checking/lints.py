"""Static lints: what can be known to be wrong with a mapping table without a checkpoint.

:func:`check` reports every problem of a table. Those that would make it unusable are found while it is loaded, the
rest here; :mod:`bridgeckpt.mapping.checking.coverage` compares it with the Hugging Face classes. What each lint means
stands in :data:`bridgeckpt.mapping.notation.errors.CODES`.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import TableError
from bridgeckpt.mapping.checking import coverage as target_coverage
from bridgeckpt.mapping.notation.errors import LintError, LintProblem
from bridgeckpt.mapping.notation.names import Names, bind
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.mapping.tables.records import Table
from bridgeckpt.mapping.tables.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import numpy as np

    from bridgeckpt.mapping.notation.layout import Layout, Side
    from bridgeckpt.mapping.tables.records import Row

    Array = np.ndarray[Any, np.dtype[Any]]

_BIASES = ("bias", "beta")  # how TensorFlow names end
_WEIGHTS = ("kernel", "gamma", "weights", "embeddings")
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)
_COUNT = 2  # values of an index that are spelled out


def check(table: Table | str | Path, *, coverage: bool | None = None) -> list[LintProblem]:
    """Every problem of a table; a file that cannot be loaded is one problem.

    Args:
        table: the table, the name of a shipped one (``"bert/google"``), or the path of a TOML file.
        coverage: compare with the Hugging Face classes, which needs transformers and torch and takes seconds. None
            does so when both are installed (:func:`bridgeckpt.mapping.checking.coverage.available` tells).

    Raises:
        BridgeckptError: ``coverage`` is True, and transformers or torch is not installed.
    """
    try:
        if table == tables.RULES:
            load_rules(table)
            return []
        loaded = table if isinstance(table, Table) else load_table(table)
    except LintError as error:
        return [LintProblem(error.code, error.reason, error.where, error.hint)]
    others = [other for other in _shipped() if other.name != loaded.name]
    problems = [*_role(loaded), *_orientation(loaded), *_merge_order(loaded), *_round_trip(loaded)]
    problems += [problem for other in others for problem in _agreement(loaded, other)]
    if loaded.name in tables.names():  # a table of the user's is named, not detected
        problems += [problem for other in others for problem in _detect(loaded, other)]
    problems += _detect(loaded, loaded)
    if coverage or (coverage is None and target_coverage.available()):
        problems += target_coverage.coverage(loaded)
    return problems


def _shipped() -> Iterator[Table]:
    """The shipped dialects that can be loaded; one that cannot is reported when it is checked itself."""
    for name in tables.names():
        try:
            yield load_table(name)
        except TableError:
            continue


def _role(table: Table) -> Iterator[LintProblem]:
    """Swapped rows of one module have shapes that fit; their names tell."""
    for row in table.rows:
        source, target = row.tf[0].text.removesuffix(table.suffix), row.pt[0].text
        if (source.endswith(_BIASES) and target.endswith("weight")) or (
            source.endswith(_WEIGHTS) and target.endswith("bias")
        ):
            yield LintProblem("role", f"{source} becomes {target}", str(row.where), "are two rows swapped?")


def _orientation(table: Table) -> Iterator[LintProblem]:
    for row in table.rows:
        kernels = [name.text for name in row.tf if name.text.removesuffix(table.suffix).endswith("kernel")]
        if kernels and row.pt[0].text.endswith("weight") and not row.layout.moves_axes and row.orientation is None:
            yield LintProblem(
                "orientation",
                f'"{row.layout.text}" does not transpose {kernels[0]}',
                str(row.where),
                "TensorFlow keeps a kernel as [in, out] and PyTorch a weight as [out, in]; "
                'if this one is different, say why in "orientation"',
            )


def _merge_order(table: Table) -> Iterator[LintProblem]:
    """Two rows that merge the same axes on the same side, one of them in another order: one is likely a slip."""
    seen: dict[tuple[str, frozenset[str]], tuple[tuple[str, ...], Row]] = {}
    for row in table.rows:
        for name, side in (("tf", row.layout.tf), ("pt", row.layout.pt)):
            for axes in (term.axes for term in side.terms if len(term.axes) > 1):
                first, where = seen.setdefault((name, frozenset(axes)), (axes, row))
                if first != axes and row.orientation is None:
                    yield LintProblem(
                        "merge-order",
                        f"{name} of {row.pt[0].text} merges ({' '.join(axes)}), "
                        f"that of {where.pt[0].text} ({' '.join(first)})",
                        str(row.where),
                        'the order is meaning, slowest first; give a reason in "orientation" if both are right',
                    )


def _agreement(table: Table, other: Table) -> Iterator[LintProblem]:
    if other.model.path != table.model.path:
        return
    layouts = {name.text: (row.layout.pt, row) for row in other.rows for name in row.pt}
    for row in table.rows:
        for name in row.pt:
            side, twin = layouts.get(name.text, (row.layout.pt, row))
            if side != row.layout.pt:
                yield LintProblem(
                    "dialect-agreement",
                    f'{name.text} is "{row.layout.pt}" here and "{side}" in {other.name} ({twin.where})',
                    str(row.where),
                    "a parameter has one layout, whatever it was converted from",
                )


def _detect(table: Table, other: Table) -> Iterator[LintProblem]:
    """Whether the names that ``table`` writes are recognised by ``other``: by itself they must be, by no one else."""
    names = Names(_written(table))
    bindings = bind(other.detect, names, other.absent)
    bound = {name for template in table.detect for name in template.wildcards}
    if other is table and bindings != [{name: text for name, text in table.wildcards.items() if name in bound}]:
        yield LintProblem(
            "detect",
            f"the names that {table.name} writes are not recognised by its own detect"
            if not bindings
            else f"the names that {table.name} writes are recognised {len(bindings)} times by its own detect",
            str(table.path),
            "detect holds names of rows, and no name that another row ends in",
        )
    if other is not table and bindings:
        yield LintProblem(
            "detect",
            f"{other.name} recognises the names of {table.name} too",
            str(table.path),
            'exactly one dialect may: put a name in detect that the other lacks, or one of its own with "!" in front',
        )


def _written(table: Table) -> Iterator[str]:
    """The tf names of a small model, as the table would write them."""
    for row in table.rows:
        for template in row.tf:
            for numbers in product(range(_COUNT), repeat=len(template.indices)):
                yield template.render({**table.wildcards, **dict(zip(template.indices, numbers, strict=True))})


def _round_trip(table: Table) -> Iterator[LintProblem]:
    for row in table.rows:
        sizes = _sizes(row)
        count = prod(sizes[axis] for axis in (*row.layout.pt.axes, *filter(None, [row.layout.pt.listed])))
        there = _apply(row.layout, _distinct(row.layout.tf, sizes), sizes)
        back = _apply(row.layout.reversed(), there, sizes)
        again = _apply(row.layout, back, sizes)
        values = [value for tensor in there for value in tensor.flat if value]
        steady = all((a == b).all() for a, b in zip(there, again, strict=True))
        if not len(values) == len({*values}) == count or not steady:
            yield LintProblem("round-trip", f'"{row.layout.text}" and its inverse lose or move values', str(row.where))


def _sizes(row: Row) -> dict[str, int]:
    """A different prime for each axis; the length of the list for one that a table lists."""
    sizes = dict(zip(row.layout.axes, _PRIMES, strict=False))
    for side, names in ((row.layout.tf, row.tf), (row.layout.pt, row.pt)):
        if side.listed and len(names) > 1:
            sizes[side.listed] = len(names)
    return sizes


def _distinct(side: Side, sizes: Mapping[str, int]) -> list[Array]:
    """The tensors of one side, every element another number above 0."""
    import numpy as np

    shape = (sizes[side.listed] if side.listed else 1, *side.shape(sizes))
    return [*np.arange(1, prod(shape) + 1).reshape(shape)]


def _apply(layout: Layout, sources: Iterable[Array], sizes: Mapping[str, int]) -> list[Array]:
    """What the layout makes of whole tensors in memory; 0 where nothing is copied."""
    import numpy as np

    sources, targets = [*sources], []
    for moves in layout.moves(sizes):
        target = np.zeros(layout.pt.shape(sizes), dtype=sources[0].dtype)
        for move in moves:
            part = sources[move.source].reshape(move.source_shape)[move.source_index].transpose(move.order)
            target.reshape(move.target_shape)[move.target_index] = part
        targets.append(target)
    return targets
