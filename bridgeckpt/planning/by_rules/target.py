"""The class that a checkpoint of transformers becomes, asked of transformers itself: its parameters, buffers and ties.

The only module of planning that imports torch and transformers. The class is built without memory for its weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import ConfigError, PlanError
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INSTALL = 'pip install "bridgeckpt[verify]"'
_OLDEST = 5  # version of transformers that tells the names that its classes have in files
_BROKEN = (AttributeError, ImportError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


class Target(NamedTuple):
    """A class of transformers as its config makes it.

    ``shapes`` are of every parameter and stored buffer, by its name in files. ``tied`` maps a name to that of the
    parameter which it is a second name of. ``inner`` are the models in it by path, itself at "", each with what a class
    with a head has in front of the names of the bare model.
    """

    architecture: str
    model: str
    shapes: Mapping[str, tuple[int, ...]]
    tied: Mapping[str, str]
    inner: Mapping[str, str]

    def find(self, name: str) -> str | None:
        """The parameter ``name``; also where a model has no head and the name is of one that has, or the reverse."""
        return next((one for one in self._spelled(name) if one in self.shapes), None)

    def _spelled(self, name: str) -> Iterator[str]:
        yield name
        for path, prefix in self.inner.items():
            if name.startswith(path):
                rest = name[len(path) :]
                yield path + (rest.removeprefix(prefix) if rest.startswith(prefix) else prefix + rest)


def load_target(config: Mapping[str, Any], architecture: str, source: str) -> Target:
    """Build ``architecture`` for a config.

    Args:
        config: the content of a config.json of transformers, which ``source`` calls by name.
        architecture: the name of the class.
        source: where the config is from, for messages.

    Raises:
        PlanError: torch or transformers is not installed, is too old, or has no such class.
        ConfigError: no model can be made from the config.
    """
    try:
        import torch
        import transformers
        from huggingface_hub.errors import StrictDataclassError  # of which transformers' configs are
    except ImportError as error:
        raise PlanError(
            f"{architecture} is converted by what transformers says of it, and {error.name} is not installed",
            hint=f"install it with {_INSTALL}",
        ) from error
    if int(transformers.__version__.partition(".")[0]) < _OLDEST:
        raise PlanError(
            f"{architecture} is converted by what transformers says of it, and {transformers.__version__} is too old",
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
            f'{architecture} is a class of the model "{kind.config_class.model_type}", and {source} says "model_type": '
            f'"{config["model_type"]}"',
            hint=Sentence("correct config.json, or name a class of that model with {architecture:CLASS}"),
        )
    try:
        made = kind.config_class.from_dict(dict(config))
        with torch.device("meta"):
            model = kind(made)
    except (*_BROKEN, StrictDataclassError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(
            f"transformers {transformers.__version__} makes no {architecture} from {source}: {reason}",
            hint=Sentence("is it the config of this checkpoint? {config:FILE} gives another"),
        ) from error
    return _described(model, architecture, str(config["model_type"]))


def bare_class(model_type: str) -> str | None:
    """The class without a head of a ``model_type``; None where transformers knows none, or is not installed."""
    try:
        from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
    except ImportError:
        return None
    found = MODEL_MAPPING_NAMES.get(model_type)
    return found if isinstance(found, str) else None


def _described(model: Any, architecture: str, model_type: str) -> Target:  # noqa: ANN401 - a torch module
    from transformers.core_model_loading import revert_weight_conversion

    own = model.state_dict(keep_vars=True)
    # By the names in files: those of transformers 4, which later versions rename while they load.
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
    return Target(architecture, model_type, shapes, tied, _inner(model))


def _inner(model: Any) -> dict[str, str]:  # noqa: ANN401 - a torch module
    import transformers

    models = {path: part for path, part in model.named_modules() if isinstance(part, transformers.PreTrainedModel)}
    prefixes = {f"{path}." if path else "": part.base_model_prefix for path, part in models.items()}
    return {path: f"{prefix}." for path, prefix in prefixes.items() if prefix}
