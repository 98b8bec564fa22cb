"""Arithmetic in mapping tables: the sizes in ``[dims]`` and ``[indices]``, and index expressions like ``{layer + 1}``.

::

    expression = term { ("+" | "-") term }
    term       = factor { ("*" | "/") factor }
    factor     = integer | name | "(" expression ")"

A name is a key of config.json (in a template: an index). Division is exact: a remainder is an error. ``"*"`` alone is a
size that no config has. It is computed from the shapes in the checkpoint.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.errors import ConfigError
from bridgeckpt.mapping.notation.errors import LintError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|\d+|[-+*/()])", re.ASCII)
_PRECEDENCE = {"(": 0, "+": 1, "-": 1, "*": 2, "/": 2}


class Expression:
    """A parsed expression: ``text`` as written, the ``keys`` in it, and ``free``, whether it is ``"*"``."""

    __slots__ = ("_postfix", "free", "keys", "text")

    def __init__(self, text: str, postfix: tuple[str | int, ...]) -> None:
        self.text = text
        self.free = text == "*"
        self.keys = tuple(dict.fromkeys(t for t in postfix if isinstance(t, str) and t not in _PRECEDENCE))
        self._postfix = postfix

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @classmethod
    def parse(cls, text: str | int) -> Expression:
        """Parse an expression, or take an integer as it is.

        Raises:
            TableError: the text does not follow the grammar.
        """
        text = str(text).strip()
        return cls(text, () if text == "*" else tuple(_postfix(text)))

    @property
    def key(self) -> str | None:
        """The config key, if the expression is a single key."""
        return self.keys[0] if len(self._postfix) == 1 and self.keys else None

    @property
    def divisors(self) -> tuple[str, ...]:
        """The names that come directly after a division sign."""
        pairs = zip(self._postfix, self._postfix[1:], strict=False)
        return tuple(str(name) for name, operator in pairs if operator == "/" and name in self.keys)

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The value of the expression; ``values`` holds a number for each of its ``keys``.

        Raises:
            ConfigError: a division leaves a remainder, or its divisor is zero.
        """
        stack: list[int] = []
        for token in self._postfix:
            if isinstance(token, int):
                stack.append(token)
            elif token in _PRECEDENCE:
                right, left = stack.pop(), stack.pop()
                stack.append(self._apply(token, left, right))
            else:
                stack.append(values[token])
        return stack[0]

    def _apply(self, operator: str, left: int, right: int) -> int:
        if operator == "+":
            return left + right
        if operator == "-":
            return left - right
        if operator == "*":
            return left * right
        if right == 0 or left % right:
            raise ConfigError(
                f"{self.text} is {left} / {right}, which is not a whole number",
                hint="one of the sizes is wrong: check the config, or the number of heads that was given",
            )
        return left // right


def _postfix(text: str) -> list[str | int]:
    """Operands and operators in postfix order (Dijkstra's shunting-yard algorithm: no recursion)."""
    output: list[str | int] = []
    operators: list[str] = []
    expects_operand = True
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _malformed(text, f'has "{text[position:].strip()[0]}" at position {position}')
        symbol, position = match[1], match.end()
        if expects_operand == (symbol in "+-*/)"):
            expected = "a name or number" if expects_operand else "an operator"
            raise _malformed(text, f'has "{symbol}" where {expected} belongs')
        if symbol == "(":
            operators.append(symbol)
        elif symbol == ")":
            while operators and operators[-1] != "(":
                output.append(operators.pop())
            if not operators:
                raise _malformed(text, 'has ")" without "("')
            operators.pop()
        elif symbol in _PRECEDENCE:
            while operators and _PRECEDENCE[operators[-1]] >= _PRECEDENCE[symbol]:
                output.append(operators.pop())
            operators.append(symbol)
            expects_operand = True
        else:
            output.append(int(symbol) if symbol.isdigit() else symbol)
            expects_operand = False
    if expects_operand:
        raise _malformed(text, "ends where a name or number belongs" if text else "is empty")
    while operators:
        if operators[-1] == "(":
            raise _malformed(text, 'has "(" without ")"')
        output.append(operators.pop())
    return output


def _malformed(text: str, fault: str) -> LintError:
    return LintError(
        "schema",
        f'expression "{text}" {fault}',
        hint='write config keys, integers, + - * / and ( ), as in "inner / (2 * heads)"',
    )
