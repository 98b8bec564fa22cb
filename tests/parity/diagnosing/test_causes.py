"""Every cause the diagnosis knows, put into a converted model: with weights far apart, and as BERT initialises them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from tfwrite import save

import bridgeckpt
from bridgeckpt.parity.reference.reference import Reference
from bridgeckpt.parity.verifying import verify

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.verdict import Diagnosis, Verdict

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.slow
pytest.importorskip("transformers")

Tensors = dict[str, Any]
LAYER = "bert.encoder.layer.1."
QUERY, KEY, VALUE = (f"{LAYER}attention.self.{name}." for name in ("query", "key", "value"))
ATTENTION, OUTPUT = f"{LAYER}attention.output.", f"{LAYER}output."
WIDE = f"{LAYER}intermediate.dense."
WORDS, POSITIONS, TYPES = (f"bert.embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type"))
GAMMA, BETA = "bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.bias"


class Sound(NamedTuple):
    """A converted folder and the reference it agrees with."""

    folder: Path
    reference: Reference


@pytest.fixture(scope="module")
def sound(built, tmp_path_factory) -> Callable[[str], Sound]:
    """``sound("large")``, whose weights are far apart, and ``sound("small")``, as BERT is initialised."""
    made: dict[str, Sound] = {}

    def make(kind: str) -> Sound:
        from bridgeckpt.parity.recording import record_checkpoint

        if kind not in made:
            at = tmp_path_factory.mktemp(kind)
            checkpoint = built(layers=3)
            source = checkpoint.prefix if kind == "large" else _initialised(checkpoint, at / "source")
            bridgeckpt.convert(source, at / "out")
            made[kind] = Sound(at / "out", record_checkpoint(source))
        return made[kind]

    return make


def _initialised(checkpoint: Any, folder: Path) -> Path:
    """The checkpoint with BERT's own initialiser, but for biases, which are not 0, so that a wrong one shows."""
    shutil.copytree(checkpoint.directory, folder, ignore=shutil.ignore_patterns("*.data-*", "*.index"))
    generator = np.random.default_rng(0)
    save(
        folder / checkpoint.prefix.name,
        {
            name: np.ones_like(value) if name.endswith("gamma") else np.float32(generator.normal(0, 0.02, value.shape))
            for name, value in checkpoint.variables.items()
        },
    )
    return folder / checkpoint.prefix.name


@pytest.fixture
def verdict_of(sound, tmp_path) -> Callable[..., Verdict]:
    """``verdict_of(fault, kind, config)``: of the sound model with ``fault`` done to its tensors."""

    def verdict(
        fault: Callable[[Tensors], Any] | None = None, kind: str = "large", config: Mapping[str, Any] | None = None
    ) -> Verdict:
        folder = spoilt(sound(kind).folder, tmp_path / "spoilt", fault, config)
        return verify(sound(kind).reference, folder, device="cpu")

    return verdict


def spoilt(
    folder: Path, to: Path, fault: Callable[[Tensors], Any] | None = None, config: Mapping[str, Any] | None = None
) -> Path:
    """A copy of a folder with a fault."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, to)
    if fault is not None:
        tensors = load_file(to / "model.safetensors")
        fault(tensors)
        save_file({name: x.contiguous() for name, x in tensors.items()}, to / "model.safetensors", {"format": "pt"})
    path = to / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **(config or {})}))
    return to


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: change(tensors[name])})


def swapped(*pairs: tuple[str, str]) -> Callable[[Tensors], None]:
    def fault(tensors: Tensors) -> None:
        for one, two in pairs:
            tensors[one], tensors[two] = tensors[two].clone(), tensors[one].clone()

    return fault


def layers_from(places: Mapping[int, int]) -> Callable[[Tensors], None]:
    def fault(tensors: Tensors) -> None:
        before = dict(tensors)
        for name in before:
            for layer, other in places.items():
                if f".layer.{layer}." in name:
                    tensors[name] = before[name.replace(f".layer.{layer}.", f".layer.{other}.")].clone()

    return fault


def element(name: str, *index: int) -> Callable[[Tensors], None]:
    def fault(tensors: Tensors) -> None:
        tensors[name][index] *= 1.01

    return fault


def assert_found(verdict: Verdict, stage: str, parameter: str | None, *words: str) -> Diagnosis:
    """It failed, for the one reason given, which was proven."""
    found = verdict.diagnosis
    assert not verdict.passed
    assert found is not None
    assert (found.stage, found.parameter) == (stage, parameter), found
    assert all(word in found.cause for word in words), found.cause
    assert found.proven
    assert found.others == ()
    assert found.remedy
    return found


@pytest.mark.parametrize("kind", ["large", "small"])
def test_a_sound_model_needs_no_diagnosis(kind, verdict_of):
    assert verdict_of(kind=kind).diagnosis is None


@pytest.mark.parametrize("kind", ["large", "small"])
@pytest.mark.parametrize(
    ("config", "stage", "words"),
    [
        ({"hidden_act": "gelu"}, "layer.0.intermediate", ["activation", "tanh approximation"]),
        ({"hidden_act": "relu"}, "layer.0.intermediate", ["activation", "gelu_pytorch_tanh"]),
        ({"layer_norm_eps": 1e-3}, "embeddings", ["epsilon", "1e-12"]),
        ({"layer_norm_eps": 1e-5}, "embeddings", ["epsilon", "1e-12"]),
        ({"layer_norm_eps": 1e-7}, "embeddings", ["epsilon", "1e-12"]),
        ({"num_attention_heads": 4}, "layer.0.context", ["among 3 heads"]),
    ],
)
def test_a_setting_is_named_by_its_config_key(kind, config, stage, words, verdict_of):
    (key,) = config
    found = assert_found(verdict_of(kind=kind, config=config), stage, f"config.json: {key}", *words)
    assert key in found.remedy


@pytest.mark.parametrize("kind", ["large", "small"])
@pytest.mark.parametrize(
    ("fault", "stage", "parameter", "words"),
    [
        (changed(f"{VALUE}weight", lambda x: x.T), "value", f"{VALUE}weight", ["transposed"]),
        (swapped((f"{QUERY}weight", f"{KEY}weight")), "query", f"{QUERY}weight", ["swapped", f"{KEY}weight"]),
        (swapped((f"{QUERY}bias", f"{VALUE}bias")), "query", f"{QUERY}bias", ["swapped", f"{VALUE}bias"]),
        (
            swapped((f"{KEY}weight", f"{VALUE}weight"), (f"{KEY}bias", f"{VALUE}bias")),
            "key",
            f"{KEY}weight",
            ["swapped", f"{VALUE}weight", f"{VALUE}bias"],
        ),
        (
            swapped((f"{ATTENTION}LayerNorm.weight", f"{ATTENTION}LayerNorm.bias")),
            "attention",
            f"{ATTENTION}LayerNorm.weight",
            ["swapped", f"{ATTENTION}LayerNorm.bias"],
        ),
        (
            swapped((f"{ATTENTION}LayerNorm.bias", f"{OUTPUT}LayerNorm.bias")),
            "attention",
            f"{ATTENTION}LayerNorm.bias",
            ["swapped", f"{OUTPUT}LayerNorm.bias"],
        ),
        (changed(f"{OUTPUT}dense.weight", lambda x: x.roll(1, 0)), "output", f"{OUTPUT}dense.weight", ["moved by one"]),
        (changed(f"{OUTPUT}dense.weight", lambda x: x * 1.001), "output", f"{OUTPUT}dense.weight", ["1.001 times"]),
        (changed(f"{OUTPUT}dense.weight", lambda x: -x), "output", f"{OUTPUT}dense.weight", ["wrong sign"]),
        (changed(f"{WIDE}bias", lambda x: x * 1.001), "intermediate", f"{WIDE}bias", ["1.001 times"]),
        (changed(f"{WIDE}bias", lambda x: x * 0), "intermediate", f"{WIDE}bias", ["all zeros"]),
        (changed(f"{KEY}bias", lambda x: x + 0.01), "key", f"{KEY}bias", ["off by 0.01"]),
        (element(f"{ATTENTION}dense.weight", 3, 7), "attention", f"{ATTENTION}dense.weight", ["one element: [3, 7]"]),
        (element(f"{WIDE}weight", 5, 2), "intermediate", f"{WIDE}weight", ["one element: [5, 2]"]),
        (element(f"{ATTENTION}dense.bias", 4), "attention", f"{ATTENTION}dense.bias", ["one element: [4]"]),
        (element(f"{OUTPUT}LayerNorm.weight", 9), "output", f"{OUTPUT}LayerNorm.weight", ["one element: [9]"]),
        (element(f"{VALUE}weight", 6), "value", f"{VALUE}weight", ["row 6"]),
        (
            swapped((f"{ATTENTION}dense.bias", f"{ATTENTION}LayerNorm.bias")),
            "attention",
            f"{ATTENTION}dense.bias",
            ["swapped", f"{ATTENTION}LayerNorm.bias"],
        ),
    ],
)
def test_a_tensor_of_a_layer_is_named_with_what_is_wrong_in_it(kind, fault, stage, parameter, words, verdict_of):
    found = assert_found(verdict_of(fault, kind), f"layer.1.{stage}", parameter, *words)
    assert found.variable is not None
    assert found.variable.startswith("bert/encoder/layer_1/")
    assert f"bert/google {found.variable}" in found.remedy


@pytest.mark.parametrize("kind", ["large", "small"])
@pytest.mark.parametrize(
    ("fault", "parameter", "words"),
    [
        (changed(WORDS, lambda x: x.roll(1, 0)), WORDS, ["moved by one row"]),
        (changed(WORDS, lambda x: x * 1.001), WORDS, ["1.001 times"]),
        (element(WORDS, 17, 3), WORDS, ["row 17", "one element: [3]"]),
        (element(WORDS, 17), WORDS, ["row 17", "1.01 times"]),
        (
            changed(WORDS, lambda x: x[[*range(5), 9, *range(6, 9), 5, *range(10, 101)]]),
            WORDS,
            ["rows 5 and 9", "swap"],
        ),
        (changed(POSITIONS, lambda x: x.roll(2, 0)), POSITIONS, ["row p+2 of the position table"]),
        (changed(POSITIONS, lambda x: x * 1.001), POSITIONS, ["1.001 times"]),
        (element(POSITIONS, 20, 3), POSITIONS, ["row 20", "one element: [3]"]),
        (changed(TYPES, lambda x: x.flip(0)), TYPES, ["from the other end"]),
        (changed(TYPES, lambda x: x * 0), TYPES, ["all zeros"]),
        (element(GAMMA, 3), GAMMA, ["one element: [3]"]),
        (swapped((GAMMA, BETA)), GAMMA, ["swapped"]),
    ],
)
def test_a_wrong_embedding_is_named_with_its_row(kind, fault, parameter, words, verdict_of):
    """The decoder is tied to the words, and no second fault for that."""
    assert_found(verdict_of(fault, kind), "embeddings", parameter, *words)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({0: 2, 2: 0}, ["reverse order", "0 in 2, 2 in 0"]),
        ({0: 1, 1: 0}, ["swapped", "0 in 1, 1 in 0"]),
        ({0: 1, 1: 2, 2: 0}, ["another order", "0 in 2, 1 in 0, 2 in 1"]),
    ],
)
def test_layers_in_another_order_are_one_cause(places, words, verdict_of):
    verdict = verdict_of(layers_from(places))
    assert_found(verdict, "layer.0.query", "bert.encoder.layer.0.attention.self.query.weight", "layers are", *words)


def test_a_mistake_made_in_every_layer_is_one_cause(verdict_of):
    every = [f"bert.encoder.layer.{layer}.attention.self." for layer in range(3)]
    fault = swapped(*((f"{at}query.weight", f"{at}key.weight") for at in every))
    assert_found(verdict_of(fault), "layer.0.query", f"{every[0]}query.weight", "every layer", "swapped")


def test_every_square_matrix_transposed_is_one_cause(verdict_of):
    def fault(tensors: Tensors) -> None:
        square = [name for name, x in tensors.items() if x.ndim == 2 and x.shape[0] == x.shape[1]]
        tensors.update({name: tensors[name].T for name in square})

    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert_found(verdict_of(fault), "layer.0.query", name, "every square matrix is transposed")


def test_an_untied_decoder_is_named(verdict_of):
    def fault(tensors: Tensors) -> None:
        tensors["cls.predictions.decoder.weight"] = tensors[WORDS].roll(3, 0)
        tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()

    verdict = verdict_of(fault, config={"tie_word_embeddings": False})
    assert_found(verdict, "mlm_logits", "cls.predictions.decoder.weight", "not tied", WORDS)


def test_a_missing_bias_of_the_masked_lm_head_is_named(verdict_of):
    verdict = verdict_of(lambda tensors: tensors.pop("cls.predictions.bias"))
    assert_found(verdict, "mlm_logits", "cls.predictions.bias", "not in the folder")


def test_swapped_labels_are_named(verdict_of):
    def fault(tensors: Tensors) -> None:
        for part in ("weight", "bias"):
            tensors[f"cls.seq_relationship.{part}"] = tensors[f"cls.seq_relationship.{part}"].flip(0)

    assert_found(verdict_of(fault), "nsp_logits", "cls.seq_relationship.weight", "rows 0 and 1 are swapped")


def test_what_is_left_over_is_blamed_without_proof(verdict_of):
    def fault(tensors: Tensors) -> None:
        generator = torch.Generator().manual_seed(0)
        tensors[f"{OUTPUT}dense.weight"] = torch.randn(tensors[f"{OUTPUT}dense.weight"].shape, generator=generator)

    found = verdict_of(fault).diagnosis
    assert (found.stage, found.parameter, found.proven) == ("layer.1.output", f"{OUTPUT}dense.weight", False)
    assert "wrong throughout: no other values of" in found.cause


def test_weights_that_are_not_finite_are_blamed(verdict_of):
    found = verdict_of(changed(f"{WIDE}bias", lambda x: x * float("nan"))).diagnosis
    assert "80 of 80 values that are not finite" in found.cause
    assert (found.stage, found.parameter) == ("layer.1.intermediate", f"{WIDE}bias")


@pytest.mark.parametrize(
    ("seen", "stage", "words"),
    [
        ({"token_type_ids": lambda x: x * 0}, "embeddings", ["ignores the token types"]),
        ({"token_type_ids": lambda x: 1 - x}, "embeddings", ["token types from the other end"]),
        ({"attention_mask": np.ones_like}, "layer.0.context", ["ignores the attention mask"]),
        ({"attention_mask": lambda x: 1 - x}, "layer.0.context", ["mask is inverted"]),
    ],
)
def test_inputs_that_were_read_otherwise_are_named(seen, stage, words, sound):
    """The reference is of the PyTorch model itself, fed other inputs than it says."""
    reference = own_reference(sound("large"), seen)
    found = verify(reference, sound("large").folder, device="cpu", any_checkpoint=True).diagnosis
    assert found is not None
    assert (found.stage, found.proven) == (stage, True), found
    assert all(word in found.cause for word in words), found.cause


def own_reference(
    model: Sound,
    seen: Mapping[str, Callable[[Any], Any]],
    keep: Callable[[str], bool] = lambda _: True,
    called: Callable[[str], str] = str,
) -> Reference:
    """What a converted model computes on the mixed probe, its inputs being changed before it sees them."""
    from bridgeckpt.parity.families import family_of
    from bridgeckpt.parity.judging.loading import load
    from bridgeckpt.parity.judging.pytorch import run

    subject, probe = load(model.folder, family_of), model.reference.probes["mixed"]
    fed = {name: seen.get(name, lambda x: x)(array) for name, array in probe.inputs.items()}
    values = run(subject, subject.model, probe._replace(inputs=fed), set(subject.sites))
    kept = {called(name): array.astype(np.float32) for name, array in values.items() if keep(name)}
    return Reference({"mixed": probe}, {"float32": {"mixed": kept}}, {})


def test_a_reference_of_hidden_states_alone_tells_a_transposed_matrix(sound, tmp_path):
    names = {"embeddings": "hidden_states.0", **{f"layer.{at}.output": f"hidden_states.{at + 1}" for at in range(3)}}
    reference = own_reference(sound("large"), {}, names.__contains__, lambda name: names.get(name, name))
    folder = spoilt(sound("large").folder, tmp_path / "spoilt", changed(f"{VALUE}weight", lambda x: x.T))
    found = assert_found(verify(reference, folder, device="cpu"), "hidden_states.2", f"{VALUE}weight", "transposed")
    assert found.variable is None  # a reference of the user's own does not say


def test_a_reference_of_logits_alone_tells_a_setting_but_no_tensor(sound, tmp_path):
    reference = own_reference(sound("large"), {}, "mlm_logits".__eq__)
    other = spoilt(sound("large").folder, tmp_path / "act", config={"hidden_act": "gelu"})
    assert_found(verify(reference, other, device="cpu"), "mlm_logits", "config.json: hidden_act", "tanh")
    wrong = spoilt(sound("large").folder, tmp_path / "wrong", changed(f"{VALUE}weight", lambda x: x.T))
    found = verify(reference, wrong, device="cpu").diagnosis
    assert found is not None
    assert (found.stage, found.parameter, found.proven) == ("mlm_logits", None, False)
    assert "which the reference does not hold" in found.cause
