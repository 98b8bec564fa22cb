"""What transformers changes while it loads a folder: nothing of it may pass as what is in the files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import bridgeckpt
from bridgeckpt.parity.families import family_of
from bridgeckpt.parity.judging.changes import LoadingChange, folded
from bridgeckpt.parity.judging.loading import load
from bridgeckpt.parity.reference.recording import record
from bridgeckpt.parity.verifying import verify

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(built, tmp_path_factory):
    """``recorded(**spec)``: a reference and the folder of the same checkpoint. Do not modify either."""
    made = {}

    def make(stored=None, architecture=None, **spec):
        key = repr((stored, architecture, sorted(spec.items())))
        if key not in made:
            source, folder = built(**spec).prefix, tmp_path_factory.mktemp("loading")
            bridgeckpt.convert(source, folder / "model", dtype=stored, architecture=architecture)
            made[key] = bridgeckpt.record_checkpoint(source, folder / "reference.safetensors"), folder / "model"
        return made[key]

    return make


@pytest.fixture
def edited(recorded, tmp_path):
    """``edited(change, **spec)``: the verdict after ``change(tensors, config)`` was made to the folder."""

    def make(change, **spec):
        from safetensors.torch import load_file, save_file

        reference, folder = recorded(**spec)
        copy = tmp_path / "edited"
        shutil.copytree(folder, copy)
        tensors, config = load_file(copy / "model.safetensors"), json.loads((copy / "config.json").read_text())
        change(tensors, config)
        save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
        (copy / "config.json").write_text(json.dumps(config))
        return verify(reference, copy, device="cpu")

    return make


@pytest.mark.parametrize(
    ("change", "key", "to"),
    [
        (lambda config: config.update(dtype="bfloat16"), "dtype", "bfloat16"),
        (lambda config: config.update(dtype="float16"), "dtype", "float16"),
        (lambda config: config.update(torch_dtype=config.pop("dtype") and "bfloat16"), "torch_dtype", "bfloat16"),
    ],
    ids=["bfloat16", "float16", "torch_dtype"],
)
def test_a_dtype_in_the_config_that_rounds_the_files_fails(change, key, to, edited):
    verdict = edited(lambda _, config: change(config))
    assert not verdict.passed
    assert f"to {to}, because of {key} = {to} in config.json" in verdict.failures[0]
    assert verdict.diagnosis.parameter == f"config.json: {key}"
    assert verdict.diagnosis.proven
    assert f'"{key}": "float32"' in verdict.diagnosis.remedy


def test_no_dtype_in_the_config_is_that_of_the_files(edited):
    assert edited(lambda _, config: config.pop("dtype")).passed


def test_a_wider_dtype_in_the_config_changes_no_value(edited):
    verdict = edited(lambda _, config: config.update(dtype="float32"), stored="bfloat16")
    assert verdict.passed, verdict.failures


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_a_folder_that_is_meant_to_be_narrow_passes(stored, recorded):
    reference, folder = recorded(stored=stored)
    assert load(folder, family_of).changes == ()
    verdict = verify(reference, folder, device="cpu", dtypes=[stored])
    assert verdict.passed, verdict.failures


def test_a_decoder_that_the_config_unties_fails(edited):
    verdict = edited(lambda _, config: config.update(tie_word_embeddings=False))
    assert not verdict.passed
    assert "cls.predictions.decoder.weight" in verdict.failures[0]
    assert "tie_word_embeddings = false in config.json" in verdict.failures[0]


def test_a_head_that_was_made_up_fails_even_if_the_reference_does_not_show_it(recorded, tmp_path):
    from safetensors.torch import load_file, save_file

    reference, folder = recorded(head="mlm")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    tensors = load_file(copy / "model.safetensors")
    del tensors["cls.predictions.transform.dense.bias"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    runs = {
        run: {
            probe: {stage: values for stage, values in stages.items() if stage not in ("transform", "mlm_logits")}
            for probe, stages in probes.items()
        }
        for run, probes in reference.runs.items()
    }
    verdict = verify(reference._replace(runs=runs), copy, device="cpu")
    assert all(stage.passed for stage in verdict.stages)
    assert not verdict.passed
    assert "cls.predictions.transform.dense.bias" in verdict.failures[0]


def test_a_class_without_its_pooler_is_loaded_as_the_conversion_says(recorded, tmp_path):
    reference, folder = recorded(head=None, pooler=False)
    verdict = verify(reference, folder, device="cpu")
    assert verdict.passed, verdict.failures
    assert any("add_pooling_layer=False" in note for note in verdict.notes)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "conversion_report.json").unlink()  # then it is loaded as any folder, and the pooler is random
    verdict = verify(reference, copy, device="cpu")
    assert not verdict.passed
    assert "pooler.dense.weight" in verdict.failures[0]


def test_no_argument_of_the_report_changes_how_weights_are_read(recorded, tmp_path):
    _, folder = recorded()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    report = json.loads((copy / "conversion_report.json").read_text())
    (copy / "conversion_report.json").write_text(
        json.dumps({**report, "load_arguments": ["ignore_mismatched_sizes=True", "dtype=bfloat16", 3]})
    )
    assert load(copy, family_of).arguments == ()


def test_values_that_are_not_numbers_are_no_change(recorded, tmp_path):
    from safetensors.torch import load_file, save_file

    _, folder = recorded()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    tensors = load_file(copy / "model.safetensors")
    tensors["bert.encoder.layer.0.output.dense.bias"][0] = float("nan")
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert load(copy, family_of).changes == ()


def test_a_padding_row_that_is_zeroed_while_loading_fails(tmp_path):
    torch.manual_seed(0)
    sizes = {"block_sizes": [1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 24, "vocab_size": 30}
    model = transformers.FunnelForMaskedLM(transformers.FunnelConfig(**sizes)).eval()
    model.save_pretrained(tmp_path)
    inputs = {"input_ids": np.arange(1, 21).reshape(2, 10), "attention_mask": np.ones((2, 10), np.int64)}

    def fn(**arrays):
        with torch.no_grad():
            return {"logits": model(**{name: torch.as_tensor(value) for name, value in arrays.items()}).logits.numpy()}

    reference = record(fn, inputs, tmp_path / "own.safetensors")
    assert verify(reference, tmp_path, device="cpu").passed
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "pad_token_id": 3}))
    verdict = verify(reference, tmp_path, device="cpu")
    assert not verdict.passed
    assert "set row 3 of funnel.embeddings.word_embeddings.weight to zero" in verdict.failures[0]
    assert "because of pad_token_id = 3 in config.json" in verdict.failures[0]
    assert verdict.diagnosis.proven
    assert verdict.diagnosis.parameter == "config.json: pad_token_id"


def test_an_error_of_any_kind_while_a_class_is_built_is_one_message(recorded, tmp_path):
    _, folder = recorded()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "pad_token_id": 100_000}))  # an assertion of torch
    with pytest.raises(bridgeckpt.ParityError, match="transformers cannot load"):
        load(copy, family_of)


def test_the_file_that_transformers_reads_is_the_one_that_is_compared(recorded, tmp_path):
    """A folder may still have the index and the shards of an older conversion."""
    from safetensors.torch import load_file, save_file

    reference, folder = recorded()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    older = {name: value * 2 for name, value in load_file(copy / "model.safetensors").items()}
    save_file(older, copy / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(older, "model-00001-of-00001.safetensors")}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    verdict = verify(reference, copy, device="cpu")
    assert verdict.passed, verdict.failures
    assert any("model.safetensors.index.json" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("size", "words"), [(2, "chunk_size_feed_forward"), (5, "BertForPreTraining fails on input_ids")]
)
def test_a_model_that_divides_sequences_is_one_message(size, words, recorded, tmp_path):
    reference, folder = recorded()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "chunk_size_feed_forward": size}))
    with pytest.raises(bridgeckpt.ParityError) as caught:
        verify(reference, copy, device="cpu")
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_many_changes_without_a_known_cause_are_one():
    unknown = [LoadingChange(f"changed weight.{at}", None, "r", {f"weight.{at}": object()}) for at in range(9)]
    known = LoadingChange("rounded", "dtype", "r", {"weight.9": object()})
    first, rest = folded([*unknown, known])
    assert first is known
    assert rest.what == "changed weight.0, weight.1, weight.2 and 6 more"
    assert folded([*unknown[:2], known]) == [*unknown[:2], known]
