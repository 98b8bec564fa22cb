"""Static lints: mistakes in a mapping table that can be found without a checkpoint.

:func:`check` reports every problem of a table. Loading finds the problems that make a table unusable, and this module
finds the others. :mod:`bridgeckpt.mapping.checking.coverage` compares a table with the Hugging Face classes.
:data:`bridgeckpt.mapping.notation.errors.CODES` says what each lint means.
"""

from __future__ import annotations

import os
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import TableError
from bridgeckpt.mapping.checking import coverage as target_coverage
from bridgeckpt.mapping.checking.completeness import check_optional
from bridgeckpt.mapping.checking.ignored import ignored_parts
from bridgeckpt.mapping.notation.errors import LintError, LintProblem
from bridgeckpt.mapping.notation.names import Names, bind
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.mapping.tables.records import Table
from bridgeckpt.mapping.tables.rules import load_rules
from bridgeckpt.options import checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np

    from bridgeckpt.mapping.notation.layout import Layout
    from bridgeckpt.mapping.notation.sides import Side
    from bridgeckpt.mapping.tables.records import Row

    Array = np.ndarray[Any, np.dtype[Any]]

_BIASES = ("bias", "beta")  # how TensorFlow names end
_WEIGHTS = ("kernel", "gamma", "weights", "embeddings")
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)
_COUNT = 2  # values of each index in example names


@checked()
def check(table: Table | str | os.PathLike[str], *, coverage: bool | None = None) -> list[LintProblem]:
    """Every problem of a table; a file that cannot be loaded is one problem.

    Args:
        table: the table, the name of a shipped one (``"bert/google"``), or the path of a TOML file.
        coverage: compare with the Hugging Face classes, which needs transformers and torch and takes seconds. None
            compares if both are installed (:func:`bridgeckpt.mapping.checking.coverage.is_available`).

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
    problems += [*check_optional(loaded), *ignored_parts(loaded)]
    problems += [problem for other in others for problem in _agreement(loaded, other)]
    if loaded.name in tables.names():  # a user's own table is given by its path, not detected
        problems += [problem for other in others for problem in _detect(loaded, other)]
    problems += _detect(loaded, loaded)
    if coverage or (coverage is None and target_coverage.is_available()):
        problems += target_coverage.check_coverage(loaded)
    return problems


def _shipped() -> Iterator[Table]:
    """The shipped dialects that can be loaded; one that cannot is reported when it is checked itself."""
    for name in tables.names():
        try:
            yield load_table(name)
        except TableError:
            continue


def _role(table: Table) -> Iterator[LintProblem]:
    """Swapped rows of one module may have equal shapes, but their names show the mistake."""
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
    """Two rows that merge the same axes of one side in different orders: one is probably a mistake."""
    seen: dict[tuple[str, frozenset[str]], tuple[tuple[str, ...], Row]] = {}
    for row in table.rows:
        for name, side in (("tf", row.layout.tf), ("pt", row.layout.pt)):
            for axes in (term.axes for term in side.terms if len(term.axes) > 1):
                first_axes, first_row = seen.setdefault((name, frozenset(axes)), (axes, row))
                if first_axes != axes and row.orientation is None:
                    yield LintProblem(
                        "merge-order",
                        f"{name} of {row.pt[0].text} merges ({' '.join(axes)}), "
                        f"that of {first_row.pt[0].text} ({' '.join(first_axes)})",
                        str(row.where),
                        'the order of merged axes matters, slowest first; if both are right, say why in "orientation"',
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
                    "a parameter has one layout, whichever dialect it is converted from",
                )


def _detect(table: Table, other: Table) -> Iterator[LintProblem]:
    """Check that ``table`` recognises the names that it writes, and that no ``other`` table does."""
    names = Names(_example_names(table))
    bindings = bind(other.detect, names, other.absent)
    bound = {name for template in table.detect for name in template.wildcards}
    if other is table and bindings != [{name: text for name, text in table.wildcards.items() if name in bound}]:
        yield LintProblem(
            "detect",
            f"the names that {table.name} writes are not recognised by its own detect"
            if not bindings
            else f"the names that {table.name} writes are recognised {len(bindings)} times by its own detect",
            str(table.path),
            "detect holds names of rows, but no name that is the ending of another row's name",
        )
    if other is not table and bindings:
        yield LintProblem(
            "detect",
            f"{other.name} recognises the names of {table.name} too",
            str(table.path),
            'only one dialect may: put a name in detect that the other lacks, or a name of the other with "!" in front',
        )


def _example_names(table: Table) -> Iterator[str]:
    """The tf names of a small model, as the table writes them."""
    for row in table.rows:
        for template in row.tf:
            for numbers in product(range(_COUNT), repeat=len(template.indices)):
                yield template.render({**table.wildcards, **dict(zip(template.indices, numbers, strict=True))})


def _round_trip(table: Table) -> Iterator[LintProblem]:
    for row in table.rows:
        sizes = _sizes(row)
        count = prod(sizes[axis] for axis in (*row.layout.pt.axes, *filter(None, [row.layout.pt.listed])))
        forward = _apply(row.layout, _numbered_tensors(row.layout.tf, sizes), sizes)
        back = _apply(row.layout.reversed(), forward, sizes)
        again = _apply(row.layout, back, sizes)
        values = [value for tensor in forward for value in tensor.flat if value]
        is_same = all((a == b).all() for a, b in zip(forward, again, strict=True))
        if not len(values) == len({*values}) == count or not is_same:
            yield LintProblem("round-trip", f'"{row.layout.text}" and its inverse lose or move values', str(row.where))


def _sizes(row: Row) -> dict[str, int]:
    """A different prime for each axis; a listed axis counts the tensors of its list."""
    sizes = dict(zip(row.layout.axes, _PRIMES, strict=False))
    for side, names in ((row.layout.tf, row.tf), (row.layout.pt, row.pt)):
        if side.listed and len(names) > 1:
            sizes[side.listed] = len(names)
    return sizes


def _numbered_tensors(side: Side, sizes: Mapping[str, int]) -> list[Array]:
    """The tensors of one side; every element is a different number above 0."""
    import numpy as np

    shape = (sizes[side.listed] if side.listed else 1, *side.shape(sizes))
    return [*np.arange(1, prod(shape) + 1).reshape(shape)]


def _apply(layout: Layout, sources: Iterable[Array], sizes: Mapping[str, int]) -> list[Array]:
    """The target tensors of the layout, made in memory; an element is 0 where nothing is copied."""
    import numpy as np

    sources, targets = [*sources], []
    for moves in layout.moves(sizes):
        target = np.zeros(layout.pt.shape(sizes), dtype=sources[0].dtype)
        for move in moves:
            part = sources[move.source].reshape(move.source_shape)[move.source_index].transpose(move.order)
            target.reshape(move.target_shape)[move.target_index] = part
        targets.append(target)
    return targets
