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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.planning.architecture import Choice
    from bridgeckpt.planning.dialect import Dialect
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.stated import SourceConfig


def choose_class(
    dialect: Dialect,
    tensors: Mapping[str, frozenset[str]],
    axes_of: Callable[[Architecture], Mapping[str, int]],
    stated: SourceConfig,
    facts: GraphFacts | None,
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
    said = ClassEvidence(
        of_names=class_of_scope(table, scope),
        written=named_class(stated.values),
        config=stated.origin_of("architectures"),
        head=of_graph or head_from_object_paths(table, dialect.checkpoint),
        shown_by="the graph" if of_graph else "the objects saved",
    )
    named = [name for name in (said.of_names, said.written) if name is not None]
    evidence = said.shown_by if of_graph else f"the model, by {said.shown_by},"
    choice = choose_architecture(table, outer, axes_of, requested, said.head, named, evidence=evidence)
    if requested is not None or choice.problems:
        return choice._replace(warnings=(*dropped, *choice.warnings))
    conflicts = table_conflicts(
        table, choice.architecture, fitting_classes(table, outer, axes_of, choice.architecture), said
    )
    return choice._replace(warnings=(*dropped, *choice.warnings, *conflicts.warnings), problems=conflicts.problems)
