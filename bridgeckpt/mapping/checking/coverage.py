"""The target-coverage lint: do the rows make exactly the parameters of the Hugging Face classes, in the right shapes?

The classes are built on torch's meta device, small and with sizes that are all different.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import BridgeckptError, ConfigError
from bridgeckpt.mapping.checking.config_keys import check_config_keys
from bridgeckpt.mapping.notation.errors import LintProblem
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.mapping.notation.templates import Template
    from bridgeckpt.mapping.tables.model_records import Architecture, ModelTable
    from bridgeckpt.mapping.tables.records import Row, Table

    Shape = tuple[int, ...]

# Sizes for config keys. They are distinct, and so are their multiples by the divisors below.
_PRIMES = (23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107)
_DIVISORS = (3, 5, 7, 11, 13)  # for config keys that divide another one, as the number of heads divides hidden_size
_COUNT = 2  # values of each index: enough to tell a constant from an index
_LABELS = 19  # for a classifier whose number of labels is free: no other size is 19


def is_available() -> bool:
    """Whether transformers and torch are installed."""
    from importlib.util import find_spec

    return find_spec("transformers") is not None and find_spec("torch") is not None


def check_coverage(table: Table) -> list[LintProblem]:
    """Compare the rows with the parameters of every Hugging Face class that the dialect can make.

    Raises:
        BridgeckptError: transformers or torch is not installed.
    """
    if not is_available():
        raise BridgeckptError(
            "target-coverage needs transformers and torch, which are not installed",
            hint=Sentence("pip install 'bridgeckpt[coverage]', or check without {coverage:True}"),
        )
    with _quiet():
        return _check(table)


@contextmanager
def _quiet() -> Iterator[None]:
    """No advice of transformers about using the classes, which are built only to be looked at."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _check(table: Table) -> list[LintProblem]:
    reachable = [a for a in table.model.architectures.values() if set(a.groups) <= set(table.groups)]
    problems = [problem for architecture in reachable for problem in _compare(table, architecture)]
    sizes = _config_values(table.model)
    built = {a.name: (*_labels(table.model, a), *sizes.items()) for a in reachable if _builds(table.model, a, sizes)}
    problems += check_config_keys(table, built)
    if not reachable:
        problems.append(LintProblem("target-coverage", f"{table.name} has the groups of no class", str(table.path)))
    return list(dict.fromkeys(problems))  # a row that is wrong is wrong in every class


class _Target(NamedTuple):
    """Tensors of a class by name: their ``shapes``, and ``storage``, a number that tied parameters share."""

    shapes: Mapping[str, Shape]
    storage: Mapping[str, int]


def _compare(table: Table, architecture: Architecture) -> Iterator[LintProblem]:
    values = _config_values(table.model)
    try:
        target = _build_target(
            table.model.model, architecture.name, (*_labels(table.model, architecture), *values.items())
        )
    except (TypeError, ValueError) as error:  # configurations and modules raise these if sizes do not fit
        message = f"transformers does not build {architecture.name} with {values}: {error}"
        yield LintProblem("target-coverage", message, str(table.model.path))
        return
    if target is None:
        message = f"transformers has no class {architecture.name} for {table.model.model}"
        yield LintProblem("target-coverage", message, str(table.model.path))
        return
    free_sizes = dict(architecture.sizes)
    made: set[str] = set()
    for row in table.rows_of(architecture):
        for full_name in _names(row):
            name = full_name.removeprefix(architecture.drop_prefix)
            made.add(name)
            if name not in target.shapes:
                message = f"{architecture.name} has no parameter {name}"
                yield LintProblem("target-coverage", message, str(row.where))
            elif problem := _shape_mismatch(row, name, target.shapes[name], values, free_sizes, table.model):
                yield LintProblem("target-coverage", problem, str(row.where))
    tied = {name.removeprefix(architecture.drop_prefix): twin for name, twin in _tied_names(table.model)}
    optional = _missing_prefixes(table, architecture)
    for name in (name for name in target.shapes if name not in made):
        if optional and name.startswith(optional):
            continue
        if name not in tied:
            yield LintProblem("target-coverage", f"no row makes {name} of {architecture.name}", str(table.path))
        elif target.storage.get(name, -1) != target.storage.get(tied[name].removeprefix(architecture.drop_prefix)):
            message = f"{architecture.name} does not tie {name} to {tied[name]}"
            yield LintProblem("target-coverage", message, str(table.model.path))


def _builds(model: ModelTable, architecture: Architecture, sizes: Mapping[str, int]) -> bool:
    """Whether transformers has the class and builds it with these sizes."""
    try:
        return (
            _build_target(model.model, architecture.name, (*_labels(model, architecture), *sizes.items())) is not None
        )
    except (TypeError, ValueError):
        return False


def _labels(model: ModelTable, architecture: Architecture) -> Iterator[tuple[str, int]]:
    """The number of labels under its key in the config, where the model has such a key."""
    if model.config.labels is not None:
        yield model.config.labels, architecture.sizes.get(model.roles.labels or "", _LABELS)


def _missing_prefixes(table: Table, architecture: Architecture) -> tuple[str, ...]:
    """Prefixes of the class's optional parameters that the dialect never has."""
    groups = [name for name in architecture.optional if name not in table.groups]
    others = [load_table(name) for name in tables.names()] if groups else []
    siblings = [other for other in others if other.model.path == table.model.path]
    prefixes = {other.groups[name].pt for other in siblings for name in groups if name in other.groups}
    return tuple(prefix.removeprefix(architecture.drop_prefix) for prefix in sorted(prefixes))


@cache
def _build_target(model: str, architecture: str, values: tuple[tuple[str, int], ...]) -> _Target | None:
    """Build a class on the meta device; None when transformers does not have it."""
    import torch
    import transformers

    model_class = getattr(transformers, architecture, None)
    if model_class is None or model not in transformers.CONFIG_MAPPING:
        return None
    with torch.device("meta"):
        built = model_class(transformers.AutoConfig.for_model(model, **dict(values)))
    shapes = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
    numbers: dict[int, int] = {}
    parameters = built.named_parameters(remove_duplicate=False)
    return _Target(shapes, {name: numbers.setdefault(id(tensor), len(numbers)) for name, tensor in parameters})


def _config_values(model: ModelTable) -> dict[str, int]:
    """A size for each config key: all different, divisible where the table divides, and a small number of layers."""
    expressions = [*model.dims.values(), *model.indices.values()]
    counted = {key for expression in model.indices.values() for key in expression.keys}
    divisors = list(dict.fromkeys(name for expression in expressions for name in expression.divisors))
    values = dict(zip(divisors, _DIVISORS, strict=False))
    multiple = 1
    for value in values.values():
        multiple *= value
    others = [key for key in dict.fromkeys(key for e in expressions for key in e.keys) if key not in values]
    values |= {key: prime * multiple for key, prime in zip(others, _PRIMES, strict=False)}
    return {**dict.fromkeys(model.size_keys, 1), **values, **dict.fromkeys(counted, _COUNT)}


def _names(row: Row) -> Iterator[str]:
    for template in row.pt:
        yield from _expand(template)


def _expand(template: Template) -> Iterator[str]:
    for numbers in product(range(_COUNT), repeat=len(template.indices)):
        yield template.render(dict(zip(template.indices, numbers, strict=True)))


def _tied_names(model: ModelTable) -> Iterator[tuple[str, str]]:
    for tied in model.tied:
        yield from zip(_expand(tied.pt), _expand(tied.to), strict=True)


def _shape_mismatch(
    row: Row, name: str, shape: Shape, values: Mapping[str, int], free_sizes: dict[str, int], model: ModelTable
) -> str | None:
    """Why the row does not make a parameter of this shape, or None. Adds sizes of free axes to ``free_sizes``."""
    terms = row.layout.pt.terms
    if len(terms) != len(shape):
        return f'{name} is {list(shape)}, and "{row.layout.pt}" has {len(terms)} dimensions'
    sizes = {**dict.fromkeys(model.indices, _COUNT), **free_sizes}
    for axis, expression in model.dims.items():
        if not expression.free:
            try:
                sizes[axis] = expression.evaluate(values)
            except ConfigError as error:
                return error.message
    for term, size in zip(terms, shape, strict=True):
        if len(term.axes) == 1 and not term.pad and term.axes[0] not in sizes:
            sizes[term.axes[0]] = free_sizes[term.axes[0]] = size
    expected = row.layout.pt.shape(sizes)
    return f'{name} is {list(shape)}, and "{row.layout.pt}" makes it {list(expected)}' if expected != shape else None
