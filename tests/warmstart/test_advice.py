"""A body without values is refused whatever else matched, and each hint works when it is followed."""

from __future__ import annotations

import ast
import re

import numpy as np
import pytest
from tfbert import graph, merged

import bridgeckpt
from bridgeckpt.tf import WarmStartError, assign, get_assignment_map_from_checkpoint, init_from_checkpoint

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

pytestmark = pytest.mark.slow

SIZES = {"vocab": 64, "positions": 16, "hidden": 24, "intermediate": 40}
OPTION = re.compile(r"\b(scope|renames|new|reading)=(\"[^\"]*\"|\{.*?\}\}?|\[.*?\])")


@pytest.fixture(autouse=True)
def in_a_graph():
    with tf.Graph().as_default():
        yield


def start(path, **options):
    return get_assignment_map_from_checkpoint(tf1.trainable_variables(), path, **options)[0]


def refused(path, **options):
    with pytest.raises(WarmStartError) as caught:
        start(path, **options)
    return caught.value


def advised(hint):
    """The options of each piece of advice in a hint."""
    pieces = [dict(OPTION.findall(piece)) for piece in hint.split("; ")]
    return [{name: ast.literal_eval(value) for name, value in piece.items()} for piece in pieces if piece]


def moved(tmp_path, variables, move):
    """A checkpoint with the variables under other names."""
    return merged(tmp_path / "moved.ckpt", ("", {move(name): value for name, value in variables.items()}))


def below(prefix, *, but=()):
    """The change of a name to one below a prefix, but for some."""
    return lambda name: name if name.startswith(but) else prefix + name


@pytest.mark.parametrize("head", ["classifier", "pretraining", "nsp", "squad"])
@pytest.mark.parametrize("scope", ["student/", "module/tower_1/"])
def test_an_encoder_of_another_scope_is_refused_though_the_head_matches(built, tmp_path, head, scope):
    source = built(head=head, **SIZES)
    path = moved(tmp_path, source.variables, below(scope, but=("output", "cls/")))
    graph(head=head, **SIZES)
    told = refused(path)
    assert "of the model's embeddings and layers would keep their initial values" in told.message
    (options,) = advised(told.hint)
    assert options == {"renames": {f"{scope}bert/": "bert/"}}
    assert len(start(path, strict=True, **options)) == len(tf1.trainable_variables())


def test_a_scope_of_the_program_over_the_encoder_alone(built):
    source = built(head="classifier", **SIZES)
    graph(head=None, scope="student/", **SIZES)
    tf1.get_variable("output_weights", (3, 24))
    tf1.get_variable("output_bias", (3,))
    (options,) = advised(refused(source.prefix).hint)
    assert options == {"renames": {"bert/": "student/bert/"}}  # scope="student" would leave the head out
    assert len(start(source.prefix, strict=True, **options)) == 41


def test_a_counter_that_matches_is_no_warm_start(built, tmp_path):
    source = built(head=None, slots="adamw", **SIZES)
    path = moved(tmp_path, source.variables, below("student/", but=("global_step",)))
    graph(head=None, **SIZES)
    tf1.get_variable("global_step", (), source.variables["global_step"].dtype)
    (options,) = advised(refused(path).hint)
    assert len(start(path, strict=True, **options)) == 40


def test_two_prefixes_are_advised_together(built, tmp_path):
    source = built(head="pretraining", **SIZES)
    path = moved(tmp_path, source.variables, lambda name: ("heads/" if name.startswith("cls") else "model/") + name)
    graph(head="pretraining", **SIZES)
    (options,) = advised(refused(path).hint)
    assert options == {"renames": {"model/": "", "heads/cls/": "cls/"}}
    assert len(start(path, strict=True, **options)) == 46


def test_a_head_of_other_labels_under_another_prefix(built, tmp_path):
    """The prefix alone would end in another refusal: of shapes."""
    source = built(head="classifier", labels=5, **SIZES)
    path = moved(tmp_path, source.variables, below("student/"))
    graph(head="classifier", labels=3, **SIZES)
    (options,) = advised(refused(path).hint)
    assert options == {"renames": {"student/": ""}, "new": ["output_bias", "output_weights"]}
    assert len(start(path, strict=True, **options)) == 39


def test_a_model_of_another_size_under_another_prefix_is_not_advised(built, tmp_path):
    source = built(head=None, **{**SIZES, "hidden": 36})
    path = moved(tmp_path, source.variables, below("student/"))
    graph(head=None, **SIZES)
    hint = refused(path).hint
    assert advised(hint) == []
    assert "is it the checkpoint of this model?" in hint


def test_the_model_that_fits_is_advised_of_two(built, tmp_path):
    one, other = built(head=None, **SIZES), built(head=None, **{**SIZES, "intermediate": 56})
    path = merged(tmp_path / "both.ckpt", ("large/", other.variables), ("small/", one.variables))
    graph(head=None, **SIZES)
    assert advised(refused(path).hint) == [{"renames": {"small/": ""}}]
    path = merged(tmp_path / "both.ckpt", ("first/", one.variables), ("second/", one.variables))
    assert advised(refused(path).hint) == [{"renames": {"first/": ""}}, {"renames": {"second/": ""}}]


def test_the_model_that_fits_is_read_of_two_through_a_table(built, tmp_path):
    """google's names twice, and the program has those of Model Garden."""
    one, other = built(head=None, layers=1, **SIZES), built(head=None, layers=1, **{**SIZES, "intermediate": 56})
    path = merged(tmp_path / "both.ckpt", ("large/", other.variables), ("small/", one.variables))
    layer = "transformer/layer_0"
    shapes = {
        "word_embeddings/embeddings": (64, 24),
        "position_embedding/embeddings": (16, 24),
        "type_embeddings/embeddings": (2, 24),
        f"{layer}/self_attention_layer_norm/gamma": (24,),
        f"{layer}/intermediate/kernel": (24, 40),
    }
    for name, shape in shapes.items():
        tf1.get_variable(name, shape)
    told = refused(path)
    (options,) = advised(told.hint)
    assert options == {"reading": {"scope": "small"}}
    assert len(start(path, strict=True, **options)) == 5


@pytest.mark.parametrize("hugging_face", [False, True])
def test_a_deeper_student_says_which_layers_are_new(built, tmp_path, hugging_face):
    source = built(head=None, **SIZES)
    path = bridgeckpt.convert(source.prefix, tmp_path / "hf").path if hugging_face else source.prefix
    graph(head=None, layers=4, **SIZES)
    told = refused(path)
    assert "does not fit 32 of 71 variables" in told.message
    assert advised(told.hint) == [{"new": ["bert/encoder/layer_2/*", "bert/encoder/layer_3/*"]}]
    assert len(start(path, strict=True, **advised(told.hint)[0])) == 39
    assert len(start(path, strict=False)) == 39


def test_a_deeper_student_may_start_from_other_layers(built):
    """Where a name of the checkpoint may be used twice, as in an assignment map it may not."""
    source = built(head=None, **SIZES)
    graph(head=None, layers=3, **SIZES)
    with tf1.Session() as session:
        with pytest.raises(WarmStartError) as caught:
            assign(tf1.trainable_variables(), source.prefix, session=session)
        new, renames = advised(caught.value.hint)
        assert new == {"new": ["bert/encoder/layer_2/*"]}
        assert renames == {"renames": {"bert/encoder/layer_1/": "bert/encoder/layer_2/"}}
        for options, count in ((new, 39), (renames, 55)):
            report = assign(tf1.trainable_variables(), source.prefix, session=session, strict=True, **options)
            assert len(report.matched) == count


def test_a_second_tower_is_to_be_declared_new(built):
    source = built(head=None, **SIZES)
    for scope in ("", "teacher/"):
        graph(head=None, scope=scope, **SIZES)
    told = refused(source.prefix)
    assert advised(told.hint) == [{"new": ["teacher/*"]}]
    assert len(start(source.prefix, strict=True, new=["teacher/*"])) == 39


@pytest.mark.parametrize("head", ["squad", "pretraining", "token"])
def test_a_new_head_stays_a_warning(built, head, caplog):
    source = built(head=None if head == "token" else "classifier", **SIZES)
    graph(head=head, **SIZES)
    assert len(start(source.prefix)) == 39
    assert "these keep their initial values" in caplog.text
    assert "hint" not in caplog.text
    (options,) = advised(refused(source.prefix, strict=True).hint)
    assert list(options) == ["new"]
    assert len(start(source.prefix, strict=True, **options)) == 39


@pytest.mark.parametrize("options", [{"renames": {"bert/": "student/"}}, {"scope": "student"}])
def test_options_the_wrong_way_round(built, tmp_path, options):
    source = built(head="classifier", **SIZES)
    path = moved(tmp_path, source.variables, below("student/"))
    graph(head="classifier", **SIZES)
    with pytest.raises(bridgeckpt.BridgeckptError) as caught:
        start(path, **options)
    (other,) = advised(caught.value.hint)
    assert other == {"renames": {"student/": ""}}


def test_an_unknown_model_without_its_layers_is_refused(tmp_path):
    def below_scope(scope):
        layers = {f"{scope}block_{number}/{name}": (4, 4) for number in range(3) for name in ("a", "b", "c", "d", "e")}
        return {**layers, "head/kernel": (4, 2), "head/bias": (2,)}

    stored = {name: np.zeros(shape, np.float32) for name, shape in below_scope("net/encoder/").items()}
    path = merged(tmp_path / "model.ckpt", ("", stored))
    for name, shape in below_scope("encoder/").items():
        tf1.get_variable(name, shape)
    told = refused(path)
    assert "15 of the model's embeddings and layers would keep their initial values" in told.message
    assert advised(told.hint) == [{"renames": {"net/encoder/": "encoder/"}}]
    assert len(start(path, strict=True, **advised(told.hint)[0])) == 17


@pytest.mark.parametrize("optimizer", ["AdamOptimizer", "MomentumOptimizer"])
def test_optimizer_state_of_the_program_is_no_body(built, optimizer):
    source = built(head=None, layers=4, **SIZES)
    _, outputs = graph(head=None, layers=4, **SIZES)
    arguments = (1e-3, 0.9) if optimizer == "MomentumOptimizer" else (1e-3,)
    getattr(tf1.train, optimizer)(*arguments).minimize(tf.reduce_sum(outputs["pooled_output"]))
    found, _ = get_assignment_map_from_checkpoint(tf1.global_variables(), source.prefix)
    assert len(found) == 71


def test_adapters_of_the_checkpoint_are_no_silent_loss(built, tmp_path, caplog):
    """The encoder is set, and would compute something else than the checkpoint's."""
    source = built(head="classifier", **SIZES)
    adapters = {
        f"bert/encoder/layer_{layer}/output/adapters/{name}/kernel": np.zeros((24, 24), np.float32)
        for layer in range(2)
        for name in ("down", "up")
    }
    path = merged(tmp_path / "model.ckpt", ("", {**source.variables, **adapters}))
    graph(head="squad", **SIZES)
    reports = []
    assert len(start(path, new="cls/squad/*", report=reports.append)) == 39
    assert set(reports[0].inside) == set(adapters)
    start(path, new="cls/squad/*")
    assert "those of the program compute without them" in caplog.text
    assert "bert/encoder/layer_{0..1}/output/adapters/down/kernel" in caplog.text


@pytest.mark.parametrize("part", ["attention/self", "pooler", "layer_1"])
def test_what_a_program_does_not_ask_for_is_no_loss(built, caplog, part):
    source = built(head="classifier", **SIZES)
    graph(head="classifier", **SIZES)
    some = [variable for variable in tf1.trainable_variables() if part in variable.name]
    get_assignment_map_from_checkpoint(some, source.prefix)
    assert not caplog.text


def test_a_frozen_graph_and_a_head_of_its_own_are_sources(tmp_path):
    """Of a tagger with a CRF, whose variables are constants: the encoder is there, and is set."""
    graph(head=None, layers=1, **SIZES)
    tf1.get_variable("crf_loss/transitions", (5, 5))
    names = [variable.op.name for variable in tf1.trainable_variables()]
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        values = dict(zip(names, session.run(tf1.trainable_variables()), strict=True))
        outputs = [variable.op.outputs[0].op.name for variable in tf1.trainable_variables()]
        frozen = tf1.graph_util.convert_variables_to_constants(session, session.graph_def, outputs)
    (tmp_path / "model.pb").write_bytes(frozen.SerializeToString())
    with tf.Graph().as_default():
        graph(head=None, layers=1, scope="student/", **SIZES)
        report = []
        with tf1.Session() as session:
            tvars = tf1.trainable_variables()
            assign(tvars, tmp_path / "model.pb", session=session, scope="student", strict=True, report=report.append)
            for variable in tvars:
                expected = values[variable.op.name.removeprefix("student/")]
                np.testing.assert_array_equal(session.run(variable), expected)
        assert report[0].unused == ("crf_loss/transitions",)


def test_the_prefixes_of_a_map_are_tried_too(built, tmp_path):
    source = built(head="classifier", **SIZES)
    path = moved(tmp_path, source.variables, below("student/", but=("output",)))
    graph(head="classifier", **SIZES)
    for wrong in ({"bert/": "bert/"}, {"teacher/bert/": "bert/"}):
        with pytest.raises(WarmStartError) as caught:
            init_from_checkpoint(path, wrong)
        right = ast.literal_eval(caught.value.hint.rpartition("prefix: ")[2])
        assert right == {"student/bert/": "bert/"}
    init_from_checkpoint(path, right)
    with pytest.raises(WarmStartError, match="does not fit 39 of 41") as caught:
        init_from_checkpoint(path, {"/": "/"})
    init_from_checkpoint(path, {"/": "/", **ast.literal_eval(caught.value.hint.rpartition("prefix: ")[2])})
