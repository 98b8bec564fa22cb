"""Options that override what is detected, as the number of heads; the problems and notes about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import PlanError, Problem
from bridgeckpt.mapping.tables.model_records import HEADS
from bridgeckpt.options import PlanOptions, given_names
from bridgeckpt.sentences import Sentence, Setting, joined
from bridgeckpt.sidecar.decisions import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.stated import SourceConfig


def reject_unsupported(options: PlanOptions, supported: Sequence[str]) -> None:
    """Refuse options other than ``supported``, for a model whose config of transformers decides everything else.

    Raises:
        PlanError: An option is given; the message names each.
    """
    given = [Setting(name) for name in given_names(options, PlanOptions) if name not in supported]
    if given:
        raise PlanError(
            Sentence(
                "{given} cannot be given here: the config beside the checkpoint is one of transformers, and "
                "decides all of it",
                given=joined(" and ", given),
            ),
            hint=Sentence("change config.json, or give another with {config:FILE}"),
        )


def resolve_heads(
    model: ModelTable, source: SourceConfig, facts: GraphFacts | None, requested: int | None
) -> tuple[dict[str, tuple[int, str]], list[Problem]]:
    """The number of attention heads if the config does not decide it: from the user, else from the graph.

    Returns:
        The number and its origin by config key (empty if the config decides), and problems.

    Raises:
        ConfigError: The user gives a number, but the model has none.
    """
    key = key_of(model, HEADS, requested)
    if key is None:
        return {}, []
    stated, computed = source.values.get(key), _from_graph(facts, key)
    if requested is not None:
        return {key: (requested, Sentence("{heads}", heads=Setting("heads", requested)))}, []
    if computed is None or stated == computed:
        return {}, []
    problems = []
    if stated is not None:
        name = source.origin_of(key)
        subject = f"{key} = {stated} ({name}), but the graph computes with {computed}"
        hint = Sentence("is {name} the config of another checkpoint? {heads:N} decides it", name=name)
        problems.append(Problem("config", subject, (), hint))
    return {key: (computed, "the graph")}, problems


def _from_graph(facts: GraphFacts | None, key: str) -> int | None:
    """The size that the graph computes with."""
    value = facts.values.get(key) if facts is not None else None
    return value if isinstance(value, int) else None


def unclear_heads(model: ModelTable, facts: GraphFacts | None) -> list[str]:
    """A note if the graph does not show one number of heads."""
    key = model.config.options.get(HEADS, "")
    return [f"{key} is not taken from the graph: {facts.unclear[key]}"] if facts and key in facts.unclear else []


def conflicting_heads(
    model: ModelTable, config: Mapping[str, Any], facts: GraphFacts | None, requested: int | None
) -> list[str]:
    """A warning if the user's number of heads differs from the one in the config or the graph."""
    key = model.config.options.get(HEADS, "")
    others = {config.get(key), _from_graph(facts, key)} - {None, requested}
    if not requested or not others:
        return []
    found = " and ".join(map(str, others))
    return [Sentence("{heads} is taken although {found} was found", heads=Setting("heads", requested), found=found)]
