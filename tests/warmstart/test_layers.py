"""Pairs of layers by their order: of layers that only numbers tell apart, and of what these numbers are worth."""

from __future__ import annotations

import pytest

from bridgeckpt.warmstart.layers import kind_of, layers_of, pair_by_order
from bridgeckpt.warmstart.numbers import doubtful_numbers, told_by_numbers_only

CLASSES = {"dense", "lstm", "multi_head_attention"}


def layers(*names, shape=(6, 6), start=0):
    """Layers of one variable each, in the order of a model."""
    shapes = {f"{name}/kernel": shape for name in names}
    return layers_of(shapes, {name: (start + at,) for at, name in enumerate(shapes)}, CLASSES)


def unplaced(*names):
    return layers_of({f"{name}/kernel": (6, 6) for name in names}, {}, CLASSES)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dense_1", "dense_*"),
        ("dense", "dense_*"),
        ("block_1", "block_1"),  # not the name of a class: the user's
        ("dense_0", "dense_0"),
        ("bidirectional/forward_lstm_3/cell", "bidirectional/forward_lstm_*/cell"),
        ("multi_head_attention_2/query", "multi_head_attention_*/query"),
    ],
)
def test_a_kind_is_a_name_without_the_numbers_of_keras(name, kind):
    assert kind_of(name, CLASSES) == kind


def test_equally_many_layers_of_a_kind_are_paired_by_order_whatever_their_numbers():
    pairs = pair_by_order(layers("dense_2", "dense_3"), layers("dense_1", "dense_2"), same_order=True)
    assert pairs.names == {"dense_2": "dense_1", "dense_3": "dense_2"}
    swapped = pair_by_order(layers("dense_1", "dense"), layers("dense", "dense_1"), same_order=True)
    assert swapped.names == {"dense_1": "dense", "dense": "dense_1"}


@pytest.mark.parametrize("same_order", [False, None])
def test_an_order_that_is_not_known_to_be_the_same_needs_the_numbers_to_agree(same_order):
    agreeing = pair_by_order(layers("dense_2", "dense_3"), layers("dense", "dense_1"), same_order=same_order)
    assert agreeing.names == {"dense_2": "dense", "dense_3": "dense_1"}
    other = pair_by_order(layers("dense_3", "dense_2"), layers("dense", "dense_1"), same_order=same_order)
    assert not other.names
    assert [one.name for one in other.open] == ["dense_3", "dense_2"]


def test_another_number_of_layers_settles_nothing():
    pairs = pair_by_order(layers("dense_2", "dense_3"), layers("dense_1", "dense_2", "dense_3"), same_order=True)
    assert not pairs.names
    assert len(pairs.open) == 2


def test_shapes_settle_layers_that_their_number_does_not():
    ours = [*layers("dense_1"), *layers("dense_2", shape=(6, 3), start=1)]
    theirs = [*layers("dense"), *layers("dense_1", shape=(6, 3), start=1), *layers("dense_2", shape=(3, 9), start=2)]
    assert pair_by_order(ours, theirs, same_order=True).names == {"dense_1": "dense", "dense_2": "dense_1"}


def test_a_file_without_an_order_pairs_only_layers_that_shapes_tell():
    assert not pair_by_order(layers("dense_1", "dense_2"), unplaced("dense", "dense_1"), same_order=True).names
    assert pair_by_order(layers("dense_1"), unplaced("dense"), same_order=True).names == {"dense_1": "dense"}


def test_pairs_of_two_kinds_that_cross_are_none():
    ours = [*layers("dense_1"), *layers("lstm_1", start=1)]
    theirs = [*layers("lstm"), *layers("dense", start=1)]
    assert not pair_by_order(ours, theirs, same_order=True).names


def test_the_parts_of_a_layer_stay_together():
    """Two attentions whose queries have one shape, and whose outputs, by shape, would be the other's."""

    def model(names, outputs):
        shapes, places = {}, {}
        for at, (name, output) in enumerate(zip(names, outputs, strict=True)):
            shapes |= {f"{name}/query/kernel": (6, 2, 3), f"{name}/output/kernel": output}
            places |= dict.fromkeys([f"{name}/query/kernel", f"{name}/output/kernel"], (at,))
        return layers_of(shapes, places, CLASSES)

    ours = model(["multi_head_attention_1", "multi_head_attention_2"], [(2, 3, 6), (2, 3, 9)])
    theirs = model(["multi_head_attention", "multi_head_attention_1"], [(2, 3, 9), (2, 3, 6)])
    assert not pair_by_order(ours, theirs, same_order=True).names


def test_the_order_inside_one_layer_of_a_file_is_known_only_if_numbers_have_it():
    """Keras writes what is frozen in a nested model last."""
    shapes = {f"sequential/{name}/kernel": (6, 6) for name in ("dense_1", "dense")}
    theirs = layers_of(shapes, dict.fromkeys(shapes, (0,)), {*CLASSES, "sequential"})
    ours = layers_of(
        {f"sequential/{name}/kernel": (6, 6) for name in ("dense_2", "dense_3")}, {}, {*CLASSES, "sequential"}
    )
    assert not pair_by_order(ours, theirs, same_order=True).names


@pytest.mark.parametrize(
    ("matched", "wanted", "available", "told"),
    [
        (["dense_2/k"], ["dense_2/k", "dense_3/k"], ["dense_1/k", "dense_2/k"], True),
        (["dense_1/k"], ["dense/k", "dense_1/k"], ["dense/k", "dense_1/k", "dense_2/k"], True),  # which of three?
        (["dense_1/k"], ["dense/k", "dense_1/k"], ["dense/k", "dense_1/k", "dense_2/bias"], False),
        (["layer_1/k"], ["layer_1/k"], ["layer_0/k", "layer_1/k"], False),  # numbers of the programmer's own
        (["a/dense_1/k"], ["a/dense_1/k"], ["b/dense/k", "a/dense_1/k"], False),
    ],
)
def test_equal_names_at_other_places_are_doubtful(matched, wanted, available, told):
    assert bool(doubtful_numbers(matched, wanted, available)) is told


def test_names_of_a_list_that_only_a_number_tells_apart():
    assert told_by_numbers_only({"dense/k": (6, 6), "dense_1/k": (6, 6)})
    assert not told_by_numbers_only({"dense/k": (6, 6), "dense_1/k": (6, 3)})
    assert not told_by_numbers_only({"layer_0/k": (6, 6), "layer_1/k": (6, 6), "layer_2/k": (6, 6)})
