"""Planning by rules: a checkpoint of transformers' TensorFlow classes, without a table that lists its tensors.

A table lists every tensor of one model. Here the rules of :mod:`bridgeckpt.mapping.tables.rules` say how names and axes
follow from those of the PyTorch class, and the class itself lists its parameters. The ledger is the same as with a
table.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import PlanError, Problem
from bridgeckpt.mapping.notation.templates import Template
from bridgeckpt.mapping.tables.library import RULES
from bridgeckpt.mapping.tables.model import shipped_models
from bridgeckpt.mapping.tables.model_records import Architecture, ModelTable, Tied
from bridgeckpt.planning.account.leftovers import told_by_form
from bridgeckpt.planning.account.sizes import NO_SIZES
from bridgeckpt.planning.architecture import conflicting_classes
from bridgeckpt.planning.averages import choose_averages
from bridgeckpt.planning.by_rules.target import bare_class, class_named, load_target
from bridgeckpt.planning.dialect import names_decide
from bridgeckpt.planning.losses import warn_of_parts
from bridgeckpt.planning.problems import merged
from bridgeckpt.planning.record import Plan
from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.config import Configuration
from bridgeckpt.sidecar.config_files import find_config, named_class, read_values
from bridgeckpt.sidecar.tokenizer.files import find_companions
from bridgeckpt.store.source import is_file, is_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.rule_records import ModelRules, Rules
    from bridgeckpt.planning.account.ledger import Ledger

_CONFIG = "config.json"  # of transformers
_FILE_KEYS = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "tf_legacy_loss")


def model_by_rules(
    checkpoint: Checkpoint, mapping: str | os.PathLike[str] | None, explicit: Path | None
) -> dict[str, Any] | None:
    """The config of a model that is converted by rules; None if a table may read the model.

    Names that are those of a table decide before the config does.
    It is a config of transformers, beside the checkpoint or ``explicit``. Configs of other code have no ``model_type``,
    and neither have those of transformers before 2.2: there the variables are named after the class.

    Raises:
        ConfigError: The config cannot be read.
        PlanError: ``mapping`` names the rules, but there is no such config.
    """
    if mapping not in (None, RULES) or checkpoint.metadata.get("format") == "pt":  # written by PyTorch
        return None
    try:
        folder = explicit if explicit is not None and is_folder(explicit) else checkpoint.directory
    except OSError:  # not a valid path: `find_config` reports it
        folder = checkpoint.directory
    if mapping is None and explicit in (None, folder) and _has_config_of_a_table(folder):
        return None
    path = find_config(folder, explicit if explicit != folder else None, [_CONFIG])
    values = read_values(path) if path is not None else {}
    kind = values.get("model_type")
    if mapping is None and (path is None or kind in shipped_models() or names_decide(checkpoint)):
        return None
    if path is not None and not kind and (named := class_of_names(checkpoint)) is not None:
        values["model_type"] = kind = named[1]  # transformers before 2.2 did not write it
    if isinstance(kind, str) and kind:
        return values
    if mapping is None:
        return None
    raise PlanError(
        f"there is no config of transformers (config.json with a model_type) beside {checkpoint.path}",
        hint=Sentence("give it with {config:FILE}: it says which class the names are those of"),
    )


def class_of_names(checkpoint: Checkpoint) -> tuple[str, str] | None:
    """The class that the variables are named after (``tf_roberta_for_masked_lm/``), and its ``model_type``; or None."""
    names = checkpoint.by_variable().tensors
    front = next((name for name in names if name.startswith("tf") and "/" in name), None)
    return class_named(front) if front is not None else None


def _has_config_of_a_table(folder: Path) -> bool:
    """Whether ``folder`` has the config of a model with tables, under a name that only that model's code writes."""
    if not is_file(folder / _CONFIG):
        return False  # no sign of another model
    names = {name for model in shipped_models().values() for name in model.config.files if "*" not in name}
    return any(is_file(folder / name) for name in names - {_CONFIG})


def plan_by_rules(
    checkpoint: Checkpoint, config: Mapping[str, Any], requested: str | None, *, ema: bool = False
) -> Plan:
    """Plan for the ``requested`` class, or else for the class that ``config`` names.

    ``ema`` converts the moving average of each weight that has one, in place of the weight.

    Raises:
        ConfigError: the class cannot be built from this config.
        PlanError: torch or transformers is not installed, no class is named, or transformers does not have it.
        TableError: the table of rules is malformed.
    """
    # Imported here: most checkpoints have a table, and start quicker without these modules.
    from bridgeckpt.mapping.tables.rules import load_rules
    from bridgeckpt.planning.by_rules.account import account_by_rules

    rules, kind = load_rules(RULES), config["model_type"]
    written, source = named_class(config), f"the config of {checkpoint.path.name}"
    of_names = class_of_names(checkpoint)
    named = of_names[0] if of_names is not None and of_names[1] == kind else written
    name = requested or named or bare_class(kind)
    if name is None:
        raise PlanError(
            f"{source} names no class, and transformers knows no model {kind}",
            hint=Sentence("name one with {architecture:CLASS}"),
        )
    target, bare = load_target(config, name, source), bare_class(kind)
    known = {one: load_target(config, one, source) for one in (bare, named) if one is not None and one != name}
    ledger, checkpoint, owners = account_by_rules(
        checkpoint.by_variable(), rules, target, [*known.values()], bare=bare, settled=requested is not None
    )
    if why := rules.model(kind).refused.get(name):
        ledger = ledger._replace(problems=(*ledger.problems, Problem("refused", name, (why,))))
    training = checkpoint.training_state()
    ledger, problems, of_averages = choose_averages(ledger, training.average_of(), ema, checkpoint.path.name)
    configuration, changed = _configuration(config, rules.model(kind), name)
    unnamed = () if requested or named else (f"the config names no class: {name} is the one without a head",)
    conflict = [] if requested else conflicting_classes(named, written, _CONFIG)
    architecture = Architecture(name)
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
        notes=(*checkpoint.notes, *unnamed, *changed, *of_averages, *rules.model(kind).notes),
        warnings=(
            *conflict,
            *told_by_form(training, ledger),
            *warn_of_parts(name, [part for part, owner in owners.items() if owner == bare], bare or ""),
        ),
        problems=merged((*ledger.problems, *problems)),
    )


def _configuration(config: Mapping[str, Any], rules: ModelRules, name: str) -> tuple[Configuration, list[str]]:
    """The config of the converted model, and a note on each value that TensorFlow's class does not use."""
    values = {key: value for key, value in config.items() if key not in _FILE_KEYS}
    changed = [
        f"{key} = {value} is written: TF{name} computes with it, although the config says {config[key]}"
        for key, value in rules.config.items()
        if config.get(key, value) != value
    ]
    written = {**values, **rules.config, "architectures": [name]}
    return Configuration(values=written, provenance={}, assumed={}, notes=()), changed


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
