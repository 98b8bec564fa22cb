"""Contradictions about values: a description and the configs beside it that say different things of one model.

Shapes and names of tensors decide most sizes, and the graph or the caller may decide the rest. What none of them
decides, and what changes the result of the model, is a problem until the caller says which source is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.options import PlanOptions, given_names
from bridgeckpt.planning.problems import Judged
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.planning.account.size_records import Sizes
    from bridgeckpt.sidecar.differences import Disagreement
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.stated import SourceConfig

_BLANKS = {"heads": "N", "hidden_act": "NAME", "layer_norm_eps": "X"}


def value_conflicts(
    table: Table, stated: SourceConfig, sizes: Sizes, facts: GraphFacts | None, options: PlanOptions
) -> Judged:
    """Judge the values of which two sources say something else."""
    config = table.model.config
    asked = {config.options[name] for name in given_names(options, PlanOptions) if name in config.options}
    fixed = table.config.values.keys() - {*table.model.size_keys, *config.options.values()}
    settled = {*asked, *fixed, *(facts.values if facts is not None else ())}
    of_others = {difference.other_by for difference in stated.differing if _misfits(difference, sizes)}
    warnings: list[str] = []
    problems: list[Problem] = []
    for difference in stated.differing:
        key = difference.key
        if key in config.padded:
            continue
        if stated.is_given or key in settled or key in sizes.told or difference.other_by in of_others:
            warnings.append(difference.text)
        else:
            problems.append(undecided(difference, _option(table, key)))
    return Judged(problems=tuple(problems), warnings=tuple(warnings))


def _misfits(difference: Disagreement, sizes: Sizes) -> bool:
    """Whether what is not taken contradicts the tensors, so that it is a statement about another model."""
    return difference.key in sizes.told and sizes.values[difference.key] != difference.other


def undecided(difference: Disagreement, option: Setting | None = None) -> Problem:
    """The problem of a difference that nothing in the source decides; ``option`` sets its key."""
    subject = f"{difference.key} = {difference.value} by {difference.by}; {difference.other} by {difference.other_by}"
    which = Sentence("{config:FILE} says which config is right")
    hint = Sentence("{which}, or {option} gives the value", which=which, option=option) if option is not None else which
    return Problem("conflict", subject, ("no tensor tells it, and the outputs depend on it",), hint)


def _option(table: Table, key: str) -> Setting | None:
    options: Sequence[str] = [name for name, sets in table.model.config.options.items() if sets == key]
    return Setting(options[0], blank=_BLANKS.get(options[0], "X")) if options else None
