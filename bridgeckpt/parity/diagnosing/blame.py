"""The tensor of a dense stage that explains the difference, if no known cause does, and what is wrong in it.

The stage's inputs and outputs are the reference's. Values of a bias, gamma or beta that explain all rows can be solved
for: there are far fewer of them than equations, so that a solution within rounding is decisive. The kernel has more
values than equations. It is blamed if no vector explains the difference; a scale, an element, a row or a column of it
is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from bridgeckpt.parity.diagnosing.anatomy import Cause, Patch, Replacement
from bridgeckpt.parity.diagnosing.fitting import fit
from bridgeckpt.parity.diagnosing.wording import TOLERANCES, describe, rows_text

if TYPE_CHECKING:
    from bridgeckpt.parity.diagnosing.dense import Dense
    from bridgeckpt.parity.diagnosing.evidence import Evidence

Tensor = Any  # torch is imported inside functions

_VECTORS = ("beta", "gamma", "bias")
_LIKELY = 4  # rows, columns or elements that are tried, of all that could be wrong
_SMALL = 1e-4  # of the largest gamma: what a smaller one multiplies cannot be seen
_FEW = 8  # wrong rows that are listed one by one


class WrongStage:
    """A dense stage with its rows of inputs, and the reference's rows that should result."""

    def __init__(self, evidence: Evidence, view_index: int, stage: str) -> None:
        import torch

        self.evidence, self.view_index, self.stage = evidence, view_index, stage
        view = evidence.views[view_index]
        dense = view.dense(stage)
        residual = None if dense.residual is None else view.rows(dense.residual)
        self.dense: Dense = dense._replace(inputs=view.rows(dense.inputs), residual=residual)
        self.product: Tensor = self.dense.product
        self.expected: Tensor = view.rows(view.held[stage])
        self.names = evidence.anatomy.roles[stage]
        # Each feature's error is divided by its gamma: a small gamma would hide the error from the fit.
        gamma = torch.ones(()) if dense.gamma is None else dense.gamma.abs()
        self.weights = 1 / gamma.clamp(min=_SMALL * float(gamma.max()) + torch.finfo(torch.float64).tiny)
        self.tolerance = TOLERANCES[view.precision]

    def fixed_by(self, role: str, values: Tensor) -> bool:
        """Whether the stage is right with these values of a tensor."""
        return self.evidence.fixes(self.view_index, self.stage, self.patch(role, values))

    def nearly_fixed_by(self, role: str, values: Tensor) -> bool:
        """Whether it is right in the least exact view: a change made in float32 is known no more exactly."""
        return self.evidence.is_wrong(0, self.stage) and self.evidence.fixes(0, self.stage, self.patch(role, values))

    def patch(self, role: str, values: Tensor) -> Patch:
        """These values in place of the tensor's."""
        return Patch({self.names[role]: Replacement(values=values)})

    def fit(self, product: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
        """The unknowns for which the stage results from ``product``, a function of them."""
        return fit(lambda by: self.dense.finish(product(by)) * self.weights, start, self.expected * self.weights)

    def effect(self, change: Tensor) -> Tensor:
        """What a change of the product does before it is normalised: little where an activation is flat."""
        plain = self.dense._replace(gamma=None)
        effect: Tensor = plain.finish(self.product + change) - plain.finish(self.product)
        return effect

    def cause(self, role: str, text: str, values: Tensor | None = None) -> Cause:
        """The tensor is to blame; without values, only by elimination."""
        patch = Patch() if values is None else self.patch(role, values)
        return Cause(f"{self.names[role]} {text}", self.names[role], patch)


def blame(evidence: Evidence, view_index: int, stage: str) -> Cause:
    """The tensor to blame for a wrong dense stage."""
    failed = WrongStage(evidence, view_index, stage)
    tries = (_vectors, _kernels, _several, _eliminated)
    return next(cause for attempt in tries for cause in attempt(failed))


def _vectors(failed: WrongStage) -> Iterator[Cause]:
    """A bias, gamma or beta; of several that explain the difference, the one that explains it best."""
    import torch

    causes = []
    for role in _VECTORS:
        if role not in failed.names or len(failed.expected) < 3:
            continue
        have = getattr(failed.dense, role)
        none = torch.zeros_like(have)
        if role == "bias":
            want = have + failed.fit(lambda by: failed.product + by, none)
        else:
            want = have + fit(_with(failed, role, have), none, failed.expected)
        excess = failed.evidence.excess(failed.view_index, failed.stage, failed.patch(role, want))
        if excess <= 1:
            free = role == "bias" and failed.dense.gamma is not None and failed.dense.activation is None
            text = describe(have, want, failed.tolerance, free=free)
            causes.append((excess, failed.cause(role, text, want)))
    yield from (cause for _, cause in sorted(causes, key=lambda pair: pair[0])[:1])


def _several(failed: WrongStage) -> Iterator[Cause]:
    """More than one of the vectors is wrong."""
    import torch

    roles = [role for role in _VECTORS if role in failed.names]
    have = torch.cat([getattr(failed.dense, role) for role in roles])
    sizes = [len(getattr(failed.dense, role)) for role in roles]
    if len(roles) < 2 or len(failed.expected) < 2 * len(roles) + 1:
        return

    def predict(change: Tensor) -> Tensor:
        return failed.dense._replace(**dict(zip(roles, (have + change).split(sizes), strict=True))).finish(
            failed.product
        )

    want = (have + fit(predict, torch.zeros_like(have), failed.expected)).split(sizes)
    values = dict(zip(roles, want, strict=True))
    patch = Patch({failed.names[role]: Replacement(values=value) for role, value in values.items()})
    if failed.evidence.fixes(failed.view_index, failed.stage, patch):
        changes = {role: float((value - getattr(failed.dense, role)).norm()) for role, value in values.items()}
        wrong = [role for role in roles if changes[role] > failed.tolerance * max(changes.values())]
        names = " and ".join(failed.names[role] for role in wrong)
        yield Cause(f"{names} are wrong", failed.names[max(wrong, key=changes.__getitem__)], patch)


def _with(failed: WrongStage, role: str, have: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda change: failed.dense._replace(**{role: have + change}).finish(failed.product)


def _kernels(failed: WrongStage) -> Iterator[Cause]:
    import torch

    kernel = failed.dense.kernel
    if not bool(kernel.any()):
        yield failed.cause("kernel", "is all zeros")
        return
    change = failed.fit(lambda by: failed.product + by, torch.zeros_like(failed.product))
    yield from _rows(failed, change)
    yield from _columns(failed, change)
    scale = failed.fit(lambda by: failed.product * (1 + by), torch.zeros(1, dtype=kernel.dtype))
    want = kernel * (1 + scale)
    if failed.fixed_by("kernel", want) or failed.nearly_fixed_by("kernel", want):
        yield failed.cause("kernel", describe(kernel.reshape(-1), want.reshape(-1), failed.tolerance), want)


def _rows(failed: WrongStage, change: Tensor) -> Iterator[Cause]:
    """Only a few output features are wrong: rows of the kernel, or elements."""
    import torch

    strength = failed.effect(change).norm(dim=0)
    order = strength.argsort(descending=True)
    for count in (1, 2, 3, 4, _FEW):
        indices = order[:count].sort().values
        if count >= len(order):
            return

        def moved(by: Tensor, indices: Tensor = indices) -> Tensor:
            return failed.product.index_add(1, indices, by)

        fitted = failed.fit(moved, change[:, indices])
        left = failed.expected - failed.dense.finish(moved(fitted))
        if not failed.evidence.views[failed.view_index].explains(failed.stage, left):
            continue
        if count == 1:
            yield from _element(failed, int(indices[0]), fitted[:, 0])
        rows = torch.linalg.lstsq(failed.dense.inputs, fitted, driver="gelsd").solution.T
        want = failed.dense.kernel.index_add(0, indices, rows)
        if failed.fixed_by("kernel", want):
            zero = not bool(failed.dense.kernel[indices].any())
            yield failed.cause(
                "kernel", f"is {'all zeros' if zero else 'wrong'} in {rows_text(indices.tolist())}", want
            )


def _element(failed: WrongStage, row: int, change: Tensor) -> Iterator[Cause]:
    """One element of a row: the change of that output feature is a multiple of one input feature."""
    import torch

    inputs, kernel = failed.dense.inputs, failed.dense.kernel
    likeness = (inputs.T @ change).abs() / inputs.norm(dim=0).clamp(min=1e-300)
    for column in likeness.argsort(descending=True)[:_LIKELY].tolist():

        def moved(by: Tensor, column: int = column) -> Tensor:
            index = torch.tensor([row])
            return failed.product.index_add(1, index, inputs[:, column : column + 1] * by)

        start = (inputs[:, column] @ change / inputs[:, column].square().sum()).reshape(1)
        by = failed.fit(moved, start)
        want = kernel.clone()
        want[row, column] += by[0]
        if failed.fixed_by("kernel", want):
            have = float(kernel[row, column])
            text = (
                f"is wrong in one element: [{row}, {column}] is {have:.6g} and should be {float(want[row, column]):.6g}"
            )
            yield failed.cause("kernel", text, want)


def _columns(failed: WrongStage, change: Tensor) -> Iterator[Cause]:
    """Only one input feature is read wrong: a column of the kernel."""
    import torch

    inputs, kernel = failed.dense.inputs, failed.dense.kernel
    shape = torch.linalg.svd(change, full_matrices=False)[0][:, 0]
    likeness = (inputs.T @ shape).abs() / inputs.norm(dim=0).clamp(min=1e-300)
    for column in likeness.argsort(descending=True)[:_LIKELY].tolist():

        def moved(by: Tensor, column: int = column) -> Tensor:
            return failed.product + inputs[:, column : column + 1] * by

        by = failed.fit(moved, torch.zeros_like(kernel[:, 0]))
        want = kernel.clone()
        want[:, column] += by
        if failed.fixed_by("kernel", want):
            zero = not bool(kernel[:, column].any())
            yield failed.cause("kernel", f"is {'all zeros' if zero else 'wrong'} in column {column}", want)


def _eliminated(failed: WrongStage) -> Iterator[Cause]:
    """No vector explains the difference: the kernel is to blame, if there were enough rows to exclude the others."""
    if len(failed.expected) < 3:
        names = " or ".join(failed.names.values())
        yield Cause(f"{names} differs; too few rows were recorded to tell which", failed.names["kernel"], Patch())
        return
    others = [failed.names[role] for role in _VECTORS if role in failed.names]
    excluded = f": no other values of {' or '.join(others)} explain the difference" if others else ""
    yield failed.cause("kernel", f"is wrong throughout{excluded}")
