"""Tables of rules: what names they make, and what is refused in one that is not well formed."""

from __future__ import annotations

import pickle
from fnmatch import fnmatch

import pytest

from bridgeckpt.errors import TableError
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.model import shipped_models
from bridgeckpt.mapping.tables.rule_records import Pattern
from bridgeckpt.mapping.tables.rules import load_rules

HEAD = 'schema = 1\ntitle = "t"\nnames = "variable"\nfront = ["{model}/", ""]\n'


def made(name, kind="electra"):
    """The PyTorch names that the shipped rules make of a variable's."""
    return {name for _, name in load_rules(tables.RULES).candidates(name, kind)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tf_a/electra/encoder/layer_._3/output/dense/kernel", "electra.encoder.layer.3.output.dense.weight"),
        ("tf_a/mlm___cls/predictions/transform/LayerNorm/beta", "cls.predictions.transform.LayerNorm.bias"),
        ("tf_a/funnel/encoder/blocks_._0_._1/ffn/layer_norm/gamma", "funnel.encoder.blocks.0.1.ffn.layer_norm.weight"),
        ("shared/shared/embeddings", "shared.weight"),
        ("tf_a/resnet/embedder/normalization/moving_variance", "resnet.embedder.normalization.running_var"),
        ("electra/embeddings_project/kernel", "electra.embeddings_project.weight"),  # as safetensors files have it
    ],
)
def test_names_that_transformers_gives_its_variables(name, expected):
    assert expected in made(name)


def test_a_rename_is_of_one_model_only():
    name = "tf_a/deberta/encoder/layer_._0/attention/self/pos_proj/kernel"
    assert "deberta.encoder.layer.0.attention.self.pos_key_proj.weight" in made(name, "deberta-v2")
    assert "deberta.encoder.layer.0.attention.self.pos_key_proj.weight" not in made(name, "deberta")


def test_a_placeholder_of_one_segment_holds_no_slash():
    assert Pattern.parse("{a}/kernel").bind("x/y/kernel") is None
    assert Pattern.parse("{a**}/kernel").bind("x/y/kernel") == {"a": "x/y"}
    assert Pattern.parse("x.{a}", ".").bind("x.conv.weight") is None


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ('rows = [{ tf = "{a**}/x", pt = "{b}", layouts = ["i"] }]', "does not bind"),
        ('rows = [{ tf = "x", pt = "y", layouts = ["(i j) -> i j"] }]', "merges axes"),
        ('rows = [{ tf = "x", pt = "y", layouts = ["i -> j"] }]', "only on the left side"),
        ('rows = [{ tf = "x", pt = "y", layouts = ["i"], also = "z" }]', "unknown key"),
        ('derived = [{ pt = "x", reason = "" }]', "is missing or empty"),
        ("[model.bert]\nskipped = []", "unknown key"),
    ],
)
def test_what_is_not_well_formed_is_refused(tmp_path, rest, message):
    path = tmp_path / "rules.toml"
    path.write_text(HEAD + rest + "\n")
    with pytest.raises(TableError, match=message):
        load_rules(path)


def test_it_is_shipped_and_no_dialect():
    assert tables.RULES not in tables.names()
    assert tables.find(tables.RULES).is_file()


def test_rules_are_a_value_that_pickles():
    rules = load_rules(tables.RULES)
    assert pickle.loads(pickle.dumps(rules)) == rules


@pytest.mark.slow
def test_what_tensorflow_computes_is_said_of_keys_and_classes_that_transformers_has():
    import transformers

    models = {kind: model for kind, model in load_rules(tables.RULES).models.items() if kind not in shipped_models()}
    for kind, model in models.items():
        config = transformers.CONFIG_MAPPING[kind]()
        for fact in model.computes:
            assert all(hasattr(config, key) for key in fact.values), (kind, fact.values)
            assert all(any(fnmatch(name, pattern) for name in dir(transformers)) for pattern in fact.classes), kind
