"""The mutation test: a row of a table that is wrong on purpose is caught, row by row and way by way.

What static lints cannot see is listed by name. Of that, a misspelt, misplaced or dropped TensorFlow name is refused by
planning (a name that is missing, a shape that does not fit); two tensors of one module with the same shape are left to
parity: the converted model computes something else.
"""

from __future__ import annotations

import os
import shutil

import pytest
from mutants import mutants, rows
from parity import load, outputs, worst

import bridgeckpt
from bridgeckpt.mapping.checking.lints import check
from bridgeckpt.mapping.tables import library as tables

TEXTS = {name: (tables.folder() / f"{name}.toml").read_text() for name in ("bert/google", "bert/google_keras")}
ROWS = {name: {f"{row.group}.{row.pt}" for row in rows(text)} for name, text in TEXTS.items()}

# The names of one module that are alike in everything but meaning.
ALIKE = {
    "layer.attention.self.query.weight",  # query and key
    "layer.attention.self.query.bias",
    "layer.attention.self.key.weight",  # key and value
    "layer.attention.self.key.bias",
    "layer.attention.output.LayerNorm.bias",  # and the bias of the dense layer after it
}
DETECTED = {"layer.attention.output.LayerNorm.weight"}  # the row that detect names
PROJECTIONS = {row for row in ROWS["bert/google"] if row.startswith("layer.attention.self.")}

# A static lint does not know what TensorFlow called its variables: that is the checkpoint's to say.
LEFT_TO_PLANNING = {
    "bert/google": {
        "tf swapped with one of another layout": {
            "embeddings.word_embeddings.weight",
            "embeddings.position_embeddings.weight",
            "embeddings.token_type_embeddings.weight",
            "mlm.transform.dense.bias",
            "mlm.transform.LayerNorm.bias",
        },
        "tf misspelt": ROWS["bert/google"] - DETECTED,
    },
    "bert/google_keras": {
        # Without a row of its own the table has bert/google's, which is right in all but the name; pooler borrows none.
        "row dropped": ROWS["bert/google_keras"] - DETECTED - {"pooler.dense.weight", "pooler.dense.bias"},
        "tf misspelt": ROWS["bert/google_keras"] - DETECTED,
        "also misspelt": PROJECTIONS,
        "also swapped with one of another layout": PROJECTIONS - {"layer.attention.self.value.bias"},  # the last one
    },
}
LEFT_TO_PARITY = {
    "bert/google": {
        "pt swapped with one of the same layout": ALIKE,
        "tf swapped with one of the same layout": ALIKE,
    },
    "bert/google_keras": {
        "pt swapped with one of the same layout": ALIKE,
        "tf swapped with one of the same layout": ALIKE,
        "also swapped with one of the same layout": ALIKE & PROJECTIONS,
    },
}
LEFT = {table: LEFT_TO_PLANNING[table] | LEFT_TO_PARITY[table] for table in TEXTS}

KINDS = {
    "row dropped",
    "tf misspelt",
    "pt misspelt",
    "not transposed",
    "another axis",
    "merge order of tf",
    "merge order of pt",
    "merge order of both sides",
    "pt swapped with one of the same layout",
    "pt swapped with one of another layout",
    "tf swapped with one of the same layout",
    "tf swapped with one of another layout",
}
OTHER_KINDS = {  # of rows that only one of the tables has
    "bert/google": {"transposed"},
    "bert/google_keras": {
        "also misspelt",
        "also swapped with one of the same layout",
        "also swapped with one of another layout",
    },
}


@pytest.mark.parametrize(("table", "count"), [("bert/google", 34), ("bert/google_keras", 24)])
def test_the_mutants_are_of_every_row_and_kind(table, count):
    text = TEXTS[table]
    made = mutants(text)
    assert len(rows(text)) == count == text.count("layout = ")
    assert {mutant.row for mutant in made} == ROWS[table]
    assert {mutant.kind for mutant in made} == KINDS | OTHER_KINDS[table]
    assert len({mutant.toml_text for mutant in made} - {text}) == len(made)  # each is another text


@pytest.mark.parametrize("table", TEXTS)
@pytest.mark.slow
def test_every_wrong_row_is_caught(table, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    folder = tmp_path / "mappings"
    shutil.copytree(tables.folder(), folder)
    monkeypatch.setattr(tables, "folder", lambda: folder)
    path = folder / f"{table}.toml"
    assert check(table, coverage=True) == []
    survivors: dict[str, set[str]] = {}
    for number, mutant in enumerate(mutants(TEXTS[table]), 1):
        path.write_text(mutant.toml_text)
        os.utime(path, ns=(number, number))
        if not check(table, coverage=True):
            survivors.setdefault(mutant.kind, set()).add(mutant.row)
    assert survivors == LEFT[table]


def verdict(mutant, tf, folder):
    """What becomes of a checkpoint under a wrong table: "refused", "moved" (another output), or None: nothing."""
    folder.mkdir()
    path = folder / "wrong.toml"
    path.write_text(mutant.toml_text.replace("schema = 1", 'schema = 1\nmodel = "bert/model"', 1))
    try:
        bridgeckpt.convert(tf.prefix, folder / "out", mapping=path)
    except bridgeckpt.PlanError:
        return "refused"
    found = outputs(load(folder / "out"), tf.inputs)
    golden = {name: value for name, value in tf.outputs.items() if name in found}
    assert [name for name in golden if name.endswith("logits")]
    return "moved" if max(worst(found, golden, tf.inputs["attention_mask"]).values()) > 1e-2 else None


def assert_caught(table, tmp_path, checkpoints):
    """Planning refuses what is left to it, the rest moves the outputs, of one of ``checkpoints(group)`` at least."""
    left = [mutant for mutant in mutants(TEXTS[table]) if mutant.row in LEFT[table].get(mutant.kind, ())]
    found = {"refused": set(), "moved": set()}
    for number, mutant in enumerate(left):
        for n, tf in enumerate(checkpoints(mutant.row.partition(".")[0])):
            what = verdict(mutant, tf, tmp_path / f"{number}-{n}")
            found.setdefault(what, set()).add((mutant.kind, mutant.row))
    assert found["refused"] == pairs(LEFT_TO_PLANNING[table])
    assert found["moved"] == pairs(LEFT_TO_PARITY[table])


def pairs(left):
    return {(kind, row) for kind, of_kind in left.items() for row in of_kind}


def test_what_lints_leave_of_google_is_refused_or_moves_the_outputs(built, tmp_path):
    """The rest of the mutation test: a table that passes every lint and is wrong never gives the right numbers."""
    heads = {group: [built(head=group)] for group in ("squad", "classifier")}
    whole = [built(head="pretraining")]
    assert_caught("bert/google", tmp_path, lambda group: heads.get(group, whole))


def test_what_lints_leave_of_google_keras_is_refused_or_moves_the_outputs(built, tmp_path):
    """One of two checkpoints tells: with query, key and value by name, and with these numbered like every layer."""
    both = [built(port=port, head="pretraining") for port in ("keras", "keras_all")]
    assert_caught("bert/google_keras", tmp_path, lambda group: both)
