"""A session hook that warm-starts. The module imports TensorFlow, because the hook derives from one of its classes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.options import checked
from bridgeckpt.tf.default_graph import warn_of_averages, warn_of_no_counting
from bridgeckpt.tf.options import WarmStartOptions, resolve_beside_map
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.settling import plan_for_graph
from bridgeckpt.tf.start import Start, announce
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
    """Sets variables in a session, after the initialisers and before the first step. The graph is not changed.

    It is for ``MonitoredTrainingSession(chief_only_hooks=)``, ``Estimator.train(hooks=)`` and everything else that runs
    hooks. A session whose global step is above 0 was restored from a checkpoint of the training, so nothing is set. A
    session that was restored at step 0 is set again: its checkpoint may have been saved between the initialisers and
    the hook, and no step has been made since.

    Attributes:
        report: What is set and what is not; None before ``begin``.
        ran: Whether the hook has set the variables of the latest session.
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
        """The arguments are those of :func:`bridgeckpt.tf.scaffold_fn`.

        options: see :class:`bridgeckpt.tf.WarmStartOptions`.

        Raises:
            BridgeckptError: an option is not valid.
        """
        variables = None if variables is None else list(variables)  # ``begin`` may be called again, for another graph
        resolved = resolve_beside_map(init_checkpoint, assignment_map, variables, options)
        self._arguments = init_checkpoint, assignment_map, variables, resolved
        self._start: Start | None = None
        self._step: Any = None
        self.report = None
        self.ran = False

    def begin(self) -> None:
        """Plan for the default graph. Nothing is added to the graph.

        Raises:
            CheckpointError: the checkpoint cannot be found or read.
            WarmStartError: the checkpoint does not fit, or the graph has no global step.
        """
        self._step = tensorflow().compat.v1.train.get_global_step()
        if self._step is None:
            raise WarmStartError(
                "the graph has no global step, which tells a restart from a first start",
                hint="call tf.compat.v1.train.get_or_create_global_step() while the graph is built; in a plain session "
                "bridgeckpt.tf.assign(variables, checkpoint, session=session) needs no global step",
            )
        self._start = plan_for_graph(*self._arguments)
        self.report = self._start.report

    def after_create_session(self, session: Any, coord: Any = None) -> None:  # noqa: ANN401, ARG002
        """Set the variables, unless the session continues a training.

        Raises:
            CheckpointError: a tensor is damaged.
            PrecisionError: a value does not fit the variable's dtype.
        """
        if self._start is None:  # some training loops do not call begin
            self.begin()
        start = self._start
        if start is None:
            raise AssertionError("begin has planned")
        step = int(session.run(self._step))
        self.ran = step == 0
        if self.ran:
            warn_of_no_counting(self._step)
            feed(session, start.set, start.matching.values)
            announce(start.report, self._arguments[-1].report)
            warn_of_averages(start.set)
        else:
            _log.info("no warm start from %s: the session continues at step %d", start.report.checkpoint, step)
