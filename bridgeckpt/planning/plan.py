"""The plan: everything a conversion will do, decided from names, shapes, config and graph before a tensor is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, Unpack

from bridgeckpt.copying.job import Job
from bridgeckpt.errors import PlanError, Problem
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.formats.tensors import DTYPES
from bridgeckpt.planning.architecture import choose_architecture, class_of_scope, lacking, put_on_top, told_by_objects
from bridgeckpt.planning.asked import averages, contradicted_heads, refuse_asked, told_heads, unknown_heads
from bridgeckpt.planning.by_class import model_by_rules, settle_by_class
from bridgeckpt.planning.dialect import choose_table
from bridgeckpt.planning.expansion import Expansion
from bridgeckpt.planning.ledger import Ledger, Request, settle
from bridgeckpt.planning.problems import render
from bridgeckpt.planning.refusals import refuse_variants, refused_heads
from bridgeckpt.planning.solve import Question, Sizes, solve
from bridgeckpt.planning.tokenizing import tokenizing
from bridgeckpt.source.companions import companions
from bridgeckpt.source.config import Configuration, translate
from bridgeckpt.source.config_files import load_config, named_class
from bridgeckpt.source.graph import read_facts

if TYPE_CHECKING:
    from bridgeckpt.formats.graphdef import Graph
    from bridgeckpt.mapping.records import Architecture, Table
    from bridgeckpt.moves import Move
    from bridgeckpt.source.graph import GraphFacts
    from bridgeckpt.source.tokenizer import Casing, Vocabulary


class Plan(NamedTuple):
    """What becomes of a checkpoint.

    ``ema`` says whether moving averages stand in for the weights; ``ledger`` accounts for every tensor on both sides;
    ``configuration`` is the content of config.json with the provenance of what no tensor says, and ``graph`` what the
    graph says of it; ``companions`` are files beside the checkpoint that are handed on as they are; ``notes`` are the
    decisions to say aloud, ``problems`` the reasons to refuse.
    """

    checkpoint: Checkpoint
    table: Table
    architecture: Architecture
    wildcards: Mapping[str, str]
    ema: bool
    sizes: Sizes
    ledger: Ledger
    graph: GraphFacts | None
    configuration: Configuration | None
    vocabulary: Vocabulary | None
    casing: Casing | None
    companions: tuple[Path, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def copies(self) -> dict[str, str]:
        """The tensors that should equal one that is converted, each with the name of that one."""
        states = self.ledger.sources
        known = self.checkpoint.copies.items()
        return {name: first for name, first in known if states[name] == "copy" and states[first] == "mapped"}

    def jobs(self, dtype: str | None = None) -> list[Job]:
        """One copying job for each parameter, in the order of the table.

        ``dtype`` is what floating-point parameters are stored as; None keeps each as it is.
        """
        jobs: list[Job] = []
        moves: dict[int, tuple[tuple[tuple[Move, ...], ...], tuple[int, ...]]] = {}
        tensors = self.checkpoint.tensors
        for row, sources, targets in self.ledger.assignments:
            known = moves.get(id(row))
            if known is None:
                axes = row.axes or self.sizes.axes
                known = moves[id(row)] = row.layout.moves(axes), row.layout.pt.shape(axes)
            infos = tuple([tensors[name] for name in sources])
            stored = infos[0].dtype
            kept = dtype if dtype is not None and DTYPES[stored].floating else stored
            for target, its_moves in zip(targets, known[0], strict=True):
                jobs.append(Job(target, infos, its_moves, known[1], kept, row.fill or 0))
        return jobs


class PlanOptions(TypedDict, total=False):
    """What a caller may settle instead of having it detected; every function that plans takes these keywords.

    mapping: name or file of the mapping table; None detects the dialect.
    architecture: Hugging Face class; None takes the one whose heads are there.
    config: config file; None looks beside the checkpoint.
    vocab: vocabulary file; None looks beside the checkpoint.
    heads: number of attention heads, when neither config nor graph tells.
    hidden_act: activation by its transformers name; None takes the graph's, else the dialect's.
    layer_norm_eps: epsilon; None takes the graph's, else the dialect's.
    scope: leading path of the variables, when the checkpoint holds several models.
    ema: convert the exponential moving averages instead of the weights.
    lowercase: whether the tokenizer lower-cases; None infers it from the vocabulary.
    """

    mapping: str | Path | None
    architecture: str | None
    config: str | os.PathLike[str] | None
    vocab: str | os.PathLike[str] | None
    heads: int | None
    hidden_act: str | None
    layer_norm_eps: float | None
    scope: str | None
    ema: bool
    lowercase: bool | None


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
    from bridgeckpt.formats.graphdef import read_graph

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
