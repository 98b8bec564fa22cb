"""The model's configuration: transformers' config.json, from what the source's says, with a reason for each guess.

What no tensor says is decided in :mod:`bridgeckpt.sidecar.decisions`. Planning solves the sizes from the shapes and
hands them in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.mapping.tables.tokenizer import PADDING
from bridgeckpt.sidecar.config_files import ACTIVATION, EPSILON
from bridgeckpt.sidecar.decisions import decide_activation, decide_epsilon, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.sidecar.decisions import Decision
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary
    from bridgeckpt.store.texts import JSON

# Keys of a transformers config that are about its file or class; ours are written in their place.
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
# Further keys of its older versions that say nothing of the model, or what is now said otherwise.
_OBSOLETE = ("output_past", "pruned_heads", "torchscript", "use_bfloat16", "tf_legacy_loss")


class Configuration(NamedTuple):
    """The content of config.json: ``values`` in transformers' order, ``provenance`` of what no tensor says, by key, and
    ``notes`` for the user."""

    values: JSON
    provenance: Mapping[str, str]
    notes: tuple[str, ...]


def translate(
    source: Mapping[str, Any],
    table: Table,
    architecture: str,
    *,
    sizes: Mapping[str, int],
    facts: GraphFacts | None = None,
    hidden_act: str | None = None,
    layer_norm_eps: float | None = None,
    labels: int | None = None,
    vocabulary: Vocabulary | None = None,
) -> Configuration:
    """The config.json of the converted model.

    Args:
        source: what the config says, {} without one. What it may hand on is the model table's to say.
        table: the dialect, which says what a word of its configs means and what it always computes.
        architecture: the Hugging Face class.
        sizes: every size by its config key, as the shapes have it.
        facts: what the graph says.
        hidden_act: the user's choice of activation, by transformers' name.
        layer_norm_eps: the user's choice of epsilon.
        labels: number of labels of a classifier, None for a model that has none.
        vocabulary: says which token is padding.

    Raises:
        ConfigError: transformers does not know the activation, or the epsilon is not above 0.
    """
    model = table.model
    written, left_out, overruled = _handed_on(source, table)
    notes = [f"not handed on from the config: {', '.join(left_out)}"] if left_out else []
    notes += overruled
    decisions: dict[str, Decision] = {}
    if (key := key_of(model, ACTIVATION, hidden_act)) is not None:
        by_transformers = "model_type" in source
        decisions[key] = decide_activation(key, hidden_act, facts, written, table, by_transformers=by_transformers)
    if (key := key_of(model, EPSILON, layer_norm_eps)) is not None:
        decisions[key] = decide_epsilon(key, layer_norm_eps, facts, written, table)
    notes += [note for decision in decisions.values() for note in decision.notes]
    values = {
        **model.config.defaults,
        **written,
        **sizes,
        **{key: decision.value for key, decision in decisions.items()},
        "architectures": [architecture],
        "model_type": model.model,
        **_labels(source, None if _fixes_labels(model, architecture) else labels, notes),
        **_padding(table, vocabulary),
    }
    provenance = {key: decision.origin for key, decision in decisions.items()}
    return Configuration(dict(sorted(values.items())), provenance, tuple(notes))


def _fixes_labels(model: ModelTable, architecture: str) -> bool:
    return model.roles.labels is not None and model.roles.labels in model.architectures[architecture].sizes


def _padding(table: Table, vocabulary: Vocabulary | None) -> JSON:
    """Which token is padding, where the vocabulary has such a token."""
    token = table.tokenizer.special.get(PADDING) if table.tokenizer is not None else None
    if token is None or vocabulary is None or token not in vocabulary.ids:
        return {}
    return {"pad_token_id": vocabulary.ids[token]}


def pass_through(source: Mapping[str, Any]) -> JSON:
    """A config that transformers wrote, less what is about its file and class."""
    return {key: value for key, value in source.items() if key not in (*_REPLACED, *_OBSOLETE)}


def _handed_on(source: Mapping[str, Any], table: Table) -> tuple[JSON, list[str], list[str]]:
    """The keys of a config that config.json takes over, the names of those left out that nothing else replaces, and
    notes on values that the dialect computes otherwise, whatever the config says."""
    model = table.model
    if table.config.source.transformers:
        values, always = pass_through(source), table.config.values
        decided = {model.config.options.get(option) for option in (ACTIVATION, EPSILON)}
        wrong = [key for key in always if key not in decided and values.get(key, always[key]) != always[key]]
        notes = [f"{key} = {always[key]} is written, as TensorFlow computes, not {values[key]}" for key in wrong]
        return values | {key: always[key] for key in wrong}, [], notes
    known = model.config_keys
    named = {model.config.keys.get(key, key): value for key, value in source.items()}
    left_out = [key for key in named if key not in known and key not in (*_REPLACED, *table.config.source.required)]
    return {key: value for key, value in named.items() if key in known}, left_out, []


def _labels(source: Mapping[str, Any], labels: int | None, notes: list[str]) -> JSON:
    """id2label and label2id of a classifier: the source's names where they fit, else LABEL_0 and so on."""
    if labels is None:
        return {}
    numbers = [str(number) for number in range(labels)]
    names = {number: f"LABEL_{number}" for number in numbers}
    if named := source.get("id2label"):
        if isinstance(named, dict) and sorted(named) == sorted(numbers) and len({*map(str, named.values())}) == labels:
            names = {number: str(named[number]) for number in numbers}
        else:
            notes.append(f"id2label of the config does not name {labels} labels: LABEL_0, ... are written instead")
    return {"id2label": names, "label2id": {name: int(number) for number, name in names.items()}}
