"""What a conversion loses or adds, and the command that loads the result: judged by real transformers."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from architectures import write_source
from parity import assert_parity, load
from paths import CASES, FIXTURES

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.cli.words import option
from bridgeckpt.converting.huggingface_folder import load_command
from bridgeckpt.sentences import Setting

# The class of a head together with a pooler, and whether the folder has the pooler.
POOLED = {
    "pretraining": ("BertForPreTraining", True),
    "mlm": ("BertForPreTraining", True),
    "nsp": ("BertForNextSentencePrediction", True),
    "classifier": ("BertForSequenceClassification", True),
    "token": ("BertForTokenClassification", False),
    "squad": ("BertForQuestionAnswering", False),
    None: ("BertModel", True),
}


def auto_model(folder):
    """What AutoModel loads from a folder, and what it made up."""
    import transformers

    model, info = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    return model.eval(), info["missing_keys"]


@pytest.mark.parametrize("head", POOLED)
@pytest.mark.slow
def test_the_pooler_is_kept_or_its_loss_is_a_warning_with_what_keeps_it(head, built, tmp_path):
    tf = built(head=head)
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out")
    name, kept = POOLED[head]
    assert done.plan.architecture.name == name
    model, missing = auto_model(tmp_path / "out")
    pooled = model.pooler.dense.weight.detach().numpy()
    original = tf.variables["bert/pooler/dense/kernel"].T
    assert (not missing and bool((pooled == original).all())) is kept
    losses = [warning for warning in done.plan.warnings if "the pooler is left out" in warning]
    assert bool(losses) is not kept
    if losses:
        (asked,) = re.findall(r'architecture="(\w+)" keeps it', losses[0])
        bridgeckpt.convert(tf.prefix, tmp_path / "kept", architecture=asked)
        model, missing = auto_model(tmp_path / "kept")
        assert not missing
        assert (model.pooler.dense.weight.detach().numpy() == original).all()


@pytest.mark.slow
def test_a_pooler_and_a_masked_lm_head_are_both_kept_and_the_other_head_says_nothing(built, tmp_path):
    tf = built(head="mlm")
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out")
    assert_parity(tmp_path / "out", tf.inputs, dict(tf.outputs))
    assert done.plan.ledger.target_counts()["filled"] == 2
    head = load(tmp_path / "out").cls.seq_relationship
    assert not head.weight.any() and not head.bias.any()
    (warning,) = [warning for warning in done.plan.warnings if "seq_relationship" in warning]
    assert "both logits of the next sentence are 0" in warning
    assert 'architecture="BertForMaskedLM"' in warning
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert set(report["filled"]) == {"cls.seq_relationship.weight", "cls.seq_relationship.bias"}
    assert warning in report["warnings"]
    assert bridgeckpt.diff(tf.prefix, tmp_path / "out").same
    state = bridgeckpt.load_state_dict(tf.prefix, dtype="float16")
    assert state["cls.seq_relationship.weight"].dtype == np.float16


@pytest.mark.slow
def test_the_proof_covers_the_pooler_and_says_that_the_head_was_made(built, tmp_path):
    pytest.importorskip("tensorflow")
    tf = built(head="mlm")
    bridgeckpt.convert(tf.prefix, tmp_path / "out")
    verdict = bridgeckpt.verify(tf.prefix, tmp_path / "out", device="cpu")
    assert verdict.passed
    assert {"pooler", "mlm_logits"} <= {stage.name for stage in verdict.stages}
    (note,) = [note for note in verdict.notes if "seq_relationship" in note]
    assert note.startswith("made by the conversion")


@pytest.mark.slow
def test_the_class_that_is_asked_for_is_written_and_no_more(built, tmp_path):
    tf = built(head="mlm")
    done = bridgeckpt.convert(tf.prefix, tmp_path / "out", architecture="BertForMaskedLM")
    load(tmp_path / "out")
    assert "filled" not in done.plan.ledger.target_counts()
    assert any('"BertForPreTraining" keeps it' in warning for warning in done.plan.warnings)
    assert bridgeckpt.diff(tf.prefix, tmp_path / "out").same


@pytest.mark.slow
def test_no_head_is_filled_without_the_pooler_that_asks_for_it(built):
    plan = bridgeckpt.plan(built(head="mlm", pooler=False).prefix)
    assert plan.architecture.name == "BertForMaskedLM"
    assert not plan.ledger.filled


@pytest.mark.slow
def test_a_warm_start_takes_no_value_of_a_head_that_is_filled(built):
    import bridgeckpt.tf

    tf1 = pytest.importorskip("tensorflow").compat.v1
    tf, whole = built(head="mlm"), built(head="pretraining", port="keras")
    with tf1.Graph().as_default():
        variables = [
            tf1.get_variable(name, value.shape, use_resource=False)
            for name, value in whole.variables.items()
            if value.dtype == np.float32 and "adam" not in name
        ]
        _, names = bridgeckpt.tf.get_assignment_map_from_checkpoint(variables, tf.prefix)
    assert "bert/pooler/dense/kernel" in names
    assert not any("seq_relationship" in name for name in names)


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
@pytest.mark.slow
def test_the_printed_command_loads_the_folder_whole(folder, tmp_path, capsys):
    import transformers

    case = json.loads((folder / "case.json").read_text())
    spelled = {Setting(name, value) for name, value in case["options"].items()}
    options = [word for setting in spelled for word in option(setting).split()]
    out = tmp_path / 'a "b" é'
    assert main(["convert", "tf2pt", str(folder / case["source"]), str(out), "--json", *options]) == 0
    command = json.loads(capsys.readouterr().out)["load"]
    with_report = command.removesuffix(")") + ", output_loading_info=True)"
    model, info = eval(with_report, {"transformers": transformers})
    assert {key: value for key, value in info.items() if value} == {}
    assert type(model).__name__ == case["architecture"]


def test_python_logs_what_the_command_warns_of(tmp_path, caplog):
    source = FIXTURES / "mg23_token_classifier" / "source"
    bridgeckpt.plan(source)
    assert caplog.records == []  # the caller has the plan
    done = bridgeckpt.convert(source, tmp_path / "out")
    assert [record.getMessage() for record in caplog.records] == list(done.plan.warnings)
    assert 'architecture="BertForTokenClassification"' in caplog.text
    caplog.clear()
    bridgeckpt.load_state_dict(source)
    assert {record.name for record in caplog.records} == {"bridgeckpt"}
    assert len(caplog.records) == len(done.plan.warnings)


def test_a_folder_that_is_taken_for_a_checkpoint_is_loaded_by_the_same_command(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["convert", "tf2pt", str(FIXTURES / "bft2_h5" / "source"), str(out)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("load it")]
    command = line.removeprefix("load it").strip()
    assert command.endswith("add_pooling_layer=False)")
    assert main(["convert", "tf2pt", str(out), str(tmp_path / "again")]) == 1
    assert f"load it with {command}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_part_of_the_bare_model_that_a_class_without_a_table_lacks(tmp_path):
    plan = bridgeckpt.plan(write_source("ElectraForMaskedLM", tmp_path / "a"), architecture="ElectraModel")
    assert plan.warnings == ()  # a head that was not asked for
    source = write_source("AlbertForPreTraining", tmp_path / "b")
    plan = bridgeckpt.plan(source, architecture="AlbertForMaskedLM")
    (warning,) = plan.warnings
    assert "pooler" in warning
    assert 'architecture="AlbertModel" keeps it' in warning


def test_a_guess_of_the_class_is_a_warning_on_every_surface(capsys):
    source = str(FIXTURES / "mg23_token_classifier" / "source")
    guess = "took BertForSequenceClassification: the names and shapes also fit BertForTokenClassification"
    assert main(["inspect", source]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if guess in line]
    assert line.startswith("warning    ")
    assert "--architecture BertForTokenClassification" in line
    assert main(["convert", "tf2pt", source, "out", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    warnings = [line.startswith("warning ") for line in lines]
    assert warnings == sorted(warnings), "warnings come last"
    assert main(["convert", "tf2pt", source, "out", "--dry-run", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert any(text.startswith(guess) and "--architecture" in text for text in record["warnings"])


@pytest.mark.parametrize(
    ("case", "bare"), [("RobertaForMaskedLM", "RobertaModel"), ("AlbertForMaskedLM", "AlbertModel")]
)
@pytest.mark.slow
def test_a_class_without_a_table_is_loaded_without_the_part_that_the_checkpoint_lacks(case, bare, tmp_path):
    import transformers

    done = bridgeckpt.convert(write_source(case, tmp_path / "source"), tmp_path / "out", architecture=bare)
    command = load_command(done.plan, tmp_path / "out")
    assert command.endswith("add_pooling_layer=False)")
    assert any("has no pooler" in note for note in done.plan.notes)
    model, info = eval(command[:-1] + ", output_loading_info=True)", {"transformers": transformers})
    assert {key: value for key, value in info.items() if value} == {}
    assert model.pooler is None
