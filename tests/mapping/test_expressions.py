"""Arithmetic in mapping tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgeckpt.errors import ConfigError, TableError
from bridgeckpt.mapping.notation.expressions import Expression

SIZES = {"hidden_size": 768, "num_attention_heads": 12, "layers": 24}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("hidden_size", 768),
        (2, 2),
        ("2", 2),
        ("hidden_size / num_attention_heads", 64),
        ("hidden_size*4", 3072),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("20 - 5 - 3", 12),
        ("24 / 4 / 3", 2),
        ("24 / 4 * 3", 18),
        ("((layers))", 24),
        ("layers - 2 * (3 + 1)", 16),
    ],
)
def test_value(text, value):
    assert Expression.parse(text).evaluate(SIZES) == value


def test_keys_and_key():
    ratio = Expression.parse("hidden_size / num_attention_heads + hidden_size")
    assert (ratio.keys, ratio.key, ratio.divisors) == (
        ("hidden_size", "num_attention_heads"),
        None,
        ("num_attention_heads",),
    )
    assert Expression.parse("hidden_size").key == "hidden_size"
    assert Expression.parse("hidden_size + 1").key is None
    assert (Expression.parse(2).key, Expression.parse(2).keys) == (None, ())


def test_free():
    free = Expression.parse("*")
    assert (free.free, free.keys, free.key, free.text) == (True, (), None, "*")
    assert not Expression.parse("layers * 2").free


def test_division_is_exact():
    with pytest.raises(ConfigError) as caught:
        Expression.parse("hidden_size / num_attention_heads").evaluate({"hidden_size": 770, "num_attention_heads": 12})
    assert caught.value.message == "hidden_size / num_attention_heads is 770 / 12, which is not a whole number"


def test_division_by_zero():
    with pytest.raises(ConfigError, match="768 / 0"):
        Expression.parse("hidden_size / heads").evaluate({"hidden_size": 768, "heads": 0})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("2 +", "ends where a name or number belongs"),
        ("* 2", 'has "*" where a name or number belongs'),
        ("2 3", 'has "3" where an operator belongs'),
        ("a b", 'has "b" where an operator belongs'),
        ("a (b)", 'has "(" where an operator belongs'),
        ("(2", 'has "(" without ")"'),
        ("2)", 'has ")" without "("'),
        ("()", 'has ")" where a name or number belongs'),
        ("a ** b", 'has "*" where'),
        ("a.b", 'has "." at position 1'),
        ("a; import os", 'has ";" at position 1'),
        ("2.5", 'has "." at position 1'),
    ],
)
def test_refused(text, says):
    with pytest.raises(TableError) as caught:
        Expression.parse(text)
    assert says in caught.value.message


def test_deep_nesting_is_no_recursion():
    assert Expression.parse("(" * 50_000 + "7" + ")" * 50_000).evaluate({}) == 7


@given(
    st.recursive(
        st.integers(0, 99).map(str),
        lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
    )
)
def test_agrees_with_python(text):
    assert Expression.parse(text).evaluate({}) == eval(text)  # the test's own oracle, on text made above


@given(st.lists(st.sampled_from(["1", "2", "3", "+", "-", "*"]), min_size=1, max_size=9))
def test_precedence_agrees_with_python(tokens):
    text = " ".join(tokens)
    try:
        found = Expression.parse(text)
    except TableError:
        return
    if not found.free:
        assert found.evaluate({}) == eval(text)


@given(st.text(alphabet="ab12+-*/() .%", max_size=15))
def test_any_text_is_parsed_or_refused(text):
    try:
        expression = Expression.parse(text)
    except TableError:
        return
    if not expression.free:
        try:
            expression.evaluate(dict.fromkeys(expression.keys, 6))
        except ConfigError as error:
            assert "not a whole number" in error.message
