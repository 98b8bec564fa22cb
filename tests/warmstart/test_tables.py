"""Variables of every known code base, warm-started from PyTorch's names: the tables read right to left."""

from __future__ import annotations

import json

import numpy as np
import pytest
from architectures import write_source
from paths import CASES, FIXTURES

import bridgeckpt
from bridgeckpt.errors import PlanError
from bridgeckpt.warmstart.answer import Wanted
from bridgeckpt.warmstart.matching import Request, match_variables
from bridgeckpt.warmstart.translation import by_tables


def wanted_of(checkpoint, names):
    return {
        name.removesuffix(":0"): Wanted(checkpoint.tensors[name].shape, checkpoint.tensors[name].dtype)
        for name in names
    }


def ask(checkpoint, wanted, others=(), **options):
    """The report and values for variables that go by their own names."""
    request = Request({name: name for name in wanted}, wanted, dict(others), (), {}, **options)
    return match_variables(checkpoint, request)


@pytest.mark.parametrize("folder", [case for case in CASES if case.name != "mg_averages"], ids=lambda case: case.name)
def test_every_code_base_gets_back_what_it_wrote(folder, tmp_path):
    """Through a Hugging Face folder and back, bit for bit. (Of averages, the variables would be the shadows.)"""
    case = json.loads((folder / "case.json").read_text())
    done = bridgeckpt.convert(folder / case["source"], tmp_path / "hf", **case["options"])
    source = done.plan.checkpoint  # by the names that its table speaks of
    names = [name for name, state in done.plan.ledger.sources.items() if state == "mapped"]
    matching = ask(tmp_path / "hf", wanted_of(source, names))
    assert matching.report.complete, str(matching.report)
    assert set(matching.report.unused) == set(done.plan.ledger.filled)
    for name in names:
        found = matching.values[name.removesuffix(":0")].read(source.tensors[name].dtype)
        np.testing.assert_array_equal(found, source.get_tensor(name), err_msg=name)


@pytest.mark.parametrize("folder", [case for case in CASES if case.name != "mg_averages"], ids=lambda case: case.name)
@pytest.mark.slow
def test_some_variables_of_a_program_start_as_they_would_with_the_others(folder, tmp_path):
    """A layer alone, all but the first layer: every one its own, whatever numbers are left.

    Where the program says nothing of its other variables, less may be found, and nothing else.
    """
    case = json.loads((folder / "case.json").read_text())
    done = bridgeckpt.convert(folder / case["source"], tmp_path / "hf", **case["options"])
    source = done.plan.checkpoint
    made = {name: one.targets for one in done.plan.ledger.assignments for name in one.sources}
    everything = wanted_of(source, made)
    for number, alone in ((0, False), (1, True)):
        chosen = [name for name in made if any(f"layer.{number}." in to for to in made[name]) == alone]
        for others in ({}, everything):
            matching = ask(tmp_path / "hf", wanted_of(source, chosen), others)
            assert not others or len(matching.values) == len(chosen), str(matching.report)
            for name in chosen:
                if (found := matching.values.get(name.removesuffix(":0"))) is not None:
                    value = found.read(source.tensors[name].dtype)
                    np.testing.assert_array_equal(value, source.get_tensor(name), err_msg=name)


# Of the classes that are converted by rules; the last has LayerNorm.gamma and LayerNorm.beta in its files to this day.
BY_RULES = ["ElectraModel", "AlbertForPreTraining", "GPT2LMHeadModel", "T5Model", "BartModel", "EsmForMaskedLM"]


@pytest.mark.parametrize("case", BY_RULES)
@pytest.mark.slow
def test_classes_by_rules_get_back_what_they_wrote(case, tmp_path):
    pytest.importorskip("transformers")
    done = bridgeckpt.convert(write_source(case, tmp_path / "source"), tmp_path / "hf")
    source = done.plan.checkpoint
    names = [name for name, state in done.plan.ledger.sources.items() if state == "mapped"]
    matching = ask(tmp_path / "hf", wanted_of(source, names))
    assert matching.report.complete, str(matching.report)
    for name in names:
        found = matching.values[name.removesuffix(":0")].read(source.tensors[name].dtype)
        np.testing.assert_array_equal(found, source.get_tensor(name), err_msg=name)
    assert bridgeckpt.diff(tmp_path / "source", tmp_path / "hf").same


PAIRS = [
    ("mg_classifier", "hf200_sequence"),
    ("hf440_question_answering", "mg_span_labeler"),
    ("mg23_span_labeler", "hf440_question_answering"),
    ("kerasbert_whole", "mg_pretrainer"),
    ("hub_tf1_serving", "kerashub_classifier"),
    ("bft2_checkpoint", "mg19_encoder"),
    ("tfkeras_archive", "hub_tf2_module"),
]


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_one_code_base_starts_from_another_as_from_its_conversion(theirs, ours, tmp_path):
    """Without PyTorch's names in between that a person could look at: the two tables meet in memory."""
    case = json.loads((FIXTURES / theirs / "case.json").read_text())
    path = FIXTURES / theirs / case["source"]
    bridgeckpt.convert(path, tmp_path / "hf", **case["options"])
    other = json.loads((FIXTURES / ours / "case.json").read_text())
    program = bridgeckpt.plan(FIXTURES / ours / other["source"], **other["options"])
    names = [name for name, state in program.ledger.sources.items() if state == "mapped"]
    wanted = wanted_of(program.checkpoint, names)
    directly, by_folder = ask(path, wanted), ask(tmp_path / "hf", wanted)
    assert directly.values.keys() == by_folder.values.keys()
    assert len(directly.values) >= 30, str(directly.report)
    for name, value in directly.values.items():
        np.testing.assert_array_equal(value.read("float32"), by_folder.values[name].read("float32"), err_msg=name)


def test_few_variables_are_told_by_the_others(example, tmp_path):
    bridgeckpt.convert(example, tmp_path / "hf")
    source = bridgeckpt.open_checkpoint(example)
    everything = wanted_of(source, source.tensors)
    one = {"bert/pooler/dense/kernel": everything["bert/pooler/dense/kernel"]}
    assert not ask(tmp_path / "hf", one).values
    matching = ask(tmp_path / "hf", one, everything)
    found = matching.values["bert/pooler/dense/kernel"].read("float32")
    np.testing.assert_array_equal(found, source.get_tensor("bert/pooler/dense/kernel"))
    assert matching.report.complete


def test_a_program_may_have_what_no_class_has_together(tmp_path, built):
    """A pooler beside a masked language model: each is a part of some class."""
    source = built(head="pretraining")
    bridgeckpt.convert(source.directory, tmp_path / "hf")
    names = [name for name in source.variables if "seq_relationship" not in name]
    matching = ask(tmp_path / "hf", wanted_of(bridgeckpt.open_checkpoint(source.prefix), names))
    assert matching.report.complete
    assert set(matching.report.unused) == {"cls.seq_relationship.weight", "cls.seq_relationship.bias"}


def test_fewer_layers_take_the_first_ones(tmp_path, built):
    source = built(head=None, layers=3)
    bridgeckpt.convert(source.directory, tmp_path / "hf")
    names = [name for name in source.variables if "layer_2" not in name]
    matching = ask(tmp_path / "hf", wanted_of(bridgeckpt.open_checkpoint(source.prefix), names))
    assert matching.report.complete
    for name in names:
        np.testing.assert_array_equal(matching.values[name].read("float32"), source.variables[name])
    assert all("layer.2." in name for name in matching.report.unused)


def test_the_old_names_of_layer_norms_are_known(example, tmp_path):
    """bert-base-uncased and its contemporaries have LayerNorm.gamma and LayerNorm.beta in their safetensors."""
    from safetensors.numpy import load_file, save_file

    bridgeckpt.convert(example, tmp_path / "hf")
    state = load_file(tmp_path / "hf" / "model.safetensors")
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in state.items()
    }
    save_file(renamed, tmp_path / "hf" / "model.safetensors", metadata={"format": "pt"})
    source = bridgeckpt.open_checkpoint(example)
    assert ask(tmp_path / "hf", wanted_of(source, source.tensors)).report.complete


def test_a_lone_safetensors_file_needs_no_config(example, tmp_path):
    bridgeckpt.convert(example, tmp_path / "hf")
    (tmp_path / "hf" / "model.safetensors").rename(tmp_path / "alone.safetensors")
    source = bridgeckpt.open_checkpoint(example)
    matching = ask(tmp_path / "alone.safetensors", wanted_of(source, source.tensors))
    assert matching.report.complete
    for name in source.tensors:
        np.testing.assert_array_equal(matching.values[name].read("float32"), source.get_tensor(name))


def test_a_checkpoint_without_config_and_graph_starts_a_program_of_another_code_base(built, tmp_path):
    """Neither side tells the number of heads, and it does not matter."""
    source = built(head=None, config=False, meta=False)
    case = FIXTURES / "hf351_model"
    layout = bridgeckpt.plan(case / "source")
    names = [name.removesuffix(":0") for name, state in layout.ledger.sources.items() if state == "mapped"]
    shapes = {one.sources[0].removesuffix(":0"): one for one in layout.ledger.assignments}
    expected = bridgeckpt.load_state_dict(source.prefix, heads=3)
    wanted = {
        name: Wanted(
            tuple(reversed(expected[shapes[name].targets[0]].shape))
            if "kernel" in name
            else expected[shapes[name].targets[0]].shape,
            "float32",
        )
        for name in names
    }
    matching = ask(source.prefix, wanted)
    assert matching.report.complete, str(matching.report)
    for name in names:
        value = expected[shapes[name].targets[0]]
        found = matching.values[name].read("float32")
        np.testing.assert_array_equal(found, value.T if "kernel" in name else value)


def test_names_of_one_dialect_are_not_translated(example):
    source = bridgeckpt.open_checkpoint(example)
    scoped = {f"student/{name}": want for name, want in wanted_of(source, source.tensors).items()}
    assert by_tables(source, scoped, {}, {}, any_scope=False) is None
    anywhere = by_tables(source, scoped, {}, {}, any_scope=True)
    assert len(anywhere.values) == len(scoped)


def test_two_models_do_not_meet(example, tmp_path):
    wanted = {"electra/embeddings/word_embeddings": Wanted((10, 4), "float32")}
    with pytest.raises(PlanError, match="no mapping table recognises"):
        by_tables(bridgeckpt.open_checkpoint(example), wanted, {}, {}, any_scope=False)
    report = ask(example, wanted).report
    assert not report.matched
    assert any("not translated: no mapping table recognises" in note for note in report.notes)
