"""A dense stage as a function of its inputs and tensors: product, bias, activation, residual, normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Tensor = Any  # torch is imported inside functions
Function = Callable[[Tensor], Tensor]


class Dense(NamedTuple):
    """A dense stage with everything that it is computed from; ``kernel`` is [out, in].

    ``gamma`` and ``beta`` are None for a stage that is not normalised.
    """

    inputs: Tensor
    kernel: Tensor
    bias: Tensor
    residual: Tensor | None = None
    activation: Function | None = None
    gamma: Tensor | None = None
    beta: Tensor | None = None
    eps: float = 0.0

    @property
    def product(self) -> Tensor:
        """The inputs times the kernel, without the bias."""
        return self.inputs @ self.kernel.T

    def finish(self, product: Tensor) -> Tensor:
        """The stage, given the product."""
        values = product + self.bias
        if self.activation is not None:
            values = self.activation(values)
        if self.residual is not None:
            values = values + self.residual
        return values if self.gamma is None else normal(values, self.eps) * self.gamma + self.beta


def normal(values: Tensor, eps: float) -> Tensor:
    """Each row with mean 0 and variance 1: a LayerNorm before its gamma and beta."""
    centred = values - values.mean(-1, keepdim=True)
    return centred / ((centred * centred).mean(-1, keepdim=True) + eps).sqrt()


def function(activation: Function | str) -> Function:
    """An activation by its name in transformers; a function is returned as it is."""
    if callable(activation):
        return activation
    from transformers.activations import ACT2FN

    found: Function = ACT2FN[activation]
    return found
