"""Checkpoints that real third-party code wrote (``tests/fixtures``): converted, loaded in transformers, compared.

Each case holds what the code saved, the outputs that it computed from it, and what our program should make of it; the
``make_*.py`` beside the cases say with which versions they were made.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from parity import assert_parity
from paths import CASES, FIXTURES

import bridgeckpt

INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
@pytest.mark.slow
def test_it_converts_and_computes_what_its_code_computed(folder, tmp_path):
    case = json.loads((folder / "case.json").read_text())
    golden = dict(np.load(folder / "golden.npz"))
    done = bridgeckpt.convert(folder / case["source"], tmp_path / "out", **case["options"])
    assert (done.plan.table.name, done.plan.architecture.name) == (case["dialect"], case["architecture"])
    expected = {name: value for name, value in golden.items() if name not in INPUTS}
    assert_parity(tmp_path / "out", golden, expected, **case.get("load", {}))


# What nothing in the source tells without the graph of a hub module, which TensorFlow 2.21 cannot run.
TOLD = {"hub_tf1_fine_tuned": {"heads": 3}}


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
@pytest.mark.slow
def test_it_is_proven(folder, tmp_path):
    pytest.importorskip("tensorflow")
    case = json.loads((folder / "case.json").read_text())
    bridgeckpt.convert(folder / case["source"], tmp_path / "out", **case["options"])
    settings = {
        key: value for key, value in case["options"].items() if key in ("hidden_act", "layer_norm_eps", "heads")
    }
    told = {**settings, **TOLD.get(folder.name, {})}
    verdict = bridgeckpt.verify(folder / case["source"], tmp_path / "out", device="cpu", **told)
    assert verdict.passed, verdict.first


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_every_tensor_is_accounted_for(folder):
    case = json.loads((folder / "case.json").read_text())
    plan = bridgeckpt.plan(folder / case["source"], **case["options"])
    assert sum(plan.ledger.source_counts().values()) == len(bridgeckpt.open_checkpoint(folder / case["source"]))
    assert "unmapped" not in plan.ledger.source_counts()
    assert "missing" not in plan.ledger.target_counts()


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_it_is_small_and_says_where_it_is_from(folder):
    case = json.loads((folder / "case.json").read_text())
    assert case["writer"]
    assert (FIXTURES / case["made_by"]).is_file()
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_200_000
