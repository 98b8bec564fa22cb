"""Dtypes of weights: which of them cannot become a parameter, and what is told of those that do.

A parameter is a floating-point number. An integer, boolean or complex kernel is the product of a tool (quantisation, a
mask), and the number that the model computes with is made from it by something that no checkpoint holds.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.tensors import DTYPES, stored_as
from bridgeckpt.wording import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridgeckpt.planning.account.ledger import Ledger
    from bridgeckpt.store.tensors import TensorInfo

_FLOATING = (".weight", ".bias")  # what torch calls the parameters of its layers; a buffer may hold integers
_NO_WEIGHT = (
    "a weight is a floating-point number, and loading would take the integers, truth values or real parts for it"
)


def unfit_dtypes(tensors: Mapping[str, TensorInfo], names: Iterable[str], *, weights: bool) -> list[Problem]:
    """A problem for each dtype among the tensors ``names`` that no file can hold, or that no weight has.

    ``weights``: what they become are weights.
    """
    unfit: dict[str, list[str]] = {}
    for name in names:
        dtype = DTYPES.get(tensors[name].dtype)
        is_stored = dtype is not None and DTYPES[stored_as(dtype.name)].safetensors is not None
        if not is_stored or (weights and dtype is not None and not dtype.floating):
            unfit.setdefault(tensors[name].dtype, []).append(name)
    return [_problem(dtype, members) for dtype, members in unfit.items()]


def are_weights(parameters: Iterable[str]) -> bool:
    """Whether one of the parameters has a name that torch gives to weights."""
    return any(name.endswith(_FLOATING) for name in parameters)


def _problem(dtype: str, members: list[str]) -> Problem:
    known = DTYPES.get(dtype)
    numbers = known is not None and known.itemsize > 0 and not known.floating
    return Problem(
        "dtype",
        f"{', '.join(text for text, _ in fold(members))} is of dtype {dtype}",
        (_NO_WEIGHT if numbers else "no safetensors file can hold it",),
        "convert the checkpoint that it was made from, before a tool changed its weights" if numbers else None,
        tuple(members),
    )


def told_dtypes(tensors: Mapping[str, TensorInfo], ledger: Ledger) -> list[str]:
    """Notes on the dtypes of converted tensors that are kept although most models do not use them, or widened."""
    counts = Counter(tensors[name].dtype for name, state in ledger.sources.items() if state == "mapped")
    notes: list[str] = [
        f"{count} tensors are {dtype} and written as {stored_as(dtype)}, which holds each of their values"
        for dtype, count in counts.items()
        if dtype in DTYPES and stored_as(dtype) != dtype
    ]
    if "float64" in counts:
        notes.append(
            Sentence(
                "{count} tensors are float64, and stay so, as TensorFlow computes with them; {dtype:float32} narrows "
                "them",
                count=counts["float64"],
            )
        )
    return notes
