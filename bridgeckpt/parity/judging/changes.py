"""What transformers changed while it loaded a tensor, in words, with the key of config.json that made it do so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.judging.converted_folder import CONFIG, config_of
from bridgeckpt.store.tensors import DTYPES
from bridgeckpt.wording import listed, ranges

if TYPE_CHECKING:
    from pathlib import Path

_SHOWN = 3  # names of tensors in a sentence
_DTYPES = ("dtype", "torch_dtype")  # the second one in files of transformers before 5
_PADDING = "pad_token_id"
_REMEDY = "convert again, and load the folder with the version of transformers that its config.json names"


class LoadingChange(NamedTuple):
    """What transformers changed while it loaded, and why.

    Attributes:
        what: What it did, and the cause if it is known: "rounded ... to bfloat16, because of ...".
        key: The key of config.json that is the cause, if one is known.
        remedy: What to do about it.
        tensors: The parameters by their names in the files.
    """

    what: str
    key: str | None
    remedy: str
    tensors: Mapping[str, Any]


class LoadedTensor(NamedTuple):
    """A tensor as a file has it and as it was loaded, and its name in the file."""

    name: str
    file: Any
    loaded: Any

    @property
    def is_rounded(self) -> bool:
        """Whether the loaded tensor is the file's in a dtype that cannot hold all values of the file's."""
        import torch

        a, b = self.file.dtype, self.loaded.dtype
        if a == b or not (a.is_floating_point and b.is_floating_point) or torch.promote_types(a, b) == b:
            return False
        return same(self.file.to(b), self.loaded)

    @property
    def is_same(self) -> bool:
        """Whether the loaded tensor holds the numbers of the file's."""
        return self.file.shape == self.loaded.shape and same(self.file, self.loaded.to(self.file.dtype))


def same(a: Any, b: Any) -> bool:  # noqa: ANN401 - tensors of torch
    """Whether two tensors of one shape hold the same numbers; one that is not a number equals its like."""
    import torch

    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())


def rounding(dtypes: Mapping[str, str], tensors: Mapping[str, Any], to: str, folder: Path) -> LoadingChange:
    """The change of a dtype; ``dtypes`` are those of the tensors in the files."""
    config = config_of(folder)
    key = next((key for key in _DTYPES if config.get(key) is not None), None)
    why = f"because of {key} = {config[key]} in {CONFIG}" if key else f"because {CONFIG} states no {_DTYPES[0]}"
    widest = max(dtypes.values(), key=lambda name: DTYPES[name].itemsize)
    return LoadingChange(
        what=f"rounded {listed(dtypes, _SHOWN)} from {' and '.join(sorted({*dtypes.values()}))} to {to}, {why}",
        key=key or _DTYPES[0],
        remedy=f'set "{key or _DTYPES[0]}": "{widest}" in {CONFIG}; or convert again, with {to} as the dtype',
        tensors=tensors,
    )


def other_change(pair: LoadedTensor, model: Any, folder: Path) -> LoadingChange:  # noqa: ANN401 - a torch module
    """A change of values: rows that became zeros, or any other."""
    file, loaded = pair.file, pair.loaded.detach().to(pair.file.dtype)
    tensors = {pair.name: pair.loaded}
    if loaded.shape != file.shape or not loaded.ndim:
        return LoadingChange(f"changed {pair.name} {list(file.shape)} to {list(loaded.shape)}", None, _REMEDY, {})
    rows = (loaded != file).reshape(len(file), -1).any(1).nonzero().flatten().tolist()
    if len(rows) == len(file) or loaded[rows].any():
        return LoadingChange(f"changed {len(rows)} of {len(file)} rows of {pair.name}", None, _REMEDY, tensors)
    largest = float(file[rows].abs().max())
    what = f"set row {ranges(rows)} of {pair.name} to zero, where the file has values up to {largest:.3g}"
    if rows not in [[at] for at in _padding_rows(pair.loaded, model)]:
        return LoadingChange(what, None, _REMEDY, tensors)
    value = config_of(folder).get(_PADDING)
    why = f"{_PADDING} = {value} in {CONFIG}" if value is not None else f"its {_PADDING}"
    return LoadingChange(f"{what}, because of {why}", _PADDING, f'set "{_PADDING}": null in {CONFIG}', tensors)


def folded(changes: Sequence[LoadingChange]) -> list[LoadingChange]:
    """The changes, those without a known cause as one if they are many."""
    unknown = [change for change in changes if change.key is None and change.tensors]
    if len(unknown) <= _SHOWN:
        return [*changes]
    tensors = {name: tensor for change in unknown for name, tensor in change.tensors.items()}
    one = LoadingChange(f"changed {listed(tensors, _SHOWN)}", None, _REMEDY, tensors)
    return [*(change for change in changes if change.key is not None or not change.tensors), one]


def _padding_rows(tensor: Any, model: Any) -> Sequence[int]:  # noqa: ANN401
    """The rows of an embedding that its modules call padding."""
    modules = [module for module in model.modules() if getattr(module, "weight", None) is tensor]
    rows = [getattr(module, "padding_idx", None) for module in modules]
    return [row for row in rows if row is not None]
