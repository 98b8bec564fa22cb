"""Names folded over the numbers of layers, as every dialect writes them."""

from __future__ import annotations

import pytest

from bridgeckpt.wording import fold, ranges


def spelled(number: int) -> str:
    """What Keras appends to the name of the first, second, third object of a class."""
    return f"_{number}" if number else ""


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["l_0/a", "l_1/a", "l_2/a", "l_5/a", "b"], ["l_{0..2,5}/a", "b"]),
        ([f"x.{i}.{j}" for i in range(2) for j in range(2)], ["x.{0..1}.{0..1}"]),
        ([f"encoder/layer_._{i}/k" for i in range(12)], ["encoder/layer_._{0..11}/k"]),
        ([f"layer_with_weights-{i}/k" for i in (4, 5)], ["layer_with_weights-{4..5}/k"]),
        ([f"transformer/layer_{i}_1/k" for i in range(3)], ["transformer/layer_{0..2}_1/k"]),
        ([f"variables/{i}" for i in (12, 13)], ["variables/{12..13}"]),
        ([f"h{i}/attn/w" for i in range(3)], ["h{0..2}/attn/w"]),
        ([f"group_{i}/inner_group_{j}/k" for i in range(2) for j in range(2)], ["group_{0..1}/inner_group_{0..1}/k"]),
        # The number of the layer, twice; and one that runs with it, which the first of its class lacks.
        (
            [f"Encoder-{i}-MHA/Encoder-{i}-MHA_Wq:0" for i in range(1, 4)],
            ["Encoder-{1..3}-MHA/Encoder-{1..3}-MHA_Wq:0"],
        ),
        (
            [f"Transformer-{i}-FF/dense{spelled(6 * i)}/kernel:0" for i in range(12)],
            ["Transformer-{0..11}-FF/dense{,_6,12..66}/kernel:0"],
        ),
        (
            [f"layers/tf_layer{spelled(i)}/vars/{j}" for i in range(12) for j in range(2)],
            ["layers/tf_layer{,_1..11}/vars/{0..1}"],
        ),
        ([f"dense{spelled(i)}/dense{spelled(i)}/kernel:0" for i in range(3)], ["dense{,_1..2}/dense{,_1..2}/kernel:0"]),
        # Not all combinations: one name for each that has them.
        (
            [*(f"b_{i}/l_{j}" for i in range(3) for j in range(2)), "b_0/l_2"],
            ["b_0/l_{0..2}", "b_1/l_{0..1}", "b_2/l_{0..1}"],
        ),
        (["part_007", "part_008", "float32_x"], ["part_007", "part_008", "float32_x"]),
        (["norm", "norm_1/x"], ["norm", "norm_1/x"]),
        ([], []),
    ],
)
def test_names_are_folded_over_layers(names, folded):
    found = fold(names)
    assert [text for text, _ in found] == folded
    assert sorted(name for _, members in found for name in members) == sorted(names)


def test_the_order_is_that_of_the_names():
    names = ["b_1", "a", "b", "b_0/x", "b_1/x"]
    assert fold(names) == [("b{,_1}", ["b", "b_1"]), ("a", ["a"]), ("b_{0..1}/x", ["b_0/x", "b_1/x"])]


def test_numbers_of_no_size_that_a_name_may_hold_are_text():
    name = "a_" + "9" * 5000
    assert fold([name]) == [(name, [name])]


def test_ranges():
    assert ranges([0, 1, 3]) == "0..1,3"
    assert ranges([4, 10, 16, 22]) == "4,10..22"
    assert ranges([7]) == "7"
