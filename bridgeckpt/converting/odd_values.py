"""What a conversion says of values that were counted while copying: NaN, infinity, and numbers that became 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.copying.odd_values import OddCount

_SHOWN = 3  # tensors that a warning names
_SMALLER = {"float16": "bfloat16", "bfloat16": "float32"}  # a dtype that holds smaller numbers


def warnings_of(counts: Mapping[str, OddCount], dtypes: Mapping[str, str]) -> tuple[str, ...]:
    """Warnings about the tensors with odd values; ``dtypes`` has the written dtype of each."""
    return (*_not_finite(counts), *_vanished(counts, dtypes))


def _not_finite(counts: Mapping[str, OddCount]) -> Iterator[str]:
    odd = {name: count for name, count in counts.items() if count.nan or count.infinite}
    if odd:
        said = [f"{name} ({' and '.join(_said(count))})" for name, count in odd.items()]
        yield (
            f"{len(odd)} tensor{'s' * (len(odd) > 1)} with NaN or infinity, which the checkpoint has: "
            f"{listed(said, _SHOWN)}; outputs that depend on such a value are no numbers, in TensorFlow too"
        )


def _said(count: OddCount) -> Iterator[str]:
    if count.nan:
        yield f"{count.nan:,} NaN"
    if count.infinite:
        yield f"{count.infinite:,} infinite"


def _vanished(counts: Mapping[str, OddCount], dtypes: Mapping[str, str]) -> Iterator[str]:
    for dtype in dict.fromkeys(dtypes[name] for name in counts):
        lost = {name: count.vanished for name, count in counts.items() if count.vanished and dtypes[name] == dtype}
        if lost:
            most = sorted(lost, key=lambda name: -lost[name])
            yield Sentence(
                "{number} values of {tensors} tensors are too small for {dtype} and became 0: {names}; {wider} keeps "
                "smaller ones",
                number=f"{sum(lost.values()):,}",
                tensors=f"{len(lost):,}",
                dtype=dtype,
                names=listed([f"{name} ({lost[name]:,})" for name in most], _SHOWN),
                wider=Setting("dtype", _SMALLER.get(dtype, "float32")),
            )
