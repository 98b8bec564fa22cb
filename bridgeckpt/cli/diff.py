"""``bridgeckpt diff``: whether two checkpoints hold the same tensors, and what differs, the worst first."""

from __future__ import annotations

import argparse
import os
import sys
from math import prod
from typing import TYPE_CHECKING, Any

from bridgeckpt.aligning.sides import STORED
from bridgeckpt.cli.console import print_json
from bridgeckpt.cli.given import given
from bridgeckpt.cli.lines import Lines, table
from bridgeckpt.cli.words import say
from bridgeckpt.comparing.difference import diff
from bridgeckpt.options import DiffOptions
from bridgeckpt.store.sizes import format_size
from bridgeckpt.wording import fold, listed, shape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bridgeckpt.comparing.difference import Compared, Difference, Stored, Uncompared

_SHOWN = 20  # rows of differing tensors without --all


def run(arguments: argparse.Namespace) -> int:
    """Compare as the arguments say. The exit status is 0 if both hold the same tensors, else 1."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy only compares here, so threads of BLAS would cost time
    result = diff(arguments.a, arguments.b, verify=arguments.verify, **given(arguments, DiffOptions))
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
    if rounded := [tensor for tensor in result.differing if tensor.rounded]:
        dtypes = ", ".join(sorted({_dtypes(tensor) for tensor in rounded}))
        lines.add("rounding", f"{len(rounded)} of those that differ do so only by rounding: {dtypes}")
    if widened := [tensor for tensor in result.identical if tensor.a.dtype != tensor.b.dtype]:
        dtypes = ", ".join(sorted({_dtypes(tensor) for tensor in widened}))
        lines.add("dtypes", f"{len(widened)} of the identical have the same values in other dtypes: {dtypes}")
    for tensor in (*result.identical, *result.shapes):
        if tensor.tied and not (everything and tensor in result.identical):
            lines.add("tied", f"{tensor.name}: {tensor.tied}")
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
                (
                    tensor.name,
                    shape_text(tensor.a.shape),
                    _dtypes(tensor),
                    ", ".join(tensor.a.names),
                    ", ".join(tensor.b.names),
                )
                for tensor in result.identical
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
    for tensor in tensors:
        by_reason.setdefault((tensor.side.upper(), tensor.reason), []).append(tensor.name)
    texts = []
    for (side, reason), names in by_reason.items():
        folded = (text for text, _ in fold(names))
        count = f"{len(names)} tensors, " if len(names) > 1 else ""
        texts.append(f"{side}: {count}{listed(folded, 3)}: {say(reason)}")
    return texts


def _differing(tensors: Sequence[Compared]) -> None:
    """Print a row for each tensor: how many elements differ, the largest difference, its index, both values there."""
    _table(
        ("differs", "elements", "by up to", "relative", "at", "A, B there", ""),
        (
            (
                tensor.name,
                f"{tensor.differing:,} of {prod(tensor.a.shape):,}",
                _number(tensor.largest),
                _number(tensor.relative),
                shape_text(tensor.where),
                _values(*tensor.values),
                "; ".join(_remarks(tensor)),
            )
            for tensor in tensors
        ),
    )


def _remarks(tensor: Compared) -> list[str]:
    """The remarks in the row of a differing tensor."""
    remarks = [f"tied: {tensor.tied}"] if tensor.tied else []
    if tensor.nans:
        remarks.append(f"NaN on one side only: {tensor.nans:,}")
    elif not tensor.largest:
        remarks.append("only by the signs of zeros or the bits of NaNs")
    if tensor.rounded:
        remarks.append("rounded")
    elif tensor.a.dtype != tensor.b.dtype:
        remarks.append(f"{tensor.a.dtype}, {tensor.b.dtype}: more than rounding")
    return remarks


def _dtypes(tensor: Compared) -> str:
    return tensor.a.dtype if tensor.a.dtype == tensor.b.dtype else f"{tensor.a.dtype} in A, {tensor.b.dtype} in B"


def _shapes(tensors: Iterable[Compared]) -> list[tuple[str, ...]]:
    """Rows for the tensors whose shapes differ, folded over layers."""
    by_shapes: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for tensor in tensors:
        by_shapes.setdefault((tensor.a.shape, tensor.b.shape), []).append(tensor.name)
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
        "identical": [_compared(tensor) for tensor in result.identical],
        "differing": [
            {
                **_compared(tensor),
                "elements": tensor.differing,
                "largest": tensor.largest,
                "relative": tensor.relative,
                "where": tensor.where,
                "values": tensor.values,
                "nans": tensor.nans,
                "rounding": tensor.rounded,
            }
            for tensor in result.differing
        ],
        "shapes": [_compared(tensor) for tensor in result.shapes],
        "missing": [{"name": name, **stored._asdict()} for name, stored in result.missing.items()],
        "extra": [{"name": name, **stored._asdict()} for name, stored in result.extra.items()],
        "unmapped": [tensor._asdict() for tensor in result.unmapped],
        "uncompared": [tensor._asdict() for tensor in result.uncompared],
        "notes": result.notes,
    }


def _compared(tensor: Compared) -> dict[str, Any]:
    return {"name": tensor.name, "a": tensor.a._asdict(), "b": tensor.b._asdict(), "tied": tensor.tied}
