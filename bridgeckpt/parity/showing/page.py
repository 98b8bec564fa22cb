"""A verdict as one self-contained page for a pull request: the picture, the tables, what was found, what it is from.

No script, nothing fetched, everything that is not ours escaped; light and dark. It is well-formed XML too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bridgeckpt.parity.showing import summary
from bridgeckpt.parity.showing.chart import chart, xml_text
from bridgeckpt.parity.showing.figures import counted, number, share, small
from bridgeckpt.sentences import python_words, say
from bridgeckpt.store.source import read_head

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.verdict import DeviceResult, Verdict
    from bridgeckpt.parity.showing.summary import Fact, StageRow
    from bridgeckpt.sentences import Words

PAGE = "a page of `bridgeckpt verify`"  # as errors call it
_MARK = '<meta name="generator" content="bridgeckpt verify"/>'
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --paper: #ffffff; --faint: #59636e; --line: #d1d9e0;
  --band: #f6f8fa; --blue: #0969da; --good: #1a7f37; --bad: #cf222e; --limit: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --ink: #f0f6fc; --paper: #0d1117; --faint: #9198a1; --line: #3d444d;
  --band: #151b23; --blue: #4493f8; --good: #3fb950; --bad: #f85149; --limit: #d29922; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1060px;
  margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 2em; }
.banner { border: 1px solid; border-left-width: 8px; border-radius: 6px; padding: .6em 1em; }
.banner strong { font-size: 1.3em; margin-right: .5em; }
.banner.good, td.good { color: var(--good); } .banner.bad, td.bad { color: var(--bad); }
.banner span { color: var(--ink); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); padding: .2em .9em .2em 0; text-align: right; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
tr.bad td { background: var(--band); font-weight: 600; }
td.faint, .faint { color: var(--faint); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1em; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--blue); margin-top: 1em; }
.chart text { font: 11px system-ui, sans-serif; fill: var(--faint); }
.chart .grid { stroke: var(--line); } .chart .band { fill: var(--line); opacity: .35; }
.chart .line { stroke: var(--blue); stroke-width: 1.5; fill: none; } .chart .point { fill: var(--blue); }
.chart .drift { fill: var(--paper); stroke: var(--faint); stroke-width: 1.5; }
.chart .limit { stroke: var(--limit); stroke-width: 1.5; stroke-dasharray: 6 4; fill: none; }
.chart .follows { fill: var(--bad); }
.chart .wrong { stroke: var(--bad); stroke-width: 3; fill: none; }
"""


def is_page(path: Path) -> bool:
    """Whether ``path`` is a file that :func:`render` made."""
    return _MARK.encode() in read_head(path, 512)


def render(verdict: Verdict, title: str, words: Words = python_words) -> str:
    """The page, as text.

    ``title`` says what was verified; ``words`` spells the settings that notes and remedies name.
    """
    folded, every = summary.rows(verdict), summary.rows(verdict, every=True)
    findings = [(key, say(text, words)) for key, text in summary.findings(verdict)]
    body = [
        f"<h1>{xml_text(title)}</h1>",
        _banner(verdict, findings),
        _list([fact for fact in findings if fact[0] not in ("PASS", "FAIL", "note", "took")]),
        *([f'<h2>Error by stage</h2>\n<div class="scroll">{chart(verdict)}</div>'] if verdict.stages else []),
        *_stages(folded, every, summary.units(verdict)),
        *_devices(verdict.devices),
        "<h2>What was compared</h2>",
        _list([*summary.facts(verdict), *(fact for fact in findings if fact[0] in ("note", "took"))]),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml">\n<head>\n<meta charset="utf-8"/>\n'
        f'{_MARK}\n<meta name="viewport" content="width=device-width"/>\n<title>{xml_text(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _banner(verdict: Verdict, findings: Iterable[Fact]) -> str:
    word, tone = ("PASS", "good") if verdict.passed else ("FAIL", "bad")
    why = "<br/>".join(xml_text(text) for key, text in findings if key == word)
    return f'<p class="banner {tone}" role="status"><strong>{word}</strong><span>{why}</span></p>'


def _list(facts: Sequence[Fact]) -> str:
    if not facts:
        return ""
    return "<dl>" + "".join(f"<dt>{xml_text(key)}</dt><dd>{xml_text(text)}</dd>\n" for key, text in facts) + "</dl>"


def _stages(folded: Sequence[StageRow], every: Sequence[StageRow], units: Sequence[str]) -> Iterator[str]:
    if not every:
        return
    yield _stage_table(folded)
    yield f'<p class="faint">{xml_text("; ".join(units))}</p>'
    if len(folded) < len(every):
        count = counted(len(every), "stage")
        yield f"<details><summary>all {count}</summary>\n{_stage_table(every)}\n</details>"


def _stage_table(rows: Sequence[StageRow]) -> str:
    header = ("stage", "max", "rms", "limit", "drift", "float64", "difference", "argmax", "KL", "verdict")
    tones = {"ok": "good", "DIVERGES": "bad", "follows": "faint"}
    lines = [
        (
            tones[row.outcome],
            (
                row.name,
                number(row.stage.peak),
                number(row.stage.rms),
                number(row.stage.limit),
                number(row.stage.accumulated),
                number(row.stage.double),
                small(row.stage.difference),
                share(row.stage.argmax),
                small(row.stage.kl),
                row.outcome,
            ),
        )
        for row in rows
    ]
    return _table(header, lines)


def _devices(devices: Sequence[DeviceResult]) -> Iterator[str]:
    if not devices:
        return
    yield "<h2>Devices and dtypes</h2>"
    header = ("device", "dtype", "worst stage", "rms", "limit", "argmax", "KL", "verdict")
    lines = [
        (
            "good" if device.passed else "bad",
            (
                f"{device.device} ({device.device_name})",
                device.dtype,
                device.worst,
                number(device.rms),
                number(device.limit),
                share(device.argmax),
                small(device.kl),
                "ok" if device.passed else "DIVERGES",
            ),
        )
        for device in devices
    ]
    yield _table(header, lines)


def _table(header: Sequence[str], lines: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A table whose last column is coloured by the tone of its line."""
    head = "".join(f'<th scope="col">{xml_text(name)}</th>' for name in header)
    body = "".join(
        f'<tr class="{tone}">'
        + "".join(f"<td>{xml_text(cell)}</td>" for cell in cells[:-1])
        + f'<td class="{tone}">{xml_text(cells[-1])}</td></tr>\n'
        for tone, cells in lines
    )
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'
