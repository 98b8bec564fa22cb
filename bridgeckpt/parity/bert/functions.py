"""The functions that a SavedModel exports: which of them take token ids, and how each is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.bert.signatures import roles_of
from bridgeckpt.parity.hints import OWN_FUNCTION
from bridgeckpt.parity.reference.probes import IDS, MASK


class ExportedFunction(NamedTuple):
    """A function that takes token ids, and how it is called.

    Attributes:
        name: ``__call__``, ``mlm``, ``serving_default`` and the like.
        call: The function.
        arguments: Its positional and named arguments, a TensorSpec in place of each tensor.
        roles: Which input each of those tensors is, in the order of ``tf.nest.flatten``.
        shape: The batch size and the sequence length that it is made for; None for any.
    """

    name: str
    call: Callable[..., Any]
    arguments: tuple[Any, Any]
    roles: tuple[str, ...]
    shape: tuple[int | None, int | None]


def functions_of(tf: Any, loaded: Any, name: str) -> list[ExportedFunction]:  # noqa: ANN401 - TensorFlow has no types
    """The functions of a SavedModel that take token ids and their mask, and no unknown input.

    Raises:
        ParityError: there is no such function; the message lists the inputs of those that there are.
    """
    found: dict[str, ExportedFunction] = {}
    others = []
    for own, call, concrete in _functions(loaded):
        one = _usable(tf, own, call, concrete)
        if one is None:
            others.append(f"{own} takes {_inputs(tf, concrete)}")
        else:
            found.setdefault(own, one)
    if not found:
        taken = "; ".join(dict.fromkeys(others)) or "it has none"
        raise ParityError(
            f"no function of the SavedModel {name} takes token ids and their mask: {taken}", hint=OWN_FUNCTION
        )
    return list(found.values())


def variables_of(loaded: Any) -> list[tuple[str, tuple[int, ...]]]:  # noqa: ANN401
    """Each variable that a SavedModel's functions read: the name that it had in Python, and its shape."""
    read = [*getattr(loaded, "variables", ())]
    for _, _, concrete in _functions(loaded):
        read += concrete.variables
    return [(variable.name.removesuffix(":0"), tuple(variable.shape)) for variable in read]


def _functions(loaded: Any) -> Iterator[tuple[str, Callable[..., Any], Any]]:  # noqa: ANN401
    """Every function of a SavedModel, with each of the ways in which it was traced, the signatures last.

    Functions that an exporter made of single Keras layers are left out: they are parts of the model.
    """
    own: dict[str, Any] = dict(vars(loaded))
    masked = own.pop("mlm", None)  # of hub modules: a model that returns what the whole one returns, and more
    if masked is not None:
        own = {"mlm": getattr(masked, "__dict__", {}).get("__call__", masked)} | own
    for name, call in own.items():
        if hasattr(call, "concrete_functions") and (
            name == "__call__" or not name.startswith(("_", "call_and_return"))
        ):
            for concrete in call.concrete_functions:
                yield name, call, concrete
    for name, concrete in loaded.signatures.items():
        if not name.startswith("__"):
            yield name, concrete, concrete


def _usable(tf: Any, name: str, call: Callable[..., Any], concrete: Any) -> ExportedFunction | None:  # noqa: ANN401
    """The function, if all its inputs are known and it does not train; else None."""
    arguments = concrete.structured_input_signature
    specs = _specs(tf, arguments)
    roles = roles_of([key for key, _ in specs])
    known = [role for role in roles if role is not None]
    if len(known) < len(roles) or len(set(known)) < len(roles) or not {IDS, MASK} <= set(known):
        return None
    if any(not spec.dtype.is_floating and not spec.dtype.is_integer and not spec.dtype.is_bool for _, spec in specs):
        return None
    if any(leaf is True for leaf in tf.nest.flatten(arguments)):
        return None
    shape = next(spec.shape for role, (_, spec) in zip(roles, specs, strict=True) if role == IDS)
    sizes = tuple(shape.as_list()) if shape.rank == 2 else (None, None)
    return ExportedFunction(name, call, arguments, tuple(known), sizes)


def _specs(tf: Any, structure: Any, key: str = "") -> list[tuple[str, Any]]:  # noqa: ANN401
    """The tensors in arguments, each with its name, in the order of ``tf.nest.flatten``."""
    if isinstance(structure, Mapping):
        return [spec for name in sorted(structure) for spec in _specs(tf, structure[name], name)]
    if isinstance(structure, list | tuple):
        return [spec for one in structure for spec in _specs(tf, one)]
    return [(key or structure.name or "", structure)] if isinstance(structure, tf.TensorSpec) else []


def _inputs(tf: Any, concrete: Any) -> str:  # noqa: ANN401
    specs = _specs(tf, concrete.structured_input_signature)
    return ", ".join(f"{key} ({spec.dtype.name})" for key, spec in specs) or "nothing"
