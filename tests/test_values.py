"""Plans and results are values: nothing that reads one changes it, and another process can return it."""

from __future__ import annotations

import pickle
import shutil

import pytest

import bridgeckpt
from bridgeckpt.aligning.sides import tensorflow_side
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.planning.plan import draft


def test_a_side_of_a_comparison_leaves_its_plan_as_it_was(example, tmp_path):
    """Tensors whose sizes nobody knows are left out of the side, not out of the plan that the caller holds."""
    for path in example.glob("bert_model.ckpt.*"):
        if path.suffix != ".meta":  # which says how many heads there are, as the config does
            shutil.copy(path, tmp_path)
    planned = draft(tmp_path)
    before = pickle.dumps(planned.ledger)
    side = tensorflow_side(planned)
    assert (len(planned.ledger.assignments), len(side.jobs)) == (46, 32)
    assert pickle.dumps(planned.ledger) == before


def test_the_records_of_a_plan_refuse_changes(example):
    ledger = bridgeckpt.plan(example).ledger
    with pytest.raises(TypeError, match="cannot be changed"):
        ledger.sources["bert/pooler/dense/bias"] = "ignored"
    with pytest.raises(AttributeError):
        ledger.assignments = ()


def test_a_frozen_dict_is_a_dict_without_changes():
    frozen = FrozenDict({"a": 1})
    changes = [
        lambda: frozen.update(b=2),
        lambda: frozen.pop("a"),
        lambda: frozen.popitem(),
        lambda: frozen.setdefault("b", 2),
        lambda: frozen.clear(),
        lambda: frozen.__delitem__("a"),
        lambda: frozen.__ior__({"b": 2}),
    ]
    for change in changes:
        with pytest.raises(TypeError):
            change()
    again = pickle.loads(pickle.dumps(frozen))
    assert again == frozen == {"a": 1}
    assert type(again) is FrozenDict
