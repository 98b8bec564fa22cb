"""Making a plan: everything that a conversion will do, decided from names, shapes, config and graph."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from bridgeckpt.errors import ConfigError, PlanError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.formats.huggingface.pytorch_folder import pytorch_model
from bridgeckpt.options import PlanOptions, checked
from bridgeckpt.planning.accounting import account
from bridgeckpt.planning.adoption import Adopted, adopt_head
from bridgeckpt.planning.advice import as_problem, complete, together
from bridgeckpt.planning.by_rules.config import model_by_rules
from bridgeckpt.planning.by_rules.plan import plan_by_rules
from bridgeckpt.planning.dialect import refuse_models_without_table, relative_of
from bridgeckpt.planning.judging import judge
from bridgeckpt.planning.overrides import reject_unsupported
from bridgeckpt.planning.problems import merged, render
from bridgeckpt.planning.record import Plan
from bridgeckpt.planning.steps import choose, choose_tokenizer, configure, gather, recognise
from bridgeckpt.planning.unmentioned import unmentioned_problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridgeckpt.errors import Problem
    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.planning.by_rules.config import RulesConfig
    from bridgeckpt.sidecar.config import Configuration


@checked(PlanOptions)
def plan(source: str | os.PathLike[str] | Checkpoint, **options: Unpack[PlanOptions]) -> Plan:
    """Plan a conversion to PyTorch. This reads the index, the config, the graph and the vocabulary, but no tensor.

    Args:
        source: path of a checkpoint (its folder, prefix or one of its files), or an open checkpoint.
        options: see :class:`bridgeckpt.PlanOptions`.

    Raises:
        CheckpointError: the source cannot be read.
        ConfigError: the config or the vocabulary is malformed or belongs to another model.
        TableError: the mapping table is malformed.
        PlanError: the conversion is refused; ``problems`` holds every reason.
    """
    checkpoint = source if isinstance(source, Checkpoint) else open_checkpoint(source)
    if options.get("mapping") is None:
        refuse_models_without_table(checkpoint, unread=False)
    try:
        drafted = draft(checkpoint, settled=True, **options)
    except PlanError as error:
        raise complete(error, partial(draft, checkpoint, settled=True), options) from None
    if drafted.problems:
        relative = relative_of(checkpoint)
        called = f"{checkpoint.path}{f', {relative},' if relative else ''}"
        heading = f"{drafted.table.name} cannot convert {called} to {drafted.architecture.name}"
        hint = together(drafted.problems) or drafted.checkpoint.gaps
        raise PlanError(render(heading, drafted.problems), drafted.problems, hint=hint)
    return drafted


def draft(
    source: str | os.PathLike[str] | Checkpoint, *, settled: bool = False, **options: Unpack[PlanOptions]
) -> Plan:
    """Like :func:`plan`, but returns a plan with problems instead of raising them.

    ``settled``: a person chose the class in ``options``, so it decides what becomes of a head that no row reads.
    """
    checkpoint = source if isinstance(source, Checkpoint) else open_checkpoint(source)
    if options.get("mapping") is None and (made := pytorch_model(checkpoint)) is not None:
        raise PlanError(f"{made.what}: there is nothing to convert", kind="pytorch", hint=made.hint)
    given = options.get("config")
    model_config = model_by_rules(checkpoint, options.get("mapping"), Path(given) if given is not None else None)
    if model_config is not None:
        return _by_rules(checkpoint, model_config, options)
    return _by_table(checkpoint, options, settled=settled)


def _by_table(checkpoint: Checkpoint, options: PlanOptions, *, settled: bool) -> Plan:
    """Plan for a model whose tensors a mapping table lists."""
    recognised = recognise(checkpoint, options)
    evidence = gather(recognised, options)
    adopted = adopt_head(recognised, evidence, options) if settled else Adopted(recognised)
    recognised = adopted.recognised
    chosen = choose(recognised, evidence, options)
    accounted = account(recognised, evidence, chosen, options, settled=settled)
    tokens = choose_tokenizer(recognised, evidence, chosen, options)
    judged = judge(recognised, evidence, chosen, accounted, options, settled=settled)
    problems = merged((*chosen.problems, *accounted.problems, *judged.problems, *tokens.problems))
    configured = partial(configure, recognised, evidence, chosen, tokens, options)
    configuration, problems = _configured(configured, problems, recognised.dialect.table.model, settled=settled)
    dialect, facts = recognised.dialect, evidence.facts
    relative = relative_of(checkpoint)
    notes = (
        *([f"it is {relative}"] if relative else ()),
        *dialect.checkpoint.notes,
        *chosen.notes,
        *adopted.notes,
        *accounted.notes,
        *judged.notes,
        *tokens.notes,
        *accounted.optional_notes,
        *(configuration.notes if configuration is not None else ()),
    )
    warnings = (
        *dialect.checkpoint.warnings,
        *evidence.stated.unread,
        *adopted.warnings,
        *chosen.warnings,
        *accounted.warnings,
        *judged.warnings,
        *((*configuration.assumed.values(), *configuration.warnings) if configuration is not None else ()),
    )
    return Plan(
        checkpoint=dialect.checkpoint,
        table=dialect.table.summary,
        model=dialect.table.model,
        architecture=chosen.architecture,
        wildcards=dialect.wildcards,
        ema=accounted.ema,
        sizes=chosen.sizes,
        ledger=accounted.ledger,
        graph=facts,
        configuration=configuration,
        tokenizer=dialect.table.tokenizer,
        vocabulary=tokens.vocabulary,
        casing=tokens.casing,
        companions=tokens.companions,
        notes=notes,
        warnings=tuple(dict.fromkeys(warnings)),  # values that are assumed for one reason share a warning
        problems=problems,
    )


def _configured(
    configured: Callable[[], Configuration], problems: tuple[Problem, ...], model: ModelTable, *, settled: bool
) -> tuple[Configuration | None, tuple[Problem, ...]]:
    """The configuration, None if there are problems; and the problems, with those of the configuration."""
    try:
        configuration = configured()
    except ConfigError as error:
        if not problems:
            raise
        return None, (*problems, *filter(None, [as_problem(error)]))
    if settled:  # which is not asked of a warm start: it writes no config
        problems = merged((*problems, *unmentioned_problems(configuration, model)))
    return (None if problems else configuration), problems


def _by_rules(checkpoint: Checkpoint, stated: RulesConfig, options: PlanOptions) -> Plan:
    """Plan for a model of transformers that no table lists."""
    reject_unsupported(options, supported=("mapping", "config", "architecture", "ema"))
    refuse_models_without_table(checkpoint, unread=True)
    return plan_by_rules(checkpoint, stated, options.get("architecture"), ema=bool(options.get("ema")))
