"""Filling: a warm start that is planned while a graph is built, and carried out in a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.tf.assignment_map import match_all, resolve
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.start import plan_start
from bridgeckpt.tf.values import feed
from bridgeckpt.tf.variables import wholes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridgeckpt.tf.assignment_map import AssignmentMap
    from bridgeckpt.tf.start import WarmStartOptions
    from bridgeckpt.tf.variables import Variable
    from bridgeckpt.warmstart.answer import Found
    from bridgeckpt.warmstart.matching import Source
    from bridgeckpt.warmstart.report import WarmStartReport


class Filling(NamedTuple):
    """Variables of a graph that start from a checkpoint, and what each of them is set to."""

    variables: tuple[Variable, ...]
    found: Mapping[str, Found]
    report: WarmStartReport

    def run(self, session: Any) -> None:  # noqa: ANN401 - of TensorFlow
        """Set the variables in a session, in which they are initialised already.

        Raises:
            CheckpointError: a tensor is damaged.
            PrecisionError: a value does not fit the variable's dtype.
        """
        feed(session, self.variables, self.found)


def plan_filling(
    init_checkpoint: Source,
    assignment_map: AssignmentMap | None,
    variables: Iterable[Any] | None,
    options: WarmStartOptions,
) -> Filling:
    """Plan for the default graph: by a map, or for ``variables`` (None: the trainable ones) by their names.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        WarmStartError: it does not fit, or the graph has not what the map names.
        BridgeckptError: an option is none that there can be.
    """
    if assignment_map is None:
        tvars = tensorflow().compat.v1.trainable_variables() if variables is None else variables
        start = plan_start(init_checkpoint, wholes(tvars), **options)
        return Filling(tuple(start.set), start.matching.found, start.matching.report)
    keys, named = resolve(assignment_map)
    matching = match_all(init_checkpoint, keys, named, options.get("reading"))
    return Filling(tuple(named.values()), matching.found, matching.report)


def check_options(
    assignment_map: AssignmentMap | None, variables: Iterable[Any] | None, options: WarmStartOptions
) -> None:
    """Refuse what a map leaves nothing to say about.

    Raises:
        BridgeckptError: names it.
    """
    given = [
        *(["variables"] if variables is not None else []),
        *(key for key in options if key not in ("report", "reading")),
    ]
    if assignment_map is not None and given:
        raise BridgeckptError(
            f"assignment_map says which variable starts from what, and {' and '.join(given)} would say it again",
            hint="leave one of them out",
        )
