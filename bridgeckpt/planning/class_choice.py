"""The choice of the class from all that the source says of it: names, config, graph and the tensors themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.planning.architecture import (
    choose_architecture,
    class_of_scope,
    drop_inner_heads,
    fitting_classes,
    head_from_object_paths,
)
from bridgeckpt.planning.class_conflicts import ClassEvidence, table_conflicts
from bridgeckpt.sidecar.config_files import named_class
from bridgeckpt.sidecar.described.heads import read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.planning.architecture import Choice
    from bridgeckpt.planning.dialect import Dialect
    from bridgeckpt.sidecar.described.layers import DescribedFacts
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.stated import SourceConfig


def choose_class(
    dialect: Dialect,
    tensors: Mapping[str, frozenset[str]],
    axes_of: Callable[[Architecture], Mapping[str, int]],
    stated: SourceConfig,
    facts: GraphFacts | None,
    described: DescribedFacts | None,
    requested: str | None,
) -> Choice:
    """Choose the class for the groups that are present, each with its ``tensors`` at index 0.

    ``axes_of`` solves the sizes of a class's tensors, by axis. ``requested`` is the class that the caller named. Then
    nothing contradicts it.

    Raises:
        PlanError: ``requested`` is not a class of the model.
    """
    table, scope = dialect.table, dialect.wildcards.get("scope", "")
    outer, dropped = drop_inner_heads(table, tensors, scope)
    of_graph = facts.head if facts is not None else None
    of_keras = _described_head(dialect, outer, described) if of_graph is None and described is not None else None
    place = described.place if described is not None else ""
    said = ClassEvidence(
        of_names=class_of_scope(table, scope),
        written=named_class(stated.values),
        config=stated.origin_of("architectures"),
        head=of_graph or of_keras or head_from_object_paths(table, dialect.checkpoint),
        shown_by="the graph" if of_graph else f"its {place}" if of_keras else "the objects saved",
    )
    named = [name for name in (said.of_names, said.written) if name is not None]
    by = said.shown_by if of_graph else f"the model, by {said.shown_by},"
    choice = choose_architecture(table, outer, axes_of, requested, said.head, named, evidence=by)
    if requested is not None or choice.problems:
        return choice._replace(warnings=(*dropped, *choice.warnings))
    conflicts = table_conflicts(
        table, choice.architecture, fitting_classes(table, outer, axes_of, choice.architecture), said
    )
    return choice._replace(warnings=(*dropped, *choice.warnings, *conflicts.warnings), problems=conflicts.problems)


def _described_head(dialect: Dialect, present: Mapping[str, frozenset[str]], described: DescribedFacts) -> str | None:
    """What a row of the logits is about, as Keras' description has the layer with a head's tensors."""
    table = dialect.table
    with_heads = [a for a in table.model.architectures.values() if a.head is not None]
    groups = {name for a in with_heads for name in a.groups} - table.model.bare.all_groups
    names = [name for group in sorted(groups & present.keys()) for name in sorted(present[group])]
    heads = [read_head(described, table, dialect.wildcards, name) for name in names]
    kinds = {head.kind for head in heads if head is not None and head.kind is not None}
    return kinds.pop() if len(kinds) == 1 else None
