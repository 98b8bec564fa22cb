"""What was loaded, compared with the files: every tensor bit by bit, and the values that no file holds.

``from_pretrained(folder)`` computes in the dtype that config.json states, may set a row to zero, and makes up values
that no file holds. None of that is in the files, and all of it is in the model that its user gets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.formats import open_checkpoint
from bridgeckpt.parity.judging.changes import LoadedTensor, LoadingChange, folded, other_change, rounding
from bridgeckpt.parity.judging.converted_folder import weights_of
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint

_KNOWN = "?bhilqBefd"  # codes of the dtypes that torch takes from numpy
_MADE = ("inv_freq",)  # buffers of floating-point numbers that follow from the config


class LoadingFindings(NamedTuple):
    """How a model differs from its files; ``made_up`` are the names of values that no file holds."""

    changes: tuple[LoadingChange, ...]
    made_up: tuple[str, ...]


def stored_dtype(folder: Path) -> str:
    """The narrowest floating dtype in the folder's files.

    Raises:
        CheckpointError: a file is damaged.
    """
    with open_checkpoint(weights_of(folder)) as checkpoint:
        dtypes = {info.dtype for info in checkpoint.tensors.values() if DTYPES[info.dtype].floating}
    return min(dtypes, key=lambda name: (DTYPES[name].itemsize, name), default="float32")


def compare_with_files(model: Any, folder: Path, missing: Collection[str]) -> LoadingFindings:  # noqa: ANN401 - a torch module
    """Compare ``model``, as it was loaded, with the files of ``folder``.

    ``missing`` are the parameters that transformers reports as missing.
    """
    own = model.state_dict(keep_vars=True)
    named = _names_in_files(model, own)
    covered: set[int] = set()
    rounded: dict[str, Any] = {}
    others: list[LoadingChange] = []
    with open_checkpoint(weights_of(folder)) as checkpoint:
        for name in checkpoint.tensors:
            if name not in named:
                continue
            covered.add(id(named[name]))
            pair = LoadedTensor(name, _read(checkpoint, name), named[name])
            if pair.is_rounded:
                rounded[name] = named[name]
            elif not pair.is_same:
                others.append(other_change(pair, model, folder))
        dtypes = {name: checkpoint.tensors[name].dtype for name in rounded}
    if rounded:
        to = str(next(iter(rounded.values())).dtype).removeprefix("torch.")
        others.insert(0, rounding(dtypes, rounded, to, folder))
    return LoadingFindings(
        tuple(folded(others)), _made_up(own, covered, {id(tensor) for tensor in named.values()}, missing)
    )


@contextmanager
def as_in_files(changes: Sequence[LoadingChange], folder: Path) -> Iterator[None]:
    """The parameters that loading changed with the values of the files meanwhile, in the dtype that they are in."""
    import torch

    pairs = [pair for change in changes for pair in change.tensors.items()]
    before = [tensor.detach().clone() for _, tensor in pairs]
    with torch.no_grad(), open_checkpoint(weights_of(folder)) as checkpoint:
        for name, tensor in pairs:
            tensor.copy_(_read(checkpoint, name))
    try:
        yield
    finally:
        with torch.no_grad():
            for (_, tensor), value in zip(pairs, before, strict=True):
                tensor.copy_(value)


def _names_in_files(model: Any, own: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    """Every loaded tensor under each name that it may have in a file."""
    from transformers.core_model_loading import revert_weight_conversion

    named = {**own, **revert_weight_conversion(model, dict(own))}
    prefix = f"{model.base_model_prefix}."
    for name, tensor in list(named.items()):  # with the base model's name in front, or without it
        named.setdefault(name.removeprefix(prefix) if name.startswith(prefix) else prefix + name, tensor)
    return named


def _made_up(own: Mapping[str, Any], covered: set[int], named: set[int], missing: Collection[str]) -> tuple[str, ...]:
    """The tensors that no file holds; those that were joined from several ones of a file are known by ``missing``."""
    return tuple(
        name
        for name, tensor in own.items()
        if id(tensor) not in covered
        and (name in missing or id(tensor) in named)
        and not _follows_from_config(name, tensor)
    )


def _follows_from_config(name: str, tensor: Any) -> bool:  # noqa: ANN401
    """Whether it is a buffer that the model itself computes, as position ids; statistics of training are not."""
    import torch

    if isinstance(tensor, torch.nn.Parameter):
        return False
    return not tensor.is_floating_point() or name.rpartition(".")[2] in _MADE


def _read(checkpoint: Checkpoint, name: str) -> Any:  # noqa: ANN401
    """A tensor of a file as one of torch."""
    import torch

    array = checkpoint.get_tensor(name)
    if array.dtype.char in _KNOWN:
        return torch.from_numpy(array)
    bits = torch.from_numpy(array.view(f"int{8 * array.itemsize}"))  # torch takes no arrays of ml_dtypes
    return bits.view(getattr(torch, checkpoint.tensors[name].dtype))
