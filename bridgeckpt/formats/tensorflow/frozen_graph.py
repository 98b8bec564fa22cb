"""A reader of frozen graphs: GraphDef files (``.pb``) in which the variables are constants.

The nodes are read where they lie, so that a graph of any size takes little memory. A frozen SavedModel, one without
``variables/``, has the same graph inside ``saved_model.pb``.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.formats.tensorflow.constants import Constant, decode, read_constant, stored_bytes
from bridgeckpt.formats.tensorflow.frozen_names import Numbers, ReadingOperation, Weights, weights_of
from bridgeckpt.formats.tensorflow.frozen_parts import concatenations, join_parts
from bridgeckpt.formats.tensorflow.saved_model import GRAPH, SavedModel
from bridgeckpt.formats.tensorflow.stored_graph import VARIABLES, nodes_in
from bridgeckpt.formats.tensorflow.stored_wire import StoredMessages
from bridgeckpt.formats.tensorflow.wire import WireError
from bridgeckpt.store.lfs import open_content
from bridgeckpt.store.spool import Spool
from bridgeckpt.store.tensors import DTYPES, Extent, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridgeckpt.formats.tensorflow.stored_graph import StoredNode
    from bridgeckpt.store.spool import Pieces

_QUANTIZED = re.compile(r"Quantize.*|Dequantize.*|FakeQuant.*|Requant.*")
_ORIGINAL = "convert the checkpoint that it was made from"


class FrozenGraph(Checkpoint):
    """A frozen graph, opened by its file. A tensor has the name of the variable that it was.

    Raises:
        CheckpointError: the file is damaged, is quantized, or holds no weights.
    """

    format = "frozen graph"

    def __init__(self, path: Path, *, notes: tuple[str, ...] = ()) -> None:
        try:
            messages = StoredMessages(open_content(path))
            nodes = list(nodes_in(messages, path.name))
            _refuse_quantized(path, nodes)
            constants = _constants(messages, nodes)
            axes = _axes(path, nodes, constants)
        except (WireError, UnicodeDecodeError) as error:
            raise _damaged(path, str(error)) from error
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path) from None
        weights = _weights(nodes, constants)
        if not weights.names:
            raise _without_weights(path, nodes)
        spool = Spool()
        _refuse_transposed(path, weights)
        tensors = {name: _info(path, name, constants[constant], spool) for constant, name in weights.names.items()}
        saved = SavedModel(path.parent) if path.name == GRAPH else None
        super().__init__(
            path,
            join_parts(tensors, axes),
            directory=saved.directory if saved else None,
            graph_path=path,
            notes=(*notes, *_notes(weights)),
            spool=spool,
        )
        self.constants = {name: constant for constant, name in weights.names.items()}
        self.gaps = _gaps(path, nodes, weights, constants)
        if saved:
            self.format = "frozen SavedModel"


def _constants(messages: StoredMessages, nodes: list[StoredNode]) -> dict[str, Constant]:
    """The constants that hold numbers, by the names of their nodes."""
    constants: dict[str, Constant] = {}
    for node in nodes:
        if node.tensor is None:
            continue
        try:
            constant = read_constant(messages, node.tensor)
        except WireError as error:
            raise WireError(f"constant {node.name}: {error}") from error
        if constant is not None:
            constants[node.name] = constant
    return constants


def _weights(nodes: list[StoredNode], constants: dict[str, Constant]) -> Weights:
    readers: dict[str, list[ReadingOperation]] = {}
    for node in nodes:
        for slot, name in enumerate(node.inputs):
            readers.setdefault(name.partition(":")[0], []).append(
                ReadingOperation(node.name, node.op, slot, node.transposes)
            )
    described = {name: Numbers(len(of.shape), DTYPES[of.dtype].floating) for name, of in constants.items()}
    return weights_of(described, readers, has_variables=any(node.op in VARIABLES for node in nodes))


def _info(path: Path, name: str, constant: Constant, spool: Spool) -> TensorInfo:
    """The tensor of a constant: where it lies in the file, or a place in the spool where it will be decoded."""
    if constant.content is not None:
        file, offset = path, constant.content.start
    else:
        (offset,), file = spool.reserve([(name, constant.nbytes)], partial(_decoded, path, name, constant)), spool.path
    extent = Extent.of_whole(file, offset, constant.nbytes, constant.shape)
    return TensorInfo(name, constant.dtype, constant.shape, (extent,))


def _axes(path: Path, nodes: list[StoredNode], constants: dict[str, Constant]) -> dict[str, int]:
    """The axis along which each partitioned variable is concatenated."""
    axes = {}
    for name, constant in concatenations(nodes).items():
        if constant in constants and constants[constant].nbytes in (4, 8):
            axes[name] = int.from_bytes(b"".join(stored_bytes(path, constants[constant])), "little", signed=True)
    return axes


def _decoded(path: Path, name: str, constant: Constant) -> Iterator[Pieces]:
    """The pieces of one constant, as a spool asks for them."""
    yield _pieces(path, name, constant)


def _pieces(path: Path, name: str, constant: Constant) -> Iterator[bytes]:
    try:
        yield from decode(path, constant)
    except WireError as error:
        raise _damaged(path, f"constant {name}: {error}") from error


def _refuse_quantized(path: Path, nodes: list[StoredNode]) -> None:
    """Refuse a graph that rounds to integers: without these operations its weights are those of another model.

    Raises:
        CheckpointError: it has such operations.
    """
    found = [node for node in nodes if _QUANTIZED.fullmatch(node.op)]
    if found:
        raise CheckpointError(
            f"{path} is a quantized graph: {len(found):,} of its operations round weights, or what they compute, to "
            f"integers; the first is {found[0].name} ({found[0].op})",
            path=path,
            hint=f"{_ORIGINAL}, or the frozen graph before it was quantized",
        )


def _refuse_transposed(path: Path, weights: Weights) -> None:
    """Refuse a graph whose kernels a tool transposed: a square one has the same shape, and would be taken for itself.

    Raises:
        CheckpointError: it has such kernels.
    """
    for product, kernel in weights.transposed.items():
        raise CheckpointError(
            f"{path} was changed after it was frozen: {kernel} is stored transposed, and {product} transposes it back "
            f"({len(weights.transposed):,} of its kernels are)",
            path=path,
            hint=f"{_ORIGINAL}, or the frozen graph before a tool changed it",
        )


def _without_weights(path: Path, nodes: list[StoredNode]) -> CheckpointError:
    if variables := [node.name for node in nodes if node.op in VARIABLES]:
        what = f"the values of its {len(variables):,} variables ({variables[0]}, ...) are in a checkpoint"
        hint = "pass that checkpoint: its folder or its prefix"
    else:
        what = f"none of the constants among its {len(nodes):,} operations, those in functions apart, is a variable's"
        hint = _ORIGINAL
    return CheckpointError(f"{path} is a graph without weights: {what}", path=path, hint=hint)


def _gaps(path: Path, nodes: list[StoredNode], weights: Weights, constants: dict[str, Constant]) -> str | None:
    """Why variables may be missing, or have other names than in the model."""
    if variables := [node.name for node in nodes if node.op in VARIABLES]:
        return (
            f"{path.name} was not frozen as a whole: the values of {len(variables):,} variables ({variables[0]}, ...) "
            "are in the checkpoint that it was made from; use that one"
        )
    if weights.folded:
        first = weights.folded[0]
        return (
            f"{path.name} was optimized after it was frozen: {first} {list(constants[first].shape)} was computed from "
            "weights that are not in the file; use the graph before it was optimized, or the checkpoint"
        )
    if not weights.derived:
        return None
    return (
        f"{len(weights.derived)} of the {len(weights.names)} constants in {path.name} have names of operations, as "
        "TensorFlow 2 freezes, from which not every variable's name follows; use the SavedModel or the checkpoint"
    )


def _notes(weights: Weights) -> tuple[str, ...]:
    """What to tell the user about names that were derived."""
    if not weights.derived:
        return ()
    pairs = ((constant, weights.names[constant]) for constant in weights.derived)
    example = next((f": {constant} is {name}" for constant, name in pairs if constant != name), "")
    return (
        f"{len(weights.derived)} of its {len(weights.names)} constants have the names of the operations that read "
        f"them, not of variables: the names of weights are derived from these{example}",
    )


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged, or is no frozen graph: {what}", path=path, hint="copy or download it again"
    )
