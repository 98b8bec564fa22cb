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
from bridgeckpt.parity.diagnosing.wording import TOLERANCES, describe, numbered

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

    def __init__(self, evidence: Evidence, at: int, stage: str) -> None:
        import torch

        self.evidence, self.at, self.stage = evidence, at, stage
        view = evidence.views[at]
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
        return self.evidence.fixes(self.at, self.stage, self.patch(role, values))

    def nearly_fixed_by(self, role: str, values: Tensor) -> bool:
        """Whether it is right in the least exact view: a change that was made in float32 is only known so exactly."""
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


def blame(evidence: Evidence, at: int, stage: str) -> Cause:
    """The tensor to blame for a wrong dense stage."""
    one = WrongStage(evidence, at, stage)
    tries = (_vectors, _kernels, _several, _eliminated)
    return next(cause for attempt in tries for cause in attempt(one))


def _vectors(one: WrongStage) -> Iterator[Cause]:
    """A bias, gamma or beta; of several that explain the difference, the one that explains it best."""
    import torch

    found = []
    for role in _VECTORS:
        if role not in one.names or len(one.expected) < 3:
            continue
        have = getattr(one.dense, role)
        none = torch.zeros_like(have)
        if role == "bias":
            want = have + one.fit(lambda by: one.product + by, none)
        else:
            want = have + fit(_with(one, role, have), none, one.expected)
        excess = one.evidence.excess(one.at, one.stage, one.patch(role, want))
        if excess <= 1:
            free = role == "bias" and one.dense.gamma is not None and one.dense.activation is None
            text = describe(have, want, one.tolerance, free=free)
            found.append((excess, one.cause(role, text, want)))
    yield from (cause for _, cause in sorted(found, key=lambda pair: pair[0])[:1])


def _several(one: WrongStage) -> Iterator[Cause]:
    """More than one of the vectors is wrong."""
    import torch

    roles = [role for role in _VECTORS if role in one.names]
    have = torch.cat([getattr(one.dense, role) for role in roles])
    sizes = [len(getattr(one.dense, role)) for role in roles]
    if len(roles) < 2 or len(one.expected) < 2 * len(roles) + 1:
        return

    def predict(change: Tensor) -> Tensor:
        return one.dense._replace(**dict(zip(roles, (have + change).split(sizes), strict=True))).finish(one.product)

    want = (have + fit(predict, torch.zeros_like(have), one.expected)).split(sizes)
    values = dict(zip(roles, want, strict=True))
    patch = Patch({one.names[role]: Replacement(values=value) for role, value in values.items()})
    if one.evidence.fixes(one.at, one.stage, patch):
        changes = {role: float((value - getattr(one.dense, role)).norm()) for role, value in values.items()}
        wrong = [role for role in roles if changes[role] > one.tolerance * max(changes.values())]
        names = " and ".join(one.names[role] for role in wrong)
        yield Cause(f"{names} are wrong", one.names[max(wrong, key=changes.__getitem__)], patch)


def _with(one: WrongStage, role: str, have: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda change: one.dense._replace(**{role: have + change}).finish(one.product)


def _kernels(one: WrongStage) -> Iterator[Cause]:
    import torch

    kernel = one.dense.kernel
    if not bool(kernel.any()):
        yield one.cause("kernel", "is all zeros")
        return
    change = one.fit(lambda by: one.product + by, torch.zeros_like(one.product))
    yield from _rows(one, change)
    yield from _columns(one, change)
    scale = one.fit(lambda by: one.product * (1 + by), torch.zeros(1, dtype=kernel.dtype))
    want = kernel * (1 + scale)
    if one.fixed_by("kernel", want) or one.nearly_fixed_by("kernel", want):
        yield one.cause("kernel", describe(kernel.reshape(-1), want.reshape(-1), one.tolerance), want)


def _rows(one: WrongStage, change: Tensor) -> Iterator[Cause]:
    """Only a few output features are wrong: rows of the kernel, or elements."""
    import torch

    strength = one.effect(change).norm(dim=0)
    order = strength.argsort(descending=True)
    for count in (1, 2, 3, 4, _FEW):
        at = order[:count].sort().values
        if count >= len(order):
            return

        def moved(by: Tensor, at: Tensor = at) -> Tensor:
            return one.product.index_add(1, at, by)

        found = one.fit(moved, change[:, at])
        left = one.expected - one.dense.finish(moved(found))
        if not one.evidence.views[one.at].explains(one.stage, left):
            continue
        if count == 1:
            yield from _element(one, int(at[0]), found[:, 0])
        rows = torch.linalg.lstsq(one.dense.inputs, found, driver="gelsd").solution.T
        want = one.dense.kernel.index_add(0, at, rows)
        if one.fixed_by("kernel", want):
            zero = not bool(one.dense.kernel[at].any())
            yield one.cause("kernel", f"is {'all zeros' if zero else 'wrong'} in {numbered('row', at.tolist())}", want)


def _element(one: WrongStage, row: int, change: Tensor) -> Iterator[Cause]:
    """One element of a row: the change of that output feature is a multiple of one input feature."""
    import torch

    inputs, kernel = one.dense.inputs, one.dense.kernel
    likeness = (inputs.T @ change).abs() / inputs.norm(dim=0).clamp(min=1e-300)
    for column in likeness.argsort(descending=True)[:_LIKELY].tolist():

        def moved(by: Tensor, column: int = column) -> Tensor:
            at = torch.tensor([row])
            return one.product.index_add(1, at, inputs[:, column : column + 1] * by)

        start = (inputs[:, column] @ change / inputs[:, column].square().sum()).reshape(1)
        by = one.fit(moved, start)
        want = kernel.clone()
        want[row, column] += by[0]
        if one.fixed_by("kernel", want):
            have = float(kernel[row, column])
            text = (
                f"is wrong in one element: [{row}, {column}] is {have:.6g} and should be {float(want[row, column]):.6g}"
            )
            yield one.cause("kernel", text, want)


def _columns(one: WrongStage, change: Tensor) -> Iterator[Cause]:
    """Only one input feature is read wrong: a column of the kernel."""
    import torch

    inputs, kernel = one.dense.inputs, one.dense.kernel
    shape = torch.linalg.svd(change, full_matrices=False)[0][:, 0]
    likeness = (inputs.T @ shape).abs() / inputs.norm(dim=0).clamp(min=1e-300)
    for column in likeness.argsort(descending=True)[:_LIKELY].tolist():

        def moved(by: Tensor, column: int = column) -> Tensor:
            return one.product + inputs[:, column : column + 1] * by

        by = one.fit(moved, torch.zeros_like(kernel[:, 0]))
        want = kernel.clone()
        want[:, column] += by
        if one.fixed_by("kernel", want):
            zero = not bool(kernel[:, column].any())
            yield one.cause("kernel", f"is {'all zeros' if zero else 'wrong'} in column {column}", want)


def _eliminated(one: WrongStage) -> Iterator[Cause]:
    """No vector explains the difference: the kernel is to blame, if there were enough rows to exclude the others."""
    if len(one.expected) < 3:
        names = " or ".join(one.names.values())
        yield Cause(f"{names} differs; too few rows were recorded to tell which", one.names["kernel"], Patch())
        return
    others = [one.names[role] for role in _VECTORS if role in one.names]
    excluded = f": no other values of {' or '.join(others)} explain the difference" if others else ""
    yield one.cause("kernel", f"is wrong throughout{excluded}")
