"""The steps of planning, in order: recognise, gather, choose, account, choose_tokenizer, configure.

Each step takes the records of the steps before it and the options of the caller, and returns its own record. A step
collects problems instead of raising them, so that a plan shows all of them at once.
``account`` is in :mod:`bridgeckpt.planning.accounting`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.planning.account.closing import open_keys
from bridgeckpt.planning.account.expansion import Expansion
from bridgeckpt.planning.account.sizes import Question, solve
from bridgeckpt.planning.by_rules.computed import corrected_by_class
from bridgeckpt.planning.class_choice import choose_class
from bridgeckpt.planning.dialect import choose_table
from bridgeckpt.planning.losses import warn_of_unlike_head
from bridgeckpt.planning.overrides import conflicting_heads, resolve_heads, unclear_heads
from bridgeckpt.planning.refusals import refuse_variants
from bridgeckpt.planning.value_conflicts import value_conflicts
from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.sidecar.config import translate
from bridgeckpt.sidecar.described.layers import read_described
from bridgeckpt.sidecar.graph.facts import read_facts
from bridgeckpt.sidecar.stated import load_config
from bridgeckpt.sidecar.tokenizer.choice import select_tokenizer
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.errors import Problem
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Row, Table
    from bridgeckpt.options import PlanOptions
    from bridgeckpt.planning.account.size_records import Sizes
    from bridgeckpt.planning.by_rules.computed import Corrected
    from bridgeckpt.planning.dialect import Dialect
    from bridgeckpt.sidecar.config import Configuration
    from bridgeckpt.sidecar.described.layers import DescribedFacts
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.stated import SourceConfig
    from bridgeckpt.sidecar.tokenizer.choice import TokenizerChoice


class Recognised(NamedTuple):
    """The dialect of a checkpoint, and the groups of its table that the checkpoint has, with their rows.

    ``expansion`` finds the tensors of rows. It does not know the sizes yet.
    """

    dialect: Dialect
    expansion: Expansion
    present: Mapping[str, tuple[Row, ...]]


class SidecarFacts(NamedTuple):
    """What lies beside the tensors, or is described with them.

    These are the ``stated`` values, the graph with its facts, and what Keras' description says of layers.
    """

    stated: SourceConfig
    graph: Graph | None
    facts: GraphFacts | None
    described: DescribedFacts | None = None


class Chosen(NamedTuple):
    """The class that the checkpoint becomes, the sizes of its tensors, and its config as TensorFlow's class read it."""

    architecture: Architecture
    sizes: Sizes
    computed: Corrected
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]


def recognise(checkpoint: Checkpoint, options: PlanOptions) -> Recognised:
    """Find the mapping table that reads ``checkpoint``, and the groups that the checkpoint has.

    Raises:
        PlanError: no table reads it, two do, it holds several models, or it is a variant that cannot be converted.
        TableError: the mapping table is malformed.
    """
    dialect = choose_table(checkpoint, options.get("mapping"), options.get("scope"))
    refuse_variants(dialect.table, dialect.checkpoint)
    single_model = not dialect.other_towers
    expansion = Expansion(dialect.table, dialect.names, dialect.checkpoint.tensors, single_model, {})
    return Recognised(dialect, expansion, expansion.present(dialect.wildcards))


def gather(recognised: Recognised, options: PlanOptions) -> SidecarFacts:
    """Read the config and the graph.

    Raises:
        CheckpointError: the graph is damaged.
        ConfigError: the config is malformed or belongs to another model.
    """
    dialect, given = recognised.dialect, options.get("config")
    file = Path(given) if given is not None else None
    described = read_described(dialect.checkpoint, dialect.table, dialect.wildcards)
    scope = dialect.wildcards.get("scope", "")
    stated = load_config(dialect.checkpoint, dialect.table, file, scope=scope, described=described)
    graph = _graph(dialect.checkpoint)
    facts = read_facts(graph, dialect.table.graph, dialect.wildcards) if graph is not None else None
    return SidecarFacts(stated, graph, facts, described)


def choose(recognised: Recognised, evidence: SidecarFacts, options: PlanOptions) -> Chosen:
    """Choose the class by the heads in the checkpoint, and solve the sizes of its tensors.

    Raises:
        PlanError: the class that the caller named is not a class of the model.
    """
    dialect, expansion, present = recognised
    table, wildcards = dialect.table, dialect.wildcards
    stated, facts = evidence.stated, evidence.facts
    config = stated.values
    pruned = dialect.checkpoint.path.name if dialect.checkpoint.is_pruned else ""
    given, problems = resolve_heads(table.model, stated, facts, options.get("heads"))

    def question_of(architecture: Architecture) -> Question:
        groups = (*architecture.groups, *architecture.optional)
        rows = [row for name in groups for row in present.get(name, ())]
        return Question(expansion=expansion, rows=rows, wildcards=wildcards, source=stated, given=given, pruned=pruned)

    def axes_of(architecture: Architecture) -> Mapping[str, int]:
        return solve(question_of(architecture)).axes

    tensors = {name: expansion.first(rows, wildcards) for name, rows in present.items()}
    choice = choose_class(dialect, tensors, axes_of, stated, facts, evidence.described, options.get("architecture"))
    question = question_of(choice.architecture)
    sizes = solve(question)
    problems += [
        *sizes.problems,
        *open_keys(question, choice.architecture, sizes),
        *choice.problems,
    ]
    differing = value_conflicts(table, stated, sizes, facts, options)
    problems += differing.problems
    computed = corrected_by_class(stated.values, table, choice.architecture)
    problems += computed.problems
    conflicts = conflicting_heads(table.model, config, facts, options.get("heads"))
    unclear = unclear_heads(table.model, facts)
    unlike = warn_of_unlike_head(table, choice.architecture, facts, question.rows, wildcards)
    return Chosen(
        architecture=choice.architecture,
        sizes=sizes,
        computed=computed,
        notes=(*choice.notes, *sizes.notes, *unclear),
        warnings=(
            *conflicts,
            *differing.warnings,
            *choice.warnings,
            *sizes.warnings,
            *(unlike or choice.guesses),  # which say that no graph shows the class
        ),
        problems=tuple(problems),
    )


def choose_tokenizer(
    recognised: Recognised, evidence: SidecarFacts, chosen: Chosen, options: PlanOptions
) -> TokenizerChoice:
    """Find the vocabulary and its casing, or the tokenizer's own files.

    Raises:
        ConfigError: the vocabulary is malformed, or several files could be the vocabulary.
    """
    dialect, roles = recognised.dialect, recognised.dialect.table.model.roles
    return select_tokenizer(
        dialect.checkpoint,
        evidence.graph,
        dialect.table.tokenizer,
        by_transformers=dialect.table.config.source.transformers,
        vocab=options.get("vocab"),
        lowercase=options.get("lowercase"),
        rows=chosen.sizes.of_axis(roles.vocabulary),
    )


def configure(
    recognised: Recognised, evidence: SidecarFacts, chosen: Chosen, tokens: TokenizerChoice, options: PlanOptions
) -> Configuration:
    """Write the config.json of the converted model.

    Raises:
        ConfigError: transformers does not have the activation, or the epsilon is not above 0.
    """
    table, sizes, computed = recognised.dialect.table, chosen.sizes, chosen.computed
    made = translate(
        computed.values,
        table,
        chosen.architecture.name,
        sizes=sizes.values,
        assumed=FrozenDict({**sizes.assumed, **computed.assumed, **_unnamed(evidence, options)}),
        described=evidence.stated.described,
        facts=evidence.facts,
        hidden_act=options.get("hidden_act"),
        layer_norm_eps=options.get("layer_norm_eps"),
        labels=sizes.of_axis(table.model.roles.labels) if _has_labels(table, chosen.architecture) else None,
        vocabulary=tokens.vocabulary,
    )
    return made._replace(
        provenance={**computed.provenance, **made.provenance}, warnings=(*computed.warnings, *made.warnings)
    )


def _unnamed(evidence: SidecarFacts, options: PlanOptions) -> dict[str, Sentence]:
    """By config key, a warning for functions that Keras' description does not tell, if nothing else shows them."""
    described, facts = evidence.described, evidence.facts
    if described is None or options.get("hidden_act") is not None:
        return {}
    return {
        key: Sentence(
            "{key} is not proven: {place} has a function of the program's own in {layers}; {setting} decides it",
            key=key,
            place=described.place,
            layers=listed(layers),
            setting=Setting("hidden_act", blank="NAME"),
        )
        for key, layers in described.unnamed.items()
        if facts is None or key not in facts.values
    }


def _graph(checkpoint: Checkpoint) -> Graph | None:
    if checkpoint.graph_path is None:
        return None
    from bridgeckpt.formats.tensorflow.graphdef import read_graph

    return read_graph(checkpoint.graph_path)


def _has_labels(table: Table, architecture: Architecture) -> bool:
    return any(table.model.roles.labels in row.layout.axes for row in table.rows_of(architecture))
