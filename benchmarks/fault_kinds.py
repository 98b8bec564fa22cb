"""The faults that are injected into a correct model: into every tensor, and into every fact of its config.

A fault changes a loaded model in place and is undone afterwards, so that thousands take minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from bridgeckpt.parity.pytorch import Subject

Undo = Callable[[], None]
ACTIVATION, EPSILON, HEADS = "hidden_act", "layer_norm_eps", "num_attention_heads"


class Fault(NamedTuple):
    """One fault.

    ``stages`` are those that it makes wrong by themselves, ``named`` the parameters or config keys that a diagnosis may
    blame. ``apply`` injects it and returns what undoes it.
    """

    kind: str
    subject: str
    stages: tuple[str, ...]
    named: tuple[str, ...]
    apply: Callable[[], Undo]


def tensor_faults(subject: Subject, only: Callable[[str], bool]) -> Iterator[Fault]:
    """Every fault of every parameter that ``only`` accepts."""
    parameters = dict(subject.model.named_parameters())
    owners: dict[str, list[str]] = {}
    for stage, site in subject.sites.items():
        for name in site.parameters.values():
            owners.setdefault(name, []).append(stage)
    same = {name: other for name in parameters if (other := _sibling(name, parameters)) is not None}
    for name, parameter in parameters.items():
        if not only(name):
            continue
        home = tuple(owners.get(name, ()))
        for kind, change in _changes(parameter).items():
            yield Fault(kind, name, home, (name,), lambda p=parameter, c=change: _set((p, c(p))))
        if name in same:
            other = parameters[same[name]]
            both = (name, same[name])
            swap = lambda p=parameter, o=other: _set((p, o.clone()), (o, p.clone()))  # noqa: E731
            yield Fault("swapped with its sibling", name, (*home, *owners.get(same[name], ())), both, swap)


def _changes(parameter: Any) -> dict[str, Callable[[Any], Any]]:
    import torch

    def one_element(p: Any) -> Any:
        changed = p.clone()
        at = int(torch.randint(p.numel(), (1,), generator=torch.Generator().manual_seed(p.numel())))
        changed.view(-1)[at] *= 1.01
        return changed

    changes: dict[str, Callable[[Any], Any]] = {
        "one row off": lambda p: p.roll(1, 0),
        "scaled by 1.001": lambda p: p * 1.001,
        "one element wrong by 1 %": one_element,
        "zeroed": lambda p: p * 0,
    }
    if parameter.ndim == 2:
        kind = "transposed" if parameter.shape[0] == parameter.shape[1] else "transposed and reshaped"
        changes[kind] = lambda p: p.t().reshape(p.shape)
    return changes


def _sibling(name: str, parameters: dict[str, Any]) -> str | None:
    """The next parameter of the same shape and kind, in the same layer if there is one."""
    names = list(parameters)
    at = names.index(name)
    ending = name.rpartition(".")[2]
    around = [*names[at + 1 :], *reversed(names[:at])]
    alike = [other for other in around if parameters[other].shape == parameters[name].shape and other.endswith(ending)]
    return alike[0] if alike else None


def _set(*pairs: tuple[Any, Any]) -> Undo:
    """Give parameters new values; returns what gives them back the old ones."""
    before = [(parameter, parameter.detach().clone()) for parameter, _ in pairs]
    values = [value.detach().clone() for _, value in pairs]
    for (parameter, _), value in zip(before, values, strict=True):
        parameter.data.copy_(value)

    def undo() -> None:
        for parameter, value in before:
            parameter.data.copy_(value)

    return undo


def config_faults(subject: Subject) -> Iterator[Fault]:
    """Every fault of the config, of what the model is fed, and of the order of its layers."""
    model = subject.model
    config = model.config
    layers = {stage for stage in subject.sites if stage.startswith("layer.")}
    for act in ("gelu", "gelu_pytorch_tanh", "relu"):
        if act != config.hidden_act:
            stages = tuple(s for s in subject.sites if s.endswith(".intermediate") or s in ("transform", "mlm_logits"))
            yield Fault(
                "wrong activation", f"{ACTIVATION} = {act}", stages, (ACTIVATION,), lambda a=act: _activation(model, a)
            )
    for epsilon in (1e-12, 1e-5, 1e-3):
        if abs(epsilon - config.layer_norm_eps) > epsilon / 2:
            stages = tuple(s for s, site in subject.sites.items() if "gamma" in site.parameters)
            yield Fault(
                "wrong epsilon", f"{EPSILON} = {epsilon:g}", stages, (EPSILON,), lambda e=epsilon: _epsilon(model, e)
            )
    hidden = config.hidden_size
    for heads in range(1, hidden + 1):
        if hidden % heads == 0 and heads != config.num_attention_heads and heads <= 12:
            stages = tuple(s for s in layers if s.endswith((".context", ".attention")))
            yield Fault(
                "wrong number of heads", f"{HEADS} = {heads}", stages, (HEADS,), lambda n=heads: _heads(model, n)
            )
    body = subject.sites["embeddings"].module.rpartition(".")[0]
    types = subject.sites["embeddings"].parameters["types"]
    at = model.get_submodule(subject.sites["embeddings"].module)
    yield Fault(
        "type ids ignored", "token_type_ids", ("embeddings",), (types,), lambda: _fed(at, "token_type_ids", _zero)
    )
    attended = tuple(s for s in layers if s.endswith((".context", ".attention")))
    mask = lambda: _fed(model, "attention_mask", _inverted)  # noqa: E731
    yield Fault("mask inverted", "attention_mask", attended, (), mask)
    if config.num_hidden_layers > 1:
        encoder = model.get_submodule(f"{body}.encoder" if body else "encoder")
        yield Fault("layers shifted", "encoder.layer", tuple(layers), (), lambda: _shifted(encoder))


def _activation(model: Any, name: str) -> Undo:
    from transformers.activations import ACT2FN

    at = [(m, key) for m in model.modules() for key in ("intermediate_act_fn", "transform_act_fn") if hasattr(m, key)]
    before, act = [(m, key, getattr(m, key)) for m, key in at], model.config.hidden_act
    for module, key in at:
        setattr(module, key, ACT2FN[name])
    model.config.hidden_act = name

    def undo() -> None:
        for module, key, function in before:
            setattr(module, key, function)
        model.config.hidden_act = act

    return undo


def _attributes(model: Any, values: dict[Any, dict[str, Any]], **config: Any) -> Undo:
    before = {module: {key: getattr(module, key) for key in of} for module, of in values.items()}
    told = {key: getattr(model.config, key) for key in config}

    def write(of: dict[Any, dict[str, Any]], keys: dict[str, Any]) -> None:
        for module, attributes in of.items():
            for key, value in attributes.items():
                setattr(module, key, value)
        for key, value in keys.items():
            setattr(model.config, key, value)

    write(values, config)
    return lambda: write(before, told)


def _epsilon(model: Any, epsilon: float) -> Undo:
    norms = [module for module in model.modules() if type(module).__name__ == "LayerNorm"]
    return _attributes(model, {module: {"eps": epsilon} for module in norms}, layer_norm_eps=epsilon)


def _heads(model: Any, heads: int) -> Undo:
    size = model.config.hidden_size // heads
    values = {"num_attention_heads": heads, "attention_head_size": size, "scaling": size**-0.5}
    found = [module for module in model.modules() if hasattr(module, "attention_head_size")]
    return _attributes(model, {module: dict(values) for module in found}, num_attention_heads=heads)


def _zero(value: Any) -> Any:
    return value * 0


def _inverted(value: Any) -> Any:
    return 1 - value


def _fed(module: Any, name: str, change: Callable[[Any], Any]) -> Undo:
    def hook(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, {**kwargs, name: change(kwargs[name])} if kwargs.get(name) is not None else kwargs

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    return lambda: handle.remove()


def _shifted(encoder: Any) -> Undo:
    before = list(encoder.layer)
    for at, layer in enumerate([*before[1:], before[0]]):
        encoder.layer[at] = layer

    def undo() -> None:
        for at, layer in enumerate(before):
            encoder.layer[at] = layer

    return undo
