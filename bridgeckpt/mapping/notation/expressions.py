"""Arithmetic in mapping tables: the sizes in ``[dims]`` and ``[indices]``, and index expressions like ``{layer + 1}``.

::

    expression = term { ("+" | "-") term }
    term       = factor { ("*" | "/") factor }
    factor     = integer | name | "(" expression ")"

A name is a key of config.json (in a template: an index). Division is exact: a remainder is an error. ``"*"`` alone is a
size that is in no config and is solved from the checkpoint.
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
    """A parsed expression; ``text`` as it was written, ``keys`` the names in it, ``free`` whether it is ``"*"``."""

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
            TableError: the text is not in the grammar.
        """
        text = str(text).strip()
        return cls(text, () if text == "*" else tuple(_postfix(text)))

    @property
    def key(self) -> str | None:
        """The config key that this expression is, when it is nothing but one."""
        return self.keys[0] if len(self._postfix) == 1 and self.keys else None

    @property
    def divisors(self) -> tuple[str, ...]:
        """The names that something is divided by outright."""
        pairs = zip(self._postfix, self._postfix[1:], strict=False)
        return tuple(str(name) for name, operator in pairs if operator == "/" and name in self.keys)

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The number that the expression is for these ``values``, which hold each of its ``keys``.

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
    """Operands and operators in the order a stack machine takes them (Dijkstra's shunting yard: no recursion)."""
    output: list[str | int] = []
    waiting: list[str] = []
    operand_due = True
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _malformed(text, f'has "{text[at:].strip()[0]}" at position {at}')
        found, at = match[1], match.end()
        if operand_due == (found in "+-*/)"):
            due = "a name or number" if operand_due else "an operator"
            raise _malformed(text, f'has "{found}" where {due} belongs')
        if found == "(":
            waiting.append(found)
        elif found == ")":
            while waiting and waiting[-1] != "(":
                output.append(waiting.pop())
            if not waiting:
                raise _malformed(text, 'has ")" without "("')
            waiting.pop()
        elif found in _PRECEDENCE:
            while waiting and _PRECEDENCE[waiting[-1]] >= _PRECEDENCE[found]:
                output.append(waiting.pop())
            waiting.append(found)
            operand_due = True
        else:
            output.append(int(found) if found.isdigit() else found)
            operand_due = False
    if operand_due:
        raise _malformed(text, "ends where a name or number belongs" if text else "is empty")
    while waiting:
        if waiting[-1] == "(":
            raise _malformed(text, 'has "(" without ")"')
        output.append(waiting.pop())
    return output


def _malformed(text: str, what: str) -> LintError:
    return LintError(
        "schema",
        f'expression "{text}" {what}',
        hint='write config keys, integers, + - * / and ( ), as in "inner / (2 * heads)"',
    )
