"""Which variables without a value are the body of a model, by tables or by the form of the names."""

from __future__ import annotations

import json

import pytest
from paths import CASES

import bridgeckpt
from bridgeckpt.warmstart.body import body_among

LAYER = ("attention/query/kernel", "attention/query/bias", "mlp/kernel", "mlp/bias", "norm/gamma", "norm/beta")


def names_below(prefix, layers=2):
    return [f"{prefix}layer_{number}/{name}" for number in range(layers) for name in LAYER]


def body(lacking, *having):
    names = {name: name for name in (*lacking, *having)}
    return set(body_among(lacking, names, ()))


@pytest.mark.parametrize("folder", [case for case in CASES if case.name != "mg_averages"], ids=lambda case: case.name)
def test_the_body_of_every_code_base_is_what_the_bare_model_of_pytorch_has(folder):
    """By the parameters' names there, without the pooler, which not every class has."""
    case = json.loads((folder / "case.json").read_text())
    plan = bridgeckpt.plan(folder / case["source"], **case["options"])
    assignments = plan.ledger.assignments
    mapped = {name.removesuffix(":0"): one.targets[0] for one in assignments for name in one.sources}
    expected = {
        name
        for name, parameter in mapped.items()
        if parameter.removeprefix("bert.").startswith(("embeddings.", "encoder."))
    }
    assert expected
    assert body(list(mapped)) == expected
    head = [name for name in mapped if name not in expected]
    assert body(head, *expected) == set()


def test_a_layer_of_an_unknown_model():
    decoder = names_below("decoder/")
    assert body(decoder, *names_below("encoder/", 6)) == set(decoder)
    assert body(names_below("encoder/", 3)[12:], *names_below("encoder/", 2)) == set(names_below("encoder/", 3)[12:])


@pytest.mark.parametrize(
    "head",
    [
        ["head/dense/kernel", "head/dense/bias", "head/dense_1/kernel", "head/dense_1/bias"],
        ["crf/transitions", "lstm/fw/kernel", "lstm/fw/bias"],
        [f"encoder/layer_{number}/adapter/{name}" for number in range(6) for name in ("kernel", "bias", "gamma")],
    ],
    ids=["dense", "crf", "adapters"],
)
def test_heads_and_parts_of_layers_are_no_body(head):
    assert body(head, *names_below("encoder/", 6)) == set()


def test_most_of_an_unknown_model():
    few = ["first/kernel", "first/bias", "second/kernel", "second/bias"]
    assert body(few, "output/kernel", "output/bias", "global_step") == set(few)
    assert body(few[:2], "output/kernel", "output/bias", "global_step") == set()


def test_a_second_tower():
    """Its body is one too, and a table knows it wherever it is."""
    example = bridgeckpt.plan("examples/tiny-bert").ledger.assignments
    names = [name for one in example for name in one.sources if "embeddings" in name or "layer" in name]
    assert body([f"teacher/{name}" for name in names], *names) == {f"teacher/{name}" for name in names}


def test_names_that_only_the_checkpoint_has_are_known_to_tables_too():
    names = [name for one in bridgeckpt.plan("examples/tiny-bert").ledger.assignments for name in one.sources]
    asked = {name.replace("bert/", "own/").replace("layer_", "block"): name for name in names}
    lacking = [mine for mine, name in asked.items() if "embeddings" in name]
    assert set(body_among(lacking, asked, ())) == set(lacking)
