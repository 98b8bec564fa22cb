"""Makes transformers' config.json from the source's config, with a reason for each guess.

:mod:`bridgeckpt.sidecar.decisions` decides on the values that no tensor shows. Planning computes the sizes from the
shapes and passes them in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.frozen import FrozenDict
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.tokenizer import PADDING
from bridgeckpt.sentences import Sentence
from bridgeckpt.sidecar.config_files import ACTIVATION, EPSILON
from bridgeckpt.sidecar.decisions import decide_activation, decide_epsilon, key_of, warn_of_doubts
from bridgeckpt.store.texts import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.sidecar.decisions import Decision
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary
    from bridgeckpt.store.texts import JSON

# Keys of a transformers config that describe its file or class. Ours are written instead.
_REPLACED = (
    "_name_or_path",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "model_type",
    "num_labels",
    "torch_dtype",
    "transformers_version",
)
# Keys of older versions that do not describe the model, or that later versions replaced.
_OBSOLETE = ("output_past", "pruned_heads", "torchscript", "use_bfloat16", "tf_legacy_loss")


class Configuration(NamedTuple):
    """The content of config.json.

    Attributes:
        values: The content, sorted by key as transformers writes it.
        provenance: By key, the origin of each value that no tensor shows.
        assumed: By key, a warning for each value that the caller, the graph and the source's config leave open.
        notes: Notes for the user.
        warnings: What is lost of the source's config, and what contradicts the code.
        unmentioned: The values of the source's config that a user's own model table does not mention, by key.
    """

    values: JSON
    provenance: Mapping[str, str]
    assumed: Mapping[str, str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    unmentioned: JSON = FrozenDict()

    def value(self, key: str) -> object:
        """The value of a key; ``encoder.hidden_act`` is one of a model inside the model."""
        value: Any = self.values
        for part in key.split("."):
            value = value[part]
        return value


def translate(
    source: Mapping[str, Any],
    table: Table,
    architecture: str,
    *,
    sizes: Mapping[str, int],
    assumed: Mapping[str, str] = FrozenDict(),
    described: Mapping[str, str] = FrozenDict(),
    facts: GraphFacts | None = None,
    hidden_act: str | None = None,
    layer_norm_eps: float | None = None,
    labels: int | None = None,
    vocabulary: Vocabulary | None = None,
) -> Configuration:
    """The config.json of the converted model.

    Args:
        source: the content of the source's config, {} without one. The model table says which keys are copied.
        table: the dialect, which has the meaning of words in its configs and the values that its code always uses.
        architecture: the Hugging Face class.
        sizes: every size by its config key, computed from the shapes.
        assumed: a warning for each size that only the tables give.
        described: the keys that a description inside the file says, each with the description's name.
        facts: the facts of the graph.
        hidden_act: the user's choice of activation, by transformers' name.
        layer_norm_eps: the user's choice of epsilon.
        labels: the number of labels of a classifier, None for other models.
        vocabulary: the tokens, for the id of the padding token.

    Raises:
        ConfigError: the activation is unknown to transformers, the epsilon is not between 0 and 1, or one is not given.
    """
    model = table.model
    copied, left_out = _copied_values(source, table)
    copied = _typed(copied, model)
    notes = [f"not handed on from the config: {', '.join(left_out)}"] if left_out else []
    decisions: dict[str, Decision] = {}
    if (key := key_of(model, ACTIVATION, hidden_act)) is not None:
        by_transformers = "model_type" in source
        decisions[key] = decide_activation(key, hidden_act, facts, copied, table, by_transformers=by_transformers)
    if (key := key_of(model, EPSILON, layer_norm_eps)) is not None:
        decisions[key] = decide_epsilon(key, layer_norm_eps, facts, copied, table)
    notes += [note for decision in decisions.values() for note in decision.notes]
    fixed = _fixed_values(table, sizes, decisions)
    named, misfit = _labels(source, None if _fixes_labels(model, architecture) else labels)
    values = {
        **model.config.defaults,
        **copied,
        **fixed,
        **sizes,
        **{key: decision.value for key, decision in decisions.items()},
        "architectures": [architecture],
        "model_type": model.model,
        **named,
        **_padding(table, vocabulary),
    }
    contradicted = [
        f"{key} = {value} is written, as TensorFlow computes, not {copied[key]}"
        for key, value in fixed.items()
        if copied.get(key, value) != value
    ]
    values, outside = _tokens_within(values, sizes, model)
    provenance = dict.fromkeys(fixed, f"{table.name} computes with no other")
    provenance |= {
        key: decision.origin.replace("the config", described.get(key, "the config"))
        for key, decision in decisions.items()
    }
    doubted = warn_of_doubts(decisions, table)
    unmentioned = _unmentioned(source, [key for key in left_out if key not in fixed], model)
    by_default = _defaults_assumed(model, {*copied, *fixed, *sizes, *decisions})
    return Configuration(
        values=dict(sorted(values.items())),
        provenance=provenance,
        assumed=FrozenDict({**assumed, **by_default, **doubted}),
        notes=tuple(notes),
        warnings=(
            *(warning for decision in decisions.values() for warning in decision.warnings),
            *contradicted,
            *outside,
            *misfit,
            *_warn_of_unmentioned(unmentioned, model),
        ),
        unmentioned=FrozenDict(unmentioned),
    )


def _fixed_values(table: Table, sizes: Mapping[str, int], decisions: Mapping[str, Decision]) -> JSON:
    """The values that the dialect's code always computes with: all that are neither sizes nor decided."""
    return {key: value for key, value in table.config.values.items() if key not in {*sizes, *decisions}}


def _defaults_assumed(model: ModelTable, known: Collection[str]) -> dict[str, str]:
    """A warning for each ``needed`` key that has only the default of the model table."""
    config = model.config
    return {
        key: Sentence(
            "{key} = {value} is assumed by {model}: no tensor tells it, and no config says it; "
            "{config:FILE} gives a config that does",
            key=key,
            value=config.defaults[key],
            model=model.name,
        )
        for key in config.needed
        if key in config.defaults and key not in known
    }


def _fixes_labels(model: ModelTable, architecture: str) -> bool:
    return model.roles.labels is not None and model.roles.labels in model.architectures[architecture].sizes


def _typed(values: JSON, model: ModelTable) -> JSON:
    """The values with the types that transformers 5 asks for, and that older versions and other code did not."""
    floats = {key for key, value in model.config.defaults.items() if isinstance(value, float)}
    typed = {key: bool(values[key]) for key in model.config.flags if key in values}
    return {**values, **typed, **{key: float(values[key]) for key in floats if isinstance(values.get(key), int)}}


def _tokens_within(values: JSON, sizes: Mapping[str, int], model: ModelTable) -> tuple[JSON, list[str]]:
    """The values without ids that the vocabulary does not have, with which no class is built; a warning for each."""
    vocabulary = model.dims.get(model.roles.vocabulary or "")
    if vocabulary is None or not all(key in sizes for key in vocabulary.keys):
        return values, []
    size = vocabulary.evaluate(sizes)
    outside = [
        key for key in model.config.tokens if isinstance(values.get(key), int) and not -size <= values[key] < size
    ]
    warnings = [f"{key} = null is written, not {values[key]}: the vocabulary has {size} tokens" for key in outside]
    return {**values, **dict.fromkeys(outside)}, warnings


def _padding(table: Table, vocabulary: Vocabulary | None) -> JSON:
    """The id of the padding token, if the vocabulary has that token."""
    token = table.tokenizer.special.get(PADDING) if table.tokenizer is not None else None
    if token is None or vocabulary is None or token not in vocabulary.ids:
        return {}
    return {"pad_token_id": vocabulary.ids[token]}


def pass_through(source: Mapping[str, Any]) -> JSON:
    """A config that transformers wrote, without the keys that describe its file and class."""
    return {key: value for key, value in source.items() if key not in (*_REPLACED, *_OBSOLETE)}


def _copied_values(source: Mapping[str, Any], table: Table) -> tuple[JSON, list[str]]:
    """The values that are copied to config.json, and the keys that are left out and not replaced."""
    model = table.model
    if table.config.source.transformers:
        return pass_through(source), []
    known = model.config_keys
    renamed = {model.config.keys.get(key, key): value for key, value in source.items()}
    left_out = [key for key in renamed if key not in known and key not in (*_REPLACED, *table.config.source.required)]
    return {key: value for key, value in renamed.items() if key in known}, left_out


def _unmentioned(source: Mapping[str, Any], left_out: list[str], model: ModelTable) -> JSON:
    """The values of a config that a user's own model table does not mention: they may be sizes."""
    if model.path in tables.models():
        return {}
    renamed = {model.config.keys.get(key, key): value for key, value in source.items()}
    return {key: renamed[key] for key in left_out if isinstance(renamed[key], int | float | str)}


def _warn_of_unmentioned(unmentioned: JSON, model: ModelTable) -> list[str]:
    if not unmentioned:
        return []
    said = [f"{key} = {shown(value)}" for key, value in unmentioned.items()]
    return [
        f"not handed on from the config: {', '.join(said)}. {model.name} does not mention "
        f"{'it' if len(said) == 1 else 'them'}, and transformers loads its own defaults; put what the class computes "
        "with into [config] needed, and what may be copied into [config] kept"
    ]


def _labels(source: Mapping[str, Any], labels: int | None) -> tuple[JSON, tuple[str, ...]]:
    """id2label and label2id of a classifier: the source's names; LABEL_0, ... and a warning if they do not fit."""
    if labels is None:
        return {}, ()
    warnings: tuple[str, ...] = ()
    numbers = [str(number) for number in range(labels)]
    names = {number: f"LABEL_{number}" for number in numbers}
    if named := source.get("id2label"):
        if isinstance(named, dict) and sorted(named) == sorted(numbers) and len({*map(str, named.values())}) == labels:
            names = {number: str(named[number]) for number in numbers}
        else:
            warnings = (
                f"id2label of the config does not name {labels} labels: LABEL_0, ... are written instead; "
                "write the right names into the new config.json",
            )
    return {"id2label": names, "label2id": {name: int(number) for number, name in names.items()}}, warnings
