"""The PyTorch side: a model that was loaded, run on a probe, its stages caught by forward hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.reference.probes import MASK

if TYPE_CHECKING:
    from bridgeckpt.parity.family import Family, Sites
    from bridgeckpt.parity.judging.changes import LoadingChange
    from bridgeckpt.parity.reference.probes import Probe

    Array = np.ndarray[Any, np.dtype[Any]]

_INSTALL = 'pip install "bridgeckpt[verify]"'


class Subject(NamedTuple):
    """A model under test, in float32 on the CPU, in evaluation mode.

    Attributes:
        folder: Where it was loaded from.
        model: The model.
        family: Its family.
        sites: Where it computes the family's stages.
        stored: The narrowest floating dtype of its files.
        arguments: What ``from_pretrained`` was given besides the folder, because the conversion says so.
        changes: What transformers changed while it loaded the files.
        made_up: The parameters that the files do not hold, so that transformers made up their values.
        unexpected: The tensors of the files that the class does not have.
    """

    folder: Path
    model: Any
    family: Family
    sites: Sites
    stored: str
    arguments: tuple[str, ...]
    changes: tuple[LoadingChange, ...]
    made_up: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def run(
    subject: Subject,
    model: Any,  # noqa: ANN401
    probe: Probe,
    names: set[str],
    *,
    forced: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """What ``model`` computes on a probe: stages, outputs or modules by name, float64 arrays of what is kept.

    Args:
        subject: its stages are the ones that names mean.
        model: its model, or a copy of it in another dtype or on another device.
        probe: the inputs.
        names: what to catch: stages, outputs (``logits``, ``hidden_states.3``) or modules.
        forced: values [batch, seq, features] by stage. Each such stage is caught and then replaced by the value, so
            that the next one gets the reference's input, and errors do not cascade.

    Raises:
        ParityError: a name is unknown to the model, or it does not take an input or fails on it.
    """
    import torch

    device, dtype = next(model.parameters()).device, next(model.parameters()).dtype
    wanted = {name: subject.sites[name].module if name in subject.sites else name for name in names}
    modules = dict(model.named_modules())
    caught: dict[str, list[Any]] = {name: [] for name in names}

    def catch(name: str) -> Any:  # noqa: ANN401
        value = None if forced is None or name not in forced else torch.as_tensor(forced[name], dtype=dtype)

        def hook(_module: Any, _inputs: Any, output: Any) -> Any:  # noqa: ANN401
            first = output[0] if isinstance(output, tuple) else output
            caught[name].append(first.detach().to("cpu", torch.float64).numpy())
            if value is None:
                return None
            if value.shape != first.shape:
                raise disagreement(name, first.shape, value.shape)
            replaced = value.to(device)
            return (replaced, *output[1:]) if isinstance(output, tuple) else replaced

        return hook

    with ExitStack() as stack, torch.no_grad():
        for name, path in wanted.items():
            if path in modules:
                stack.callback(modules[path].register_forward_hook(catch(name)).remove)
        outputs = [_call(subject, model, piece, device, dtype) for piece in probe.pieces()]
    divided = [name for name, arrays in caught.items() if name in subject.sites and len(arrays) > len(outputs)]
    if divided:
        raise ParityError(
            f"{divided[0]} is computed in pieces of a sequence, which cannot be compared",
            hint='set "chunk_size_feed_forward": 0 in config.json: it saves memory and changes no result',
        )
    computed = {name: np.concatenate(arrays) for name, arrays in caught.items() if arrays}
    for name in names - computed.keys():
        computed[name] = np.concatenate([_output(subject, fields, name) for fields in outputs])
    return {name: probe.keep(values) for name, values in computed.items()}


@contextmanager
def float32_precision(tf32: bool = False) -> Iterator[None]:
    """Products of float32 matrices in float32 meanwhile, or in TensorFloat-32 where the device has it."""
    import torch

    # Since 2.9 each backend has a setting of its own, and reading the old one fails once a program has used those.
    # Setting the old one sets them all.
    matmuls: tuple[Any, ...] = (torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None))
    own = [(matmul, matmul.fp32_precision) for matmul in matmuls if hasattr(matmul, "fp32_precision")]
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        before = "highest"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        for matmul, precision in own:
            matmul.fp32_precision = precision


def disagreement(stage: str, actual: Sequence[int], expected: Sequence[int]) -> ParityError:
    """The error of a stage whose shape differs between the two frameworks."""
    return ParityError(
        f"{stage} is {list(actual)} in PyTorch and {list(expected)} in the reference",
        hint="is it the reference of another checkpoint, or of another head?",
    )


def frameworks() -> tuple[Any, Any]:
    """torch and transformers.

    Raises:
        ParityError: one of them is not installed.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ParityError(f"verifying needs PyTorch and transformers: {error}", hint=_INSTALL) from None
    return torch, transformers


def first_line(error: BaseException) -> str:
    """The first line of an error's text that holds anything; else the name of its class."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _call(subject: Subject, model: Any, piece: Probe, device: Any, dtype: Any) -> dict[str, Any]:  # noqa: ANN401
    import torch

    inputs = {
        name: torch.as_tensor(array, dtype=torch.long if array.dtype.kind in "iub" else dtype).to(device)
        for name, array in piece.inputs.items()
    }
    if piece.only is not None:
        inputs.pop(MASK, None)
        model.get_submodule(subject.sites[piece.only].module)(**inputs)
        return {}
    known = signature(model.forward).parameters
    if unknown := [name for name in inputs if name not in known]:  # it may swallow them as **kwargs
        raise ParityError(
            f"{type(model).__name__} does not take the inputs {', '.join(unknown)}",
            hint=f"record the reference with inputs under the names of the PyTorch model: {', '.join(known)}",
        )
    try:
        return dict(model(**inputs, output_hidden_states=True, return_dict=True))
    except (ValueError, IndexError, TypeError) as error:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
        raise ParityError(
            f"{type(model).__name__} fails on {shapes}: {first_line(error)}", hint="does config.json fit the weights?"
        ) from error


def _output(subject: Subject, fields: Mapping[str, Any], name: str) -> Array:
    """An output of the model by its field's name, or one of its hidden states."""
    field, _, number = subject.family.outputs.get(name, name).partition(".")
    value = fields.get(field)
    if value is None and field == "last_hidden_state" and fields.get("hidden_states"):
        value = fields["hidden_states"][-1]
    if isinstance(value, tuple) and number.isdecimal() and int(number) < len(value):
        value = value[int(number)]
    if value is None or isinstance(value, tuple):
        known = ", ".join([*fields, *subject.sites][:12])
        raise ParityError(
            f"the reference holds {name}, which {type(subject.model).__name__} does not compute",
            hint=f"name what is recorded after an output, a stage or a module of the model: {known}, ...",
        )
    array: Array = np.atleast_1d(value.detach().to("cpu").double().numpy())
    return array
