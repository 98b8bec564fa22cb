"""References of versions that had no list of assumptions."""

from __future__ import annotations

import json

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from bridgeckpt.parity.reference.older import assumed_in_notes
from bridgeckpt.parity.reference.probes import Probe
from bridgeckpt.parity.reference.reference import Reference, read_reference, write_reference
from bridgeckpt.sentences import Sentence

GELU = Sentence('assumed: "gelu" of bert_config.json is the tanh approximation, as in google; {hidden_act:NAME} is erf')
SETTINGS = {
    "heads": "3 (bert_config.json)",
    "hidden_act": "gelu_pytorch_tanh (bert_config.json)",
    "layer_norm_eps": "1e-12 (assumed)",
}


def test_assumptions_are_found_in_the_notes_and_the_origins_of_settings():
    assumed, others = assumed_in_notes({"settings": SETTINGS}, (GELU, "another note"))
    assert assumed.keys() == {"hidden_act", "layer_norm_eps"}
    assert assumed["hidden_act"] is GELU
    assert "layer_norm_eps = 1e-12 was assumed" in assumed["layer_norm_eps"]
    assert "layer_norm_eps=X" in assumed["layer_norm_eps"]
    assert others == ("another note",)


def test_heads_have_the_key_of_the_config():
    assert assumed_in_notes({"settings": {"heads": "12 (assumed)"}}, ())[0].keys() == {"num_attention_heads"}


def test_a_function_of_the_users_own_assumes_nothing():
    assert assumed_in_notes({"how": "the caller's function"}, ("a note",)) == ({}, ("a note",))
    assert assumed_in_notes({"settings": "the user's own text (assumed)"}, ()) == ({}, ())


def test_a_file_without_the_field_is_read(tmp_path):
    path = tmp_path / "reference.safetensors"
    values = {"mixed": {"logits": np.ones((1, 2), np.float32)}}
    probes = {"mixed": Probe({"input_ids": np.ones((1, 2), np.int32)})}
    write_reference(Reference(probes, {"float32": values}, {"settings": SETTINGS}, notes=(GELU,)), path)
    assert read_reference(path).assumed == {}
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    ((key, text),) = metadata.items()
    record = json.loads(text)
    assert record.pop("assumed") == {}
    save_file(load_file(path), path, {key: json.dumps(record)})
    older = read_reference(path)
    assert older.assumed.keys() == {"hidden_act", "layer_norm_eps"}
    assert older.notes == ()
