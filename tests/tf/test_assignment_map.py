"""``get_assignment_map_from_checkpoint`` beside the function of google-research/bert that it stands in for."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from tfbert import graph
from warm import assert_equal, original, read_by_tensorflow, session, values

import bridgeckpt
import bridgeckpt.tf
from bridgeckpt.tf import WarmStartError, get_assignment_map_from_checkpoint, init_from_checkpoint

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def googles():
    pytest.importorskip("bert", reason="bert-tensorflow is not installed")
    return original()


@pytest.fixture(autouse=True)
def in_a_graph():
    with tf.Graph().as_default():
        yield


def assert_same(ours, theirs):
    """Equal in content, order and type."""
    assert [type(part) for part in ours] == [type(part) for part in theirs] == [OrderedDict, dict]
    assert [list(part.items()) for part in ours] == [list(part.items()) for part in theirs]


@pytest.mark.parametrize(
    ("checkpoint", "program"),
    [
        ({"head": "pretraining"}, {"head": "pretraining"}),
        ({"head": "pretraining"}, {"head": "classifier"}),
        ({"head": "pretraining", "slots": "adamw", "step": 300}, {"head": "squad"}),
        ({"head": "classifier", "slots": "lamb"}, {"head": "classifier"}),
        ({"head": "classifier", "slots": "adam"}, {"head": "classifier", "slots": "adam"}),
        ({"head": "squad", "ema": True}, {"head": "squad"}),
        ({"head": None}, {"head": "token"}),
        ({"head": "classifier", "scope": "student/"}, {"head": "classifier", "scope": "student/"}),
        ({"head": "mlm", "partitions": 3}, {"head": "pretraining"}),
        ({"head": "pretraining", "shards": 2}, {"head": None, "layers": 1}),
        ({"head": "pretraining", "port": "keras"}, {"head": "nsp", "port": "keras"}),
        ({"head": "pretraining", "dtype": "bfloat16"}, {"head": "pretraining", "dtype": "bfloat16"}),
    ],
)
@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
def test_it_returns_what_the_original_returns(built, googles, checkpoint, program, resource):
    source = built(**checkpoint)
    slots = program.pop("slots", None) if "slots" in program else None
    _, outputs = graph(**program, resource=resource)
    tvars = tf1.trainable_variables()
    if slots:
        tf1.train.AdamOptimizer().minimize(sum(tf.reduce_sum(outputs[key]) for key in sorted(outputs)))
        tvars = tf1.global_variables()
        program["slots"] = slots
    for path in (source.prefix, source.directory):
        theirs = googles(tvars, str(path))
        assert theirs[0]
        assert_same(get_assignment_map_from_checkpoint(tvars, path), theirs)
        assert_same(get_assignment_map_from_checkpoint(tvars, path, strict=False), theirs)


def test_for_parts_it_returns_what_the_original_returns_for_the_whole(built, googles):
    """The original finds no part; given whole variables, it returns what ours returns for their parts."""
    source = built(head="pretraining")
    with tf1.variable_scope("", partitioner=tf1.fixed_size_partitioner(3)):
        wholes = [
            tf1.get_variable("bert/embeddings/word_embeddings", (101, 36)),
            tf1.get_variable("bert/pooler/dense/kernel", (36, 36)),
        ]
    parts = tf1.trainable_variables()
    assert len(parts) == 6
    assert googles(parts, str(source.prefix)) == ({}, {})
    whole_map, whole_names = googles(wholes, str(source.prefix))
    for given in (parts, wholes):
        found, names = get_assignment_map_from_checkpoint(given, source.prefix)
        assert list(found.items()) == list(whole_map.items())
        assert names.items() >= whole_names.items()
        assert all(part.name in names for part in parts)


def test_names_that_agree_in_part_are_all_translated_unless_nothing_is_to_be(built, googles):
    """A port to tf.keras numbers its layer norms: by names alone, they would stay random."""
    source = built(head=None, port="keras")
    graph(head=None, seed=7)
    tvars = tf1.trainable_variables()
    theirs = googles(tvars, str(source.prefix))
    assert len(theirs[0]) == 29
    assert_same(get_assignment_map_from_checkpoint(tvars, source.prefix, strict=False), theirs)
    found, _ = get_assignment_map_from_checkpoint(tvars, source.prefix, strict=True)
    init_from_checkpoint(source.prefix, found)
    stored = read_by_tensorflow(tf, source.prefix)
    with session(tf) as opened:
        set_ = values(tf, opened)
    norm = "bert/encoder/layer_0/output/LayerNorm/gamma"
    np.testing.assert_array_equal(set_[norm], stored["bert/encoder/layer_0/output/layer_normalization_2/gamma"])
    assert_equal({name: set_[name] for name in theirs[0]}, stored)


def test_nothing_found_is_nothing_to_the_original_and_to_strict_false(built, googles):
    source = built(head="pretraining")
    graph(scope="student/")
    tvars = tf1.trainable_variables()
    theirs = googles(tvars, str(source.prefix))
    assert theirs == ({}, {})
    assert_same(get_assignment_map_from_checkpoint(tvars, source.prefix, strict=False), theirs)


def test_another_shape_is_listed_by_the_original_and_by_strict_false(built, googles):
    source = built(head="classifier", labels=5)
    graph(head="classifier", labels=3)
    tvars = tf1.trainable_variables()
    theirs = googles(tvars, str(source.prefix))
    assert "output_weights" in theirs[0]
    assert_same(get_assignment_map_from_checkpoint(tvars, source.prefix, strict=False), theirs)


def test_another_dtype_is_listed_by_the_original_and_by_strict_false(googles, tmp_path):
    with tf.Graph().as_default(), tf1.Session() as opened:
        tf1.get_variable("count", (), tf.int64)
        tf1.get_variable("name", initializer=tf.constant("a"))
        opened.run(tf1.global_variables_initializer())
        path = tf1.train.Saver().save(opened, str(tmp_path / "model.ckpt"))
    tf1.get_variable("count", (), tf.int32)
    tf1.get_variable("name", initializer=tf.constant("b"))
    theirs = googles(tf1.trainable_variables(), path)
    assert len(theirs[0]) == 2
    assert_same(get_assignment_map_from_checkpoint(tf1.trainable_variables(), path, strict=False), theirs)


@pytest.mark.parametrize("partitions", [None, 3])
@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
def test_tensorflows_own_function_takes_the_map(built, partitions, resource):
    source = built(head="pretraining", slots="adamw", step=300)
    graph(head="pretraining", seed=7, partitions=partitions, resource=resource)
    found, _ = get_assignment_map_from_checkpoint(tf1.trainable_variables(), source.directory)
    tf1.train.init_from_checkpoint(str(source.directory), found)
    with session(tf) as opened:
        assert_equal(values(tf, opened), read_by_tensorflow(tf, source.prefix))


@pytest.mark.parametrize("partitions", [None, 3])
def test_scope_finds_a_tower(built, partitions):
    source = built(head="classifier")
    graph(head="classifier", seed=7, scope="student/", partitions=partitions)
    graph(head="classifier", seed=8, scope="teacher/")
    untouched = [variable for variable in tf1.trainable_variables() if variable.name.startswith("teacher/")]
    found, names = get_assignment_map_from_checkpoint(tf1.trainable_variables(), source.prefix, scope="student")
    assert found["bert/pooler/dense/bias"] == "student/bert/pooler/dense/bias"
    assert "student/bert/pooler/dense/bias:0" in names or partitions
    init_from_checkpoint(source.prefix, found)
    with session(tf) as opened:
        set_ = {
            name.removeprefix("student/"): value
            for name, value in values(tf, opened).items()
            if name.startswith("student/")
        }
        assert_equal(set_, read_by_tensorflow(tf, source.prefix))
        teacher = opened.run(untouched[0])
    assert not (teacher == read_by_tensorflow(tf, source.prefix)["bert/embeddings/word_embeddings"]).all()


def test_renames_are_of_prefixes_and_of_names(built):
    source = built(head="classifier", scope="teacher/")
    graph(head="squad", seed=7, scope="student/")
    asked = {
        "teacher/": "student/",
        "teacher/output_weights": "student/cls/squad/output_weights",
    }
    with pytest.raises(WarmStartError, match=r"output_weights \[2, 36\]"):  # three labels, and a span has two
        get_assignment_map_from_checkpoint(tf1.trainable_variables(), source.prefix, renames=asked)
    found, _ = get_assignment_map_from_checkpoint(
        tf1.trainable_variables(), source.prefix, renames={"teacher/": "student/"}
    )
    assert found["teacher/bert/pooler/dense/bias"] == "student/bert/pooler/dense/bias"
    init_from_checkpoint(source.prefix, found)
    expected = {
        name.replace("teacher/", "student/"): value for name, value in read_by_tensorflow(tf, source.prefix).items()
    }
    with session(tf) as opened:
        set_ = {name: value for name, value in values(tf, opened).items() if "cls/squad" not in name}
        assert_equal(set_, expected)


def test_one_tensor_for_two_towers_is_two_maps(built):
    source = built(head=None)
    graph(head=None, scope="query/")
    graph(head=None, scope="answer/")
    tvars = tf1.trainable_variables()
    with pytest.raises(WarmStartError, match=r'scope="answer"; and scope="query" in a call of its own for the others'):
        get_assignment_map_from_checkpoint(tvars, source.prefix)
    reports: list[object] = []
    get_assignment_map_from_checkpoint(tvars, source.prefix, scope="query", report=reports.append)
    assert "39 variables are outside of the scope, and are not set by this call: answer/bert/" in str(reports[0])
    for scope in ("query", "answer"):
        init_from_checkpoint(source.prefix, get_assignment_map_from_checkpoint(tvars, source.prefix, scope=scope)[0])
    expected = read_by_tensorflow(tf, source.prefix)
    with session(tf) as opened:
        found = values(tf, opened)
    for scope in ("query/", "answer/"):
        assert_equal({name.removeprefix(scope): found[name] for name in found if name.startswith(scope)}, expected)
    with pytest.raises(WarmStartError, match="would both start from"):
        get_assignment_map_from_checkpoint(tvars, source.prefix, renames={"": "query/", "bert/": "answer/bert/"})


@pytest.mark.parametrize("name", ["bert/pooler/dense/bias", "bert/pooler/dense/bias:0"])
@pytest.mark.parametrize("as_pairs", [False, True])
def test_a_map_takes_names_with_and_without_their_output(built, name, as_pairs):
    source = built(head=None)
    graph(head=None, seed=7)
    asked = {"bert/pooler/dense/bias": name}
    init_from_checkpoint(source.prefix, list(asked.items()) if as_pairs else asked)
    with session(tf) as opened:
        expected = read_by_tensorflow(tf, source.prefix)
        assert (values(tf, opened)["bert/pooler/dense/bias"] == expected["bert/pooler/dense/bias"]).all()


@pytest.mark.parametrize("hugging_face", [False, True])
def test_a_map_takes_variables_parts_and_prefixes(built, hugging_face, tmp_path):
    source = built(head="pretraining")
    path = bridgeckpt.convert(source.directory, tmp_path / "hf").path if hugging_face else source.prefix
    graph(head="pretraining", seed=7, scope="student/", partitions=2)
    variables = {variable.name: variable for variable in tf1.trainable_variables()}
    parts = [variables[f"student/bert/pooler/dense/kernel/part_{number}:0"] for number in range(2)]
    init_from_checkpoint(
        path,
        {
            "bert/pooler/dense/kernel": parts,
            "bert/pooler/dense/bias": "student/bert/pooler/dense/bias",
            "bert/encoder/": "student/bert/encoder/",
        },
    )
    expected = read_by_tensorflow(tf, source.prefix)
    with session(tf) as opened:
        found = {name.removeprefix("student/"): value for name, value in values(tf, opened).items()}
    assert_equal({name: found[name] for name in found if name.startswith(("bert/encoder/", "bert/pooler/"))}, expected)
    assert not (found["bert/embeddings/word_embeddings"] == expected["bert/embeddings/word_embeddings"]).any()


@pytest.mark.parametrize("hugging_face", [False, True])
def test_one_layer_may_start_from_another(built, hugging_face, tmp_path):
    source = built(head=None)
    path = bridgeckpt.convert(source.directory, tmp_path / "hf").path if hugging_face else source.prefix
    graph(head=None, layers=1, seed=7)
    init_from_checkpoint(
        path, {"bert/embeddings/": "bert/embeddings/", "bert/encoder/layer_1/": "bert/encoder/layer_0/"}
    )
    expected = {
        name.replace("layer_1", "layer_0"): value
        for name, value in read_by_tensorflow(tf, source.prefix).items()
        if "layer_0" not in name
    }
    with session(tf) as opened:
        found = values(tf, opened)
    assert_equal({name: value for name, value in found.items() if "pooler" not in name}, expected)


@pytest.mark.parametrize("hugging_face", [False, True])
@pytest.mark.parametrize("chosen", [(0, 2, 4), (1, 3, 5), (5, 3, 0), (4,)])
def test_a_student_starts_from_some_of_the_layers(built, chosen, hugging_face, tmp_path):
    source = built(head=None, layers=6)
    path = bridgeckpt.convert(source.directory, tmp_path / "hf").path if hugging_face else source.prefix
    graph(head=None, layers=3, seed=7)
    theirs = {f"bert/encoder/layer_{number}/": f"bert/encoder/layer_{at}/" for at, number in enumerate(chosen)}
    init_from_checkpoint(path, {"bert/embeddings/": "bert/embeddings/", **theirs})
    stored = read_by_tensorflow(tf, source.prefix)
    expected = {name: value for name, value in stored.items() if name.startswith("bert/embeddings/")}
    for name, value in stored.items():
        for before, after in theirs.items():
            if name.startswith(before):
                expected[after + name.removeprefix(before)] = value
    with session(tf) as opened:
        found = values(tf, opened)
    assert len(expected) == 5 + 16 * len(chosen)
    assert_equal({name: found[name] for name in expected}, expected)


@pytest.mark.parametrize("hugging_face", [False, True])
def test_a_layer_that_is_not_there_is_named(built, hugging_face, tmp_path):
    source = built(head=None)
    path = bridgeckpt.convert(source.directory, tmp_path / "hf").path if hugging_face else source.prefix
    graph(head=None, layers=3, seed=7)
    with pytest.raises(WarmStartError, match=r"layer[_.]6[/.].* is not there") as caught:
        init_from_checkpoint(path, {"bert/encoder/layer_6/": "bert/encoder/layer_2/"})
    assert len(caught.value.report.unmatched) == 16


def test_the_root_is_a_prefix(built):
    source = built(head="pretraining")
    graph(head="pretraining", seed=7, scope="student/")
    init_from_checkpoint(source.prefix, {"/": "student/"})
    with session(tf) as opened:
        found = {name.removeprefix("student/"): value for name, value in values(tf, opened).items()}
    assert_equal(found, read_by_tensorflow(tf, source.prefix))
