"""Places of a graph that compute what the config of one class cannot say: another activation, another epsilon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.mapping.tables.model_records import HEADS
from bridgeckpt.planning.problems import Judged
from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.sidecar.config_files import ACTIVATION, EPSILON
from bridgeckpt.sidecar.decisions import are_one
from bridgeckpt.sidecar.graph.computations import GraphFact
from bridgeckpt.wording import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.options import PlanOptions
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.graph.sites import GraphSite

_BLANKS = {ACTIVATION: "NAME", EPSILON: "X", HEADS: "N"}


def unlike_sites(table: Table, architecture: Architecture, facts: GraphFacts | None, options: PlanOptions) -> Judged:
    """The keys whose value in config.json is not what every place of the graph computes with.

    A place that computes a part which ``architecture`` does not have is left out.
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    for option, key in table.model.config.options.items():
        sites = _sites_of(table, architecture, facts.sites.get(key, ())) if facts is not None else []
        given: Mapping[str, object] = options
        asked = given.get(option)
        if asked is None:
            problems += _problems(key, Setting(option, blank=_BLANKS.get(option, "X")), sites)
        elif isinstance(asked, float | str) and option != HEADS:
            warnings += _contradicted(key, Setting(option, asked), asked, sites)
    return Judged(tuple(problems), tuple(warnings))


def _sites_of(table: Table, architecture: Architecture, sites: Sequence[GraphSite]) -> list[GraphSite]:
    """The places that compute parts of a class: those under names of its tensors, and those under no tensor's name."""
    own = [row.tf[0].text for row in table.rows_of(architecture)]
    others = [row.tf[0].text for row in table.rows]

    def is_part(site: GraphSite) -> bool:
        scope = f"{site.template}/"
        return any(name.startswith(scope) for name in own) or not any(name.startswith(scope) for name in others)

    return [site for site in sites if is_part(site)]


def _problems(key: str, option: Setting, sites: Sequence[GraphSite]) -> Iterator[Problem]:
    unknown = [site for site in sites if not isinstance(site.fact, GraphFact) and site.fact.nearest]
    if unknown:
        nearest = unknown[0].fact.nearest if not isinstance(unknown[0].fact, GraphFact) else ""
        why = f"{key}: the graph computes something here that no config describes; the nearest is {nearest}"
        hint = Sentence("{setting} decides it, and the model computes that instead", setting=option)
        yield Problem("refused", _listed([site.fact.node for site in unknown]), (why,), hint)
    values = [(site.fact.value, site.fact.node) for site in sites if isinstance(site.fact, GraphFact)]
    others = [(value, node) for value, node in values if not are_one(value, values[0][0])]
    if others:
        why = (
            f"the graph computes with {key} = {others[0][0]} here, and with {values[0][0]} in {values[0][1]}: "
            "no class computes both"
        )
        hint = Sentence("{setting} decides it, and the model computes with that everywhere", setting=option)
        yield Problem("refused", _listed([node for _, node in others]), (why,), hint)


def _contradicted(key: str, option: Setting, asked: float | str, sites: Sequence[GraphSite]) -> Iterator[str]:
    """A warning if the caller's value is not what the graph computes with."""
    for site in sites:
        if isinstance(site.fact, GraphFact):
            if not are_one(site.fact.value, asked):
                yield Sentence(
                    "{option} is taken, but the graph computes with {key} = {value} ({node})",
                    option=option,
                    key=key,
                    value=site.fact.value,
                    node=site.fact.node,
                )
                return
        elif site.fact.nearest:
            yield Sentence(
                "{option} is taken, but the graph computes something else ({node}; the nearest is {nearest})",
                option=option,
                node=site.fact.node,
                nearest=site.fact.nearest,
            )
            return


def _listed(nodes: Iterable[str]) -> str:
    return ", ".join(text for text, _ in fold(nodes))
