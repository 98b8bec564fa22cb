"""What TensorFlow's class computes whatever its config says: entries of a table of rules, applied to configs."""

from __future__ import annotations

import pytest

from bridgeckpt.errors import TableError
from bridgeckpt.mapping.tables.rules import load_rules
from bridgeckpt.planning.by_rules.computed import corrected

HEAD = 'schema = 1\ntitle = "t"\nnames = "variable"\nfront = [""]\n'
NOW = {"model_type": "toy", "transformers_version": "4.49.0"}


@pytest.fixture
def applied(tmp_path):
    """Applies the entries of the model toy to a config of the class ToyForMaskedLM."""

    def apply(entries, config, name="ToyForMaskedLM", general=""):
        path = tmp_path / "rules.toml"
        path.write_text(f"{HEAD}computes = [{general}]\n[model.toy]\ncomputes = [{entries}]\n")
        return corrected(config, load_rules(path), name, "ToyModel")

    return apply


def test_a_value_that_the_class_does_not_read_is_written_and_told(applied):
    done = applied('{ values = { scaled = true }, reason = "it always scales" }', {**NOW, "scaled": False})
    assert done.values["scaled"] is True
    assert done.warnings == ("scaled = true is written, not false: it always scales",)
    assert done.assumed == {}
    assert "it always scales" in done.provenance["scaled"]


def test_a_key_that_has_to_be_null_is_written_as_null_and_told(applied):
    entry = '{ none = ["pad"], reason = "it reads no padding" }'
    done = applied(entry, {**NOW, "pad": 0})
    assert done.values["pad"] is None
    assert done.warnings == ("pad = null is written, not 0: it reads no padding",)
    assert not applied(entry, NOW).warnings


@pytest.mark.parametrize("stated", [{"scaled": True}, {}])
def test_nothing_is_told_if_the_config_does_not_contradict(applied, stated):
    done = applied('{ values = { scaled = true }, reason = "it always scales" }', {**NOW, **stated})
    assert done.values["scaled"] is True
    assert not done.warnings


def test_a_key_of_which_the_class_reads_another(applied):
    entry = '{ same = { layers = "encoder_layers" }, reason = "it reads encoder_layers" }'
    done = applied(entry, {**NOW, "layers": 3, "encoder_layers": 2})
    assert done.values["layers"] == 2
    assert done.warnings == ("layers = 2 is written, not 3: it reads encoder_layers",)
    assert applied(entry, {**NOW, "layers": 3}).values["layers"] == 3


def test_a_refusal_names_the_key_and_the_class_without_the_head(applied):
    entry = '{ class = "Toy*LM", when = { tied = [true] }, refused = true, reason = "it scales its logits" }'
    (problem,) = applied(entry, {**NOW, "tied": True}).problems
    assert (problem.kind, problem.subject, problem.details) == ("refused", "tied = true", ("it scales its logits",))
    assert 'architecture="ToyModel"' in problem.hint
    assert not applied(entry, {**NOW, "tied": False}).problems
    assert not applied(entry, NOW).problems
    assert not applied(entry, {**NOW, "tied": True}, "ToyForTokenClassification").problems


def test_a_refusal_of_every_class_asks_for_the_config(applied):
    entry = '{ unless = { act = "gelu" }, refused = true, reason = "r" }'
    (problem,) = applied(entry, {**NOW, "act": "relu"}).problems
    assert "config=FILE" in problem.hint
    assert not applied(entry, NOW).problems


def test_a_doubt_is_a_warning_about_its_key(applied):
    done = applied(
        '{ when = { act = "gelu" }, doubt = ["act"], reason = "it is another gelu" }', {**NOW, "act": "gelu"}
    )
    assert list(done.assumed) == ["act"]
    assert "it is another gelu" in done.assumed["act"]
    assert done.values["act"] == "gelu"


@pytest.mark.parametrize(
    ("version", "written", "left_open"), [("3.5.1", True, False), ("4.0.0", False, False), (None, True, True)]
)
def test_entries_of_old_versions(applied, version, written, left_open):
    config = {"model_type": "toy", "masked": True} | ({"transformers_version": version} if version else {})
    done = applied('{ until = "4.0", values = { masked = false }, reason = "it had no mask" }', config)
    assert done.values["masked"] is not written
    assert list(done.assumed) == ["masked"] * left_open
    assert len(done.warnings) == (written and not left_open)


def test_entries_of_new_versions_do_not_hold_for_an_unknown_one(applied):
    entry = '{ since = "4.2", values = { masked = false }, reason = "r" }'
    assert applied(entry, {"model_type": "toy", "masked": True}).values["masked"] is True
    assert applied(entry, {**NOW, "masked": True}).values["masked"] is False


def test_a_refusal_of_a_version_that_is_not_known_is_a_doubt(applied):
    entry = '{ until = "4.0", when = { decoder = true }, refused = true, reason = "it had no mask" }'
    done = applied(entry, {"model_type": "toy", "decoder": True})
    assert not done.problems
    assert list(done.assumed) == ["decoder"]


def test_a_model_inside_the_model_has_its_own_entries(applied):
    config = {"model_type": "pair", "transformers_version": "4.49.0", "encoder": {"model_type": "toy", "scaled": False}}
    done = applied('{ values = { scaled = true }, reason = "it always scales" }', config)
    assert done.values["encoder"] == {"model_type": "toy", "scaled": True}
    assert done.warnings == ("encoder.scaled = true is written, not false: it always scales",)


def test_entries_of_every_model(applied):
    done = applied("", {**NOW, "chunk": 2}, general='{ values = { chunk = 0 }, reason = "r" }')
    assert done.values["chunk"] == 0


def test_an_entry_sees_what_those_before_it_wrote(applied):
    entries = '{ values = { act = "gelu" }, reason = "a" }, { when = { act = "gelu" }, doubt = ["act"], reason = "b" }'
    assert list(applied(entries, {**NOW, "act": "relu"}).assumed) == ["act"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('{ reason = "r" }', "has one outcome, not none"),
        ('{ reason = "r", refused = true, doubt = ["a"] }', "not refused and doubt"),
        ("{ refused = true }", "is missing or empty"),
        ('{ refused = true, reason = "r", until = "four" }', "not a version"),
    ],
)
def test_an_entry_that_is_not_well_formed_is_refused(applied, entry, message):
    with pytest.raises(TableError, match=message):
        applied(entry, NOW)


def test_a_key_that_is_not_about_the_class_is_not_written(applied):
    entry = '{ without = ["loads"], reason = "it tells how to load it" }'
    done = applied(entry, {**NOW, "loads": "fast"})
    assert "loads" not in done.values
    assert done.warnings == ('loads is not written, which says "fast": it tells how to load it',)
    assert not applied(entry, {**NOW, "loads": None}).warnings


def test_a_condition_may_be_about_an_inner_config_and_a_refusal_may_say_what_to_do(applied):
    entry = '{ unless = { "decoder.eps" = 1e-5 }, refused = true, reason = "r", hint = "give {config:FILE}" }'
    (problem,) = applied(entry, {**NOW, "decoder": {"eps": 0.1}}).problems
    assert (problem.subject, problem.hint) == ("decoder.eps = 0.1", "give config=FILE")
    for inner in ({"eps": 1e-5}, {}, None, []):
        assert not applied(entry, {**NOW, "decoder": inner}).problems
