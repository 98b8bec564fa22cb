"""The faults that are injected into a correct model: in every tensor and in every fact of its config.

A tensor is changed in place and restored afterwards, so thousands of faults take minutes. A wrong config is loaded from
its own folder.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bridgeckpt.parity.families import family_of
from bridgeckpt.parity.judging.loading import load
from bridgeckpt.parity.judging.pytorch import Subject

Faulty = AbstractContextManager[Subject]


class Fault(NamedTuple):
    """One fault.

    Attributes:
        kind: The kind of change.
        subject: The parameter or config key that is changed.
        stages: The stages whose own computation becomes wrong.
        named: The parameters or config keys that a diagnosis may blame.
        words: Words that a diagnosis may use for a fault that is not in a parameter.
        faulty: The model with the fault; leaving the context undoes the fault.
    """

    kind: str
    subject: str
    stages: tuple[str, ...]
    named: tuple[str, ...]
    words: tuple[str, ...]
    faulty: Callable[[], Faulty]


def all_faults(subject: Subject) -> list[Fault]:
    """Every fault of every parameter and every config fact."""
    return [*tensor_faults(subject), *config_faults(subject)]


def tensor_faults(subject: Subject) -> Iterator[Fault]:
    """Every fault of every parameter. A shared parameter (of word embeddings and decoder) counts once."""
    parameters = dict(subject.model.named_parameters())
    called: dict[str, list[str]] = {name: [] for name in parameters}
    first = {id(parameter): name for name, parameter in parameters.items()}
    for name, parameter in subject.model.named_parameters(remove_duplicate=False):
        called[first[id(parameter)]].append(name)

    def stages(*names: str) -> tuple[str, ...]:
        aliases = {alias for name in names for alias in called[name]}
        return tuple(stage for stage, site in subject.sites.items() if aliases & set(site.parameters.values()))

    swapped: set[frozenset[str]] = set()
    for name, parameter in parameters.items():
        for kind, change in _changes(parameter).items():
            faulty = _tensors(subject, {name: lambda p=parameter, c=change: c(p)})
            yield Fault(kind, name, stages(name), tuple(called[name]), (), faulty)
        other = _sibling(name, parameters)
        if other is not None and frozenset((name, other)) not in swapped:
            swapped.add(frozenset((name, other)))
            faulty = _tensors(subject, {name: lambda o=other: parameters[o], other: lambda n=name: parameters[n]})
            both = (*called[name], *called[other])
            yield Fault("swapped with its sibling", f"{name} and {other}", stages(name, other), both, (), faulty)


def _changes(parameter: Any) -> dict[str, Callable[[Any], Any]]:
    import torch

    def one_element(p: Any) -> Any:
        changed = p.clone()
        position = int(torch.randint(p.numel(), (1,), generator=torch.Generator().manual_seed(p.numel())))
        changed.view(-1)[position] *= 1.01
        return changed

    changes: dict[str, Callable[[Any], Any]] = {}
    if parameter.ndim == 2:
        kind = "transposed" if parameter.shape[0] == parameter.shape[1] else "transposed and reshaped"
        changes[kind] = lambda p: p.t().reshape(p.shape)
    return {
        **changes,
        "one row off": lambda p: p.roll(1, 0),
        "scaled by 1.001": lambda p: p * 1.001,
        "one element wrong by 1 %": one_element,
        "zeroed": lambda p: p * 0,
    }


def _sibling(name: str, parameters: dict[str, Any]) -> str | None:
    """The parameter of the same shape that it is most easily confused with: gamma and beta, query and key, ..."""
    module, _, ending = name.rpartition(".")
    if module.endswith("LayerNorm"):
        return f"{module}.{'bias' if ending == 'weight' else 'weight'}"
    names = list(parameters)
    position = names.index(name)
    return next(
        (
            other
            for other in (*names[position + 1 :], *reversed(names[:position]))
            if other.endswith(f".{ending}") and ".LayerNorm." not in other
            if parameters[other].shape == parameters[name].shape
        ),
        None,
    )


def _tensors(subject: Subject, values: dict[str, Callable[[], Any]]) -> Callable[[], Faulty]:
    @contextmanager
    def faulty() -> Iterator[Subject]:
        parameters = dict(subject.model.named_parameters())
        before = {name: parameters[name].detach().clone() for name in values}
        wrong = {name: value().detach().clone() for name, value in values.items()}
        try:
            _write(parameters, wrong)
            yield subject
        finally:
            _write(parameters, before)

    return faulty


def _write(parameters: dict[str, Any], values: dict[str, Any]) -> None:
    for name, value in values.items():
        parameters[name].data.copy_(value)


def config_faults(subject: Subject) -> Iterator[Fault]:
    """Every fault of the config, of the model's inputs, and of the order of its layers."""
    model, sites = subject.model, subject.sites
    layers = tuple(stage for stage in sites if stage.startswith("layer."))
    attention = tuple(stage for stage in layers if stage.endswith(".context"))
    activated = tuple(s for s in sites if s.endswith(".intermediate") or s == "transform")
    normalised = tuple(stage for stage, site in sites.items() if "gamma" in site.parameters)
    acts = [act for act in ("gelu", "gelu_pytorch_tanh", "relu") if act != model.config.hidden_act]
    epsilons = [eps for eps in (1e-12, 1e-5, 1e-3) if eps != model.config.layer_norm_eps]
    hidden = model.config.hidden_size
    heads = [n for n in range(1, hidden + 1) if hidden % n == 0 and n != model.config.num_attention_heads]
    for kind, key, values, stages in (
        ("wrong activation", "hidden_act", acts, activated),
        ("wrong epsilon", "layer_norm_eps", epsilons, normalised),
        ("wrong number of heads", "num_attention_heads", heads, attention),
    ):
        for value in values:
            named = (f"config.json: {key}",)
            yield Fault(kind, f"{key} = {value}", stages, named, (), _configured(subject, key, value))
    types = sites["embeddings"].parameters["types"]
    ignored = _fed(subject, sites["embeddings"].module, "token_type_ids", lambda ids: ids * 0)
    yield Fault("type ids ignored", "token_type_ids", ("embeddings",), (types,), ("token types",), ignored)
    inverted = _fed(subject, "", "attention_mask", lambda mask: 1 - mask)
    yield Fault("mask inverted", "attention_mask", attention, (), ("mask",), inverted)
    if model.config.num_hidden_layers > 1:
        yield Fault("layers shifted by one", "encoder.layer", layers, (), ("the layers are",), _shifted(subject))


def _configured(subject: Subject, key: str, value: object) -> Callable[[], Faulty]:
    """The same weights with a changed config."""

    @contextmanager
    def faulty() -> Iterator[Subject]:
        with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
            for path in subject.folder.iterdir():
                (Path(scratch) / path.name).symlink_to(path.resolve())
            config = json.loads((subject.folder / "config.json").read_text())
            (Path(scratch) / "config.json").unlink()
            (Path(scratch) / "config.json").write_text(json.dumps({**config, key: value}))
            yield load(Path(scratch), family_of)

    return faulty


def _fed(subject: Subject, module: str, name: str, change: Callable[[Any], Any]) -> Callable[[], Faulty]:
    """The model with a changed input of one module."""

    def hook(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, {**kwargs, name: change(kwargs[name])} if kwargs.get(name) is not None else kwargs

    @contextmanager
    def faulty() -> Iterator[Subject]:
        handle = subject.model.get_submodule(module).register_forward_pre_hook(hook, with_kwargs=True)
        try:
            yield subject
        finally:
            handle.remove()

    return faulty


def _shifted(subject: Subject) -> Callable[[], Faulty]:
    """The model with each layer in the place of the one before, and the first in the last place."""

    @contextmanager
    def faulty() -> Iterator[Subject]:
        places = next(module for name, module in subject.model.named_modules() if name.endswith("encoder.layer"))
        before = list(places)
        try:
            _place(places, [*before[1:], before[0]])
            yield subject
        finally:
            _place(places, before)

    return faulty


def _place(places: Any, layers: list[Any]) -> None:
    for number, layer in enumerate(layers):
        places[number] = layer
