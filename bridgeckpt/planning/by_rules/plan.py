"""Planning by rules: a checkpoint of transformers' TensorFlow classes, without a table that lists its tensors.

A table lists every tensor of one model. Here the rules of :mod:`bridgeckpt.mapping.tables.rules` say how names and axes
follow from those of the PyTorch class, and the class itself lists its parameters. The ledger is the same as with a
table.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import ConfigError, PlanError
from bridgeckpt.mapping.notation.templates import Template
from bridgeckpt.mapping.tables.library import RULES
from bridgeckpt.mapping.tables.model_records import Architecture, ModelTable, Tied
from bridgeckpt.planning.account.dtypes import told_dtypes
from bridgeckpt.planning.account.leftovers import told_by_form
from bridgeckpt.planning.account.size_records import NO_SIZES
from bridgeckpt.planning.averages import choose_averages
from bridgeckpt.planning.by_rules.computed import corrected
from bridgeckpt.planning.by_rules.config import FILE_KEYS, class_of_names
from bridgeckpt.planning.by_rules.differences import judge_differences
from bridgeckpt.planning.by_rules.target import bare_class, load_target, with_floats
from bridgeckpt.planning.class_conflicts import ClassEvidence, rules_conflicts
from bridgeckpt.planning.losses import warn_of_parts
from bridgeckpt.planning.problems import Judged, merged
from bridgeckpt.planning.record import Plan
from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.config import Configuration
from bridgeckpt.sidecar.config_files import named_class
from bridgeckpt.sidecar.tokenizer.files import find_companions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.rule_records import Part, Rules
    from bridgeckpt.planning.account.ledger import Ledger
    from bridgeckpt.planning.by_rules.computed import Corrected
    from bridgeckpt.planning.by_rules.config import RulesConfig
    from bridgeckpt.planning.by_rules.target import Target


def plan_by_rules(checkpoint: Checkpoint, stated: RulesConfig, requested: str | None, *, ema: bool = False) -> Plan:
    """Plan for the ``requested`` class, or else for the class that variables are named after, or the config names.

    ``ema`` converts the moving average of each weight that has one, in place of the weight.

    Raises:
        ConfigError: the class cannot be built from this config.
        PlanError: torch or transformers is not installed, no class is named, or transformers does not have it.
        TableError: the table of rules is malformed.
    """
    # Imported here: most checkpoints have a table, and start quicker without these modules.
    from bridgeckpt.mapping.tables.rules import load_rules
    from bridgeckpt.planning.by_rules.account import absent_parts, account_by_rules

    kind, source = stated.values["model_type"], f"the config of {checkpoint.path.name}"
    rules, bare = load_rules(RULES), bare_class(kind)
    name, evidence, unnamed = _choose_class(checkpoint, stated, requested, source)
    computed = corrected(with_floats(stated.values), rules, name, bare)
    config, count = computed.values, len(checkpoint.tensors)
    target, named = load_target(config, name, source, count), evidence.of_names or evidence.written
    known = {one: load_target(config, one, source, count) for one in (bare, named) if one is not None and one != name}
    conflict = Judged() if requested else _conflicts(evidence, target, config, count)
    ledger, checkpoint, owners = account_by_rules(
        checkpoint.by_variable(), rules, target, [*known.values()], bare=bare, settled=requested is not None
    )
    training = checkpoint.training_state()
    ledger, problems, of_averages = choose_averages(ledger, training.average_of(), ema, checkpoint.path.name)
    differing = judge_differences(stated, rules, config, target)
    configuration = _configuration(computed, name)
    architecture, absent = _without(name, absent_parts(ledger.targets, rules, target))
    return Plan(
        checkpoint=checkpoint,
        table=rules.summary,
        model=_model(rules, kind, architecture, ledger),
        architecture=architecture,
        wildcards={},
        ema=ema and not problems,
        sizes=NO_SIZES,
        ledger=ledger,
        graph=None,
        configuration=configuration,
        tokenizer=None,
        vocabulary=None,
        casing=None,
        companions=find_companions(checkpoint.directory),
        notes=(*checkpoint.notes, *unnamed, *of_averages, *told_dtypes(checkpoint.tensors, ledger), *absent),
        warnings=(
            *checkpoint.warnings,
            *stated.warnings,
            *differing.warnings,
            *conflict.warnings,
            *told_by_form(training, ledger),
            *warn_of_parts(name, [part for part, owner in owners.items() if owner == bare], bare or ""),
            *dict.fromkeys(configuration.assumed.values()),
            *configuration.warnings,
        ),
        problems=merged((*conflict.problems, *differing.problems, *ledger.problems, *computed.problems, *problems)),
    )


def _without(name: str, parts: Sequence[Part]) -> tuple[Architecture, list[str]]:
    """The class without the parts that the checkpoint lacks, and a note on how it is loaded then."""
    optional = tuple(part.name for part in parts)
    notes = [
        f"the checkpoint has no {part.name}: it will be drawn at random if {name} is loaded without {part.argument}"
        for part in parts
    ]
    load_without = {part.name: part.argument for part in parts}
    return Architecture(name=name, optional=optional, load_without=load_without), notes


def _choose_class(
    checkpoint: Checkpoint, stated: RulesConfig, requested: str | None, source: str
) -> tuple[str, ClassEvidence, list[str]]:
    """The class, what names and config say of it, and notes.

    Raises:
        PlanError: nothing names a class and transformers knows no such model, or the names are those of another model.
    """
    kind, written, of_names = stated.values["model_type"], named_class(stated.values), class_of_names(checkpoint)
    if of_names is not None and of_names[1] != kind and not (requested or stated.is_given):
        raise _another_model(checkpoint, stated, *of_names)
    shown = of_names[0] if of_names is not None and of_names[1] == kind else None
    evidence = ClassEvidence(shown, written, stated.name)
    named = evidence.of_names or written
    name = requested or named or bare_class(kind)
    if name is None:
        raise PlanError(
            f"{source} names no class, and transformers knows no model {kind}",
            hint=Sentence("name one with {architecture:CLASS}"),
        )
    unnamed = [] if requested or named else [f"the config names no class: {name} is the one without a head"]
    return name, evidence, unnamed


def _another_model(checkpoint: Checkpoint, stated: RulesConfig, architecture: str, model: str) -> PlanError:
    return PlanError(
        f"the variables of {checkpoint.path} are named after {architecture}, a class of the model {model}, but "
        f"{stated.name} is the config of a {stated.values['model_type']} model",
        hint=Sentence(
            "give the config of this checkpoint with {config:FILE}, or name the class of {kind} with "
            "{architecture:CLASS}, if {name} is the right one",
            kind=stated.values["model_type"],
            name=stated.name,
        ),
    )


def _conflicts(evidence: ClassEvidence, target: Target, config: Mapping[str, Any], count: int) -> Judged:
    """The contradictions about the class: another one may have the same parameters as that of the ``target``."""
    fits = {target.architecture}
    if evidence.written not in (None, target.architecture):
        with suppress(PlanError, ConfigError):  # transformers has no such class of this model
            other = load_target(config, str(evidence.written), evidence.config, count)
            fits |= {other.architecture} if other.shapes == target.shapes else set()
    return rules_conflicts(target.architecture, fits, evidence)


def _configuration(corrected: Corrected, name: str) -> Configuration:
    """The config of the converted model."""
    values = {key: value for key, value in corrected.values.items() if key not in FILE_KEYS}
    return Configuration(
        values={**values, "architectures": [name]},
        provenance=corrected.provenance,
        assumed=corrected.assumed,
        notes=(),
        warnings=corrected.warnings,
    )


def _model(rules: Rules, kind: str, architecture: Architecture, ledger: Ledger) -> ModelTable:
    """The model as the class shows it: its name, and which parameters are tied."""
    return ModelTable(
        name=kind,
        path=rules.path,
        model=kind,
        source=rules.source,
        architectures={architecture.name: architecture},
        tied=tuple(Tied(Template.parse(name), Template.parse(to)) for name, to in ledger.tied.items()),
    )
