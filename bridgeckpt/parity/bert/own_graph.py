"""The checkpoint's own graph (``.meta``, ``saved_model.pb``, frozen), run on probes in a session of TensorFlow 1."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bridgeckpt.parity.bert.in_graph import locate_stages
from bridgeckpt.parity.bert.stages import POOLED
from bridgeckpt.parity.reference.probes import IDS
from bridgeckpt.parity.tensorflow.batching import in_batches
from bridgeckpt.parity.tensorflow.metagraphs import read_meta_graph
from bridgeckpt.parity.tensorflow.nodes import VARIABLES, Nodes, UnusableGraph
from bridgeckpt.parity.tensorflow.runtime import first_line

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import numpy as np

    from bridgeckpt.parity.bert.variables import Bert
    from bridgeckpt.parity.reference.probes import Probe

    Array = np.ndarray[Any, np.dtype[Any]]

_PLACEHOLDER = "bridgeckpt/"


class OwnGraph:
    """The model's part of a graph; as a context it holds a session, in which the variables must be filled first.

    Args:
        tf: The module ``tensorflow``.
        path: The ``.meta`` file, the ``saved_model.pb``, or the frozen graph.
        bert: Which variables.
        constants: In a frozen graph, the constant of each variable.

    Attributes:
        stages: The tensor of each stage that the graph computes.
        batch, length: The sizes that it is made for; None for any.

    Raises:
        UnusableGraph: it cannot be read, is not a BERT's, or holds an operation that this TensorFlow does not have.
    """

    def __init__(
        self,
        tf: Any,  # noqa: ANN401 - TensorFlow has no types
        path: Path,
        bert: Bert,
        constants: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._tf, self._stack = tf, ExitStack()
        meta = read_meta_graph(tf, path)
        nodes = Nodes(meta.graph_def)
        nodes.take_out_dropout()
        names = {role: bert.averages.get(name, name) for role, name in bert.variables.items()}
        wanted = set(names.values())
        nodes.thaw({name: constant for name, constant in constants.items() if _whole(name) in wanted})
        found = locate_stages(nodes, bert, names)
        self.stages, self.batch, self.length = found.stages, found.batch, found.length
        fed = {known.tensor: (f"{_PLACEHOLDER}{name}", known.dtype) for name, known in found.inputs.items()}
        self._inputs = found.inputs
        cut = nodes.cut_out(self.stages.values(), fed)
        self._graph = tf.Graph()
        try:
            with self._graph.as_default():
                tf.graph_util.import_graph_def(
                    cut, name="", producer_op_list=meta.meta_info_def.stripped_op_list or None
                )
        except (ValueError, tf.errors.OpError) as error:  # most often an operation that this TensorFlow does not have
            raise UnusableGraph(f"TensorFlow {tf.__version__} cannot take it: {first_line(error)}") from error
        self._averages = {names[role]: name for role, name in bert.variables.items()}

    def __enter__(self) -> Self:
        tf1 = self._tf.compat.v1
        options = tf1.ConfigProto(gpu_options=tf1.GPUOptions(allow_growth=True))
        self._session = tf1.Session(graph=self._graph, config=options)  # which as a context would hide eager mode
        self._stack.callback(self._session.close)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def fill(self, load: Callable[[str], Array], only: Collection[str] | None = None) -> None:
        """Assign values to the variables, one at a time.

        Args:
            load: The values of a variable by its name in the checkpoint; under ``ema`` it is asked for the averages.
            only: Names; other variables keep their values.

        Raises:
            UnusableGraph: the graph has a variable that is not in the checkpoint, or is of another shape there.
        """
        tf, raw = self._tf, self._tf.raw_ops
        try:
            with self._graph.as_default():
                for node in self._variables():
                    name = self._checkpoint_name(node)
                    if only is not None and name not in only:
                        continue
                    values = self._part(node, load(name))
                    fed = tf.compat.v1.placeholder(tf.dtypes.as_dtype(node.get_attr("dtype")).base_dtype, values.shape)
                    if node.type == "VarHandleOp":
                        assign = raw.AssignVariableOp(resource=node.outputs[0], value=fed)
                    else:
                        assign = raw.Assign(ref=node.outputs[0], value=fed).op
                    self._session.run(assign, {fed: values})
        except (ValueError, tf.errors.OpError) as error:
            raise UnusableGraph(f"its variables are not the checkpoint's: {first_line(error)}") from error

    def fits(self, probe: Probe) -> bool:
        """Whether a probe can be padded to the sequence length that the graph is made for."""
        return self.length is None or probe.inputs[IDS].shape[1] <= self.length

    def run(self, probe: Probe, only: Sequence[str] = ()) -> dict[str, Array]:
        """What is kept of every stage that was found (coarse stages only), or of the stages in ``only``.

        A graph made for other sizes is run on the probe in pieces, with padding that is masked and then dropped.

        Raises:
            UnusableGraph: TensorFlow fails to run it.
        """
        wanted = [probe.only] if probe.only is not None else list(only or self.stages)
        return in_batches(probe, self.batch, self.length, lambda inputs: self._run(wanted, inputs), POOLED)

    def _run(self, wanted: list[str], inputs: Mapping[str, Array]) -> dict[str, Array]:
        feed = {}
        for name, array in inputs.items():
            known = self._inputs[name]
            shaped = array[:, *(None,) * (known.rank - 2)]
            feed[f"{_PLACEHOLDER}{name}:0"] = shaped.astype(self._tf.dtypes.as_dtype(known.dtype).as_numpy_dtype)
        try:
            computed: dict[str, Array] = self._session.run({stage: _name(self.stages[stage]) for stage in wanted}, feed)
        except (ValueError, self._tf.errors.OpError) as error:
            raise UnusableGraph(
                f"TensorFlow cannot run it on {list(inputs[IDS].shape)}: {first_line(error)}"
            ) from error
        return computed

    def _variables(self) -> list[Any]:
        return [op for op in self._graph.get_operations() if op.type in VARIABLES]

    def _checkpoint_name(self, node: Any) -> str:  # noqa: ANN401 - an operation
        name = _whole(node.name)
        return self._averages.get(name, name)

    def _part(self, node: Any, values: Array) -> Array:  # noqa: ANN401
        """The slice of a partitioned variable's values that a variable of the graph holds; else all of them."""
        whole = _whole(node.name)
        if whole == node.name:
            return values
        sizes = {_number(op.name): _size(op) for op in self._variables() if _whole(op.name) == whole}
        number = _number(node.name)
        own = sizes[number]
        axis = next((at for at, size in enumerate(values.shape) if size != own[at]), 0)
        start = sum(sizes[before][axis] for before in range(number))
        return values[(*(slice(None),) * axis, slice(start, start + own[axis]))]


def _whole(name: str) -> str:
    """The name of the variable of which ``name`` is a part (``kernel/part_1``), or ``name``."""
    whole, found, number = name.rpartition("/part_")
    return whole if found and number.isdecimal() else name


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _size(op: Any) -> list[int]:  # noqa: ANN401
    return [dim.size for dim in op.get_attr("shape").dim]


def _name(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"
