"""What a user may settle instead of having it found: the number of heads, moving averages; and what to say of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import PlanError, Problem
from bridgeckpt.sentences import Sentence, Setting, joined
from bridgeckpt.sidecar.decisions import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.planning.account.sizes import Question, Sizes
    from bridgeckpt.sidecar.graph.facts import GraphFacts

_HEADS = "heads"  # the option; which config key it sets is the model table's to say


def reject_unsupported(options: Mapping[str, object]) -> None:
    """See that none of ``options`` is given, for a model of which transformers' own config says everything.

    Raises:
        PlanError: naming those that are.
    """
    given = [Setting(name) for name, value in options.items() if value not in (None, False)]
    if given:
        raise PlanError(
            Sentence(
                "{given} cannot be given here: the config beside the checkpoint is transformers' own and "
                "says all of it",
                given=joined(" and ", given),
            ),
            hint=Sentence("change config.json, or give another with {config:FILE}"),
        )


def averages(table: Table, checkpoint: Checkpoint, asked: bool) -> tuple[list[Problem], list[str]]:
    """Problems and notes about moving averages: none is there although asked for, or they are there and were not."""
    endings = tuple(template.text.partition("{tf}")[2] for template in table.slots.get("ema", ()))
    there = bool(endings) and any(name.endswith(endings) for name in checkpoint.tensors)
    if there:
        return [], [] if asked else [
            Sentence("the weights have moving averages too: {ema:True} converts those instead")
        ]
    if not asked:
        return [], []
    looked_for = ", ".join(f"...{ending}" for ending in endings) or f"{table.name} has no slot ema"
    details = (f"there is none in the checkpoint ({looked_for})",)
    hint = Sentence("convert the weights themselves, without {ema:True}")
    return [Problem("missing", "moving averages", details, hint)], []


def resolve_heads(
    model: ModelTable, config: Mapping[str, Any], config_name: str, facts: GraphFacts | None, asked: int | None
) -> tuple[dict[str, tuple[int, str]], list[Problem]]:
    """The number of attention heads where it is not the config's to say: the user's, else the graph's.

    Raises:
        ConfigError: the user gives it, and the model has no such number.
    """
    key = key_of(model, _HEADS, asked)
    if key is None:
        return {}, []
    stated, drawn = config.get(key), _drawn(facts, key)
    if asked is not None:
        return {key: (asked, Sentence("{heads}", heads=Setting("heads", asked)))}, []
    if drawn is None or stated == drawn:
        return {}, []
    problems = []
    if stated is not None:
        subject = f"{key} = {stated} ({config_name}), but the graph computes with {drawn}"
        hint = Sentence("is {name} the config of another checkpoint? {heads:N} decides it", name=config_name)
        problems.append(Problem("config", subject, (), hint))
    return {key: (drawn, "the graph")}, problems


def _drawn(facts: GraphFacts | None, key: str) -> int | None:
    """The size that the graph computes with."""
    value = facts.values.get(key) if facts is not None else None
    return value if isinstance(value, int) else None


def missing_heads(question: Question, sizes: Sizes) -> list[Problem]:
    """Of most layouts no shape tells the number of heads."""
    key = question.table.model.config.options.get(_HEADS)
    if key not in question.keys or key in sizes.values:
        return []
    details = ("no shape tells it, and there is neither a config nor a graph (.meta, saved_model.pb) beside it",)
    hint = Sentence("give {heads:N}, or the config with {config:FILE}")
    return [Problem("heads", "the number of attention heads is unknown", details, hint)]


def conflicting_heads(
    model: ModelTable, config: Mapping[str, Any], facts: GraphFacts | None, asked: int | None
) -> list[str]:
    """What to say where the user's number of heads is not the one that was found."""
    key = model.config.options.get(_HEADS, "")
    found = {config.get(key), _drawn(facts, key)} - {None, asked}
    if not asked or not found:
        return []
    others = " and ".join(map(str, found))
    return [Sentence("{heads} is taken although {found} was found", heads=Setting("heads", asked), found=others)]
