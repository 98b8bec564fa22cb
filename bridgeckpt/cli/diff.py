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

_SHOWN = 20  # rows of differing tensors without --all


def run(arguments: argparse.Namespace) -> int:
    """Compare as the arguments say. The exit status is 0 if both hold the same tensors, else 1."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy only compares here, so threads of BLAS would cost time
    options = DiffOptions(
        mapping=arguments.mapping,
        architecture=arguments.architecture,
        config=arguments.config,
        heads=arguments.heads,
        scope=arguments.scope,
        ema=arguments.ema,
    )
    result = diff(arguments.a, arguments.b, verify=arguments.verify, **options)
    if arguments.json:
        print_json(_record(result))
    else:
        _show(result, everything=arguments.all)
    return 0 if result.same else 1


def _show(result: Difference, *, everything: bool) -> None:
    print(f"A and B: {_summary(result)}")
    lines = Lines(sys.stdout)
    for label, checkpoint, naming in zip("AB", (result.a, result.b), result.naming, strict=True):
        held = f"{checkpoint.format}, {len(checkpoint.tensors)} tensors, {format_size(checkpoint.nbytes)}"
        lines.add(label, f"{checkpoint.path} ({held}; {naming})")
    for note in result.notes:
        lines.add("note", note)
    if result.naming == (STORED, STORED) and (result.missing or result.extra):
        lines.add("note", "every tensor is compared by its TensorFlow name, optimizer state too; --architecture CLASS")
        lines.add("note", "compares only the weights of that class")
    for key, tensors in (("unmapped", result.unmapped), ("left out", result.uncompared)):
        for text in _reasons(tensors):
            lines.add(key, text)
    if rounded := [one for one in result.differing if one.rounded]:
        dtypes = ", ".join(sorted({_dtypes(one) for one in rounded}))
        lines.add("rounding", f"{len(rounded)} of those that differ do so only by rounding: {dtypes}")
    if widened := [one for one in result.identical if one.a.dtype != one.b.dtype]:
        dtypes = ", ".join(sorted({_dtypes(one) for one in widened}))
        lines.add("dtypes", f"{len(widened)} of the identical have the same values in other dtypes: {dtypes}")
    for one in (*result.identical, *result.shapes):
        if one.tied and not (everything and one in result.identical):
            lines.add("tied", f"{one.name}: {one.tied}")
    _differing(result.differing if everything else result.differing[:_SHOWN])
    if (more := len(result.differing) - _SHOWN) > 0 and not everything:
        print(f"and {more} more that differ less (--all lists them)")
    _table(("of another shape", "count", "in A", "in B", ""), _shapes(result.shapes))
    _table(("missing in B", "count", "shape", "in A as"), _on_one_side(result.missing))
    _table(("extra in B", "count", "shape", "in B as"), _on_one_side(result.extra))
    if everything:
        _table(
            ("identical", "shape", "dtype", "in A as", "in B as"),
            (
                (one.name, shape_text(one.a.shape), _dtypes(one), ", ".join(one.a.names), ", ".join(one.b.names))
                for one in result.identical
            ),
        )


def _summary(result: Difference) -> str:
    parts = [
        f"{len(result.identical)} identical",
        f"{len(result.differing)} differ",
        f"{len(result.missing)} missing",
        f"{len(result.extra)} extra",
    ]
    rest = ((result.shapes, "of another shape"), (result.unmapped, "unmapped"), (result.uncompared, "left out"))
    return ", ".join([*parts, *(f"{len(tensors)} {text}" for tensors, text in rest if tensors)])


def _reasons(tensors: Iterable[Uncompared]) -> list[str]:
    """One line for each reason and side, with the first three names, folded over layers."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for one in tensors:
        by_reason.setdefault((one.side.upper(), one.reason), []).append(one.name)
    texts = []
    for (side, reason), names in by_reason.items():
        folded = [text for text, _ in fold(names)]
        more = f" and {len(folded) - 3} more" if len(folded) > 3 else ""
        count = f"{len(names)} tensors, " if len(names) > 1 else ""
        texts.append(f"{side}: {count}{', '.join(folded[:3])}{more}: {say(reason)}")
    return texts


def _differing(tensors: Sequence[Compared]) -> None:
    """Print a row for each tensor: how many elements differ, the largest difference, its index, both values there."""
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
            for one in tensors
        ),
    )


def _remarks(one: Compared) -> list[str]:
    """The remarks in the row of a differing tensor."""
    remarks = [f"tied: {one.tied}"] if one.tied else []
    if one.nans:
        remarks.append(f"NaN on one side only: {one.nans:,}")
    elif not one.largest:
        remarks.append("only by the signs of zeros or the bits of NaNs")
    if one.rounded:
        remarks.append("rounded")
    elif one.a.dtype != one.b.dtype:
        remarks.append(f"{one.a.dtype}, {one.b.dtype}: more than rounding")
    return remarks


def _dtypes(one: Compared) -> str:
    return one.a.dtype if one.a.dtype == one.b.dtype else f"{one.a.dtype} in A, {one.b.dtype} in B"


def _shapes(tensors: Iterable[Compared]) -> list[tuple[str, ...]]:
    """Rows for the tensors whose shapes differ, folded over layers."""
    by_shapes: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for one in tensors:
        by_shapes.setdefault((one.a.shape, one.b.shape), []).append(one.name)
    return [
        (folded, str(len(names)), shape_text(a), shape_text(b), "the axes are reversed" if a == b[::-1] else "")
        for (a, b), all_names in by_shapes.items()
        for folded, names in fold(all_names)
    ]


def _values(a: float, b: float) -> str:
    """Two values, with six digits, or with all digits if six are not enough to see the difference."""
    short = [f"{value:.6g}" for value in (a, b)]
    return ", ".join(short if short[0] != short[1] else [str(a), str(b)])


def _number(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _on_one_side(tensors: Mapping[str, Stored]) -> list[tuple[str, str, str, str]]:
    """Rows for the tensors that only one side has, folded over layers."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, stored in tensors.items():
        by_shape.setdefault(stored.shape, []).append(name)
    rows = []
    for shape, all_names in by_shape.items():
        for folded, names in fold(all_names):
            own_names = ", ".join(text for text, _ in fold(stored for name in names for stored in tensors[name].names))
            rows.append((folded, str(len(names)), shape_text(shape), own_names if own_names != folded else ""))
    return rows


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table after a blank line. An empty table is not printed, nor is a last column without any text."""
    rows = list(rows)
    if not rows:
        return
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    print()
    table(header, rows)


def _record(result: Difference) -> dict[str, Any]:
    """The result as JSON-ready values."""
    return {
        "ok": result.same,
        **{
            side: {"path": str(checkpoint.path), "format": checkpoint.format, "names": naming}
            for side, checkpoint, naming in zip("ab", (result.a, result.b), result.naming, strict=True)
        },
        "identical": [_compared(one) for one in result.identical],
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
            for one in result.differing
        ],
        "shapes": [_compared(one) for one in result.shapes],
        "missing": [{"name": name, **stored._asdict()} for name, stored in result.missing.items()],
        "extra": [{"name": name, **stored._asdict()} for name, stored in result.extra.items()],
        "unmapped": [one._asdict() for one in result.unmapped],
        "uncompared": [one._asdict() for one in result.uncompared],
        "notes": result.notes,
    }


def _compared(one: Compared) -> dict[str, Any]:
    return {"name": one.name, "a": one.a._asdict(), "b": one.b._asdict(), "tied": one.tied}
