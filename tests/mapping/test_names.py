"""Templates, counters, and looking names up in a checkpoint."""

from __future__ import annotations

import time

import pytest

from bridgeckpt.errors import TableError
from bridgeckpt.mapping.notation.names import Names, bind
from bridgeckpt.mapping.notation.templates import Template

INDICES = ("layer", "block")


def template(text: str) -> Template:
    return Template.parse(text, INDICES)


def test_placeholders():
    parsed = template("{scope}bert/encoder/layer_{layer}/x{layer + 1}/{root}")
    assert parsed.wildcards == ("scope", "root")
    assert parsed.indices == ("layer",)
    assert not parsed.has_counter


def test_render():
    parsed = template("{scope}bert/layer_{layer}/next_{2 * layer + 1}/{block}")
    assert parsed.render({"scope": "my/", "layer": 3, "block": 0}) == "my/bert/layer_3/next_7/0"


def test_text_that_looks_like_formatting_is_kept():
    assert template("a%s/b:0/{layer}!r").render({"layer": 1}) == "a%s/b:0/1!r"


def test_counters_are_written_as_keras_numbers_a_fresh_model():
    assert template("dense{#}/kernel").render({}) == "dense/kernel"
    assert template("dense{#3}/kernel").render({}) == "dense_2/kernel"
    assert [template("norm{#2*layer+1}").render({"layer": n}) for n in range(3)] == ["norm", "norm_2", "norm_4"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a{layer", "an unmatched brace"),
        ("a}layer", "an unmatched brace"),
        ("a{{layer}}", "an unmatched brace"),
        ("{scope + 1}", '"scope" in {scope + 1} is not an index'),
        ("dense{#scope}", "is not an index"),
        ("{}", "is empty"),
        ("{layer:>3}", 'has ":"'),
        ("{layer.real}", 'has "."'),
        ("{layer!r}", 'has "!"'),
        ("dense{#2}/dense{#}", "has a position in a counter before the last"),
    ],
)
def test_refused(text, says):
    with pytest.raises(TableError) as caught:
        template(text)
    assert says in caught.value.message


def test_find_is_exact():
    names = Names(["bert/layer_1/kernel", "bert/layer_11/kernel"])
    assert names.find(template("bert/layer_{layer}/kernel"), {"layer": 1}) == "bert/layer_1/kernel"
    assert names.find(template("bert/layer_{layer}/kernel"), {"layer": 111}) is None
    assert names.find(template("layer_{layer}/kernel"), {"layer": 1}) is None


PORT = [
    "bert/embeddings/layer_normalization/gamma",
    "bert/encoder/layer_0/attention/output/layer_normalization_1/gamma",
    "bert/encoder/layer_0/output/layer_normalization_2/gamma",
    "bert/encoder/layer_10/attention/output/layer_normalization_21/gamma",
    "cls/predictions/transform/layer_normalization_25/gamma",
]


def test_counters_find_whatever_number_keras_gave():
    names = Names(PORT)
    norm = template("bert/encoder/layer_{layer}/attention/output/layer_normalization{#}/gamma")
    assert names.find(norm, {"layer": 0}) == PORT[1]
    assert names.find(norm, {"layer": 10}) == PORT[3]
    assert names.find(norm, {"layer": 1}) is None
    assert names.find(template("cls/predictions/transform/layer_normalization{#}/gamma"), {}) == PORT[4]


def test_counters_go_by_number_not_by_alphabet():
    names = Names(["self/dense_10/kernel", "self/dense_9/kernel", "self/dense_100/kernel", "self/dense_9/bias"])
    found = [names.find(template(f"self/dense{{#{k}}}/kernel"), {}) for k in (1, 2, 3, 4)]
    assert found == ["self/dense_9/kernel", "self/dense_10/kernel", "self/dense_100/kernel", None]


def test_the_first_has_no_number():
    names = Names(["dense_1", "dense", "dense_2"])
    assert [names.find(template(f"dense{{#{k}}}"), {}) for k in (1, 2, 3)] == ["dense", "dense_1", "dense_2"]


def test_a_counter_takes_nothing_but_a_number():
    names = Names(["dense_a/kernel", "dense_1b/kernel", "dense1/kernel", "dense_/kernel", "dense_1/kernel/adam_m"])
    assert names.find(template("dense{#}/kernel"), {}) is None


def test_counters_over_the_whole_model():
    names = Names(f"norm{f'_{n}' if n else ''}/gamma" for n in range(7))
    norm = template("norm{#2*layer+2}/gamma")
    assert [names.find(norm, {"layer": n}) for n in range(3)] == ["norm_1/gamma", "norm_3/gamma", "norm_5/gamma"]


def test_several_counters():
    """The first of the places before the last counter counts: a second model in a graph numbers every scope."""
    names = Names(
        [
            *(f"attention/dense_{n}/kernel" for n in (3, 12, 4)),
            *(f"attention_1/dense_{n}/kernel" for n in (13, 20)),
            "attention_1b/dense_1/kernel",
            "feed_7/dense_9/kernel",
        ]
    )
    found = [names.find(template(f"attention{{#}}/dense{{#{k}}}/kernel"), {}) for k in (1, 2, 3, 4)]
    assert found == ["attention/dense_3/kernel", "attention/dense_4/kernel", "attention/dense_12/kernel", None]
    assert names.find(template("feed{#}/dense{#}/kernel"), {}) == "feed_7/dense_9/kernel"
    assert names.find(template("feed{#}/dense{#2}/kernel"), {}) is None
    assert names.find(template("attention{#}/norm{#}/kernel"), {}) is None
    assert template("a{#}/b{#2}/c").render({}) == "a/b_1/c"


def test_a_position_below_one_is_nothing():
    assert Names(["dense"]).find(template("dense{#layer}"), {"layer": 0}) is None


def test_nearest():
    names = Names(["bert/pooler/dense/kernel", "bert/pooler/dense/bias", "global_step"])
    assert names.nearest("bert/pooler/dens/kernel", 1) == ["bert/pooler/dense/kernel"]


def test_nearest_is_quick_among_many():
    names = Names(f"bert/encoder/layer_{n}/output/dense/kernel" for n in range(20_000))
    began = time.perf_counter()
    assert names.nearest("bert/encoder/layer_7/output/dens/kernel")
    assert time.perf_counter() - began < 2


DETECT = template("{scope}bert/encoder/layer_{layer}/norm/gamma")


@pytest.mark.parametrize("scope", ["", "my_model/", "module/", "a/b/c/", "my_"])
def test_bind_any_scope(scope):
    names = Names([f"{scope}bert/encoder/layer_0/norm/gamma", f"{scope}bert/encoder/layer_0/norm/gamma/adam_m"])
    assert bind([DETECT], names) == [{"scope": scope}]


def test_two_towers_are_two_bindings():
    names = ["bert/encoder/layer_0/norm/gamma", "student/bert/encoder/layer_0/norm/gamma"]
    assert bind([DETECT], names) == [{"scope": ""}, {"scope": "student/"}]


def test_all_names_have_to_be_there_under_one_binding():
    pair = [DETECT, template("{scope}cls/bias")]
    names = ["a/bert/encoder/layer_0/norm/gamma", "b/bert/encoder/layer_0/norm/gamma", "b/cls/bias", "c/cls/bias"]
    assert bind(pair, names) == [{"scope": "b/"}]
    assert bind(pair, names[:1]) == []


def test_bind_without_wildcards():
    assert bind([template("global_step")], ["global_step"]) == [{}]
    assert bind([template("global_step")], ["step"]) == []


def test_a_wildcard_twice_is_the_same_text():
    assert bind([template("{root}/x/{root}")], ["a/x/a", "a/x/b"]) == [{"root": "a"}]


def test_bind_with_a_counter():
    names = ["m/embeddings/norm_3/gamma", "m/embeddings/norm_3/gamma/adam_v"]
    assert bind([template("{scope}embeddings/norm{#}/gamma")], names) == [{"scope": "m/"}]


def test_rendering_and_binding_are_quick():
    values = {"scope": "", "layer": 7}
    began = time.perf_counter()
    for _ in range(100_000):
        DETECT.render(values)
    assert time.perf_counter() - began < 1  # 0.07 s on an idle machine
    names = Names(f"bert/encoder/layer_{n}/norm/gamma" for n in range(100_000))
    began = time.perf_counter()
    bind([DETECT], names)
    assert time.perf_counter() - began < 1
