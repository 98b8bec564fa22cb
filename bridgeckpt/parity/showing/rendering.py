"""A verdict as lines of text: what the command line prints, with colours, and what a failing test says, without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Literal, NamedTuple

from bridgeckpt.parity.showing import summary
from bridgeckpt.parity.showing.figures import number, share, small
from bridgeckpt.sentences import python_words, say

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.verdict import DeviceResult, Verdict
    from bridgeckpt.parity.showing.summary import Fact
    from bridgeckpt.sentences import Words

Tone = Literal["plain", "heading", "good", "bad", "doubtful", "faint"]

_KEY = 11  # columns of a key, as in what `convert` prints
_GAP = "  "
_DOUBLE = "float64"
_TONES: dict[str, Tone] = {
    "PASS": "good",
    "FAIL": "bad",
    "unproven": "doubtful",
    "DIVERGES": "bad",
    "follows": "faint",
    "units": "faint",
}


class Line(NamedTuple):
    """One line, and how it is meant."""

    text: str
    tone: Tone = "plain"


class _Column(NamedTuple):
    """A column of a table; one that ``yields`` is left out where the table would be too wide with it."""

    name: str
    cells: list[str]
    right: bool = True
    yields: bool = False


def text(verdict: Verdict) -> str:
    """The verdict as plain text, as wide as it needs to be."""
    return "\n".join(line.text for line in lines(verdict))


def lines(
    verdict: Verdict,
    *,
    width: int | None = None,
    every: bool = False,
    words: Words = python_words,
    unfolding: str = "",
) -> Iterator[Line]:
    """The verdict line by line: what was compared, the stages, the devices, what was found.

    ``width`` is that of the terminal, if there is one; with ``every`` each stage has a line of its own, and
    ``unfolding`` says how to ask for that. ``words`` spells the settings that notes and remedies name.
    """
    yield from _keyed(summary.facts(verdict), width, words)
    if verdict.stages:
        yield Line("")
        yield from _stages(verdict, width, every, unfolding)
    if verdict.devices:
        yield Line("")
        yield from _devices(verdict.devices, width)
    yield Line("")
    yield from _keyed(summary.findings(verdict), width, words)


def _keyed(facts: Iterable[Fact], width: int | None, words: Words = python_words) -> Iterator[Line]:
    last = ""
    for key, text in facts:
        said = say(text, words)
        room = max(_KEY, width - _KEY) if width else len(said)
        for part in wrap(said, room, break_long_words=False, break_on_hyphens=False) if said.strip() else [""]:
            yield Line(f"{'' if key == last else key:<{_KEY}}{part}".rstrip(), _TONES.get(key, "plain"))
            last = key


def _stages(verdict: Verdict, width: int | None, every: bool, unfolding: str) -> Iterator[Line]:
    rows = summary.rows(verdict, every=every)
    stages = [row.stage for row in rows]
    columns = [
        _Column("stage", [row.name for row in rows], right=False),
        _Column("max", [number(stage.peak) for stage in stages]),
        _Column("rms", [number(stage.rms) for stage in stages]),
        _Column("limit", [number(stage.limit) for stage in stages]),
        _Column("drift", [number(stage.accumulated) for stage in stages]),
        _Column(_DOUBLE, [number(stage.double) for stage in stages], yields=True),
        _Column("difference", [small(stage.difference) for stage in stages], yields=True),
        _Column("argmax", [share(stage.argmax) for stage in stages]),
        _Column("KL", [small(stage.kl) for stage in stages]),
        _Column("verdict", [row.outcome for row in rows], right=False),
    ]
    yield from _table(columns, [_TONES.get(row.outcome, "plain") for row in rows], width)
    units = summary.units(verdict, double=any(column.name == _DOUBLE for column, _ in _kept(columns, width)))
    if any(row.name != row.stage.name for row in rows):
        how = f" ({unfolding})" if unfolding else ""
        units.append(f"a row of several layers shows the worst of their stages{how}")
    yield from _keyed([("units", said) for said in units], width)


def _devices(devices: Sequence[DeviceResult], width: int | None) -> Iterator[Line]:
    columns = [
        _Column("device", [device.device for device in devices], right=False),
        _Column("name", [device.device_name for device in devices], right=False, yields=True),
        _Column("dtype", [device.dtype for device in devices], right=False),
        _Column("worst stage", [device.worst for device in devices], right=False),
        _Column("rms", [number(device.rms) for device in devices]),
        _Column("limit", [number(device.limit) for device in devices]),
        _Column("argmax", [share(device.argmax) for device in devices]),
        _Column("KL", [small(device.kl) for device in devices]),
        _Column("verdict", ["ok" if device.passed else "DIVERGES" for device in devices], right=False),
    ]
    yield from _table(columns, ["plain" if device.passed else "bad" for device in devices], width)


def _kept(columns: Sequence[_Column], width: int | None) -> list[tuple[_Column, int]]:
    """The columns that are shown, each with its width."""
    kept = [(column, max(map(len, [column.name, *column.cells]))) for column in columns if any(column.cells)]
    if width and sum(wide + len(_GAP) for _, wide in kept) - len(_GAP) > width:
        kept = [(column, wide) for column, wide in kept if not column.yields]
    return kept


def _table(columns: Sequence[_Column], tones: Sequence[Tone], width: int | None) -> Iterator[Line]:
    kept = _kept(columns, width)
    names = [column.name for column, _ in kept]
    cells = zip(*(column.cells for column, _ in kept), strict=True)
    for tone, row in zip(["heading", *tones], [names, *cells], strict=True):
        padded = [
            cell.rjust(wide) if column.right else cell.ljust(wide)
            for cell, (column, wide) in zip(row, kept, strict=True)
        ]
        yield Line(_GAP.join(padded).rstrip(), tone)
