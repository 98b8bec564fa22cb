"""A session hook that warm-starts. Imports TensorFlow, since it is one of TensorFlow's hooks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.options import checked
from bridgeckpt.tf.default_graph import warn_of_averages, warn_of_no_counting
from bridgeckpt.tf.options import WarmStartOptions, resolve_beside_map
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.start import Start, announce, plan_for_graph
from bridgeckpt.tf.values import feed
from bridgeckpt.warmstart.report import WarmStartError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridgeckpt.tf.default_graph import AssignmentMap
    from bridgeckpt.warmstart.matching import Source
    from bridgeckpt.warmstart.report import WarmStartReport

_SessionRunHook: Any = tensorflow().compat.v1.train.SessionRunHook
_log = logging.getLogger("bridgeckpt.tf")


class WarmStartHook(_SessionRunHook):  # type: ignore[misc]  # TensorFlow has no types
    """Sets variables in a session, after the initialisers and before the first step; the graph stays as it is.

    For ``MonitoredTrainingSession(chief_only_hooks=)``, ``Estimator.train(hooks=)`` and whatever else runs hooks. A
    session whose global step is above 0 was restored from a checkpoint of the training, and is left alone. One that was
    restored at step 0 is set again: that checkpoint may have been saved between the initialisers and the hook, and no
    step has been made from it.

    Attributes:
        report: What is set, known from ``begin`` on.
        ran: Whether the hook has set the variables of the session that it was last shown.
    """

    report: WarmStartReport | None
    ran: bool

    @checked(WarmStartOptions)
    def __init__(
        self,
        init_checkpoint: Source,
        assignment_map: AssignmentMap | None = None,
        *,
        variables: Iterable[Any] | None = None,
        **options: Unpack[WarmStartOptions],
    ) -> None:
        """Args: as of :func:`bridgeckpt.tf.scaffold_fn`.

        options: see :class:`bridgeckpt.tf.WarmStartOptions`.

        Raises:
            BridgeckptError: an option is not valid.
        """
        variables = None if variables is None else list(variables)  # it may be asked for again, for another graph
        asked = resolve_beside_map(init_checkpoint, assignment_map, variables, options)
        self._asked = init_checkpoint, assignment_map, variables, asked
        self._start: Start | None = None
        self._step: Any = None
        self.report = None
        self.ran = False

    def begin(self) -> None:
        """Plan for the default graph; nothing is added to it.

        Raises:
            CheckpointError: the checkpoint cannot be found or read.
            WarmStartError: it does not fit; or the graph has no global step, by which a restart is told from a start.
        """
        self._step = tensorflow().compat.v1.train.get_global_step()
        if self._step is None:
            raise WarmStartError(
                "the graph has no global step, by which a restart is told from a first start",
                hint="call tf.compat.v1.train.get_or_create_global_step() while the graph is built; in a plain session "
                "bridgeckpt.tf.assign(variables, checkpoint, session=session) needs none",
            )
        self._start = plan_for_graph(*self._asked)
        self.report = self._start.report

    def after_create_session(self, session: Any, coord: Any = None) -> None:  # noqa: ANN401, ARG002
        """Set the variables, unless the session goes on with a training.

        Raises:
            CheckpointError: a tensor is damaged.
            PrecisionError: a value does not fit the variable's dtype.
        """
        if self._start is None:  # a loop that does not call begin
            self.begin()
        start = self._start
        if start is None:
            raise AssertionError("begin has planned")
        step = int(session.run(self._step))
        self.ran = step == 0
        if self.ran:
            warn_of_no_counting(self._step)
            feed(session, start.set, start.matching.found)
            announce(start.report, self._asked[-1].report)
            warn_of_averages(start.set)
        else:
            _log.info("no warm start from %s: the session goes on at step %d", start.report.checkpoint, step)
