"""Values of the source's config that a user's own model table does not mention, and that the class would not have.

config.json would lack them, and transformers would load its own defaults. Without transformers, nothing says what these
are: then they stay a warning of the configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.planning.by_rules.target import config_defaults
from bridgeckpt.store.texts import shown

if TYPE_CHECKING:
    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.sidecar.config import Configuration


def unmentioned_problems(configuration: Configuration, model: ModelTable) -> tuple[Problem, ...]:
    """A problem for each such value; they have one hint."""
    if not configuration.unmentioned:  # as with each table that is shipped: transformers is not imported
        return ()
    defaults = config_defaults(model.model)
    return tuple(
        Problem(
            "config",
            f"{key} = {shown(value)} in the source's config, and transformers would load {shown(defaults[key])}",
            (f"{model.path} does not mention it, so config.json would lack it",),
            "put what the class computes with into [config] needed of the model table, and what may be copied into "
            "[config] kept",
        )
        for key, value in configuration.unmentioned.items()
        if key in defaults and defaults[key] != value
    )
