"""A PyTorch model taken apart: the tensors of each stage, as they are or with some of them replaced.

:class:`Anatomy` is what the diagnosis asks of a model family; ``bert/anatomy.py`` implements it for BERT.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from zlib import crc32

from bridgeckpt.parity.family import layer_of
from bridgeckpt.parity.judging.rounding import UNITS

if TYPE_CHECKING:
    from bridgeckpt.parity.diagnosing.dense import Dense
    from bridgeckpt.parity.judging.pytorch import Subject
    from bridgeckpt.parity.reference.reference import Reference

Tensor = Any  # torch is imported inside functions


class Replacement(NamedTuple):
    """Where a parameter's values are taken from: another parameter, rearranged by ``move``; or ``values``."""

    name: str = ""
    move: Callable[[Tensor], Tensor] | None = None
    values: Tensor | None = None


class Patch(NamedTuple):
    """What is changed: the values of parameters, and settings; those of ``stages``, or of all stages if it is None."""

    tensors: Mapping[str, Replacement] = {}
    settings: Mapping[str, Any] = {}
    stages: frozenset[str] | None = None


NOTHING = Patch()


class Variation(NamedTuple):
    """One setting with another value.

    Attributes:
        key: The setting.
        value: The value that is tried.
        is_so: What TensorFlow does if it has this value, a clause: "normalises with another epsilon".
        parameter: The config key that states it, or the parameter that could make up for it; else None.
        remedy: What to do about it.
    """

    key: str
    value: Any
    is_so: str
    parameter: str | None
    remedy: str

    @property
    def patch(self) -> Patch:
        """The setting changed in every stage."""
        return Patch(settings={self.key: self.value})


class Cause(NamedTuple):
    """A possible cause.

    Attributes:
        text: What is wrong, a sentence without its full stop.
        parameter: The PyTorch parameter or config key to blame.
        patch: What undoes it.
        remedy: What to do about it; empty for the usual remedy for a wrong tensor.
    """

    text: str
    parameter: str | None
    patch: Patch
    remedy: str = ""


class Tokens(NamedTuple):
    """The inputs of a model, [batch, seq]; ``mask`` is True for a token."""

    ids: Tensor
    types: Tensor
    mask: Tensor


class LookupTables(Protocol):
    """Everything that a reference holds of the stage that looks rows up in tables, over all probes."""

    stage: str

    @property
    def any_wrong(self) -> bool:
        """Whether any value of the stage is wrong."""

    def fixed_by(self, patch: Patch, *, precision: str | None = None) -> bool:
        """Whether no value is wrong with ``patch``, by the precision of the reference or by another."""

    def mostly_fixed_by(self, patch: Patch) -> bool:
        """Whether ``patch`` corrects most of what is wrong, and makes nothing wrong."""

    def blame(self) -> Cause:
        """The tensor to blame, with its rows."""


class Anatomy(ABC):
    """The parts of a subject's model.

    Attributes:
        subject: The model.
        roles: Stage to role to the name of the parameter; a parameter that modules share has the name of the first.
        layers: The number of layers.
        parameters: Each parameter once, as it is.
        tied: What stands in the name of an output matrix that is usually shared with the table of words.
    """

    tied = ""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        named = list(subject.model.named_parameters(remove_duplicate=False))
        first: dict[int, str] = {}
        for name, parameter in named:
            first.setdefault(id(parameter), name)
        self.parameters: Mapping[str, Tensor] = {first[id(parameter)]: parameter.detach() for name, parameter in named}
        self.shared_names = {name: first[id(parameter)] for name, parameter in named}
        self.roles = {
            stage: {role: self.shared_names[name] for role, name in site.parameters.items()}
            for stage, site in subject.sites.items()
        }
        self.layers = 1 + max((layer for layer in map(layer_of, subject.sites) if layer is not None), default=-1)

    @abstractmethod
    def stage_names(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Those of the names in a reference that mean a stage, to the stage."""

    @abstractmethod
    def sources(self, stage: str) -> tuple[str, ...]:
        """The stages that a stage is computed from."""

    @abstractmethod
    def depends_on(self, stage: str, setting: str) -> bool:
        """Whether a stage is computed with a setting."""

    @abstractmethod
    def is_dense(self, stage: str) -> bool:
        """Whether a stage is a dense layer."""

    @abstractmethod
    def dense(self, stage: str, values: Sequence[Tensor], tensors: Mapping[str, Tensor], patch: Patch) -> Dense:
        """A dense stage, given the values of its sources and its tensors by role."""

    @abstractmethod
    def compute(
        self,
        stage: str,
        values: Sequence[Tensor],
        tensors: Mapping[str, Tensor],
        tokens: Tokens,
        patch: Patch,
        dtype: Any,  # noqa: ANN401 - torch has no type for it that is worth importing
    ) -> Tensor:
        """Any other stage in ``dtype``; its tensors are in their own dtype, for a table of words is large."""

    @abstractmethod
    def heads(self, stage: str) -> int:
        """How many attention heads share the features of a stage's tensors; 1 if they are not split."""

    @abstractmethod
    def variations(self, stages: Sequence[str]) -> Iterator[Variation]:
        """Every other value of every setting that these stages are computed with."""

    @abstractmethod
    def tables(self, reference: Reference) -> LookupTables:
        """The lookup tables of the model against a reference."""

    def touches(self, patch: Patch, stage: str) -> bool:
        """Whether a patch changes how a stage is computed."""
        if any(name in patch.tensors for name in self.roles[stage].values()):
            return True
        meant = patch.stages is None or stage in patch.stages
        return meant and any(self.depends_on(stage, key) for key in patch.settings)

    def tensor(self, name: str, patch: Patch, dtype: Any = None, *, draw: int | None = None) -> Tensor:  # noqa: ANN401
        """A parameter's values, in their own dtype unless another is asked for.

        ``draw``: each number is moved at random, by no more than storing it in the folder's dtype may move it.
        """
        import torch

        source = patch.tensors.get(name, Replacement(name))
        values = self.parameters[source.name] if source.values is None else source.values
        values = values if source.move is None else source.move(values)
        values = values.to(dtype)
        if draw is not None:
            generator = torch.Generator().manual_seed(crc32(name.encode()) + draw)
            noise = torch.rand(values.shape, generator=generator, dtype=values.dtype) * 2 - 1
            values = values * (1 + UNITS[self.subject.stored] * noise)
        return values

    def stage_of(self, parameter: str) -> tuple[str, str] | None:
        """The stage and role of a parameter, the first if it has several."""
        return next(
            ((stage, role) for stage, roles in self.roles.items() for role, name in roles.items() if name == parameter),
            None,
        )
