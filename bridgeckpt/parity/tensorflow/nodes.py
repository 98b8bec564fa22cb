"""Editing a GraphDef: which node reads which tensor, dropout removed, and the part that some tensors need cut out.

A training graph holds the model among gradients, optimizers and input pipelines, with operations that today's
TensorFlow may not have. The part that is cut out holds none of these and draws no random numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

ADDITIONS = frozenset({"Add", "AddV2", "BiasAdd"})
VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp"})
GATHERS = frozenset({"Gather", "GatherV2", "ResourceGather"})
# Operations that pass on the same numbers, in another shape or dtype.
PASSING = frozenset({"Cast", "EnsureShape", "ExpandDims", "Identity", "Reshape", "Squeeze", "StopGradient"})
_READING = PASSING | {"ConcatV2", "ReadVariableOp"}  # a partitioned variable is concatenated
_SIZES = frozenset({"Rank", "Shape", "ShapeN", "Size"})  # their outputs depend on no values
_RANDOM = frozenset(
    {"Multinomial", "RandomStandardNormal", "RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2"}
)
_COARSE = {14: "bfloat16", 19: "float16"}  # numbers of TensorFlow's DataType
_SOURCES = VARIABLES | {"Const", "Placeholder", "PlaceholderWithDefault"}


class Use(NamedTuple):
    """A node that reads a tensor as its ``slot``-th input."""

    node: Any
    slot: int


class UnusableGraph(Exception):  # noqa: N818 - no failure of the program: the forward pass takes over
    """Why a graph cannot be run: the end of a sentence that begins with "the graph was not run: "."""


class Nodes:
    """The nodes of a GraphDef by name, and the readers of each tensor (``node`` or ``node:1``) in the graph's order."""

    def __init__(self, graph_def: Any) -> None:  # noqa: ANN401 - a protocol buffer
        self.graph_def = graph_def
        self.by_name: dict[str, Any] = {node.name: node for node in graph_def.node}
        self._readers: dict[str, list[Use]] = defaultdict(list)
        for node in graph_def.node:
            for slot, tensor in enumerate(self.inputs(node)):
                self._readers[tensor].append(Use(node, slot))

    def inputs(self, node: Any) -> list[str]:  # noqa: ANN401
        """The tensors that a node reads, control dependencies left out."""
        return [tensor.removesuffix(":0") for tensor in node.input if not tensor.startswith("^")]

    def producer(self, tensor: str) -> Any:  # noqa: ANN401
        """The node that makes a tensor."""
        try:
            return self.by_name[tensor.partition(":")[0]]
        except KeyError:
            raise UnusableGraph(f"it lacks the node of {tensor}") from None

    def readers(self, tensor: str) -> list[Use]:
        """The nodes that read a tensor."""
        return self._readers[tensor]

    def reads_of(self, variable: str) -> list[str]:
        """Every tensor that holds a variable's values; the slices of a partitioned one are put together."""
        tensors = [variable, f"{variable}/part_0"]
        for tensor in tensors:
            tensors += [use.node.name for use in self.readers(tensor) if use.node.op in _READING]
        return list(dict.fromkeys(tensors))

    def above(self, tensors: Iterable[str], stop: Iterable[str] = ()) -> Iterator[Any]:
        """Every node whose values the tensors depend on, not beyond the tensors of ``stop``."""
        seen, stack = set(stop), list(tensors)
        while stack:
            tensor = stack.pop()
            if tensor in seen:
                continue
            seen.add(tensor)
            node = self.producer(tensor)
            yield node
            if node.op not in _SIZES:
                stack += self.inputs(node)

    def shape(self, tensor: str) -> tuple[int | None, ...] | None:
        """The shape that the graph states; None if the rank is unknown."""
        name, _, number = tensor.partition(":")
        node = self.producer(name)
        if "_output_shapes" in node.attr:
            shape = node.attr["_output_shapes"].list.shape[int(number or 0)]
        elif "shape" in node.attr:
            shape = node.attr["shape"].shape
        else:
            return None
        return None if shape.unknown_rank else tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)

    def thaw(self, constants: Mapping[str, str]) -> None:
        """Make variables again of constants, given by the names of the variables that they were before freezing.

        Raises:
            UnusableGraph: a constant has fewer bits than float32, so that the graph rounds more than a forward pass.
        """
        for name, constant in constants.items():
            node = self.by_name[constant]
            dtype, shape = node.attr["dtype"].type, node.attr["value"].tensor.tensor_shape
            if dtype in _COARSE:
                raise UnusableGraph(f"it computes in {_COARSE[dtype]}")
            variable = node
            if name != constant:  # it has the name of an operation that read the variable
                variable = self.by_name[name] = self.graph_def.node.add(name=name)
            variable.op = "VariableV2"
            variable.attr["dtype"].type = dtype
            variable.attr["shape"].shape.CopyFrom(shape)
            if variable is node:
                node.attr.pop("value")
            else:
                node.attr["T"].type = dtype
                self._pass_on(node, name)

    def _pass_on(self, node: Any, tensor: str) -> None:  # noqa: ANN401
        """Make a node pass on a tensor of the dtype in its attribute T, and do nothing else."""
        dtype = node.attr["T"].type
        node.op = "Identity"
        del node.input[:]
        node.input.append(tensor)
        node.attr.clear()
        node.attr["T"].type = dtype
        self._readers[tensor].append(Use(node, 0))

    def take_out_dropout(self) -> None:
        """Make every dropout pass on its input, by the structures that ``tf.nn.dropout`` has had in all versions."""
        for node in self.graph_def.node:
            if node.op in _RANDOM:
                for mask in self._masks(node.name):
                    self._undo(mask)

    def _masks(self, random: str) -> list[str]:
        """The masks of a dropout: a comparison of random numbers with the rate, or their floor."""
        masks, stack = [], [random]
        while stack:
            for node, _ in self.readers(stack.pop()):
                if node.op in {"GreaterEqual", "Floor"}:
                    masks.append(node.name)
                elif node.op in {"Add", "AddV2", "Identity", "Mul", "Sub"}:
                    stack.append(node.name)
        return masks

    def _undo(self, mask: str) -> None:
        """``x * scale * mask``, ``x / keep * mask`` or ``where(mask, x * scale, 0)`` becomes ``x``."""
        tensors = [mask]
        for tensor in tensors:
            for node, slot in self.readers(tensor):
                if node.op in {"Cast", "Identity"}:
                    tensors.append(node.name)
                elif node.op == "Mul" or (node.op in {"Select", "SelectV2"} and slot == 0):
                    scaled = self.producer(self.inputs(node)[1 - slot])
                    if scaled.op in {"Mul", "RealDiv"}:
                        self.make_identity(node, self.inputs(scaled)[0])

    def make_identity(self, node: Any, tensor: str) -> None:  # noqa: ANN401
        """Make a node pass on a tensor and do nothing else."""
        node.attr["T"].type = node.attr["Tparams" if node.op in GATHERS else "T"].type
        self._pass_on(node, tensor)

    def cut_out(self, targets: Iterable[str], fed: Mapping[str, tuple[str, int]]) -> Any:  # noqa: ANN401
        """A GraphDef of what the targets need, with a placeholder in place of each tensor of ``fed``.

        ``fed`` is tensor to the placeholder's name and its dtype (a number of TensorFlow's ``DataType``).

        Raises:
            UnusableGraph: it would still read data of its own, or draw random numbers.
        """
        cut = type(self.graph_def)()
        cut.versions.CopyFrom(self.graph_def.versions)
        cut.library.CopyFrom(self.graph_def.library)
        for name, dtype in fed.values():
            cut.node.add(name=name, op="Placeholder").attr["dtype"].type = dtype
        seen, stack = set(fed), list(targets)
        done: set[str] = set()
        while stack:
            tensor = stack.pop()
            node = self.producer(tensor)
            if tensor in seen or node.name in done:
                continue
            done.add(node.name)
            kept = [*self.inputs(node), *(f"^{name}" for name in self._branches(node))]
            if node.op in _RANDOM or not (kept or node.op in _SOURCES):
                raise UnusableGraph(f"it needs {node.name} ({node.op}), which is no part of a model")
            stack += [tensor.lstrip("^") for tensor in kept]
            copy = cut.node.add()
            copy.CopyFrom(node)
            copy.device = ""  # of the machine that trained it
            del copy.input[:]
            copy.input.extend(fed[tensor][0] if tensor in fed else tensor for tensor in kept)
            for attribute in ("_class", "_output_shapes"):
                copy.attr.pop(attribute, None)
        return cut

    def _branches(self, node: Any) -> list[str]:  # noqa: ANN401
        """The control dependencies that name the branch of a condition; the others only order side effects."""
        names = [tensor[1:] for tensor in node.input if tensor.startswith("^")]
        pivots = (self.by_name[name] for name in names if name in self.by_name)
        return [
            pivot.name
            for pivot in pivots
            if pivot.op == "Identity" and self.inputs(pivot) and self.producer(self.inputs(pivot)[0]).op == "Switch"
        ]
