"""The PyTorch side: a model folder loaded with transformers and run on a probe, its stages caught by forward hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.reference.probes import MASK
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.texts import TextError, read_json

if TYPE_CHECKING:
    from bridgeckpt.parity.family import Family, Sites
    from bridgeckpt.parity.reference.probes import Probe

    Array = np.ndarray[Any, np.dtype[Any]]

_INSTALL = 'pip install "bridgeckpt[verify]"'


class Subject(NamedTuple):
    """A model under test, in float32 on the CPU, in evaluation mode.

    ``stored`` is the narrowest floating dtype of its files; ``missing`` are the parameters that the files do not hold,
    so that transformers initialised them; ``unexpected`` are the tensors that the class does not have.
    """

    folder: Path
    model: Any
    family: Family
    sites: Sites
    stored: str
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def load(folder: Path, family_of: Callable[[Any], Family]) -> Subject:
    """Load the class that the folder's config names; ``family_of`` says which family the model is of.

    Raises:
        ParityError: torch or transformers is not installed, or transformers cannot load the folder.
    """
    torch, transformers = frameworks()
    try:
        config = read_json(folder / "config.json")
        name = (config.get("architectures") or ["AutoModel"])[0]
        kind = getattr(transformers, name, None)
    except (TextError, LookupError, TypeError) as error:
        raise ParityError(f"{folder / 'config.json'} is not a readable config ({error})") from None
    if kind is None:
        raise ParityError(f"transformers {transformers.__version__} has no {name}, which {folder} asks for")
    stored = _stored(folder)  # also checks that every file is whole, before transformers maps it
    options = {"dtype": torch.float32, "local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        with _quiet(transformers):
            model, info = kind.from_pretrained(str(folder), **options)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ParityError(
            f"transformers cannot load {folder}: {_first_line(error)}",
            hint=Sentence("do config.json and the weights belong together? Convert again, or use {run:diff SRC DST}"),
        ) from error
    info = {key: tuple(sorted(map(str, value))) for key, value in info.items()}
    mismatched, errors = info.get("mismatched_keys", ()), info.get("error_msgs", ())
    if mismatched or errors:
        raise ParityError(f"{folder} does not fit {name}: {'; '.join((*mismatched, *errors)[:3])}")
    missing, unexpected = info.get("missing_keys", ()), info.get("unexpected_keys", ())
    family = family_of(model)
    return Subject(
        folder=folder,
        model=model.eval(),
        family=family,
        sites=family.sites(model),
        stored=stored,
        missing=missing,
        unexpected=unexpected,
    )


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
        ParityError: a name is unknown to the model, or it does not take an input.
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
    return dict(model(**inputs, output_hidden_states=True, return_dict=True))


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


def _stored(folder: Path) -> str:
    """The narrowest floating dtype in the folder's files."""
    from bridgeckpt.formats import open_checkpoint
    from bridgeckpt.store.tensors import DTYPES

    with open_checkpoint(folder) as checkpoint:
        dtypes = {info.dtype for info in checkpoint.tensors.values() if DTYPES[info.dtype].floating}
    return min(dtypes, key=lambda name: (DTYPES[name].itemsize, name), default="float32")


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:  # noqa: ANN401
    """No progress bars and load reports: the verdict contains what they report."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
