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
from bridgeckpt.planning.by_class import model_by_rules, settle_by_class
from bridgeckpt.planning.dialect import choose_table
from bridgeckpt.planning.expansion import Expansion
from bridgeckpt.planning.ledger import Ledger, Request, settle
from bridgeckpt.planning.problems import render
from bridgeckpt.planning.refusals import refuse_variants, refused_heads
from bridgeckpt.planning.solve import Question, Sizes, solve
from bridgeckpt.source.casing import casing_of
from bridgeckpt.source.companions import TOKENIZER_NAMES, companions, has_tokenizer
from bridgeckpt.source.config import Configuration, translate
from bridgeckpt.source.config_files import load_config, named_class
from bridgeckpt.source.graph import read_facts
from bridgeckpt.source.tokenizer import Casing, Vocabulary, find_vocabulary, infer_casing, read_vocabulary

if TYPE_CHECKING:
    from bridgeckpt.formats.graphdef import Graph
    from bridgeckpt.mapping.records import Architecture, Table
    from bridgeckpt.moves import Move
    from bridgeckpt.source.graph import GraphFacts

_HEADS = "num_attention_heads"


class Plan(NamedTuple):
    """What becomes of a checkpoint.

    ``ema`` says whether moving averages stand in for the weights; ``ledger`` accounts for every tensor on both sides;
    ``configuration`` is the content of config.json with the
    provenance of what no tensor says, and ``graph`` what the graph says of it; ``companions`` are files beside the
    checkpoint that are handed on as they are; ``notes`` are the decisions to say
    aloud, ``problems`` the reasons to refuse.
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
        return _by_rules(checkpoint, model_config, architecture)
    table, checkpoint, names, wildcards, other_towers = choose_table(checkpoint, mapping, scope)
    refuse_variants(table, checkpoint)
    expansion = Expansion(table, names, checkpoint.tensors, not other_towers, {})
    present = expansion.present(wildcards)
    source_config, config_name = load_config(checkpoint, table, config_file)
    graph = _graph(checkpoint)
    facts = read_facts(graph, table.graph, wildcards) if graph is not None else None
    given, problems = _heads(source_config, config_name, facts, heads)

    def question_of(architecture: Architecture) -> Question:
        groups = (*architecture.groups, *architecture.optional)
        rows = [row for name in groups for row in present.get(name, ())]
        return Question(expansion, rows, wildcards, source_config, config_name, given)

    head = facts.head if facts is not None else None
    head = head or told_by_objects(table, checkpoint)
    tensors = {name: expansion.first(rows, wildcards) for name, rows in present.items()}
    found, about_heads = put_on_top(table, tensors, wildcards.get("scope", ""))
    named = named_class(source_config) or class_of_scope(table, wildcards.get("scope", ""))
    choice = choose_architecture(table, found, lambda a: solve(question_of(a)).axes, architecture, head, named)
    question = question_of(choice.architecture)
    sizes = solve(question)
    expansion = expansion._replace(axes=sizes.axes)
    no_averages, about_averages = _averages(table, checkpoint, ema)
    averages = ema and not no_averages
    ledger = settle(Request(choice.architecture, checkpoint, expansion, wildcards, other_towers, sizes, averages))
    problems += [*sizes.problems, *_unknown_heads(question, sizes), *choice.problems]
    problems += [*lacking(table, choice.architecture, set(present)), *no_averages]
    problems += refused_heads(table, choice.architecture, present)
    problems += ledger.problems
    handed_on = companions(checkpoint.directory) if table.config.source.transformers else ()
    own_tokenizer = has_tokenizer(handed_on) and vocab is None and lowercase is None
    vocabulary, casing, about_casing = (
        (None, None, []) if own_tokenizer else _vocabulary(checkpoint, graph, vocab, lowercase)
    )
    problems += _vocabulary_problems(vocabulary, sizes)
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
            vocabulary=vocabulary,
        )
    if heads is not None and (told := {source_config.get(_HEADS), facts and facts.num_attention_heads} - {None, heads}):
        sizes.notes.append(f"--heads {heads} is taken although {' and '.join(map(str, told))} was found")
    notes = [
        *checkpoint.notes,
        *about_heads,
        *choice.notes,
        *sizes.notes,
        *about_averages,
        *(facts.notes if facts is not None else ()),
        *about_casing,
        *_optional_notes(ledger, choice.architecture, set(present)),
    ]
    return Plan(
        checkpoint,
        table,
        choice.architecture,
        wildcards,
        averages,
        sizes,
        ledger,
        facts,
        configuration,
        vocabulary,
        casing,
        tuple(path for path in handed_on if own_tokenizer or path.name not in TOKENIZER_NAMES),
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


def _averages(table: Table, checkpoint: Checkpoint, asked: bool) -> tuple[list[Problem], list[str]]:
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


def _graph(checkpoint: Checkpoint) -> Graph | None:
    if checkpoint.graph_path is None:
        return None
    from bridgeckpt.formats.graphdef import read_graph

    return read_graph(checkpoint.graph_path)


def _heads(
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


def _unknown_heads(question: Question, sizes: Sizes) -> list[Problem]:
    """Of most layouts no shape tells the number of heads."""
    if _HEADS not in question.keys or _HEADS in sizes.values:
        return []
    details = ("no shape tells it, and there is neither a config nor a graph (.meta, saved_model.pb) beside it",)
    hint = "give --heads N, or the config with --config FILE"
    return [Problem("heads", "the number of attention heads is unknown", details, hint)]


def _vocabulary(
    checkpoint: Checkpoint, graph: Graph | None, given: str | os.PathLike[str] | None, lowercase: bool | None
) -> tuple[Vocabulary | None, Casing | None, list[str]]:
    """The vocabulary, its casing (the user's word, else a hub module's own, else inferred), and what speaks against."""
    path = find_vocabulary(checkpoint.directory, Path(given) if given is not None else None)
    if path is None:
        return None, None, []
    vocabulary = read_vocabulary(path)
    if lowercase is not None:
        return vocabulary, Casing(lowercase, f"{'un' * lowercase}cased, as asked"), []
    inferred, stated = infer_casing(vocabulary), casing_of(checkpoint, graph)
    if stated is None or stated.lowercase == inferred.lowercase:
        return vocabulary, stated or inferred, []
    return vocabulary, stated, [f"the tokenizer is {stated.reason}; {vocabulary.path.name} looks {inferred.reason}"]


def _vocabulary_problems(vocabulary: Vocabulary | None, sizes: Sizes) -> list[Problem]:
    rows = sizes.axes.get("vocab")
    if vocabulary is None or rows is None or len(vocabulary.tokens) <= rows:
        return []
    subject = f"{vocabulary.path.name} has {len(vocabulary.tokens)} tokens, the embedding table only {rows} rows"
    return [
        Problem(
            "vocabulary", subject, (), "is it the vocabulary of another checkpoint? Give the right one with --vocab"
        )
    ]


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
