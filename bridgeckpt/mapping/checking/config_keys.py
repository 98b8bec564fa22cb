"""Which keys of a class's config change its parameters or what it computes, and have no value in the tables?

transformers loads its own default for a key that config.json lacks. So the class is built small, once as it is and once
for each key with another value, and the two are compared: by the shapes of their parameters, and by what they compute
with the same weights. Only this module and :mod:`bridgeckpt.mapping.checking.coverage` need transformers and torch.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from bridgeckpt.mapping.notation.errors import LintProblem
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.mapping.tables.records import Table

    Values = tuple[tuple[str, int], ...]

_BROKEN = (AttributeError, ImportError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
_UNKNOWN = "none that there is"  # a word that no class knows
_ROLES = ("is_decoder", "add_cross_attention", "use_cache")  # what a model is used as, and not how it was trained
_ACTIVATIONS = ("relu", "gelu")


def check_config_keys(table: Table, classes: Mapping[str, Values]) -> Iterator[LintProblem]:
    """A problem for each such key of the ``classes``, which are built with the sizes that they have."""
    model, changed = table.model, dict[tuple[str, Any], list[str]]()
    for architecture, values in classes.items():
        for found in keys_with_effect(model.model, architecture, values, tuple(sorted(model.config_keys))):
            changed.setdefault(found, []).append(architecture)
    for (key, default), names in changed.items():
        if key not in table.config.values:
            yield LintProblem(
                "config-key",
                f"{key} changes what {listed(names)} computes, and no table says its value: {default!r} is loaded",
                str(model.path),
                "put it in [config] needed of the model; or in kept, if that value is right for every source that does "
                "not say it; or its value in [config] of the dialect",
            )


@cache
def keys_with_effect(
    model: str, architecture: str, values: Values, known: tuple[str, ...] = ()
) -> tuple[tuple[str, Any], ...]:
    """The keys of a config that change the class, each with transformers' default; ``known`` ones are not tried."""
    import transformers

    left_out = {*transformers.PretrainedConfig().to_dict(), *_ROLES, *dict(values), *known}
    base = transformers.AutoConfig.for_model(model, **dict(values))
    built = _build(architecture, base)
    computed = _output(built)
    found = []
    for key, default in base.to_dict().items():
        other = _other(default)
        if key not in left_out and other is not None:
            changed = _changed(architecture, model, {**dict(values), key: other}, built, computed)
            if changed or (changed is None and default is not None):  # what cannot be built depends on it
                found.append((key, default))
    return tuple(found)


def _other(default: object) -> object:
    """Another value of a key; None if there is none to try."""
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if isinstance(default, float):
        return default / 2 + 0.05
    if isinstance(default, str):
        from transformers.activations import ACT2FN

        return next(name for name in _ACTIVATIONS if name != default) if default in ACT2FN else _UNKNOWN
    return 2 if default is None else None


def _build(architecture: str, config: Any) -> Any:  # noqa: ANN401 - a torch module
    """The class with weights that hide nothing: drawn, as those that training starts from are zeros in part."""
    import torch
    import transformers

    torch.manual_seed(0)
    built = getattr(transformers, architecture)(config).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.normal_(0.0, 0.3)
    return built


def _changed(architecture: str, model: str, values: dict[str, Any], base: Any, computed: Any) -> bool | None:  # noqa: ANN401
    """Whether the class is another one with ``values`` than ``base``, which ``computed``; None if it is not built."""
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    try:
        built = _build(architecture, transformers.AutoConfig.for_model(model, **values))
    except (*_BROKEN, StrictDataclassError):
        return None
    shapes, expected = ({name: of.shape for name, of in one.state_dict().items()} for one in (built, base))
    if shapes != expected:
        return True
    built.load_state_dict(base.state_dict())
    return computed is not None and not _is_same(_output(built), computed)


def _is_same(one: Any, other: Any) -> bool:  # noqa: ANN401
    import torch

    return one is not None and torch.equal(one, other)


def _output(built: Any) -> Any:  # noqa: ANN401
    """What the class computes first, on the inputs that transformers has for a trial; None if it takes others."""
    import torch

    try:
        with torch.no_grad():
            outputs = built(**built.dummy_inputs)
    except _BROKEN:
        return None
    return next(value for value in outputs.to_tuple() if isinstance(value, torch.Tensor))
