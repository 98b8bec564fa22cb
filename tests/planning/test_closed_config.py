"""Every config key that a class needs is told by shapes, a config or a table, or the conversion is refused."""

from __future__ import annotations

import json
import sys

import pytest
from another_stack import SIZES, make_albert, write_tables
from safetensors.numpy import load_file, save_file

import bridgeckpt
from bridgeckpt.errors import PlanError, TableError
from bridgeckpt.mapping.checking.lints import check
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.planning.by_rules.target import config_defaults

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with an ALBERT checkpoint in ``source``, and transformers' model of the same weights."""
    folder = tmp_path_factory.mktemp("albert")
    return folder, make_albert(folder)


@pytest.fixture
def albert(made, tmp_path):
    """The same, with a config of its own."""
    folder, model = made
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.safetensors").symlink_to(folder / "source" / "model.safetensors")
    states(source)
    return source, model


def states(source, *without, **others):
    """Write a config without some keys."""
    values = {key: value for key, value in SIZES.items() if key not in without}
    (source / "config.json").write_text(json.dumps(values | others))


def convert(source, table, **options):
    """The plan, and the config that is written."""
    out = source.parent / "out"
    done = bridgeckpt.convert(source, out, mapping=table, force=True, **options)
    return done.plan, json.loads((out / "config.json").read_text())


def refused(source, table, **options) -> str:
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(source, mapping=table, **options)
    return str(caught.value)


def same(model, out):
    """Whether transformers' model in ``out`` computes what ``model`` does."""
    import torch
    import transformers

    loaded = transformers.AlbertModel.from_pretrained(out).eval()
    ids = torch.arange(2, 12)[None]
    with torch.no_grad():
        return torch.equal(loaded(ids)[0], model(ids)[0])


def test_what_no_tensor_tells_is_read_from_the_config(albert):
    source, model = albert
    plan, config = convert(source, write_tables(source.parent))
    assert config.items() >= SIZES.items()
    assert not plan.sizes.assumed
    assert same(model, source.parent / "out")


@pytest.mark.parametrize("key", ["num_hidden_groups", "inner_group_num", "embedding_size", "intermediate_size"])
def test_what_names_and_shapes_tell_need_not_be_in_the_config(albert, key):
    source, model = albert
    states(source, key)
    _, config = convert(source, write_tables(source.parent))
    assert config[key] == SIZES[key]
    assert same(model, source.parent / "out")


def test_a_needed_key_that_nothing_tells_is_a_problem(albert):
    source, _ = albert
    states(source, "num_hidden_layers")
    message = refused(source, write_tables(source.parent))
    assert "num_hidden_layers is unknown" in message
    assert "config=FILE" in message
    assert "in [config] of" in message


def test_a_size_without_a_row_is_a_problem_that_names_its_axis(albert):
    source, _ = albert
    states(source, "num_hidden_layers")
    table = write_tables(source.parent, model=("[indices]", 'repeated = "num_hidden_layers"\n\n[indices]'))
    assert "repeated = num_hidden_layers: no shape or name of a tensor tells it" in refused(source, table)


def test_the_advice_is_followed(albert):
    source, model = albert
    states(source, "num_hidden_layers")
    table = write_tables(source.parent, mine=("[config]\n", "[config]\nnum_hidden_layers = 3\n"))
    _, config = convert(source, table)
    assert config["num_hidden_layers"] == 3
    assert same(model, source.parent / "out")
    other = source.parent / "right.json"
    other.write_text(json.dumps(SIZES))
    _, config = convert(source, write_tables(source.parent), config=other)
    assert config["num_hidden_layers"] == 3


def test_what_the_user_s_own_table_says_is_the_user_s_word(albert):
    source, _ = albert
    (source / "config.json").unlink()
    sizes = "[config]\nnum_attention_heads = 3\nnum_hidden_layers = 3\n"
    table = write_tables(source.parent, mine=("[config]\n", sizes))
    plan, config = convert(source, table)
    assert config["num_attention_heads"] == 3
    assert plan.sizes.origin["num_attention_heads"] == f"{table} says it"
    assert plan.configuration.provenance["layer_norm_eps"] == f"{table} says it"
    assert list(plan.configuration.assumed) == ["hidden_act"]  # a default of the model table


def test_the_config_decides_on_a_size_before_the_table_does(albert):
    source, _ = albert
    table = write_tables(source.parent, mine=("[config]\n", "[config]\nnum_attention_heads = 6\n"))
    plan, config = convert(source, table)
    assert config["num_attention_heads"] == 3
    assert not plan.sizes.assumed


def test_a_size_of_the_table_that_the_checkpoint_contradicts_is_a_problem(albert):
    source, _ = albert
    table = write_tables(source.parent, mine=("[config]\n", "[config]\nnum_hidden_groups = 2\n"))
    message = refused(source, table)
    assert f"num_hidden_groups = 2 ([config] of {table}), but the checkpoint has 1" in message


def test_every_value_of_the_table_is_written(albert):
    source, _ = albert
    states(source, down_scale_factor=4)
    table = write_tables(source.parent, mine=("[config]\n", "[config]\ndown_scale_factor = 1\nmark = 'x'\n"))
    plan, config = convert(source, table)
    assert (config["down_scale_factor"], config["mark"]) == (1, "x")
    assert plan.configuration.provenance["mark"] == f"{table} computes with no other"


def test_the_value_of_the_table_is_what_its_code_computes_with(albert):
    source, _ = albert
    states(source, pad_token_id=5)
    plan, config = convert(source, write_tables(source.parent, mine=("[config]\n", "[config]\npad_token_id = 1\n")))
    assert config["pad_token_id"] == 1
    assert "pad_token_id = 1 is written, as TensorFlow computes, not 5" in plan.warnings


def test_a_default_of_a_needed_key_is_a_warning(albert):
    source, _ = albert
    states(source, "num_hidden_layers")
    defaults = ("[config.defaults]", "[config.defaults]\nnum_hidden_layers = 3")
    plan, config = convert(source, write_tables(source.parent, model=defaults))
    assert config["num_hidden_layers"] == 3
    assert any("num_hidden_layers = 3 is assumed by" in warning for warning in plan.warnings)


def test_an_axis_that_no_shape_tells_alone_is_a_problem(albert):
    source, _ = albert
    table = write_tables(source.parent, model=('head_dim = "hidden_size / num_attention_heads"', 'head_dim = "*"'))
    message = refused(source, table)
    assert 'the size of the axis "head_dim" is unknown' in message
    assert "[dims]" in message


def test_the_number_of_heads_needs_no_axis(albert):
    source, _ = albert
    states(source, "num_attention_heads")
    rows = (source.parent / "mine.toml", source.parent / "model.toml")
    table = write_tables(source.parent)
    rows[0].write_text(rows[0].read_text().replace("(heads head_dim)", "width"))
    text = rows[1].read_text().replace('heads = "num_attention_heads"\n', "", 1)
    rows[1].write_text(text.replace('head_dim = "hidden_size / num_attention_heads"', 'width = "hidden_size"'))
    assert "the number of attention heads is unknown" in refused(source, table)
    _, config = convert(source, table, heads=3)
    assert config["num_attention_heads"] == 3


@pytest.mark.parametrize("value", ["0", "true", '"three"', "2.5"])
def test_a_size_in_a_table_is_a_whole_number(albert, value):
    source, _ = albert
    table = write_tables(source.parent, mine=("[config]\n", f"[config]\nhidden_size = {value}\n"))
    with pytest.raises(TableError, match="a size is a whole number above 0"):
        bridgeckpt.plan(source, mapping=table)


def without(source, *ends):
    """Take tensors out of the checkpoint."""
    file = source / "model.safetensors"
    tensors = {name: array for name, array in load_file(file).items() if not any(end in name for end in ends)}
    file.unlink()
    save_file(tensors, file)


def test_a_group_that_the_class_is_complete_without_may_be_absent(albert):
    source, model = albert
    without(source, "pooler")
    plan, _ = convert(source, write_tables(source.parent))
    assert plan.ledger.target_counts()["optional"] == 2
    assert same(model, source.parent / "out")


def test_an_optional_group_that_the_class_would_draw_at_random_is_a_problem(albert):
    source, _ = albert
    without(source, "pooler")
    table = write_tables(source.parent, model=(', load_without = { pooler = "add_pooling_layer=False" }', ""))
    message = refused(source, table)
    assert "group pooler of AlbertModel" in message
    assert "would draw it at random" in message
    (problem,) = check(table, coverage=False)
    assert (problem.code, "would draw the group pooler" in problem.message) == ("optional", True)


def test_an_optional_row_that_the_class_would_draw_at_random_is_a_problem(albert):
    source, _ = albert
    without(source, "ffn_1/intermediate/dense/bias")
    row = 'pt = "ffn.bias",                     layout = "intermediate"'
    table = write_tables(source.parent, mine=(row, f"{row}, optional = true"))
    message = refused(source, table)
    assert "ffn_1/intermediate/dense/bias" in message
    assert "would draw it at random" in message
    assert [problem.code for problem in check(table, coverage=False)] == ["optional"]


def test_an_optional_row_of_a_buffer_may_be_absent(albert):
    source, _ = albert
    buffer = """[[derived]]
pt = "albert.embeddings.position_ids"
value = "arange"
layout = "1 positions"
reason = "a buffer"

[architectures]"""
    row = '{ tf = "position_ids", pt = "position_ids", layout = "1 positions", optional = true },'
    first = 'rows = [\n  { tf = "word_embeddings"'
    placed = first.replace("[", f"[\n  {row}")
    table = write_tables(source.parent, model=("[architectures]", buffer), mine=(first, placed))
    plan, _ = convert(source, table)
    assert plan.ledger.targets["embeddings.position_ids"] == "derived"
    assert not check(table, coverage=False)


@pytest.mark.parametrize(
    ("change", "key", "default"),
    [
        (('needed = ["num_hidden_layers"]\n', ""), "num_hidden_layers", 12),
        (('inner = "inner_group_num"\n', 'inner = "*"\n'), "inner_group_num", 1),
        (('hidden_act = "hidden_act"\n', ""), None, None),  # a default of the model is a value too
        (('layer_norm_eps = "layer_norm_eps"\n', ""), None, None),  # and so is one of the dialect
    ],
)
def test_a_key_that_changes_the_class_and_that_no_table_has_is_named(tmp_path, change, key, default):
    problems = check(write_tables(tmp_path, model=change), coverage=True)
    named = [problem for problem in problems if problem.code == "config-key"]
    if key is None:
        assert not named
        return
    (problem,) = named
    assert (
        f"{key} changes what AlbertModel computes, and no table says its value: {default} is loaded" in problem.message
    )
    assert "needed" in problem.hint


def test_a_complete_table_has_no_such_key(tmp_path):
    assert not check(write_tables(tmp_path), coverage=True)
    kept = ('kept = ["pad_token_id"]', 'kept = ["pad_token_id", "num_hidden_layers"]')
    needless = ('needed = ["num_hidden_layers"]\n', "")
    table = write_tables(tmp_path, model=kept)
    model = tmp_path / "model.toml"
    model.write_text(model.read_text().replace(*needless))
    assert not check(table, coverage=True)


def dialect(folder, text):
    """The configuration of a BERT table that builds on google-research/bert's."""
    folder.mkdir(exist_ok=True)
    file = folder / "own.toml"
    file.write_text(f'schema = 1\ntitle = "ours"\nuse = "bert/google"\n{text}')
    return load_table(file).config


def test_a_word_of_one_s_own_table_settles_the_doubt_about_it_and_leaves_other_words(tmp_path):
    google = load_table("bert/google").config
    assert "gelu" in google.doubts["hidden_act"]
    ours = dialect(tmp_path, '[config.words.hidden_act]\ngelu = "gelu"\n')
    assert (ours.words["hidden_act"]["gelu"], ours.doubts["hidden_act"]) == ("gelu", {})
    other = dialect(tmp_path / "other", '[config.words.hidden_act]\nour_gelu = "gelu"\n')
    assert other.words["hidden_act"] == {**google.words["hidden_act"], "our_gelu": "gelu"}
    assert other.doubts == google.doubts


def test_what_code_computes_with_no_other_is_certain(tmp_path):
    hub = load_table("bert/keras_hub").config
    assert set(hub.certain.values()) == {"bert/keras_hub computes with no other"}
    assert "constants" not in hub.values
    with pytest.raises(TableError, match="which has no value in"):
        dialect(tmp_path, '[config]\nconstants = ["hidden_act"]\n')
    assert not load_table("bert/google").config.certain


NEEDLESS = ('needed = ["num_hidden_layers"]\n', "")


def test_a_stated_key_that_a_model_table_of_one_s_own_does_not_mention_is_refused(albert):
    source, model = albert
    table = write_tables(source.parent, model=NEEDLESS)
    states(source, initializer_range=0.1)
    said = refused(source, table)
    assert "num_hidden_layers = 3 in the source's config, and transformers would load 12" in said
    assert "initializer_range = 0.1" in said
    assert said.count("into [config] needed of the model table") == 1
    # What the hint says; one key is left out with its own default, and one is not transformers'.
    table = write_tables(source.parent, model=('kept = ["pad_token_id"]', 'kept = ["initializer_range"]'))
    states(source, initializer_range=0.1, pad_token_id=0, our_own=5)
    plan, config = convert(source, table)
    assert config["num_hidden_layers"] == 3 and config["initializer_range"] == 0.1
    assert any("our_own = 5" in warning for warning in plan.warnings)
    assert same(model, source.parent / "out")


def test_a_stated_key_that_a_model_table_of_one_s_own_does_not_mention_is_a_warning_without_transformers(
    albert, monkeypatch
):
    source, _ = albert
    config_defaults.cache_clear()
    monkeypatch.setitem(sys.modules, "transformers", None)
    plan, config = convert(source, write_tables(source.parent, model=NEEDLESS))
    config_defaults.cache_clear()
    assert "num_hidden_layers" not in config
    (warning,) = [text for text in plan.warnings if "num_hidden_layers = 3" in text]
    assert "transformers loads its own default" in warning
    assert "[config] needed" in warning
