"""Tensors that nothing in the table accounts for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.sentences import Sentence
from bridgeckpt.wording import fold, shape_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridgeckpt.store.tensors import TensorInfo


def unknown_tensors(names: Sequence[str], tensors: Mapping[str, TensorInfo]) -> list[Problem]:
    """A problem for each family of ``names``: tensors that no row, slot or [[ignored]] entry of the table names."""
    hint = Sentence(
        "in a table of your own ({mapping:FILE}) map it with a row, or add an [[ignored]] entry with a reason"
    )
    return [
        Problem(
            "unmapped",
            f"{folded} {shape_text(tensors[members[0]].shape)}",
            ("no row, no [[ignored]] entry",),
            hint,
            tuple(members),
        )
        for folded, members in fold(names)
    ]
