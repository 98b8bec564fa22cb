"""The tensors of a checkpoint under the names that it has for them itself."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from bridgeckpt.copying.duplicates import check_copies
from bridgeckpt.copying.engine import assemble
from bridgeckpt.copying.job import whole
from bridgeckpt.warmstart.answer import Answer, Found, Misfit, Wanted, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from bridgeckpt.copying.job import Job
    from bridgeckpt.formats.checkpoint import Checkpoint

    Array = np.ndarray[Any, np.dtype[Any]]

_PYTORCH = "that is PyTorch's name, of a tensor in PyTorch's layout: ask for it by the name of the program's variable"
_OUTPUT = ":0"  # the output of the operation that reads a variable: part of its name in TensorFlow 1 and Keras 2
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # ends a variable's key in the checkpoint of an object graph


def by_stored_names(checkpoint: Checkpoint, wanted: Mapping[str, Wanted]) -> Answer:
    """What is stored under the names that are wanted, or for variables of these names.

    The ending ``:0`` counts on neither side. PyTorch's names are of tensors in another layout, and never taken as they
    are. In the checkpoint of an object graph a variable goes by its own name, or by the path of attributes that leads
    to it.

    Raises:
        CheckpointError: the object graph is damaged, or a variable is stored twice and not alike.
    """
    if checkpoint.has_pytorch_names:
        reasons = {name: _PYTORCH for name in wanted if name in checkpoint.tensors}
        return Answer("by its own names", {}, {}, reasons, (), frozenset(), tuple(checkpoint.tensors))
    answers = [_answer(view, names, wanted) for view, names in _namings(checkpoint)]
    best = max(answers, key=lambda answer: answer.known)
    if best.known:
        return best
    return best._replace(available=tuple(dict.fromkeys(name for answer in answers for name in answer.available)))


def _namings(checkpoint: Checkpoint) -> Iterator[tuple[Checkpoint, dict[str, str]]]:
    """The checkpoint with the stored name by the name to ask for, in each way that there is."""
    yield checkpoint, {name.removesuffix(VALUE).removesuffix(_OUTPUT): name for name in checkpoint.tensors}
    by_variable = checkpoint.by_variable(without=_OUTPUT)
    if by_variable is not checkpoint:
        yield by_variable, {name: name for name in by_variable.tensors}


def _answer(checkpoint: Checkpoint, names: Mapping[str, str], wanted: Mapping[str, Wanted]) -> Answer:
    found, misfits, reasons = dict[str, Found](), dict[str, Misfit](), dict[str, str]()
    taken = set[str]()
    for name, (shape, dtype) in wanted.items():
        if name not in names:
            continue
        info = checkpoint.tensors[names[name]]
        taken.add(names[name])
        job = whole(info)
        if shape is not None and shape != info.shape:
            misfits[name] = Misfit(names[name], info.shape, shape)
        elif fault := unreadable(job, dtype):
            reasons[name] = fault
        else:
            found[name] = Found(checkpoint, (info.name,), partial(_read, job))
    check_copies(checkpoint, {copy: first for copy, first in checkpoint.copies.items() if first in taken})
    slots = checkpoint.slots
    rest = [name for name in checkpoint.tensors if name not in taken and name not in checkpoint.copies]
    rest = [name for name in rest if checkpoint.tensors[name].dtype != "string"]  # such as an object graph
    unused = [name for name in rest if name not in slots and name.rpartition("/")[0] not in taken]
    as_stored = all(found[name].sources == (name,) for name in found)
    return Answer(
        how="by its own names" if as_stored else "by the names of its variables and objects",
        found=found,
        misfits=misfits,
        reasons=reasons,
        available=tuple(names),
        used=frozenset(taken),
        unused=tuple(unused),
        slots=len(rest) - len(unused),
        as_stored=as_stored,
    )


def _read(job: Job, dtype: str) -> Array:
    return assemble(job._replace(dtype=dtype))
