"""Nonlinear least squares in many unknowns: Gauss-Newton steps, each solved by conjugate gradients without a matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Tensor = Any  # torch is imported inside functions

_ROUNDS = 15
_STEPS = 120
_PROBES = 4
_ENOUGH = 1e-15  # share of the first error at which nothing is left to fit


def fit(predict: Callable[[Tensor], Tensor], start: Tensor, expected: Tensor) -> Tensor:
    """The unknowns for which ``predict`` comes closest to ``expected``, near ``start``; of many, those that move least.

    It ends when a step no longer makes the error smaller, so the answer is as exact as the arithmetic.
    """
    unknowns, error = start, expected - predict(start)
    size = float(error.norm())
    enough = _ENOUGH * max(size, float(expected.norm()))
    for _ in range(_ROUNDS):
        step = _step(predict, unknowns, error)
        for share in (1.0, 0.5, 0.25, 0.1):
            moved = unknowns + share * step
            left = expected - predict(moved)
            if float(left.norm()) < size:  # False for NaN
                break
        else:
            return unknowns
        unknowns, error, before, size = moved, left, size, float(left.norm())
        if size > 0.9 * before or size < enough:
            break
    return unknowns


class Slope(NamedTuple):
    """A function to first order.

    ``push`` takes a change of the unknowns to that of the values, ``pull`` is its transpose.
    """

    push: Callable[[Tensor], Tensor]
    pull: Callable[[Tensor], Tensor]


def slope(predict: Callable[[Tensor], Tensor], at: Tensor) -> Slope:
    """The derivative of ``predict``."""
    import torch

    with torch.enable_grad():
        unknowns = at.detach().requires_grad_()
        values = predict(unknowns)
        # The pull is linear in what it is given, so that its own derivative is the push: in a tenth of the time that
        # forward-mode differentiation takes, which is written in Python.
        given = torch.zeros_like(values, requires_grad=True)
        pulled = torch.autograd.grad(values, unknowns, given, create_graph=True)[0]
    return Slope(
        lambda change: torch.autograd.grad(pulled, given, change, retain_graph=True)[0],
        lambda error: torch.autograd.grad(values, unknowns, error, retain_graph=True)[0],
    )


def _step(predict: Callable[[Tensor], Tensor], at: Tensor, error: Tensor) -> Tensor:
    """The least-squares solution of the linearised problem, by conjugate gradients with a diagonal preconditioner."""
    import torch

    push, pull = slope(predict, at)

    def normal(direction: Tensor) -> Tensor:
        return pull(push(direction))

    generator = torch.Generator().manual_seed(0)
    diagonal = torch.zeros_like(at)
    for _ in range(_PROBES):  # the expectation of v * (A v) is A's diagonal; exact at once where A is diagonal
        signs = torch.randint(0, 2, at.shape, generator=generator).to(at.dtype) * 2 - 1
        diagonal += signs * normal(signs) / _PROBES
    diagonal = diagonal.clamp(min=float(diagonal.max()) * 1e-12 + torch.finfo(at.dtype).tiny)
    step, left = torch.zeros_like(at), pull(error)
    eased = left / diagonal
    direction, measure = eased, float((left * eased).sum())
    start = measure
    for _ in range(min(_STEPS, 4 * at.numel() + 4)):
        if measure <= 1e-24 * start or not measure > 0:
            break
        applied = normal(direction)
        curvature = float((direction * applied).sum())
        if curvature <= 0:
            break
        step = step + measure / curvature * direction
        left = left - measure / curvature * applied
        eased = left / diagonal
        measure, before = float((left * eased).sum()), measure
        direction = eased + measure / before * direction
    return step
