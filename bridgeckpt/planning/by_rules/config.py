"""The config of a model that is converted by rules: one of transformers, inside the file or beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import PlanError
from bridgeckpt.formats.descriptions import described_objects
from bridgeckpt.mapping.tables.library import RULES
from bridgeckpt.mapping.tables.model import shipped_models
from bridgeckpt.planning.by_rules.target import class_named
from bridgeckpt.planning.dialect import names_decide
from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.config_files import find_config, read_values
from bridgeckpt.sidecar.differences import Disagreement
from bridgeckpt.store.source import is_file, is_folder
from bridgeckpt.store.texts import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint

CONFIG = "config.json"  # of transformers
FILE_KEYS = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "tf_legacy_loss")


class RulesConfig(NamedTuple):
    """The ``values`` of a config with a ``model_type``, the ``name`` of what says most, and ``warnings``.

    ``differing`` are the values that two sources state differently. ``is_given``: the caller gave the config.
    """

    values: Mapping[str, Any]
    name: str
    warnings: tuple[str, ...] = ()
    differing: tuple[Disagreement, ...] = ()
    is_given: bool = False


def model_by_rules(
    checkpoint: Checkpoint, mapping: str | os.PathLike[str] | None, explicit: Path | None
) -> RulesConfig | None:
    """The config of a model that is converted by rules; None if a table may read the model.

    Names that are those of a table decide before a config does. Configs of other code than transformers have no
    ``model_type``, and neither have those of transformers before 2.2: there the variables are named after the class.

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
    beside_another = mapping is None and explicit in (None, folder) and _has_config_of_a_table(folder)
    if beside_another and names_decide(checkpoint):  # then config.json is not even read
        return None
    path = find_config(folder, explicit if explicit != folder else None, [CONFIG])
    stated = _stated(checkpoint, path, is_given=explicit is not None)._replace(is_given=explicit is not None)
    kind = stated.values.get("model_type")
    if mapping is None and (not stated.values or kind in shipped_models() or names_decide(checkpoint)):
        return None
    if stated.values and not kind and (named := class_of_names(checkpoint)) is not None:
        return stated._replace(values={**stated.values, "model_type": named[1]})
    if isinstance(kind, str) and kind:
        return stated
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


def _stated(checkpoint: Checkpoint, path: Path | None, *, is_given: bool) -> RulesConfig:
    """What the description inside the file and the config at ``path`` say; the config comes first if it is given."""
    inside, place = _described(checkpoint)
    outside, name = (read_values(path), path.name) if path is not None else ({}, "no config")
    if not inside or not outside:
        return RulesConfig(inside or outside, place if inside else name)
    pair = ((outside, name), (inside, place)) if is_given else ((inside, place), (outside, name))
    (first, says), (second, other) = pair
    if second.get("model_type", first["model_type"]) != first.get("model_type", second["model_type"]):
        warning = f"{other} is not read: it is of another model than {says} ({shown(second['model_type'])})"
        return RulesConfig(first, says, (warning,))
    return RulesConfig({**second, **first}, says, differing=tuple(_differences(*pair)))


def _described(checkpoint: Checkpoint) -> tuple[dict[str, Any], str]:
    """The config of the outermost model of transformers in the description of the file, and the description's name.

    {} if there are two of its class with different configs.
    """
    for place, text in checkpoint.descriptions.items():
        models = [
            found
            for found in described_objects(text, place)
            if found.class_name.startswith("TF") and isinstance(found.config.get("model_type"), str)
        ]
        alike = {shown(found.config) for found in models if found.class_name == models[0].class_name}
        if len(alike) == 1:
            values = {key: value for key, value in models[0].config.items() if value is not None}
            return {**values, "architectures": [models[0].class_name.removeprefix("TF")]}, place
    return {}, ""


def _differences(first: tuple[Mapping[str, Any], str], second: tuple[Mapping[str, Any], str]) -> Iterator[Disagreement]:
    for key, value in first[0].items():
        other = second[0].get(key)
        if other is not None and other != value and key not in FILE_KEYS:
            yield Disagreement(key, value, first[1], other, second[1])


def _has_config_of_a_table(folder: Path) -> bool:
    """Whether ``folder`` has the config of a model with tables, under a name that only that model's code writes."""
    if not is_file(folder / CONFIG):
        return False  # no sign of another model
    names = {name for model in shipped_models().values() for name in model.config.files if "*" not in name}
    return any(is_file(folder / name) for name in names - {CONFIG})
