"""The plan: everything a conversion will do, decided from names, shapes, config and graph before a tensor is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.errors import PlanError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.planning.account.expansion import Expansion
from bridgeckpt.planning.account.ledger import Ledger, Request, settle
from bridgeckpt.planning.architecture import choose_architecture, class_of_scope, lacking, put_on_top, told_by_objects
from bridgeckpt.planning.by_rules.plan import model_by_rules, settle_by_class
from bridgeckpt.planning.dialect import choose_table
from bridgeckpt.planning.overrides import averages, contradicted_heads, refuse_asked, told_heads, unknown_heads
from bridgeckpt.planning.problems import render
from bridgeckpt.planning.record import Plan
from bridgeckpt.planning.refusals import refuse_variants, refused_heads
from bridgeckpt.planning.sizes import Question, solve
from bridgeckpt.sidecar.config import translate
from bridgeckpt.sidecar.config_files import load_config, named_class
from bridgeckpt.sidecar.graph.facts import read_facts
from bridgeckpt.sidecar.tokenizer.choice import tokenizing
from bridgeckpt.sidecar.tokenizer.files import companions

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.tables.records import Architecture, Table
    from bridgeckpt.planning.options import PlanOptions


def plan(source: str | os.PathLike[str] | Checkpoint, **options: Unpack[PlanOptions]) -> Plan:
    """Plan a conversion to PyTorch. Reads the index, the config, the graph and the vocabulary; no tensor.

    Args:
        source: any path of a checkpoint (folder, prefix, one of its files), or one that is open.
        options: see :class:`PlanOptions`.

    Raises:
        CheckpointError: the source cannot be read.
        ConfigError: the config or the vocabulary is malformed or of another model.
        TableError: the mapping table is malformed.
        PlanError: the conversion is refused; ``problems`` holds every reason.
    """
    drafted = draft(source, **options)
    if drafted.problems:
        heading = f"{drafted.table.name} cannot convert {drafted.checkpoint.path} to {drafted.architecture.name}"
        raise PlanError(render(heading, drafted.problems), drafted.problems)
    return drafted


def draft(
    source: str | os.PathLike[str] | Checkpoint,
    *,
    mapping: str | Path | None = None,
    architecture: str | None = None,
    config: str | os.PathLike[str] | None = None,
    vocab: str | os.PathLike[str] | None = None,
    heads: int | None = None,
    hidden_act: str | None = None,
    layer_norm_eps: float | None = None,
    scope: str | None = None,
    ema: bool = False,
    lowercase: bool | None = None,
) -> Plan:
    """Like :func:`plan`, but returns a plan with problems instead of raising them."""
    checkpoint = source if isinstance(source, Checkpoint) else open_checkpoint(source)
    config_file = Path(config) if config is not None else None
    if (model_config := model_by_rules(checkpoint, mapping, config_file)) is not None:
        words = {"--vocab": vocab, "--cased/--uncased": None if lowercase is None else str(lowercase)}
        numbers = {"--heads": heads, "--hidden-act": hidden_act, "--layer-norm-eps": layer_norm_eps}
        refuse_asked({"--scope": scope, "--ema": ema, **numbers, **words})
        return _by_rules(checkpoint, model_config, architecture)
    table, checkpoint, names, wildcards, other_towers = choose_table(checkpoint, mapping, scope)
    refuse_variants(table, checkpoint)
    expansion = Expansion(table, names, checkpoint.tensors, not other_towers, {})
    present = expansion.present(wildcards)
    source_config, config_name = load_config(checkpoint, table, config_file)
    graph = _graph(checkpoint)
    facts = read_facts(graph, table.graph, wildcards) if graph is not None else None
    given, problems = told_heads(source_config, config_name, facts, heads)

    def question_of(architecture: Architecture) -> Question:
        groups = (*architecture.groups, *architecture.optional)
        rows = [row for name in groups for row in present.get(name, ())]
        return Question(expansion, rows, wildcards, source_config, config_name, given)

    by_graph, by_objects = facts.head if facts is not None else None, told_by_objects(table, checkpoint)
    teller = "the graph" if by_graph else "the model, by the objects saved,"
    tensors = {name: expansion.first(rows, wildcards) for name, rows in present.items()}
    found, about_heads = put_on_top(table, tensors, wildcards.get("scope", ""))
    named = named_class(source_config) or class_of_scope(table, wildcards.get("scope", ""))
    choice = choose_architecture(
        table,
        found,
        lambda a: solve(question_of(a)).axes,
        architecture,
        by_graph or by_objects,
        named,
        teller=teller,
    )
    question = question_of(choice.architecture)
    sizes = solve(question)
    expansion = expansion._replace(axes=sizes.axes)
    no_averages, about_averages = averages(table, checkpoint, ema)
    by_averages = ema and not no_averages
    ledger = settle(Request(choice.architecture, checkpoint, expansion, wildcards, other_towers, sizes, by_averages))
    problems += [*sizes.problems, *unknown_heads(question, sizes), *choice.problems]
    problems += [*lacking(table, choice.architecture, set(present)), *no_averages]
    problems += refused_heads(table, choice.architecture, present)
    problems += ledger.problems
    own = table.config.source.transformers
    tokens = tokenizing(
        checkpoint, graph, by_transformers=own, vocab=vocab, lowercase=lowercase, rows=sizes.axes.get("vocab")
    )
    problems += tokens.problems
    configuration = None
    if not problems:
        configuration = translate(
            source_config,
            table,
            choice.architecture.name,
            sizes=sizes.values,
            facts=facts,
            hidden_act=hidden_act,
            layer_norm_eps=layer_norm_eps,
            labels=sizes.axes.get("labels") if _has_labels(table, choice.architecture) else None,
            vocabulary=tokens.vocabulary,
        )
    notes = [
        *checkpoint.notes,
        *about_heads,
        *choice.notes,
        *sizes.notes,
        *contradicted_heads(source_config, facts, heads),
        *about_averages,
        *(facts.notes if facts is not None else ()),
        *tokens.notes,
        *_optional_notes(ledger, choice.architecture, set(present)),
    ]
    return Plan(
        checkpoint,
        table,
        choice.architecture,
        wildcards,
        by_averages,
        sizes,
        ledger,
        facts,
        configuration,
        tokens.vocabulary,
        tokens.casing,
        tokens.companions,
        (*notes, *(configuration.notes if configuration else ())),
        tuple(problems),
    )


def _by_rules(checkpoint: Checkpoint, config: Mapping[str, Any], architecture: str | None) -> Plan:
    """The plan of a model of transformers that no table lists."""
    found = settle_by_class(checkpoint, config, architecture)
    return Plan(
        checkpoint=found.checkpoint,
        table=found.table,
        architecture=found.architecture,
        wildcards={},
        ema=False,
        sizes=found.sizes,
        ledger=found.ledger,
        graph=None,
        configuration=found.configuration,
        vocabulary=None,
        casing=None,
        companions=companions(checkpoint.directory),
        notes=(*checkpoint.notes, *found.notes),
        problems=tuple(found.ledger.problems),
    )


def _graph(checkpoint: Checkpoint) -> Graph | None:
    if checkpoint.graph_path is None:
        return None
    from bridgeckpt.formats.tensorflow.graphdef import read_graph

    return read_graph(checkpoint.graph_path)


def _has_labels(table: Table, architecture: Architecture) -> bool:
    return any("labels" in row.layout.axes for row in table.rows_of(architecture))


def _optional_notes(ledger: Ledger, architecture: Architecture, present: set[str]) -> list[str]:
    absent = [name for name, state in ledger.targets.items() if state == "optional"]
    if not absent and present.issuperset(architecture.optional):
        return []
    names = ", ".join(absent) or "its parameters"  # a dialect that never has the group does not know them
    return [
        f"the checkpoint has no {', '.join(architecture.optional)}: {names} will be missing when "
        f"{architecture.name} is loaded (load it with add_pooling_layer=False)"
    ]
