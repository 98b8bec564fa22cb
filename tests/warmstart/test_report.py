"""What a person is told: the documented mistakes of google-research/bert's function, and the way out of each."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import FIXTURES
from tfbert import graph

import bridgeckpt
from bridgeckpt.errors import BridgeckptError, CheckpointError
from bridgeckpt.tf import WarmStartError, get_assignment_map_from_checkpoint, init_from_checkpoint
from bridgeckpt.warmstart.answer import Wanted
from bridgeckpt.warmstart.matching import Request, match_variables
from bridgeckpt.warmstart.prefixes import likely_changes
from bridgeckpt.warmstart.renaming import Renaming

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

pytestmark = pytest.mark.slow

SIZES = {"vocab": 225, "positions": 64, "intermediate": 112}  # of examples/tiny-bert


@pytest.fixture(autouse=True)
def in_a_graph():
    with tf.Graph().as_default():
        yield


def refused(path, **options):
    with pytest.raises(WarmStartError) as caught:
        get_assignment_map_from_checkpoint(tf1.trainable_variables(), path, **options)
    return caught.value


def text(error):
    """The message on one line."""
    return " ".join(str(error).split())


def test_a_scope_that_the_checkpoint_lacks(example):
    graph(head=None, scope="student/", **SIZES)
    told = refused(example)
    assert text(told).startswith("nothing would be warm-started: ")
    assert "unmatched student/bert/embeddings/word_embeddings [225, 36]" in text(told)
    assert "not there; the nearest: bert/embeddings/word_embeddings" in text(told)
    assert "student/bert/encoder/layer_{0..1}/attention/self/query/kernel [36, 36]" in text(told)
    assert told.hint == 'the checkpoint has 39 of them without "student/": scope="student"'
    assert len(told.report.unmatched) == 39
    assert not told.report.matched
    get_assignment_map_from_checkpoint(tf1.trainable_variables(), example, scope="student", strict=True)


def test_a_scope_that_the_graph_lacks(built):
    source = built(head="classifier", scope="teacher/")
    graph(head="classifier")
    told = refused(source.prefix)
    assert told.hint == "the checkpoint has 41 of them under another prefix: renames={'teacher/': ''}"
    found, _ = get_assignment_map_from_checkpoint(
        tf1.trainable_variables(), source.prefix, renames={"teacher/": ""}, strict=True
    )
    assert found["teacher/output_bias"] == "output_bias"


def test_two_other_scopes(built):
    source = built(head="classifier", scope="teacher/")
    graph(head="classifier", scope="student/")
    told = refused(source.prefix)
    assert told.hint.endswith("under another prefix: renames={'teacher/': 'student/'}")


def test_a_scope_that_nothing_is_under(example):
    graph(head=None, scope="student/", **SIZES)
    told = refused(example, scope="teacher")
    assert told.message == "none of the 39 variables is below teacher/"
    assert told.hint.startswith("they are below student/bert; ")
    assert told.hint.endswith('scope="student"')
    assert "nothing would be warm-started" in refused(example, scope="student/bert").message


def test_no_variables(example):
    assert "there are no variables" in refused(example).message
    assert get_assignment_map_from_checkpoint([], example, strict=False) == ({}, {})


def test_nothing_in_common(example):
    tf1.get_variable("my_model/dense/kernel", (36, 36))
    tf1.get_variable("step", ())
    told = refused(example)
    assert "unmatched my_model/dense/kernel [36, 36]" in text(told)
    assert "the nearest: bert/" in text(told)
    assert "its names were not translated: no mapping table recognises" in text(told)


@pytest.mark.parametrize("hugging_face", [False, True])
def test_shapes(example, example_folder, hugging_face):
    graph(head="pretraining", **{**SIZES, "intermediate": 80})
    told = refused(example_folder if hugging_face else example)
    assert "does not fit 6 of 46 variables" in told.message
    assert "shape bert/encoder/layer_{0..1}/intermediate/dense/kernel [36, 80]" in text(told)
    there = (
        "bert.encoder.layer.0.intermediate.dense.weight is [112, 36], and would have to be [80, 36]"
        if hugging_face
        else "bert/encoder/layer_0/intermediate/dense/kernel is [36, 112]"
    )
    assert there in text(told)
    assert "new=" in told.hint
    mismatch = told.report.mismatched[0]
    assert (mismatch.shape, mismatch.found) == ((36, 80), (112, 36) if hugging_face else (36, 112))


def test_a_head_of_other_labels_may_be_declared_new(built):
    source = built(head="classifier", labels=5)
    graph(head="classifier", labels=3)
    assert "output_weights [3, 36]" in text(refused(source.prefix))
    found, _ = get_assignment_map_from_checkpoint(
        tf1.trainable_variables(), source.prefix, strict=True, new=["output_*"]
    )
    assert len(found) == 39


def test_a_variable_without_a_value_is_said_aloud(example, example_folder, caplog):
    graph(head="squad", **SIZES)
    for path in (example, example_folder):
        caplog.clear()
        get_assignment_map_from_checkpoint(tf1.trainable_variables(), path)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.name == "bridgeckpt.tf"
        said = " ".join(record.getMessage().split())
        assert said.startswith("warm start: 39 of 41 variables from ")
        assert "keep their initial values: unmatched cls/squad/output_weights [2, 36]" in said
    assert "it would be PyTorch's qa_outputs.weight, which is not there" in said


def test_a_head_of_another_task_is_no_other_prefix(example):
    """A classifier's output_weights and the next-sentence head's are both called so."""
    graph(head="classifier", **SIZES)
    told = refused(example, strict=True)
    assert "new=" in told.hint
    assert "renames" not in told.hint


def test_renames_the_wrong_way_round(example):
    graph(head=None, scope="student/", **SIZES)
    assert 'scope="student"' in refused(example, renames={"student/": ""}).hint


def test_two_towers_in_the_graph(example_folder):
    for scope in ("student/", "teacher/"):
        graph(head=None, scope=scope, **SIZES)
    told = text(refused(example_folder))
    assert "the program holds 2 models of dialect bert/google: scope = 'student/' scope = 'teacher/'" in told
    assert "scope= chooses one of several models" in told
    assert "reading" not in told  # which is about the checkpoint
    assert len(get_assignment_map_from_checkpoint(tf1.trainable_variables(), example_folder, scope="student")[0]) == 39


@pytest.mark.parametrize("hugging_face", [False, True])
@pytest.mark.parametrize("smaller_first", [False, True])
def test_towers_of_two_sizes_that_start_from_one_model(example, example_folder, hugging_face, smaller_first):
    """What fits one of them says nothing of the other."""
    towers = [{"scope": "student/", **SIZES, "intermediate": 80}, SIZES]
    for options in towers if smaller_first else reversed(towers):
        graph(head=None, resource=True, **options)
    with pytest.raises(WarmStartError, match="does not fit 6 of 78 variables") as caught:
        init_from_checkpoint(
            example_folder if hugging_face else example, [("bert/", "student/bert/"), ("bert/", "bert/")]
        )
    unfit = {one.variable: one.shape for one in caught.value.report.mismatched}
    assert len(unfit) == 6
    assert all(name.startswith("student/") and 80 in shape for name, shape in unfit.items())


def test_a_head_alone_is_no_head_of_another_task(example):
    """Advice that could be followed and would be wrong is none."""
    tf1.get_variable("output_weights", (2, 36))
    tf1.get_variable("output_bias", (2,))
    assert "renames={" not in refused(example).hint
    for name, shape in (("kernel", (36, 36)), ("bias", (36,))):
        tf1.get_variable(f"adapter/dense/{name}", shape)
    assert "renames={" not in refused(example, scope="adapter").hint


def test_everything_declared_new(example):
    graph(head=None, **SIZES)
    with pytest.raises(WarmStartError, match="all 39 variables are declared new") as caught:
        get_assignment_map_from_checkpoint(tf1.trainable_variables(), example, new="*")
    assert "new=" in caught.value.hint


def test_a_variable_of_another_graph(example):
    variable = tf1.get_variable("bert/pooler/dense/bias", (36,))
    with tf.Graph().as_default(), pytest.raises(BridgeckptError, match="a variable of another graph") as caught:
        tf1.get_variable("other", ())
        init_from_checkpoint(example, {"bert/pooler/dense/bias": variable})
    assert "as_default" in caught.value.hint


def test_signs_that_tensorflow_takes_for_patterns(tmp_path):
    """It would set what lies in run1, where there is one."""
    for value, folder in ((1.0, "run1"), (2.0, "elsewhere")):
        (tmp_path / folder).mkdir()
        with tf.Graph().as_default(), tf1.Session() as opened:
            opened.run(tf1.get_variable("a", initializer=value).initializer)
            saver = tf1.train.Saver(write_version=tf1.train.SaverDef.V1)
            saver.save(opened, str(tmp_path / folder / "model.ckpt"), write_state=False)
    (tmp_path / "elsewhere").rename(tmp_path / "run[1]")
    variable = tf1.get_variable("a", ())
    init_from_checkpoint(tmp_path / "run[1]" / "model.ckpt", {"a": "a"})
    with tf1.Session() as opened:
        opened.run(variable.initializer)
        assert opened.run(variable) == 2.0


def test_new_may_be_below_the_scope(example):
    graph(head="classifier", scope="student/", **SIZES)
    tvars = tf1.trainable_variables()
    for new in ("output_*", "student/output_*"):
        found, _ = get_assignment_map_from_checkpoint(tvars, example, scope="student", new=new, strict=True)
        assert len(found) == 39
    with pytest.raises(BridgeckptError, match="new has 'outptu_weights'") as caught:
        get_assignment_map_from_checkpoint(tvars, example, scope="student", new="outptu_weights")
    assert "output_weights" in caught.value.hint


def test_strictness_is_refusing_a_variable_without_a_value(example):
    graph(head="squad", **SIZES)
    told = refused(example, strict=True)
    assert "does not fit 2 of 41 variables" in told.message
    assert "nearest: cls/seq_relationship/output_weights" in told.message
    get_assignment_map_from_checkpoint(
        tf1.trainable_variables(), example, strict=True, new=["cls/squad/output_weights", "cls/squad/output_bias"]
    )
    with pytest.raises(BridgeckptError, match="new has 'squad/\\*'"):
        get_assignment_map_from_checkpoint(tf1.trainable_variables(), example, new=["squad/*"])


def test_the_report_has_everything(built):
    source = built(head="pretraining", slots="adamw", step=300)
    graph(head="classifier")
    reports = []
    get_assignment_map_from_checkpoint(tf1.trainable_variables(), source.prefix, report=reports.append)
    (report,) = reports
    assert report.checkpoint == source.prefix
    assert len(report.matched) == 39
    assert report.matched[0].sources == (report.matched[0].variable,)
    assert [one.variable for one in report.unmatched] == ["output_weights", "output_bias"]
    assert report.nearest("output_weights") == ["cls/seq_relationship/output_weights"]
    assert report.slots == 92  # two for each weight in the checkpoint
    weights = {name for name in source.variables if not name.endswith(("/adam_m", "/adam_v"))}
    assert set(report.unused) == {name for name in weights if name.startswith("cls/")}  # and no global_step
    said = str(report)
    assert "bert/encoder/layer_{0..1}/attention/self/query/kernel" in said
    assert "unused     92 tensors of optimizer state" in said


@pytest.mark.parametrize(
    ("given_map", "message"),
    [
        ({"bert/pooler/dense/bias": "bert/pooler/dense/bais"}, "the graph has no variable bert/pooler/dense/bais"),
        ({"bert/": "student/"}, "the graph has no variable student/..."),
        ({"bert/pooler/dense/bais": "bert/pooler/dense/bias"}, "has none of the variables"),
        ({"bert/pooler/dense/kernel": "bert/pooler/dense/bias"}, "does not fit 1 of 1 variables"),
        ({"bert/pooler/": "bert/pooler"}, "the graph has no variable bert/pooler"),
        (({"bert/": "bert/"}, {}), "is not an assignment map"),
        ({}, "the assignment map is empty"),
        (None, "None is not an assignment map"),
        ({1: "bert/pooler/dense/bias"}, "is not an assignment map"),
    ],
)
def test_a_wrong_map(example, given_map, message):
    graph(head=None, **SIZES)
    with pytest.raises(BridgeckptError) as caught:
        init_from_checkpoint(example, given_map)
    assert message in caught.value.message
    assert caught.value.hint


def test_a_list_that_is_no_partitioned_variable(example):
    graph(head=None, **SIZES)
    with pytest.raises(BridgeckptError, match="a list of 39 variables stands for one"):
        init_from_checkpoint(example, {"bert/pooler/dense/bias": tf1.trainable_variables()})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"stric": True}, TypeError, 'has no option "stric"; did you mean "strict"?'),
        ({"strict": "yes"}, BridgeckptError, 'strict must be True or False, not "yes"'),
        ({"report": "print"}, BridgeckptError, 'report must be a function, not "print"'),
        ({"scope": 1}, BridgeckptError, "scope must be text, not 1"),
        ({"renames": [("a/", "b/")]}, BridgeckptError, "renames must be a dict, not "),
        ({"renames": {"a/": None}}, BridgeckptError, "renames must be a dict, not "),
        ({"new": [1]}, BridgeckptError, "new must be text or a list of text, not [1]"),
        ({"reading": {"head": 3}}, TypeError, 'reading has no option "head"; did you mean "heads"?'),
        ({"reading": "heads"}, BridgeckptError, 'reading must be a dict, not "heads"'),
        ({"reading": {"heads": "three"}}, BridgeckptError, "reading['heads'] must be a whole number, not \"three\""),
        ({"reading": {"heads": -1}}, BridgeckptError, "reading['heads'] must be at least 1, not -1"),
        ({"new": 3}, BridgeckptError, "new must be text or a list of text, not 3"),
    ],
)
def test_options_that_cannot_be(example, options, error, message):
    graph(head=None, **SIZES)
    tvars = tf1.trainable_variables()
    for call in (
        lambda: get_assignment_map_from_checkpoint(tvars, example, **options),
        lambda: bridgeckpt.tf.assign(tvars, example, session=object(), **options),
        lambda: bridgeckpt.tf.WarmStartHook(example, **options),
        lambda: bridgeckpt.tf.scaffold_fn(example, **options),
    ):
        with pytest.raises(error) as caught:
            call()
        assert message in str(caught.value)


def test_one_pattern_needs_no_list(example):
    graph(head="classifier", **SIZES)
    get_assignment_map_from_checkpoint(tf1.trainable_variables(), example, strict=True, new="output_*")


def test_an_operation_that_was_made_too_early_is_said_aloud(example, example_folder, caplog):
    """TensorFlow's own function replaces initialisers for whoever asks for them later, and says nothing."""
    for path in (example, example_folder):
        with tf.Graph().as_default():
            graph(head=None, **SIZES)
            tf1.global_variables_initializer()
            caplog.clear()
            init_from_checkpoint(path, {"bert/": "bert/"})
        assert "'init' was made before the warm start" in caplog.text
        with tf.Graph().as_default():
            graph(head=None, **SIZES)
            caplog.clear()
            init_from_checkpoint(path, {"bert/": "bert/"})
            tf1.global_variables_initializer()
        assert not caplog.text


def test_a_finalised_graph_takes_no_initialisers(example):
    graph(head=None, **SIZES)
    tf1.get_default_graph().finalize()
    with pytest.raises(BridgeckptError, match="finalised") as caught:
        init_from_checkpoint(example, {"bert/": "bert/"})
    assert "WarmStartHook" in caught.value.hint


def test_paths_and_files(example, tmp_path):
    graph(head=None, **SIZES)
    tvars = tf1.trainable_variables()
    with pytest.raises(CheckpointError, match="does not exist"):
        get_assignment_map_from_checkpoint(tvars, tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="is an address, not a path"):
        get_assignment_map_from_checkpoint(tvars, "gs://bucket/bert_model.ckpt")
    (tmp_path / "bert_model.ckpt.index").write_bytes((example / "bert_model.ckpt.index").read_bytes())
    with pytest.raises(CheckpointError, match="incomplete"):
        get_assignment_map_from_checkpoint(tvars, tmp_path)
    with bridgeckpt.open_checkpoint(example) as opened:
        assert len(get_assignment_map_from_checkpoint(tvars, opened)[0]) == 39


def test_two_models_in_the_source_are_told_by_reading(built, tmp_path):
    """google's names twice, for the variables of Model Garden: which of the two is not for us to say."""
    from tfbert import merged

    one, other = built(head=None, seed=1), built(head=None, seed=2)
    both = merged(tmp_path / "both.ckpt", ("a/", one.variables), ("b/", other.variables))
    layout = bridgeckpt.plan(FIXTURES / "hub_tf2_module" / "source")
    shapes = {
        name: layout.checkpoint.tensors[name].shape
        for name, state in layout.ledger.sources.items()
        if state == "mapped"
    }
    wanted = {name: Wanted(shape, "float32") for name, shape in shapes.items()}
    keys = {name: name for name in wanted}
    report = match_variables(both, Request(keys, wanted, {}, (), {})).report
    assert not report.matched
    assert any("holds 2 models of dialect bert/google" in note for note in report.notes)
    assert any('choose one with reading["scope"]' in note for note in report.notes)
    report = match_variables(both, Request(keys, wanted, {}, (), {"scope": "b", "heads": 3})).report
    assert len(report.mismatched) == 39  # that model is larger; but it was found


NAMES = st.lists(st.sampled_from(["bert", "dense", "kernel", "a", "b"]), min_size=1, max_size=4).map("/".join)


@given(st.sets(NAMES, min_size=2, max_size=8), st.sampled_from(["student", "x/y"]))
def test_a_change_of_prefix_finds_as_many_names_as_it_says(names, scope):
    asked = [f"{scope}/{name}" for name in sorted(names)]
    if names & set(asked):
        return
    changes = likely_changes(asked, names)
    assert (f"{scope}/", "", len(names)) in changes or len(names) < 3
    for ours, theirs, found in changes:
        renaming = Renaming.parse(None, {theirs: ours})
        assert sum(name.startswith(ours) and renaming.of(name) in names for name in asked) == found


@given(NAMES, NAMES, NAMES)
def test_renaming_takes_the_longest_prefix(theirs, ours, rest):
    renaming = Renaming.parse("top", {f"{theirs}/": f"{ours}/", "exact": f"{ours}/{rest}/one"})
    assert renaming.of(f"top/{ours}/{rest}") == f"{theirs}/{rest}"
    assert renaming.of(f"top/{ours}/{rest}/one") == "exact"
    assert renaming.of(f"{ours}/{rest}") is None or ours.startswith("top")
    assert renaming.of("top/else/where") == "else/where"


@pytest.mark.parametrize("renames", [{"teacher/": "studnt/"}, {"teacher": "student"}, {"a": "output_bais"}])
def test_renames_that_no_variable_has_are_refused(example, renames):
    graph(head=None, scope="student/", **SIZES)
    with pytest.raises(BridgeckptError, match=r"renames has .*, and no variable is called so"):
        get_assignment_map_from_checkpoint(tf1.trainable_variables(), example, renames=renames)


def test_renaming_takes_names_with_their_output():
    assert Renaming.parse(None, {"a:0": "b:0"}).of("b") == "a"
    with pytest.raises(BridgeckptError, match="two names of the checkpoint for 'x'"):
        Renaming.parse(None, {"a": "x", "b": "x:0"})


def test_renaming_refuses_a_prefix_for_a_name():
    with pytest.raises(BridgeckptError, match="a prefix and a name"):
        Renaming.parse(None, {"teacher/": "student"})
