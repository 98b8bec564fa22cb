"""The mutation test: a row of bert/google that is wrong on purpose is caught, row by row and way by way.

What static lints cannot see is listed by name. Of that, a misspelt or misplaced TensorFlow name is refused by planning
(a name that is missing, a shape that does not fit); two tensors of one module with the same shape are left to parity.
"""

from __future__ import annotations

import os
import shutil

import pytest
from mutants import mutants, rows

from bridgeckpt.mapping import tables
from bridgeckpt.mapping.lints import check

TEXT = (tables.folder() / "bert" / "google.toml").read_text()

# The names of one module that are alike in everything but meaning.
LEFT_TO_PARITY = {
    "layer.attention.self.query.weight",  # query and key
    "layer.attention.self.query.bias",
    "layer.attention.self.key.weight",  # key and value
    "layer.attention.self.key.bias",
    "layer.attention.output.LayerNorm.bias",  # and the bias of the dense layer after it
}

# A static lint does not know what TensorFlow called its variables: that is the checkpoint's to say.
LEFT_TO_PLANNING = {
    "tf swapped with one of another layout": {
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "embeddings.token_type_embeddings.weight",
        "mlm.transform.dense.bias",
        "mlm.transform.LayerNorm.bias",
    },
    # Every row but the one that detect names.
    "tf misspelt": {f"{row.group}.{row.pt}" for row in rows(TEXT)} - {"layer.attention.output.LayerNorm.weight"},
}

LEFT = LEFT_TO_PLANNING | {
    "pt swapped with one of the same layout": LEFT_TO_PARITY,
    "tf swapped with one of the same layout": LEFT_TO_PARITY,
}


def test_the_mutants_are_of_every_row_and_kind():
    made = mutants(TEXT)
    assert len(rows(TEXT)) == 34
    assert {mutant.row for mutant in made} == {f"{row.group}.{row.pt}" for row in rows(TEXT)}
    assert {mutant.kind for mutant in made} == {
        "row dropped",
        "tf misspelt",
        "pt misspelt",
        "not transposed",
        "transposed",
        "another axis",
        "merge order of tf",
        "merge order of pt",
        "merge order of both sides",
        "pt swapped with one of the same layout",
        "pt swapped with one of another layout",
        "tf swapped with one of the same layout",
        "tf swapped with one of another layout",
    }
    assert len({mutant.toml_text for mutant in made} - {TEXT}) == len(made)  # each is another text


def test_every_wrong_row_is_caught(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    folder = tmp_path / "mappings"
    shutil.copytree(tables.folder(), folder)
    monkeypatch.setattr(tables, "folder", lambda: folder)
    path = folder / "bert" / "google.toml"
    assert check("bert/google", coverage=True) == []
    survivors: dict[str, set[str]] = {}
    for number, mutant in enumerate(mutants(TEXT), 1):
        path.write_text(mutant.toml_text)
        os.utime(path, ns=(number, number))
        if not check("bert/google", coverage=True):
            survivors.setdefault(mutant.kind, set()).add(mutant.row)
    assert survivors == LEFT


def test_what_lints_leave_is_refused_or_moves_the_outputs(built, tmp_path):
    """The rest of the mutation test: a table that passes every lint and is wrong never gives the right numbers."""
    from parity import load, outputs, worst

    from bridgeckpt import PlanError, convert

    tf = built(head="pretraining")
    refused, moved = set(), set()
    for number, mutant in enumerate(mutant for mutant in mutants(TEXT) if mutant.row in LEFT.get(mutant.kind, ())):
        path = tmp_path / f"{number}.toml"
        path.write_text(mutant.toml_text.replace("schema = 1", 'schema = 1\nmodel = "bert/model"', 1))
        if mutant.row.startswith(("squad.", "classifier.")):
            continue  # this checkpoint has no such head
        try:
            convert(tf.prefix, tmp_path / str(number), mapping=path)
        except PlanError:
            refused.add((mutant.kind, mutant.row))
            continue
        shares = worst(outputs(load(tmp_path / str(number)), tf.inputs), tf.outputs, tf.inputs["attention_mask"])
        assert max(shares.values()) > 1e-2, mutant.description
        moved.add((mutant.kind, mutant.row))
    assert {row for kind, row in moved if kind.startswith("pt swapped")} == LEFT_TO_PARITY
    assert {row for kind, row in refused if kind == "tf misspelt"} >= {"embeddings.LayerNorm.weight", "mlm.bias"}
