"""The layout notation: what is parsed, what is refused, and that the moves put every element where the axes say."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeckpt.errors import TableError
from bridgeckpt.mapping.notation.layout import Layout
from bridgeckpt.mapping.notation.sides import Side, Term
from bridgeckpt.moves import Move

SIZES = {"hidden": 6, "heads": 3, "head_dim": 2, "out": 5, "qkv": 3, "layer": 4, "vocab": 7, "pad": 2}
FILL = -1


def apply(layout: Layout, sources: list[np.ndarray], sizes: dict[str, int]) -> list[np.ndarray]:
    """What the moves make of whole tensors, as the documentation of Move says it."""
    targets = []
    for moves in layout.moves(sizes):
        target = np.full(layout.pt.shape(sizes), FILL)
        for move in moves:
            view = sources[move.source].reshape(move.source_shape)[move.source_index].transpose(move.order)
            target.reshape(move.target_shape)[move.target_index] = view
        targets.append(target)
    return targets


def tensors(side: Side, sizes: dict[str, int]) -> list[np.ndarray]:
    """Tensors of one side, all their elements different."""
    count = sizes[side.listed] if side.listed else 1
    return list(np.arange(count * prod(side.shape(sizes))).reshape(count, *side.shape(sizes)))


def one(text: str, *sources: np.ndarray) -> list[np.ndarray]:
    return apply(Layout.parse(text), list(sources), SIZES)


def test_transpose():
    x = np.arange(30).reshape(6, 5)
    np.testing.assert_array_equal(one("hidden out -> out hidden", x)[0], x.T)


def test_one_side_is_a_copy():
    x = np.arange(42).reshape(7, 6)
    (moves,) = Layout.parse("vocab hidden").moves(SIZES)
    assert [move.is_identity for move in moves] == [True]
    np.testing.assert_array_equal(one("vocab hidden", x)[0], x)


def test_merge_heads_and_transpose():
    x = np.arange(36).reshape(6, 3, 2)
    np.testing.assert_array_equal(one("hidden heads head_dim -> (heads head_dim) hidden", x)[0], x.reshape(6, 6).T)


def test_order_inside_parentheses_is_meaning():
    x = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(one("heads head_dim -> (head_dim heads)", x)[0], x.T.reshape(6))


def test_drop_a_unit_axis():
    x = np.arange(30).reshape(1, 6, 5)
    np.testing.assert_array_equal(one("1 hidden out -> hidden out", x)[0], x[0])


def test_fuse_a_list_and_split_it_again():
    parts = [np.arange(36).reshape(6, 3, 2) + 100 * k for k in range(3)]
    layout = Layout.parse("[qkv] hidden heads head_dim -> hidden (qkv heads head_dim)")
    (fused,) = apply(layout, parts, SIZES)
    np.testing.assert_array_equal(fused, np.concatenate([part.reshape(6, 6) for part in parts], axis=1))
    for part, again in zip(parts, apply(layout.reversed(), [fused], SIZES), strict=True):
        np.testing.assert_array_equal(again, part)


def test_one_stacked_tensor_becomes_one_parameter_per_layer():
    x = np.arange(120).reshape(4, 6, 5)
    for layer, target in enumerate(one("layer hidden out -> [layer] out hidden", x)):
        np.testing.assert_array_equal(target, x[layer].T)


def test_padding_is_dropped_and_filled_again():
    x = np.arange(54).reshape(9, 6)
    (cropped,) = one("(vocab + pad) hidden -> vocab hidden", x)
    np.testing.assert_array_equal(cropped, x[:7])
    (padded,) = one("vocab hidden -> (vocab + pad) hidden", cropped)
    np.testing.assert_array_equal(padded, np.concatenate([x[:7], np.full((2, 6), FILL)]))


def test_a_list_of_tensors_becomes_another_list():
    parts = [np.arange(24).reshape(4, 6) + 100 * k for k in range(3)]
    for layer, target in enumerate(one("[qkv] layer hidden -> [layer] qkv hidden", *parts)):
        np.testing.assert_array_equal(target, np.stack([part[layer] for part in parts]))


@pytest.mark.parametrize(
    ("text", "moves_axes"),
    [
        ("hidden out -> out hidden", True),
        ("hidden (heads head_dim) -> (heads head_dim) hidden", True),
        ("(heads head_dim) -> (head_dim heads)", True),
        ("hidden out", False),
        ("1 hidden out -> hidden out", False),
        ("hidden heads head_dim -> hidden (heads head_dim)", False),
        ("layer hidden out -> [layer] hidden out", False),
        ("layer hidden out -> [layer] out hidden", True),
    ],
)
def test_moves_axes(text, moves_axes):
    assert Layout.parse(text).moves_axes is moves_axes


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("hidden out", True),
        ("hidden heads head_dim -> hidden (heads head_dim)", True),
        ("1 hidden -> hidden", True),
        ("hidden out -> out hidden", False),
        ("layer hidden -> [layer] hidden", False),
        ("(vocab + pad) hidden -> vocab hidden", False),
        ("vocab hidden -> (vocab + pad) hidden", False),
    ],
)
def test_is_identity_only_for_a_whole_copy_in_the_same_order(text, identity):
    assert all(move.is_identity is identity for move in Layout.parse(text).moves(SIZES)[0])


def test_an_axis_of_one_element_may_stand_anywhere():
    sizes = {"hidden": 6, "relations": 1}
    ((move,),) = Layout.parse("hidden relations -> relations hidden").moves(sizes)
    assert isinstance(move, Move)
    assert move.is_identity


def test_axes_and_shapes():
    layout = Layout.parse("[qkv] (vocab + pad) 1 hidden -> vocab (qkv hidden)")
    assert layout.axes == ("qkv", "vocab", "pad", "hidden")
    assert layout.tf == Side("qkv", (Term(("vocab",), "pad"), Term(()), Term(("hidden",))))
    assert layout.tf.shape(SIZES) == (9, 1, 6)
    assert layout.pt.shape(SIZES) == (7, 18)
    assert str(layout.tf) == "[qkv] (vocab + pad) 1 hidden"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hidden hidden -> hidden hidden", 'names the axis "hidden" twice on one side'),
        ("hidden (hidden out) -> out hidden", 'names the axis "hidden" twice'),
        ("[qkv] qkv hidden -> qkv hidden", 'names the axis "qkv" twice'),
        ("hidden out -> hidden", 'the axis "out" is only on the left side'),
        ("hidden -> hidden out", 'the axis "out" is only on the right side'),
        ("[qkv] hidden", "has a list on both sides"),
        ("hidden -> out -> hidden", "has two arrows"),
        ("hidden ] out", 'has "]" where an axis name'),
        ("(hidden out", 'has "(" without ")"'),
        ("hidden)", 'has ")" where'),
        ("[qkv hidden -> qkv hidden", '"[" takes one axis name and "]"'),
        ("hidden [qkv] -> qkv hidden", 'has "[" where'),
        ("()", 'has "()"'),
        ("(1 hidden)", 'has "(1 hidden)"'),
        ("(a + b + c) -> a", 'has "(a + b + c)"'),
        ("(hidden out + pad) -> hidden out", "inside ( )"),
        ("hidden 2 -> 2 hidden", 'has "2" at position 6'),
        ("hidden, out", 'has "," at position 6'),
        ("1hidden", 'has "1"'),
        ("(vocab + pad) hidden", '"vocab" is padded on both sides'),
        ("(vocab + pad) -> (vocab + more)", '"vocab" is padded on both sides'),
        ("(vocab + pad) pad -> vocab pad", 'names the axis "pad" twice'),
        ("(vocab + pad) hidden -> [vocab] hidden", 'the padded axis "vocab" is a list on the other side'),
        ("(vocab + hidden) -> vocab hidden", '"hidden" is only on the right side'),
    ],
)
def test_refused(text, says):
    with pytest.raises(TableError) as caught:
        Layout.parse(text)
    assert says in str(caught.value)
    assert text in caught.value.message


def test_two_roles_of_one_size_get_two_names():
    with pytest.raises(TableError) as caught:
        Layout.parse("hidden hidden")
    assert "hidden pooled -> pooled hidden" in (caught.value.hint or "")


AXES = ("a", "b", "c", "d", "e")


@st.composite
def sides(draw: st.DrawFn, axes: list[str], pads: dict[str, str]) -> str:
    """A side that holds ``axes`` in any order and grouping, with unit axes, perhaps one of them listed."""
    order = draw(st.permutations(axes))
    may_list = [axis for axis in order if axis not in pads]
    listed = draw(st.sampled_from([None, *may_list])) if may_list else None
    terms: list[str] = []
    group: list[str] = []
    for axis in (axis for axis in order if axis != listed):
        if axis in pads:
            terms.append(f"({axis} + {pads[axis]})")
            continue
        group.append(axis)
        if draw(st.booleans()):
            terms.append(f"({' '.join(group)})" if len(group) > 1 else axis)
            group = []
    if group:
        terms.append(f"({' '.join(group)})" if len(group) > 1 else group[0])
    for _ in range(draw(st.integers(0, 1))):
        terms.insert(draw(st.integers(0, len(terms))), "1")
    return " ".join([*([f"[{listed}]"] if listed else []), *terms])


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Layout, dict[str, int]]:
    axes = list(AXES[: draw(st.integers(1, 5))])
    sizes = {axis: draw(st.integers(1, 4)) for axis in axes}
    padded = draw(st.sampled_from([None, *axes]))
    sizes["pad"] = draw(st.integers(0, 3))
    left_padded = draw(st.booleans())
    left = draw(sides(axes, {padded: "pad"} if padded and left_padded else {}))
    right = draw(sides(axes, {padded: "pad"} if padded and not left_padded else {}))
    if padded and f"[{padded}]" in left + right:
        return Layout.parse("a b -> b a"), {"a": 2, "b": 3}
    return Layout.parse(f"{left} -> {right}"), sizes


def element(side: Side, at: dict[str, int], sizes: dict[str, int]) -> tuple[int, tuple[int, ...]]:
    """Where the element with coordinates ``at`` lies on a side: which tensor, and its index there. From the notation's
    definition alone: an axis inside parentheses counts by what follows it there."""
    place = []
    for term in side.terms:
        index = 0
        for axis in term.axes:
            index = index * sizes[axis] + at[axis]
        place.append(index)
    return (at[side.listed] if side.listed else 0), tuple(place)


@settings(max_examples=300, deadline=None)
@given(layouts())
def test_every_element_arrives_where_the_axes_say(case):
    layout, sizes = case
    sources = tensors(layout.tf, sizes)
    targets = apply(layout, sources, sizes)
    expected = [
        np.full(layout.pt.shape(sizes), FILL) for _ in range(sizes[layout.pt.listed] if layout.pt.listed else 1)
    ]
    axes = [axis for axis in layout.axes if axis != "pad"]
    for coordinates in np.ndindex(*(sizes[axis] for axis in axes)):
        at = dict(zip(axes, coordinates, strict=True))
        (source, there), (target, here) = element(layout.tf, at, sizes), element(layout.pt, at, sizes)
        expected[target][here] = sources[source][there]
    assert len(targets) == len(expected)
    for found, wanted in zip(targets, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@settings(max_examples=300, deadline=None)
@given(layouts())
def test_the_inverse_gives_every_element_back(case):
    layout, sizes = case
    sources = tensors(layout.tf, sizes)
    again = apply(layout.reversed(), apply(layout, sources, sizes), sizes)
    for tensor, found in zip(sources, again, strict=True):
        np.testing.assert_array_equal(found[found != FILL], tensor[found != FILL])
    lost = sum(int((found == FILL).sum()) for found in again)
    assert lost == sum(tensor.size for tensor in sources) - prod(sizes[axis] for axis in layout.axes if axis != "pad")


@settings(max_examples=200, deadline=None)
@given(layouts())
def test_a_layout_reads_back_from_its_own_text(case):
    layout, _ = case
    again = Layout.parse(f"{layout.tf} -> {layout.pt}")
    assert (again.tf, again.pt) == (layout.tf, layout.pt)
    assert layout.reversed().reversed().tf == layout.tf


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab1()[]+-> ,", max_size=20))
def test_any_text_is_parsed_or_refused(text):
    try:
        layout = Layout.parse(text)
    except TableError:
        return
    assert Layout.parse(f"{layout.tf} -> {layout.pt}").pt == layout.pt
