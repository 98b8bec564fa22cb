"""Follows the tensors of a graph back to the parts of a model that they are computed from."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from bridgeckpt.formats.tensorflow.function_calls import CALLS
from bridgeckpt.sidecar.graph.computations import PRODUCTS
from bridgeckpt.sidecar.graph.dropout import under_dropout
from bridgeckpt.sidecar.graph.elementwise import OPERATIONS, PASSED, guarded
from bridgeckpt.sidecar.graph.functions import canonical, split_output
from bridgeckpt.sidecar.graph.wiring.integers import integers
from bridgeckpt.sidecar.graph.wiring.masks import told_apart
from bridgeckpt.sidecar.graph.wiring.norms import normalised, shifts_of
from bridgeckpt.sidecar.graph.wiring.selections import ALL, first_row, token_of
from bridgeckpt.sidecar.graph.wiring.terms import (
    Combination,
    GraphTerm,
    added,
    all_terms,
    applied,
    as_number,
    kinds,
    number,
    scaled,
    single,
    transposed,
    turned,
    unknown,
)

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node
    from bridgeckpt.sidecar.graph.wiring.weights import WeightNodes

_DEEPEST = 100  # operations on one way between two parts
_LOOKUPS = frozenset(("Gather", "GatherV2", "ResourceGather", "ResourceGatherNd", "GatherNd"))
_SLICES = frozenset(("StridedSlice", "Slice"))
_SUMS = frozenset(("Add", "AddV2", "AddN", "BiasAdd", "Sub", "Neg"))
_QUOTIENTS = frozenset(("RealDiv", "Div", "DivNoNan"))
_REDUCTIONS = frozenset(("Mean", "Max", "Min", "Sum"))
_JOINS = {"ConcatV2": (0, -1), "Concat": (1, None), "Pack": (0, None), "ParallelConcat": (0, None)}
_SHAPES = frozenset(("Shape", "ShapeN", "Size", "Rank", "OnesLike", "ZerosLike", "Range", "LinSpace"))
_VARIABLES = frozenset(("Variable", "VariableV2", "VarHandleOp"))
_OUTSIDE = frozenset(("free", "one"))


class Tracer:
    """The combinations of a graph's tensors, each computed once.

    ``norms`` are the tensors that layer norms normalise, by part and by the last node of the norm, as far as traced.
    ``unlike_norms`` are nodes that use a norm's variables otherwise, as its own operations on the way do, too.
    """

    def __init__(self, graph: Graph, weights: WeightNodes) -> None:
        self.norms: dict[str, dict[str, str]] = {}
        self.unlike_norms: dict[str, str] = {}
        self._graph = graph
        self._weights = weights
        self._known: dict[str, Combination] = {}
        self._tables: set[GraphTerm] = set()  # parts whose rows are looked up
        self._depth = 0

    def combination(self, tensor: str) -> Combination:
        """What a tensor is computed from; ``tensor`` is as inputs of nodes name it.

        Raises:
            CheckpointError: a node is damaged.
        """
        tensor = canonical(tensor)
        known = self._known.get(tensor)
        if known is None:
            if self._depth > _DEEPEST:
                return unknown(tensor)
            self._depth += 1
            known = self._known[tensor] = self._computed(tensor)
            self._depth -= 1
        return known

    def _computed(self, tensor: str) -> Combination:
        name, _ = split_output(tensor)
        if (found := self._variable(tensor)) is not None:
            return found
        if name not in self._graph:
            return self._argument(tensor)
        node = self._graph[name]
        if node.op in CALLS:
            result = self._graph.inside(name, split_output(tensor)[1])
            return self.combination(result) if result is not None else unknown(tensor)
        inputs = [source for source in node.inputs if not source.startswith("^")]
        if node.op in _SHAPES:
            return single(GraphTerm("free", name))
        if node.op == "Const":
            constant = self._graph.constant(name)
            return number(constant[0]) if constant and len({*constant}) == 1 else single(GraphTerm("free", name))
        if node.op == "PlaceholderWithDefault":  # a setting, or an input
            default = self._graph.constant(node.operands[0]) if inputs else None
            return number(default[0]) if default is not None and len(default) == 1 else single(GraphTerm("free", name))
        if not inputs:
            return unknown(name) if node.op in _VARIABLES else single(GraphTerm("free", name))
        if (norm := self._norm(node)) is not None:
            return norm
        found = self._by_operation(node, inputs, tensor)
        if found is None:
            return self._other(node, inputs)
        if as_number(found) is None and all(map(_is_outside, found)):
            return single(GraphTerm("free", tensor))  # of another shape, perhaps, than what it is made of
        return found

    def _argument(self, tensor: str) -> Combination:
        """What an argument of a function is, if it is the same wherever the function is called."""
        found = {self.combination(outside) for outside in self._graph.outside(tensor)}
        if len(found) == 1:
            return found.pop()
        return (
            single(GraphTerm("free", tensor))
            if found and all(kinds(one) <= _OUTSIDE for one in found)
            else unknown(tensor)
        )

    def _variable(self, tensor: str) -> Combination | None:
        """What reads a variable: the rows of a table, or a bias."""
        if (table := self._weights.table(tensor)) is not None:
            return self._table("part", table.part)
        biases = self._weights.biases(tensor)
        if biases:
            return single(GraphTerm("weight", " ".join(bias.part for bias in biases)))
        return unknown(tensor) if self._weights.read_by(tensor) else None

    def _table(self, kind: Literal["part", "rows"], name: str, *of: Combination) -> Combination:
        term = GraphTerm(kind, name, of)
        self._tables.add(term)
        return single(term)

    def _norm(self, node: Node) -> Combination | None:
        """The output of the layer norm that ends here; None if none does."""
        for shift in shifts_of(self._graph, self._weights, node):
            found = normalised(self._graph, self._weights, node, shift.part)
            if found is None:
                continue
            if found.is_norm is False:
                self.unlike_norms.setdefault(shift.part, node.name)
                continue
            self.norms.setdefault(shift.part, {})[node.name] = found.source
            return single(GraphTerm("part", shift.part))
        return None

    def _by_operation(self, node: Node, inputs: list[str], tensor: str) -> Combination | None:
        """What an operation with a meaning of its own gives; None for another operation."""
        if node.op in PRODUCTS:
            return self._product(node, inputs)
        if node.op == "Transpose" and len(inputs) == 2:
            return transposed(self.combination(inputs[0]), integers(self._graph, node.operands[1]))
        if node.op in PASSED or node.op in {"Cast", "ReadVariableOp"}:
            return self.combination(inputs[0])
        if node.op in _SUMS:
            return self._sum(node, inputs)
        if (kept := under_dropout(self._graph, node)) is not None:
            return self.combination(kept)
        if node.op in {"Mul", *_QUOTIENTS} and len(inputs) == 2:
            return self._scaled(node, inputs)
        if node.op in {"Select", "SelectV2"} and len(inputs) == 3:
            return self._selected(node, inputs)
        if node.op in OPERATIONS:
            return applied(partial(guarded, OPERATIONS[node.op]), [self.combination(source) for source in inputs])
        if node.op == "Merge":
            branches = {self.combination(source) for source in inputs}
            return branches.pop() if len(branches) == 1 else unknown(node.name)
        return self._of_many(node, inputs, tensor)

    def _of_many(self, node: Node, inputs: list[str], tensor: str) -> Combination | None:
        """What an operation gives that takes some numbers of a tensor, or puts them together."""
        if node.op in _LOOKUPS or node.op in _SLICES or node.op == "Unpack":
            source = self.combination(inputs[0])
            if kinds(source) <= _OUTSIDE:
                return source
            if {term for term, _ in source} <= self._tables:
                first = first_row(self._graph, node)
                return self._table("rows", str(first), source) if first else source
            taken = token_of(self._graph, node, tensor)
            return source if taken == ALL else self._made("token", taken, source)
        if node.op in _REDUCTIONS:
            return self._made("reduced", node.op.lower(), self.combination(inputs[0]))
        if node.op == "Softmax":
            return self._made("softmax", "", told_apart(self._graph, self.combination(inputs[0])))
        if node.op in _JOINS:
            start, end = _JOINS[node.op]
            joined = tuple([self.combination(source) for source in inputs[start:end]])
            if len(joined) == 1 or any(map(_is_unclear, joined)) or all(kinds(one) <= _OUTSIDE for one in joined):
                return joined[0] if len(joined) == 1 else None
            return single(GraphTerm("joined", "", joined))
        return None

    def _made(self, kind: str, name: str | None, source: Combination) -> Combination | None:
        if name is None or _is_unclear(source):
            return unknown(name or "")
        if kinds(source) <= _OUTSIDE:
            return None
        return single(GraphTerm(kind, name, (source,)))  # type: ignore[arg-type]

    def _product(self, node: Node, inputs: list[str]) -> Combination | None:
        if len(inputs) != 2:
            return None
        for kernel, other in (inputs[::-1], inputs):
            if (weight := self._weights.kernel(kernel)) is not None:
                if (table := self._weights.table(kernel)) is not None and self._is_one_hot(other):
                    return self._table("part", table.part)
                return single(GraphTerm("product" if self._weights.has_bias(weight.part) else "part", weight.part))
        operands = [self.combination(source) for source in inputs]
        if any(map(_is_unclear, operands)) or any(kinds(operand) <= _OUTSIDE for operand in operands):
            return None
        factor, plain = 1.0, []
        for operand in operands:
            own = next(iter(operand))[1] if len(operand) == 1 else 1.0
            factor *= own
            plain.append(scaled(operand, 1 / own))
        return self._ordered(node, plain, factor)

    def _ordered(self, node: Node, operands: list[Combination], factor: float) -> Combination:
        """The product with its operands as a product of matrices has them."""
        if node.op != "Einsum":
            flags = ("transpose_a", "transpose_b") if node.op == "MatMul" else ("adj_x", "adj_y")
            turns = [self._graph.flag(node, flag) for flag in flags]
        else:
            sides = (self._graph.string(node, "equation") or "").replace("->", ",").split(",")
            if len(sides) != 3 or not all(sides):
                return unknown(node.name)
            if sides[2][-1] not in sides[1]:  # the last axis of the product is the first operand's
                operands, sides = operands[::-1], [sides[1], sides[0], sides[2]]
            turns = [sides[0][-1] in sides[2], sides[1][-1] not in sides[2]]
        operands = [turned(one) if turn else one for one, turn in zip(operands, turns, strict=True)]
        return single(GraphTerm("matmul", "", tuple(operands)), factor)

    def _is_one_hot(self, tensor: str) -> bool:
        name, _ = split_output(tensor)
        while name in self._graph and (node := self._graph[name]).op in {*PASSED, "Cast"} and node.operands:
            name = node.operands[0]
        return name in self._graph and self._graph[name].op == "OneHot"

    def _sum(self, node: Node, inputs: list[str]) -> Combination:
        terms = [self.combination(source) for source in inputs]
        if node.op == "Neg":
            return scaled(terms[0], -1)
        if node.op == "Sub" and len(terms) == 2:
            terms[1] = scaled(terms[1], -1)
        return self._with_biases(added(terms))

    def _with_biases(self, combination: Combination) -> Combination:
        """Products of kernels with their biases become the outputs of parts."""
        weights = {term: factor for term, factor in combination if term.kind == "weight"}
        if not weights:
            return combination
        for product, factor in combination:
            if product.kind != "product":
                continue
            for bias, own in weights.items():
                if own == factor and product.name in bias.name.split(" "):
                    rest = combination - {(product, factor), (bias, own)}
                    return added((rest, single(GraphTerm("part", product.name), factor)))
        return combination

    def _scaled(self, node: Node, inputs: list[str]) -> Combination | None:
        """A product or quotient: with a number, with the mask of a dropout, or a function of each number."""
        left, right = (self.combination(source) for source in inputs)
        if node.op == "Mul" and as_number(left) is not None:
            left, right = right, left
        if (factor := as_number(right)) is not None:
            if node.op == "Mul":
                return scaled(left, factor)
            return scaled(left, 1 / factor) if factor else unknown(node.name)
        if node.op == "Mul" and kinds(left) <= _OUTSIDE:
            left, right = right, left
        if kinds(right) <= _OUTSIDE and not kinds(left) <= _OUTSIDE:  # a number that is not known, or a mask
            return left if node.op == "Mul" and kinds(left) == {"softmax"} else unknown(node.name)
        return applied(partial(guarded, OPERATIONS[node.op]), [left, right])

    def _selected(self, node: Node, inputs: list[str]) -> Combination | None:
        condition, chosen, other = (self.combination(source) for source in inputs)
        if kinds(condition) <= _OUTSIDE:
            for scores, hidden, sign in ((chosen, other, 1.0), (other, chosen, -1.0)):
                if kinds(hidden) <= _OUTSIDE and not kinds(scores) <= _OUTSIDE:  # a mask
                    return added((scores, single(GraphTerm("free", canonical(inputs[0])), sign)))
            return None
        return applied(partial(guarded, OPERATIONS[node.op]), [condition, chosen, other])

    def _other(self, node: Node, inputs: list[str]) -> Combination:
        """What any other operation gives: nothing of the model if its operands have nothing of it."""
        found = added([self.combination(source) for source in inputs])
        if not kinds(found) <= _OUTSIDE:
            return unknown(node.name)
        return single(GraphTerm("free", node.name))


def _is_outside(item: tuple[GraphTerm, float]) -> bool:
    """Whether a term has nothing of the model."""
    term, _ = item
    return term.kind in _OUTSIDE or (term.kind == "function" and kinds(term.of[0]) <= _OUTSIDE)


def _is_unclear(combination: Combination) -> bool:
    return any(term.kind == "unknown" for term in all_terms(combination))
