"""``bridgeckpt diff``: whether two checkpoints hold the same tensors, and what differs, the worst first."""

from __future__ import annotations

import argparse
import os
import sys
from math import prod
from typing import TYPE_CHECKING, Any

from bridgeckpt.aligning.sides import STORED
from bridgeckpt.cli.console import Lines, print_json, table
from bridgeckpt.cli.words import say
from bridgeckpt.comparing.difference import diff
from bridgeckpt.options import DiffOptions
from bridgeckpt.store.sizes import format_size
from bridgeckpt.wording import fold, shape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bridgeckpt.comparing.difference import Compared, Difference, Stored, Uncompared

_SHOWN = 20  # differing tensors, unless all are asked for


def run(arguments: argparse.Namespace) -> int:
    """Compare as the arguments say; exit status 0 when both hold the same tensors, 1 when not."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy compares here: its algebra's threads only cost time
    options = DiffOptions(
        mapping=arguments.mapping,
        architecture=arguments.architecture,
        config=arguments.config,
        heads=arguments.heads,
        scope=arguments.scope,
        ema=arguments.ema,
    )
    found = diff(arguments.a, arguments.b, verify=arguments.verify, **options)
    if arguments.json:
        print_json(_record(found))
    else:
        _show(found, everything=arguments.all)
    return 0 if found.same else 1


def _show(found: Difference, *, everything: bool) -> None:
    print(f"A and B: {_summary(found)}")
    lines = Lines(sys.stdout)
    for label, checkpoint, naming in zip("AB", (found.a, found.b), found.naming, strict=True):
        held = f"{checkpoint.format}, {len(checkpoint.tensors)} tensors, {format_size(checkpoint.nbytes)}"
        lines.add(label, f"{checkpoint.path} ({held}; {naming})")
    for note in found.notes:
        lines.add("note", note)
    if found.naming == (STORED, STORED) and (found.missing or found.extra):
        lines.add("note", "every tensor is compared by its TensorFlow name, optimizer state too; --architecture CLASS")
        lines.add("note", "compares the weights of that class alone")
    for key, some in (("unmapped", found.unmapped), ("left out", found.uncompared)):
        for text in _reasons(some):
            lines.add(key, text)
    if rounded := [one for one in found.differing if one.rounded]:
        dtypes = ", ".join(sorted({_dtypes(one) for one in rounded}))
        lines.add("rounding", f"{len(rounded)} of those that differ do so by rounding alone: {dtypes}")
    if widened := [one for one in found.identical if one.a.dtype != one.b.dtype]:
        dtypes = ", ".join(sorted({_dtypes(one) for one in widened}))
        lines.add("dtypes", f"{len(widened)} of the identical have the same values in other dtypes: {dtypes}")
    for one in (*found.identical, *found.shapes):
        if one.tied and not (everything and one in found.identical):
            lines.add("tied", f"{one.name}: {one.tied}")
    _differing(found.differing if everything else found.differing[:_SHOWN])
    if (more := len(found.differing) - _SHOWN) > 0 and not everything:
        print(f"and {more} more, which differ less (--all lists them)")
    _table(("of another shape", "count", "in A", "in B", ""), _shapes(found.shapes))
    _table(("missing in B", "count", "shape", "in A as"), _lone(found.missing))
    _table(("extra in B", "count", "shape", "in B as"), _lone(found.extra))
    if everything:
        _table(
            ("identical", "shape", "dtype", "in A as", "in B as"),
            (
                (one.name, shape_text(one.a.shape), _dtypes(one), ", ".join(one.a.names), ", ".join(one.b.names))
                for one in found.identical
            ),
        )


def _summary(found: Difference) -> str:
    parts = [
        f"{len(found.identical)} identical",
        f"{len(found.differing)} differ",
        f"{len(found.missing)} missing",
        f"{len(found.extra)} extra",
    ]
    rest = ((found.shapes, "of another shape"), (found.unmapped, "unmapped"), (found.uncompared, "left out"))
    return ", ".join([*parts, *(f"{len(some)} {what}" for some, what in rest if some)])


def _reasons(some: Iterable[Uncompared]) -> list[str]:
    """One line for each reason and side, the names folded over layers, the first three of them."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for one in some:
        by_reason.setdefault((one.side.upper(), one.reason), []).append(one.name)
    texts = []
    for (side, reason), names in by_reason.items():
        folded = [text for text, _ in fold(names)]
        more = f" and {len(folded) - 3} more" if len(folded) > 3 else ""
        count = f"{len(names)} tensors, " if len(names) > 1 else ""
        texts.append(f"{side}: {count}{', '.join(folded[:3])}{more}: {say(reason)}")
    return texts


def _differing(some: Sequence[Compared]) -> None:
    """A row for each tensor: how many elements, the largest difference, where, and what the sides have there."""
    _table(
        ("differs", "elements", "by up to", "relative", "at", "A, B there", ""),
        (
            (
                one.name,
                f"{one.differing:,} of {prod(one.a.shape):,}",
                _number(one.largest),
                _number(one.relative),
                shape_text(one.where),
                _values(*one.values),
                "; ".join(_remarks(one)),
            )
            for one in some
        ),
    )


def _remarks(one: Compared) -> list[str]:
    """What a row of the differing says beside its numbers."""
    remarks = [f"tied: {one.tied}"] if one.tied else []
    if one.nans:
        remarks.append(f"NaN on one side only: {one.nans:,}")
    elif not one.largest:
        remarks.append("by the signs of zeros or the bits of NaNs alone")
    if one.rounded:
        remarks.append("rounded")
    elif one.a.dtype != one.b.dtype:
        remarks.append(f"{one.a.dtype}, {one.b.dtype}: more than rounding")
    return remarks


def _dtypes(one: Compared) -> str:
    return one.a.dtype if one.a.dtype == one.b.dtype else f"{one.a.dtype} in A, {one.b.dtype} in B"


def _shapes(some: Iterable[Compared]) -> list[tuple[str, ...]]:
    """Rows for the tensors of two shapes, folded over layers."""
    alike: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for one in some:
        alike.setdefault((one.a.shape, one.b.shape), []).append(one.name)
    return [
        (folded, str(len(names)), shape_text(a), shape_text(b), "the axes are reversed" if a == b[::-1] else "")
        for (a, b), of_shapes in alike.items()
        for folded, names in fold(of_shapes)
    ]


def _values(a: float, b: float) -> str:
    """Two values, with as many digits as it takes to tell them apart."""
    short = [f"{value:.6g}" for value in (a, b)]
    return ", ".join(short if short[0] != short[1] else [str(a), str(b)])


def _number(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _lone(some: Mapping[str, Stored]) -> list[tuple[str, str, str, str]]:
    """Rows for the tensors of one side only, folded over layers."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, stored in some.items():
        by_shape.setdefault(stored.shape, []).append(name)
    rows = []
    for shape, alike in by_shape.items():
        for folded, names in fold(alike):
            spelled = ", ".join(text for text, _ in fold(stored for name in names for stored in some[name].names))
            rows.append((folded, str(len(names)), shape_text(shape), spelled if spelled != folded else ""))
    return rows


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table after a blank line, unless it would be empty; a last column that says nothing is left out."""
    rows = list(rows)
    if not rows:
        return
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    print()
    table(header, rows)


def _record(found: Difference) -> dict[str, Any]:
    """The result as JSON-ready values."""
    return {
        "ok": found.same,
        **{
            side: {"path": str(checkpoint.path), "format": checkpoint.format, "names": naming}
            for side, checkpoint, naming in zip("ab", (found.a, found.b), found.naming, strict=True)
        },
        "identical": [_compared(one) for one in found.identical],
        "differing": [
            {
                **_compared(one),
                "elements": one.differing,
                "largest": one.largest,
                "relative": one.relative,
                "where": one.where,
                "values": one.values,
                "nans": one.nans,
                "rounding": one.rounded,
            }
            for one in found.differing
        ],
        "shapes": [_compared(one) for one in found.shapes],
        "missing": [{"name": name, **stored._asdict()} for name, stored in found.missing.items()],
        "extra": [{"name": name, **stored._asdict()} for name, stored in found.extra.items()],
        "unmapped": [one._asdict() for one in found.unmapped],
        "uncompared": [one._asdict() for one in found.uncompared],
        "notes": found.notes,
    }


def _compared(one: Compared) -> dict[str, Any]:
    return {"name": one.name, "a": one.a._asdict(), "b": one.b._asdict(), "tied": one.tied}
