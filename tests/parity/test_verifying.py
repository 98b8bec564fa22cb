"""Verifying converted folders against what TensorFlow's own graph computed, and against functions of a user's own."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tfbert

import bridgeckpt
from bridgeckpt import ParityError
from bridgeckpt.parity.bert.probes import probe_inputs, sweep
from bridgeckpt.parity.judging import devices
from bridgeckpt.parity.recording import record_checkpoint
from bridgeckpt.parity.reference.probes import Probe
from bridgeckpt.parity.reference.recording import record
from bridgeckpt.parity.reference.reference import Reference, read_reference, write_reference
from bridgeckpt.parity.verifying import verify

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.slow
pytest.importorskip("transformers")


def graph_reference(made, **provenance):
    """What the graph of a fixture computed, as a reference."""
    out = made.outputs
    stages = {"embeddings": out["hidden_states"][0]}
    stages |= {f"layer.{i}.output": state for i, state in enumerate(out["hidden_states"][1:])}
    if "pooled_output" in out:
        stages["pooler"] = out["pooled_output"]
    if "start_logits" in out:
        stages["span_logits"] = np.stack([out["start_logits"], out["end_logits"]], -1)
    if "logits" in out:
        stages["token_logits" if made.spec.head == "token" else "logits"] = out["logits"]
    stages |= {name: out[name] for name in ("mlm_logits", "nsp_logits") if name in out}
    return Reference({"mixed": Probe(made.inputs)}, {"graph": {"mixed": stages}}, provenance, {"x": "y"})


@pytest.fixture(scope="session")
def pair(built, tmp_path_factory):
    """``pair(**spec)``: a checkpoint with its converted folder. Do not modify either."""
    folders = {}

    def make(stored=None, architecture=None, **spec):
        key = repr((stored, architecture, sorted(spec.items())))
        made = built(**spec)
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("pt") / "model"
            bridgeckpt.convert(made.prefix, folders[key], dtype=stored, architecture=architecture)
        return made, folders[key]

    return make


def test_references_and_verdicts_are_values(pair):
    made, folder = pair()
    reference = pickle.loads(pickle.dumps(graph_reference(made)))
    assert [stages.keys() for stages in reference.runs["graph"].values()] == [
        stages.keys() for stages in graph_reference(made).runs["graph"].values()
    ]
    for verdict in (
        verify(reference, folder, device="cpu"),
        verify(reference, folder, device="cpu", atol=1e-12),  # which fails, and is diagnosed
    ):
        assert pickle.loads(pickle.dumps(verdict)) == verdict
        with pytest.raises(TypeError, match="cannot be changed"):
            verdict.provenance["class"] = "GPT2Model"


@pytest.fixture
def broken(pair, tmp_path):
    """``broken(change, **spec)``: the same with ``change(tensors, config)`` made to the folder."""

    def make(change, **spec):
        made, folder = pair(**spec)
        copy = tmp_path / "broken"
        shutil.copytree(folder, copy)
        from safetensors.torch import load_file, save_file

        tensors, config = load_file(copy / "model.safetensors"), json.loads((copy / "config.json").read_text())
        change(tensors, config)
        save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
        (copy / "config.json").write_text(json.dumps(config))
        return made, copy

    return make


SPECS = [
    {},
    {"head": "nsp"},
    {"head": "mlm", "hidden_act": "relu"},
    {"head": "classifier"},
    {"head": "token", "port": "keras", "architecture": "BertForTokenClassification"},
    {"head": "squad", "layers": 5},
    {"head": None, "dtype": "bfloat16"},  # of the checkpoint,
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_converted_folder_passes_against_the_graph_that_wrote_the_checkpoint(spec, pair):
    made, folder = pair(**spec)
    verdict = verify(graph_reference(made), folder, device="cpu", dtypes=("bfloat16", "float16"))
    assert verdict.passed, verdict.failures
    assert verdict.first is verdict.diagnosis is None
    names = [stage.name for stage in verdict.stages]
    assert names[:2] == ["embeddings", "layer.0.output"]
    assert len(names) >= made.spec.layers + 1 + (made.spec.head is not None)
    assert [(one.device, one.dtype) for one in verdict.devices] == [
        ("cpu", "float32"),
        ("cpu", "bfloat16"),
        ("cpu", "float16"),
    ]
    for stage in verdict.stages:
        assert 0 < stage.rms < stage.limit / 2
        assert stage.difference < 1e-4
        if stage.name.endswith("logits"):
            assert stage.argmax == 1
            assert 0 <= stage.kl < 1e-9


def test_the_difference_is_that_of_the_two_frameworks(pair):
    made, folder = pair()
    from parity import load, outputs

    found = outputs(load(folder), made.inputs)
    verdict = verify(graph_reference(made), folder, device="cpu")
    mask = made.inputs["attention_mask"].astype(bool)
    expected = np.abs(found["mlm_logits"] - made.outputs["mlm_logits"])[mask].max()
    (stage,) = [stage for stage in verdict.stages if stage.name == "mlm_logits"]
    assert stage.difference == pytest.approx(expected, rel=0.5)  # rounded in another order: another attention kernel
    assert stage.module == "cls.predictions"
    assert stage.elements == mask.sum() * made.spec.vocab


def scaled(name, factor):
    return lambda tensors, config: tensors.update({name: tensors[name] * factor})


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (scaled("bert.embeddings.LayerNorm.weight", 1.001), "embeddings"),
        (scaled("bert.encoder.layer.1.attention.output.dense.bias", 1.001), "layer.1.output"),
        (scaled("bert.encoder.layer.0.intermediate.dense.weight", 1.0001), "layer.0.output"),
        (scaled("bert.pooler.dense.weight", 1.001), "pooler"),
        (scaled("cls.predictions.transform.LayerNorm.bias", 1.01), "mlm_logits"),
        (scaled("cls.seq_relationship.bias", 1.1), "nsp_logits"),
        (lambda tensors, config: config.update(hidden_act="gelu"), "layer.0.output"),
        (lambda tensors, config: config.update(layer_norm_eps=1e-5), "embeddings"),
        (lambda tensors, config: config.update(num_attention_heads=4), "layer.0.output"),
    ],
)
def test_the_first_stage_that_diverges_is_named(change, first, broken):
    made, folder = broken(change)
    verdict = verify(graph_reference(made), folder, device="cpu")
    assert not verdict.passed
    assert verdict.first == first
    assert verdict.diagnosis is not None
    wrong = next(stage for stage in verdict.stages if not stage.passed)
    assert wrong.name == first
    assert wrong.excess > 1
    assert first in " ".join(verdict.failures)


def test_a_single_token_row_is_found_by_the_sweep(pair, broken, tmp_path):
    def change(tensors, config):
        tensors["bert.embeddings.word_embeddings.weight"][77, 3] += 1e-3

    made, folder = broken(change)
    verdict = verify(record_checkpoint(made.prefix, None), folder, device="cpu")
    assert not verdict.passed
    assert verdict.first == "embeddings"


def test_weights_stored_narrower_than_the_source_pass_with_a_note_and_still_fail_when_wrong(pair, broken):
    made, folder = pair(stored="bfloat16")
    reference = graph_reference(made, dtype="float32")
    verdict = verify(reference, folder, device="cpu")
    assert verdict.passed, verdict.failures
    assert any("bfloat16" in note for note in verdict.notes)
    assert verdict.stages[0].difference > 1e-3  # that is what bfloat16 lost

    def swap(tensors, config):
        at = "bert.encoder.layer.0.attention.self.{}.weight"
        q, k = tensors[at.format("query")], tensors[at.format("key")]
        tensors[at.format("query")], tensors[at.format("key")] = k.clone(), q.clone()

    made, folder = broken(swap, stored="bfloat16")
    assert verify(reference, folder, device="cpu").first == "layer.0.output"


def test_a_source_in_bfloat16_has_lost_nothing(pair):
    made, folder = pair(head=None, dtype="bfloat16")
    verdict = verify(graph_reference(made, dtype="bfloat16"), folder, device="cpu")
    assert verdict.passed
    assert verdict.provenance["stored"] == "bfloat16"
    assert not any("bfloat16" in note for note in verdict.notes)


@pytest.mark.parametrize("meta", [True, False])
def test_what_was_converted_is_what_is_recorded(built, tmp_path, meta):
    """The weights or their moving averages, as conversion_report.json says; other settings are the user's to give."""
    made = built(ema=True, scope="student/", layers=1, head=None, meta=meta, config=False)
    for ema in (False, True):
        bridgeckpt.convert(made.prefix, tmp_path / str(ema), heads=made.spec.heads, ema=ema)
        verdict = verify(made.prefix, tmp_path / str(ema), heads=made.spec.heads, device="cpu")
        assert verdict.passed, verdict.failures
        other = verify(made.prefix, tmp_path / str(ema), heads=made.spec.heads, ema=not ema, device="cpu")
        assert other.first == "embeddings"
    wrong = verify(made.prefix, tmp_path / "True", heads=2, device="cpu")
    assert wrong.passed is meta  # the graph says how many there are, whatever is asked


def test_of_two_models_the_one_that_was_converted_is_recorded(built, tmp_path):
    teacher, student = built(head=None), built(head=None, seed=5)
    two_models = tfbert.merged(tmp_path / "m.ckpt", ("teacher/", teacher.variables), ("student/", student.variables))
    bridgeckpt.convert(two_models, tmp_path / "teacher", heads=3, scope="teacher/")
    verdict = verify(two_models, tmp_path / "teacher", heads=3, device="cpu")
    assert verdict.passed, verdict.failures
    assert verify(two_models, tmp_path / "teacher", heads=3, device="cpu", scope="student/").first == "embeddings"


def test_a_reference_of_another_checkpoint_is_refused(pair, tmp_path):
    _made, folder = pair()
    other, _ = pair(seed=5)
    path = tmp_path / "other.safetensors"
    record_checkpoint(other.prefix, path)
    with pytest.raises(ParityError, match="another checkpoint") as caught:
        verify(path, folder, device="cpu")
    assert "any_checkpoint=True" in caught.value.hint
    verdict = verify(path, folder, device="cpu", any_checkpoint=True)
    assert not verdict.passed


def test_a_folder_without_a_report_is_verified_with_a_note(pair, tmp_path):
    made, folder = pair()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "conversion_report.json").unlink()
    verdict = verify(graph_reference(made, fingerprint="0" * 64), copy, device="cpu")
    assert verdict.passed
    assert any("conversion_report.json" in note for note in verdict.notes)


def test_nothing_compared_is_a_failure(pair):
    made, folder = pair(head=None)
    reference = graph_reference(made)
    only = {"graph": {"mixed": {"mlm_logits": np.zeros((4, 24, 101), np.float32)}}}
    verdict = verify(reference._replace(runs=only), folder, device="cpu")
    assert not verdict.passed
    assert "nothing was compared" in verdict.failures[0]
    verdict = verify(reference._replace(runs={}), folder, device="cpu")
    assert not verdict.passed


def test_shapes_that_disagree_are_an_error_that_says_both(pair):
    made, folder = pair()
    reference = graph_reference(made)
    stages = dict(reference.runs["graph"]["mixed"])
    stages["nsp_logits"] = np.zeros((4, 3), np.float32)
    with pytest.raises(ParityError, match=r"nsp_logits is \[4, 2\] in PyTorch and \[4, 3\]"):
        verify(reference._replace(runs={"graph": {"mixed": stages}}), folder, device="cpu")


def test_values_that_are_not_finite_never_pass(pair, broken):
    made, folder = pair()
    reference = graph_reference(made)
    stages = {name: value.copy() for name, value in reference.runs["graph"]["mixed"].items()}
    stages["pooler"][0, 0] = np.nan
    with pytest.raises(ParityError, match=r"pooler.*not finite"):
        verify(reference._replace(runs={"graph": {"mixed": stages}}), folder, device="cpu")

    def poison(tensors, config):
        tensors["bert.encoder.layer.1.output.dense.bias"][0] = float("nan")

    made, folder = broken(poison)
    verdict = verify(reference, folder, device="cpu")
    assert not verdict.passed
    assert verdict.first == "layer.1.output"
    assert "not finite" in verdict.failures[0]


def test_a_dtype_that_overflows_fails_by_name(broken):
    def large(tensors, config):  # 1e5 is above float16's largest number, and harmless in float32
        tensors["bert.encoder.layer.0.intermediate.dense.bias"][:] = 1e5

    made, folder = broken(large)
    reference = record(_run_in_torch(folder), made.inputs, folder / "own.safetensors")
    verdict = verify(reference, folder, device="cpu", dtypes=("bfloat16", "float16"))
    assert not verdict.passed
    assert verdict.first is None
    assert [one.passed for one in verdict.devices] == [True, True, False]
    assert "float16 on cpu overflows" in verdict.failures[0]
    tolerant = verify(reference, folder, device="cpu", dtypes=("float16",), atol=1.0)
    assert not tolerant.passed
    assert "float16 on cpu overflows" in tolerant.failures[0]


def test_a_tolerance_takes_the_place_of_rounding(broken):
    made, folder = broken(scaled("cls.seq_relationship.weight", 1.001))
    reference = graph_reference(made)
    assert not verify(reference, folder, device="cpu").passed
    assert verify(reference, folder, device="cpu", atol=0.1).passed
    assert verify(reference, folder, device="cpu", atol=1e-5, rtol=0.1).passed
    tight = verify(reference, folder, device="cpu", atol=1e-5)
    assert not tight.passed
    assert tight.first == "nsp_logits"
    assert "tolerance" in tight.failures[0]
    assert tight.provenance["tolerance"] == "atol 1e-05, rtol 0"
    assert not verify(reference, folder, device="cpu", atol=0.0, rtol=0.0).passed


def test_a_parameter_that_transformers_made_up_is_a_failure(broken):
    def drop(tensors, config):
        del tensors["bert.pooler.dense.weight"]

    made, folder = broken(drop)
    verdict = verify(graph_reference(made), folder, device="cpu")
    assert not verdict.passed
    assert verdict.first == "pooler"
    assert "no file of the folder holds bert.pooler.dense.weight, so that transformers made up" in verdict.failures[0]


def test_a_tokenizer_that_is_not_the_sources_fails(pair, tmp_path):
    made, folder = pair(head=None)
    path = tmp_path / "reference.safetensors"
    record_checkpoint(made.prefix, path)
    verdict = verify(path, folder, device="cpu")
    assert verdict.passed
    assert "101 tokens of vocab.txt" in verdict.provenance["tokenizer"]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(
        json.dumps({**settings, "do_lower_case": not settings["do_lower_case"]})
    )
    verdict = verify(path, copy, device="cpu")
    assert not verdict.passed
    assert all(stage.passed for stage in verdict.stages)
    assert "do_lower_case" in verdict.failures[0]


def test_what_the_reference_does_not_cover_is_told(pair):
    made, folder = pair()
    reference = graph_reference(made)
    stages = {n: v for n, v in reference.runs["graph"]["mixed"].items() if n not in {"nsp_logits", "mlm_logits"}}
    verdict = verify(reference._replace(runs={"graph": {"mixed": stages}}), folder, device="cpu")
    assert verdict.passed
    (note,) = [note for note in verdict.notes if "says nothing about" in note]
    assert "cls.predictions.bias" in note
    assert "and 2 more" in note  # those of cls.seq_relationship
    assert "pooler" not in note


def _run_in_torch(folder):
    """A user's own function: the PyTorch model itself, run as people run it."""
    import transformers

    config = json.loads((folder / "config.json").read_text())
    model = getattr(transformers, config["architectures"][0]).from_pretrained(folder).eval()

    def fn(**inputs):
        with torch.no_grad():
            out = model(
                **{k: torch.as_tensor(v, dtype=torch.long) for k, v in inputs.items()}, output_hidden_states=True
            )
        return (
            {"hidden_states": [s.numpy() for s in out.hidden_states], "logits": out.logits.numpy()}
            if "logits" in out
            else {"hidden_states": [s.numpy() for s in out.hidden_states]}
        )

    return fn


def test_any_architecture_is_verified_by_the_users_own_function(tmp_path):
    import transformers

    torch.manual_seed(0)
    sizes = {"n_layers": 2, "dim": 32, "hidden_dim": 64, "n_heads": 4, "vocab_size": 50, "max_position_embeddings": 20}
    config = transformers.DistilBertConfig(**sizes, num_labels=3)
    model = transformers.DistilBertForSequenceClassification(config)
    model.save_pretrained(tmp_path / "distil")
    inputs = {"input_ids": np.arange(20).reshape(2, 10), "attention_mask": np.ones((2, 10), np.int64)}
    path = tmp_path / "own.safetensors"
    record(_run_in_torch(tmp_path / "distil"), inputs, path)
    verdict = verify(path, tmp_path / "distil", device="cpu")
    assert verdict.passed, verdict.failures
    assert [stage.name for stage in verdict.stages] == [
        "hidden_states.0",
        "hidden_states.1",
        "hidden_states.2",
        "logits",
    ]

    with torch.no_grad():
        model.distilbert.transformer.layer[1].ffn.lin2.weight[0, 0] += 0.01
    model.save_pretrained(tmp_path / "distil")
    verdict = verify(path, tmp_path / "distil", device="cpu")
    assert not verdict.passed
    assert verdict.first == "hidden_states.2"
    assert verdict.diagnosis is not None
    assert not verdict.diagnosis.proven

    reference = read_reference(path)
    misnamed = {"float32": {name: {"logit": next(iter(v.values()))} for name, v in reference.runs["float32"].items()}}
    with pytest.raises(ParityError, match="logit, which DistilBertForSequenceClassification does not compute"):
        verify(reference._replace(runs=misnamed), tmp_path / "distil", device="cpu")
    needless = {
        name: probe._replace(inputs={**probe.inputs, "token_type_ids": inputs["input_ids"]})
        for name, probe in reference.probes.items()
    }
    with pytest.raises(ParityError, match="does not take the inputs"):
        verify(reference._replace(probes=needless), tmp_path / "distil", device="cpu")


@pytest.mark.parametrize(
    "damage", ["no folder", "a file", "no config", "not JSON", "no weights", "an unknown class", "cut short"]
)
def test_a_folder_that_does_not_load_is_one_message(damage, pair, tmp_path):
    made, folder = pair()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = copy / "config.json"
    if damage == "no folder":
        copy = tmp_path / "nothing"
    elif damage == "a file":
        copy = config
    elif damage == "no config":
        config.unlink()
    elif damage == "not JSON":
        config.write_text("{")
    elif damage == "no weights":
        (copy / "model.safetensors").unlink()
    elif damage == "an unknown class":
        config.write_text(config.read_text().replace("BertForPreTraining", "BertForEverything"))
    else:
        data = (copy / "model.safetensors").read_bytes()
        (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(bridgeckpt.BridgeckptError) as caught:
        verify(graph_reference(made), copy, device="cpu")
    assert str(copy) in caught.value.message or "BertForEverything" in caught.value.message


def test_a_source_that_is_no_reference_is_one_message(pair, tmp_path):
    _made, folder = pair()
    with pytest.raises(bridgeckpt.CheckpointError, match="not a reference"):
        verify(folder / "model.safetensors", folder, device="cpu")
    with pytest.raises(bridgeckpt.CheckpointError, match="there is no reference"):
        verify(tmp_path / "missing.safetensors", folder, device="cpu")
    with pytest.raises(bridgeckpt.CheckpointError):
        verify(tmp_path / "missing.ckpt", folder, device="cpu")


def test_devices_and_dtypes_that_are_not_there(pair, monkeypatch):
    made, folder = pair()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParityError, match="no CUDA device") as caught:
        verify(graph_reference(made), folder, device="cuda")
    assert 'device="cpu"' in caught.value.hint
    assert devices.check_device("auto") == "cpu"
    for wrong in ("gpu", "cpu:1", "cuda:x", "mps"):
        with pytest.raises(ParityError, match="is not a device"):
            verify(graph_reference(made), folder, device=wrong)
    with pytest.raises(ParityError, match="no tf32"):
        verify(graph_reference(made), folder, device="cpu", dtypes=("tf32",))
    with pytest.raises(ParityError, match="float8 is not a dtype"):
        verify(graph_reference(made), folder, device="cpu", dtypes=("float8",))


def test_a_gpu_number_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.check_device("cuda:1") == "cuda:1"
    assert devices.check_device("auto") == "cuda"
    with pytest.raises(ParityError, match="no cuda:2") as caught:
        devices.check_device("cuda:2")
    assert "cuda:1" in caught.value.hint


def test_a_model_larger_than_memory_is_refused(pair, monkeypatch):
    made, folder = pair()
    monkeypatch.setattr(devices, "_available", lambda: 1000)
    with pytest.raises(ParityError, match="of memory") as caught:
        verify(graph_reference(made), folder, device="cpu")
    assert "machine" in caught.value.hint


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB."), "does not have enough memory"),
        # What PyTorch raised on an H100 of which another process held all but 400 MB, too little for CUDA's context.
        (
            RuntimeError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
            "does not have enough memory",
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "enough memory"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "failed in bfloat16: CUDA error: uncorrect"),
    ],
    ids=lambda value: str(value).partition("\n")[0],
)
def test_a_gpu_that_fails_is_one_message(error, told, pair, monkeypatch):
    made, folder = pair()

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(devices, "run", fail)
    with pytest.raises(ParityError, match=told) as caught:
        verify(graph_reference(made), folder, device="cpu", dtypes=("bfloat16",))
    assert 'device="cpu"' in caught.value.hint
    assert "\n" not in caught.value.message


def test_an_error_that_is_not_the_devices_is_not_blamed_on_it(pair, monkeypatch):
    made, folder = pair()

    def fail(*_, **__):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(devices, "run", fail)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        verify(graph_reference(made), folder, device="cpu", dtypes=("bfloat16",))


def test_the_settings_of_torch_are_left_as_they_were(pair):
    made, folder = pair()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert verify(graph_reference(made), folder, device="cpu").passed
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="PyTorch before 2.9")
def test_a_program_may_use_the_settings_of_each_backend(pair):
    """PyTorch refuses to tell the older setting of them all then."""
    made, folder = pair()
    code = (
        "import sys, torch; from bridgeckpt import verify;"
        "matmul = torch.backends.cuda.matmul; matmul.fp32_precision = 'tf32';"
        "assert verify(sys.argv[1], sys.argv[2], device='cpu', any_checkpoint=True).passed;"
        "assert matmul.fp32_precision == 'tf32', matmul.fp32_precision"
    )
    path = folder.parent / "of-the-graph.safetensors"
    write_reference(graph_reference(made), path)
    done = subprocess.run([sys.executable, "-c", code, path, folder], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("forced", "dtypes"), [("1", ()), ("0", ("tf32",))])
def test_a_driver_that_is_told_to_compute_in_another_dtype_is_refused(forced, dtypes, monkeypatch):
    """On an H100 the first made float32 888 times as coarse as it is, and with the second tf32 was float32."""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", forced)
    with pytest.raises(ParityError, match=f"NVIDIA_TF32_OVERRIDE={forced}"):
        devices.check_dtypes(dtypes, "cuda")
    devices.check_dtypes(("bfloat16",), "cpu")


def test_probes_read_every_row():
    probes = probe_inputs(vocab=1001, positions=37, types=3, seed=4)
    swept = probes["sweep"].inputs
    assert set(swept["input_ids"].ravel()) == set(range(1001))
    assert set(swept["token_type_ids"].ravel()) == {0, 1, 2}
    assert swept["input_ids"].shape[1] == 37
    assert probes["long"].inputs["input_ids"].shape == (1, 37)
    mixed = probes["mixed"].inputs
    lengths = mixed["attention_mask"].sum(1)
    assert lengths.max() == mixed["input_ids"].shape[1]
    assert lengths.min() == 1
    assert (mixed["token_type_ids"][0] == 0).any()
    assert (mixed["token_type_ids"][0] == 2).any()
    assert not (mixed["input_ids"] * (1 - mixed["attention_mask"])).any()
    again = probe_inputs(vocab=1001, positions=37, types=3, seed=4)
    assert all((again[p].inputs[n] == a).all() for p in probes for n, a in probes[p].inputs.items())
    other = probe_inputs(vocab=1001, positions=37, types=3, seed=5)
    assert (other["mixed"].inputs["input_ids"] != mixed["input_ids"]).any()


def test_a_sweep_of_few_tokens_still_reads_every_position_and_type():
    inputs = sweep(vocab=5, positions=16, types=20).inputs
    assert inputs["input_ids"].shape == (2, 16)
    assert set(inputs["token_type_ids"].ravel()) == set(range(20))


def test_a_reference_survives_its_file(pair, tmp_path):
    made, _ = pair()
    reference = record_checkpoint(made.prefix, None)
    path = tmp_path / "reference.safetensors"
    write_reference(reference, path)
    again = read_reference(path)
    assert again.provenance == reference.provenance
    assert again.variables == reference.variables
    assert again.notes == reference.notes
    assert again.assumed == reference.assumed
    assert again.vocabulary == reference.vocabulary is not None
    for name, probe in reference.probes.items():
        assert again.probes[name]._replace(inputs={}) == probe._replace(inputs={})
        assert all((again.probes[name].inputs[key] == value).all() for key, value in probe.inputs.items())
    for run, probes in reference.runs.items():
        for name, stages in probes.items():
            assert again.runs[run][name].keys() == stages.keys()
            assert all((again.runs[run][name][stage] == value).all() for stage, value in stages.items())
    assert [p.name for p in tmp_path.iterdir()] == ["reference.safetensors"]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 10])
    with pytest.raises(bridgeckpt.CheckpointError, match="not a valid safetensors file"):
        read_reference(path)


@pytest.mark.cuda
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_folder_passes_on_the_gpu_in_every_dtype(spec, pair):
    made, folder = pair(**spec)
    verdict = verify(graph_reference(made), folder, device="cuda", dtypes=("tf32", "bfloat16", "float16"))
    assert verdict.passed, verdict.failures
    assert [one.dtype for one in verdict.devices] == ["float32", "tf32", "bfloat16", "float16"]


@pytest.mark.cuda
def test_a_fault_is_found_on_the_gpu(broken):
    made, folder = broken(scaled("bert.encoder.layer.1.attention.output.dense.bias", 1.001))
    verdict = verify(graph_reference(made), folder, device="cuda")
    assert verdict.first == "layer.1.output"
