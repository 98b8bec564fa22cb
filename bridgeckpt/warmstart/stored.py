"""The search for variables by the checkpoint's own names, without a mapping table."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from bridgeckpt.copying.duplicates import check_copies
from bridgeckpt.copying.engine import assemble
from bridgeckpt.copying.job import whole
from bridgeckpt.warmstart.answer import Answer, Misfit, StoredValue, Wanted, dtype_conflict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from bridgeckpt.copying.job import Job
    from bridgeckpt.formats.checkpoint import Checkpoint

    Array = np.ndarray[Any, np.dtype[Any]]

_PYTORCH = "this is PyTorch's name of a tensor in PyTorch's layout: ask for it by the name of the program's variable"
_OUTPUT = ":0"  # the output of the operation that reads a variable: part of its name in TensorFlow 1 and Keras 2
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # the end of a variable's key in the checkpoint of an object graph


def by_stored_names(checkpoint: Checkpoint, wanted: Mapping[str, Wanted]) -> Answer:
    """Find the tensors that are stored under the wanted names, or for variables of these names.

    An ending ``:0`` is ignored on both sides. A tensor with a PyTorch name is never used, because its layout differs.
    In the checkpoint of an object graph a variable has two names: its own, and the path of attributes that leads to it.

    Raises:
        CheckpointError: the object graph is damaged, or a variable is stored twice with different values.
    """
    if checkpoint.has_pytorch_names:
        reasons = {name: _PYTORCH for name in wanted if name in checkpoint.tensors}
        return Answer(
            how="by its own names",
            values={},
            misfits={},
            reasons=reasons,
            available=(),
            used=frozenset(),
            unused=tuple(checkpoint.tensors),
        )
    answers = [_answer(view, names, wanted) for view, names in _namings(checkpoint)]
    best = max(answers, key=lambda answer: answer.known)
    if best.known:
        return best
    return best._replace(available=tuple(dict.fromkeys(name for answer in answers for name in answer.available)))


def _namings(checkpoint: Checkpoint) -> Iterator[tuple[Checkpoint, dict[str, str]]]:
    """Each way to name its variables: a view of the checkpoint, and its stored names by the names to ask for."""
    yield checkpoint, {name.removesuffix(VALUE).removesuffix(_OUTPUT): name for name in checkpoint.tensors}
    by_variable = checkpoint.by_variable(without=_OUTPUT)
    if by_variable is not checkpoint:
        yield by_variable, {name: name for name in by_variable.tensors}


def _answer(checkpoint: Checkpoint, names: Mapping[str, str], wanted: Mapping[str, Wanted]) -> Answer:
    values, misfits, reasons = dict[str, StoredValue](), dict[str, Misfit](), dict[str, str]()
    used = set[str]()
    for name, (shape, dtype) in wanted.items():
        if name not in names:
            continue
        info = checkpoint.tensors[names[name]]
        used.add(names[name])
        job = whole(info)
        if shape is not None and shape != info.shape:
            misfits[name] = Misfit(names[name], info.shape, shape)
        elif conflict := dtype_conflict(job, dtype):
            reasons[name] = conflict
        else:
            values[name] = StoredValue(checkpoint, (info.name,), partial(_read, job))
    check_copies(checkpoint, {copy: first for copy, first in checkpoint.copies.items() if first in used})
    training = checkpoint.training_state()
    rest = [name for name in checkpoint.tensors if name not in used and name not in checkpoint.copies]
    rest = [name for name in rest if checkpoint.tensors[name].dtype != "string"]  # such as an object graph
    state = {**training.slots, **training.averages}
    unused = [name for name in rest if name not in state and name not in training.bookkeeping]
    as_stored = all(value.sources == (name,) for name, value in values.items())
    return Answer(
        how="by its own names" if as_stored else "by the names of its variables and objects",
        values=values,
        misfits=misfits,
        reasons=reasons,
        available=tuple(names),
        used=frozenset(used),
        unused=tuple(unused),
        slots=sum(name in state for name in rest),
        as_stored=as_stored,
    )


def _read(job: Job, dtype: str) -> Array:
    return assemble(job._replace(dtype=dtype))
