"""What a user may settle instead of having it found: the number of heads, moving averages; and what to say of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import PlanError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.planning.sizes import Question, Sizes
    from bridgeckpt.sidecar.graph.facts import GraphFacts

_HEADS = "num_attention_heads"


def reject_unsupported(options: Mapping[str, object]) -> None:
    """See that none of ``options`` is given, for a model of which transformers' own config says everything.

    Raises:
        PlanError: naming those that are.
    """
    given = [name for name, value in options.items() if value not in (None, False)]
    if given:
        raise PlanError(
            f"{' and '.join(given)} cannot be given here: the config beside the checkpoint is transformers' own and "
            "says all of it",
            hint="change config.json, or give another with --config FILE",
        )


def averages(table: Table, checkpoint: Checkpoint, asked: bool) -> tuple[list[Problem], list[str]]:
    """Problems and notes about moving averages: none is there although asked for, or they are there and were not."""
    endings = tuple(template.text.partition("{tf}")[2] for template in table.slots.get("ema", ()))
    there = bool(endings) and any(name.endswith(endings) for name in checkpoint.tensors)
    if there:
        return [], [] if asked else ["the weights have moving averages too: --ema converts those instead"]
    if not asked:
        return [], []
    looked_for = ", ".join(f"...{ending}" for ending in endings) or f"{table.name} has no slot ema"
    details = (f"there is none in the checkpoint ({looked_for})",)
    return [Problem("missing", "moving averages", details, "convert the weights themselves, without --ema")], []


def resolve_heads(
    config: Mapping[str, Any], config_name: str, facts: GraphFacts | None, asked: int | None
) -> tuple[dict[str, tuple[int, str]], list[Problem]]:
    """The number of attention heads where it is not the config's to say: the user's, else the graph's."""
    stated, drawn = config.get(_HEADS), facts.num_attention_heads if facts is not None else None
    if asked is not None:
        return {_HEADS: (asked, "--heads")}, []
    if drawn is None or stated == drawn:
        return {}, []
    problems = []
    if stated is not None:
        subject = f"{_HEADS} = {stated} ({config_name}), but the graph computes with {drawn}"
        hint = f"is {config_name} the config of another checkpoint? --heads settles it"
        problems.append(Problem("config", subject, (), hint))
    return {_HEADS: (drawn, "the graph")}, problems


def missing_heads(question: Question, sizes: Sizes) -> list[Problem]:
    """Of most layouts no shape tells the number of heads."""
    if _HEADS not in question.keys or _HEADS in sizes.values:
        return []
    details = ("no shape tells it, and there is neither a config nor a graph (.meta, saved_model.pb) beside it",)
    hint = "give --heads N, or the config with --config FILE"
    return [Problem("heads", "the number of attention heads is unknown", details, hint)]


def conflicting_heads(config: Mapping[str, Any], facts: GraphFacts | None, asked: int | None) -> list[str]:
    """What to say where the user's number of heads is not the one that was found."""
    found = {config.get(_HEADS), facts and facts.num_attention_heads} - {None, asked}
    return [f"--heads {asked} is taken although {' and '.join(map(str, found))} was found"] if asked and found else []
