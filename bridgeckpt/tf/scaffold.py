"""A Scaffold that warm-starts: TensorFlow runs its ``init_fn`` after the initialisers, but not after a restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.options import checked
from bridgeckpt.tf.default_graph import warn_of_averages
from bridgeckpt.tf.options import WarmStartOptions, resolve_beside_map
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.settling import plan_for_graph
from bridgeckpt.tf.start import announce
from bridgeckpt.tf.values import feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bridgeckpt.tf.default_graph import AssignmentMap
    from bridgeckpt.warmstart.matching import Source


@checked(WarmStartOptions)
def scaffold_fn(
    init_checkpoint: Source,
    assignment_map: AssignmentMap | None = None,
    *,
    variables: Iterable[Any] | None = None,
    **options: Unpack[WarmStartOptions],
) -> Callable[[], Any]:
    """Get a function that makes a ``tf.compat.v1.train.Scaffold``, for ``TPUEstimatorSpec(scaffold_fn=)``.

    The function is called where the graph is built. The scaffold sets the variables in the session after the
    initialisers have run, on any kind of device. Nothing is added to the graph. A session that is restored from a
    checkpoint of the training is left as it is. For ``MonitoredTrainingSession(scaffold=)`` call the function yourself.

    Args:
        init_checkpoint: the path of a checkpoint in any format that bridgeckpt reads, or an open checkpoint.
        assignment_map: as :func:`bridgeckpt.tf.init_from_checkpoint` takes it; None uses names and ``options``.
        variables: those that start from the checkpoint; None takes the trainable ones. Not with a map.
        options: see :class:`bridgeckpt.tf.WarmStartOptions`; with a map, only ``report`` and ``reading``.

    Raises:
        BridgeckptError: an option is not valid. The returned function raises the errors of
            :func:`bridgeckpt.tf.init_from_checkpoint`.
    """
    variables = None if variables is None else list(variables)  # the function may be called again, for another graph
    resolved = resolve_beside_map(init_checkpoint, assignment_map, variables, options)

    def scaffold() -> Any:  # noqa: ANN401 - of TensorFlow
        start = plan_for_graph(init_checkpoint, assignment_map, variables, resolved)

        def init_fn(scaffold: Any, session: Any) -> None:  # noqa: ANN401, ARG001
            feed(session, start.set, start.matching.values)
            announce(start.report, resolved.report)
            warn_of_averages(start.set)

        return tensorflow().compat.v1.train.Scaffold(init_fn=init_fn)

    return scaffold
