"""The class that a checkpoint becomes, as transformers itself describes it: parameters, buffers and ties.

Only this module of planning and :mod:`~bridgeckpt.planning.by_rules.building` import torch and transformers.
"""

from __future__ import annotations

from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import ConfigError, PlanError
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.planning.architecture import is_named_after
from bridgeckpt.planning.by_rules.building import build
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INSTALL = 'pip install "bridgeckpt[verify]"'
_OLDEST = 5  # the first version of transformers that gives the names of parameters in files


class Target(NamedTuple):
    """A class of transformers, built from a config.

    ``shapes`` maps every parameter and stored buffer, by its name in files, to its shape. ``tied`` maps each second
    name of a parameter to its first name. ``inner`` maps the path of each model in the class ("" for the class itself)
    to the prefix that the bare model has in a class with a head. ``arguments`` are those that the class takes.
    ``integers`` are stored buffers that are no floating-point numbers.
    """

    architecture: str
    model: str
    shapes: Mapping[str, tuple[int, ...]]
    tied: Mapping[str, str]
    inner: Mapping[str, str]
    arguments: frozenset[str] = frozenset()
    integers: frozenset[str] = frozenset()

    def find(self, name: str) -> str | None:
        """The parameter ``name``, with or without the prefix that a bare model has in a class with a head."""
        return next((spelling for spelling in self._spellings(name) if spelling in self.shapes), None)

    def _spellings(self, name: str) -> Iterator[str]:
        yield name
        for path, prefix in self.inner.items():
            if name.startswith(path):
                rest = name[len(path) :]
                yield path + (rest.removeprefix(prefix) if rest.startswith(prefix) else prefix + rest)


def load_target(config: Mapping[str, Any], architecture: str, source: str, tensors: int) -> Target:
    """Build ``architecture`` for a config.

    Args:
        config: the content of a config.json of transformers.
        architecture: the name of the class.
        source: what messages call the config.
        tensors: how many the checkpoint has.

    Raises:
        PlanError: torch or transformers is not installed, is too old, or has no such class.
        ConfigError: no model can be built from the config.
    """
    try:
        import torch  # noqa: F401 - without it transformers has no class
        import transformers
    except ImportError as error:
        raise PlanError(
            f"{architecture} is converted with the help of transformers, and {error.name} is not installed",
            hint=f"install it with {_INSTALL}",
        ) from error
    if int(transformers.__version__.partition(".")[0]) < _OLDEST:
        raise PlanError(
            f"{architecture} is converted with the help of transformers, and {transformers.__version__} is too old",
            hint=f"install version {_OLDEST} or later with {_INSTALL}",
        )
    kind: Any = getattr(transformers, architecture, None)
    is_model = isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)
    if not is_model:
        raise PlanError(
            f"transformers {transformers.__version__} has no PyTorch class {architecture}",
            hint=Sentence(
                "it may have been dropped from transformers; {architecture:CLASS} names another class of the model"
            ),
        )
    if kind.config_class.model_type != config["model_type"]:
        raise ConfigError(
            f'{architecture} is a class of the model "{kind.config_class.model_type}", but {source} says "model_type": '
            f'"{config["model_type"]}"',
            hint=Sentence("correct config.json, or name a class of that model with {architecture:CLASS}"),
        )
    model = build(kind, config, source, tensors)
    return _described(model, architecture, str(config["model_type"]))


def bare_class(model_type: str) -> str | None:
    """The class of a ``model_type`` without a head; None if transformers has none, or is not installed."""
    try:
        from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
    except ImportError:
        return None
    name = MODEL_MAPPING_NAMES.get(model_type)
    return name if isinstance(name, str) else None


@cache
def config_defaults(model_type: str) -> Mapping[str, Any]:
    """The keys that only configs of a ``model_type`` have, with their defaults.

    There are none if transformers has no such config, or is not installed.
    """
    try:
        from transformers import CONFIG_MAPPING, PretrainedConfig
    except ImportError:
        return FrozenDict()
    try:
        defaults = CONFIG_MAPPING[model_type]().to_dict()
    except Exception:  # noqa: BLE001 - there is none, or it has no defaults
        return FrozenDict()
    of_all = PretrainedConfig().to_dict()
    return FrozenDict({key: value for key, value in defaults.items() if key not in of_all})


def with_floats(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with floats for integers where transformers 5 takes only floats, as versions before it did not."""
    defaults = config_defaults(str(config["model_type"]))
    floats = {key for key, value in config.items() if type(value) is int and isinstance(defaults.get(key), float)}
    return {key: float(value) if key in floats else value for key, value in config.items()}


def class_named(path: str) -> tuple[str, str] | None:
    """The class that the first object in ``path`` is named after (``tf_roberta_model/``), and its ``model_type``.

    None if transformers has no such class, or is not installed.
    """
    try:
        import transformers
        from transformers.models.auto import modeling_auto
    except ImportError:
        return None
    listed = [of for name, of in vars(modeling_auto).items() if name.endswith("_MAPPING_NAMES")]
    classes = [of if isinstance(of, tuple | list) else (of,) for mapping in listed for of in mapping.values()]
    names = dict.fromkeys(name for several in classes for name in several if isinstance(name, str))
    for name in names:
        if is_named_after(path, name):
            config = getattr(getattr(transformers, name, None), "config_class", None)  # None without torch
            return (name, config.model_type) if config is not None else None
    return None


def _described(model: Any, architecture: str, model_type: str) -> Target:  # noqa: ANN401 - a torch module
    from transformers.core_model_loading import revert_weight_conversion

    own = model.state_dict(keep_vars=True)
    # Files keep the names of transformers 4, which later versions rename when they load.
    stored = revert_weight_conversion(model, own)
    sources = [own[name] for name in model.all_tied_weights_keys.values()]
    first: dict[int, str] = {}
    for name, tensor in stored.items():
        if id(tensor) not in first:
            first[id(tensor)] = name
    for tensor, name in zip(sources, model.all_tied_weights_keys.values(), strict=True):
        first[id(tensor)] = next(iter(revert_weight_conversion(model, {name: tensor})))
    tied = {name: first[id(tensor)] for name, tensor in stored.items() if first[id(tensor)] != name}
    shapes = {name: tuple(tensor.shape) for name, tensor in stored.items()}
    return Target(
        architecture=architecture,
        model=model_type,
        shapes=shapes,
        tied=tied,
        inner=_inner(model),
        arguments=frozenset(signature(type(model).__init__).parameters),
        integers=frozenset(name for name, tensor in stored.items() if not tensor.dtype.is_floating_point),
    )


def _inner(model: Any) -> dict[str, str]:  # noqa: ANN401 - a torch module
    import transformers

    models = {path: part for path, part in model.named_modules() if isinstance(part, transformers.PreTrainedModel)}
    prefixes = {f"{path}." if path else "": part.base_model_prefix for path, part in models.items()}
    return {path: f"{prefix}." for path, prefix in prefixes.items() if prefix}
