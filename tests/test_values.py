"""Plans and results are values: nothing that reads one changes it, and another process can return it."""

from __future__ import annotations

import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import bridgeckpt
from bridgeckpt.aligning.sides import tensorflow_side
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.planning.plan import draft

FIXTURES = Path(__file__).parent / "fixtures"


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


@pytest.fixture(scope="module")
def pool():
    """A process that was not forked: what it returns has been pickled, and so has what it was given."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as executor:
        yield executor


def test_a_conversion_of_another_process(pool, example, example_folder, tmp_path):
    done = pool.submit(bridgeckpt.convert, example, tmp_path / "out").result()
    assert done.path == tmp_path / "out"
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (example_folder / "model.safetensors").read_bytes()
    assert done.plan == bridgeckpt.plan(example)
    assert done == pickle.loads(pickle.dumps(done))


def test_a_plan_of_another_process(pool, example, tmp_path):
    planned = pool.submit(bridgeckpt.plan, example).result()
    assert planned == bridgeckpt.plan(example)
    assert planned.jobs() == bridgeckpt.plan(example).jobs()
    with planned.checkpoint as checkpoint:  # opens its files here
        assert checkpoint.get_tensor("bert/pooler/dense/bias").shape == (36,)


def test_a_difference_and_an_inspection_of_another_process(pool, example, example_folder, tmp_path):
    found = pool.submit(bridgeckpt.diff, example, example_folder).result()
    assert found.same
    assert found == bridgeckpt.diff(example, example_folder)
    looked = pool.submit(bridgeckpt.inspect, example).result()
    assert looked == bridgeckpt.inspect(example)
    assert looked.record() == bridgeckpt.inspect(example).record()


def test_a_table_of_another_process(pool):
    table = pool.submit(bridgeckpt.load_table, "bert/model_garden").result()
    assert table == bridgeckpt.load_table("bert/model_garden")
    with pytest.raises(bridgeckpt.TableError, match="bert/goggle"):
        pool.submit(bridgeckpt.load_table, "bert/goggle").result()


def test_a_refusal_of_another_process(pool, example, tmp_path):
    """Errors keep their facts on the way."""
    with pytest.raises(bridgeckpt.OptionError, match="did you mean") as option:
        pool.submit(bridgeckpt.convert, example, tmp_path / "out", head=3).result()
    assert option.value.option == "head"
    for path in example.glob("bert_model.ckpt.*"):
        if path.suffix != ".meta":
            shutil.copy(path, tmp_path)
    with pytest.raises(bridgeckpt.PlanError, match="number of attention heads is unknown") as caught:
        pool.submit(bridgeckpt.plan, tmp_path).result()
    assert [problem.kind for problem in caught.value.problems] == ["heads"]
    looked = pool.submit(bridgeckpt.inspect, tmp_path).result()
    assert looked.plan.problems == caught.value.problems


@pytest.mark.parametrize("case", ["kerashub_archive", "hf440_safetensors", "mg_pretrainer", "hub_tf1_module"])
def test_plans_of_other_formats(case, pool):
    source = FIXTURES / case / "source"
    planned = pool.submit(bridgeckpt.plan, source).result()
    assert planned == bridgeckpt.plan(source)
    assert planned == pickle.loads(pickle.dumps(planned))
    name = next(one.sources[0] for one in planned.ledger.assignments)
    read = planned.checkpoint.get_tensor(name)
    assert (read == bridgeckpt.plan(source).checkpoint.get_tensor(name)).all()


def test_a_plan_is_left_as_it_was(example, example_folder, tmp_path):
    planned = bridgeckpt.plan(example)
    before = pickle.loads(pickle.dumps(planned))
    bridgeckpt.diff(planned.checkpoint, example_folder)
    tensorflow_side(planned, keep_unfit=True)
    bridgeckpt.convert(planned.checkpoint, tmp_path / "out")
    assert planned == before


@pytest.mark.slow
def test_a_verdict_of_another_process(pool, example, example_folder, tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("torch")
    bridgeckpt.record_checkpoint(example, tmp_path / "r.safetensors", float64=False)
    verdict = pool.submit(bridgeckpt.verify, tmp_path / "r.safetensors", example_folder, device="cpu").result()
    assert verdict.passed
    assert verdict == pickle.loads(pickle.dumps(verdict))
