"""The public API: the names that there are, and the options that its functions show and check."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from paths import ROOT

import bridgeckpt
from bridgeckpt import BridgeckptError, OptionError
from bridgeckpt.options import hints_of
from bridgeckpt.type_hints import describe, fits

EXPORTED = {
    "bridgeckpt": [
        "BridgeckptError",
        "Checkpoint",
        "CheckpointError",
        "ConfigError",
        "Conversion",
        "ConvertOptions",
        "DeviceResult",
        "Diagnosis",
        "DiffOptions",
        "Difference",
        "Inspection",
        "OptionError",
        "OutputError",
        "ParityError",
        "Plan",
        "PlanError",
        "PlanOptions",
        "PrecisionError",
        "Problem",
        "RecordOptions",
        "Reference",
        "StageResult",
        "Table",
        "TableError",
        "Verdict",
        "__version__",
        "check",
        "convert",
        "diff",
        "inspect",
        "load_state_dict",
        "load_table",
        "open_checkpoint",
        "plan",
        "read_reference",
        "record",
        "record_checkpoint",
        "verify",
    ],
    "bridgeckpt.tf": [
        "WarmStartError",
        "WarmStartHook",
        "WarmStartOptions",
        "WarmStartReport",
        "assign",
        "get_assignment_map_from_checkpoint",
        "init_from_checkpoint",
        "scaffold_fn",
    ],
}
PLANNING = ["convert", "inspect", "load_state_dict", "plan"]


@pytest.mark.parametrize("module", EXPORTED)
def test_what_is_exported(module):
    """A new name belongs into the list here, into `__all__`, and into what type checkers read."""
    package = import_module(module)
    assert package.__all__ == sorted(EXPORTED[module])
    assert sorted({*package._HOME, *({"__version__"} & {*package.__all__})}) == package.__all__
    assert dir(package) == package.__all__
    read_by_type_checkers = re.search(r"^if TYPE_CHECKING:\n(.*?)^_HOME", inspect.getsource(package), re.M | re.S)
    for name in package._HOME:
        assert re.search(rf"\b{name}\b", read_by_type_checkers[1]), name


@pytest.mark.parametrize(
    ("module", "name"),
    [
        pytest.param(module, name, marks=[pytest.mark.slow] if name == "WarmStartHook" else [])  # starts TensorFlow
        for module, names in EXPORTED.items()
        for name in names
    ],
)
def test_what_is_exported_is_there(module, name):
    """Under the name and from the module that is said; an error in a traceback is then found where it says."""
    if name == "__version__":
        return
    if name == "WarmStartHook":
        pytest.importorskip("tensorflow")
    package = import_module(module)
    value = getattr(package, name)
    assert value.__name__ == name
    assert value.__module__.startswith("bridgeckpt.")
    assert value.__doc__
    home = import_module(f"bridgeckpt.{package._HOME[name]}")
    assert getattr(home, name) is value


def test_what_is_not_exported():
    with pytest.raises(AttributeError, match="has no attribute 'convrt'"):
        bridgeckpt.convrt  # noqa: B018


@pytest.mark.parametrize("name", PLANNING)
def test_a_function_shows_its_options(name):
    function = getattr(bridgeckpt, name)
    parameters = inspect.signature(function).parameters
    for option, hint in hints_of(bridgeckpt.PlanOptions).items():
        shown = parameters[option]
        assert shown.kind is inspect.Parameter.KEYWORD_ONLY
        assert fits(hint, shown.default)
        assert re.search(rf"^ +{option}: \w", inspect.getdoc(function), re.M)
    assert parameters["heads"].annotation == int | None
    assert parameters["ema"].default is False
    assert "options" not in parameters
    assert "options:" not in function.__doc__


def test_every_function_with_options_shows_them():
    pytest.importorskip("tensorflow")
    from bridgeckpt import tf

    assert inspect.signature(bridgeckpt.diff).parameters.keys() >= hints_of(bridgeckpt.DiffOptions).keys()
    for function in (bridgeckpt.record_checkpoint, bridgeckpt.verify):
        assert inspect.signature(function).parameters.keys() >= hints_of(bridgeckpt.RecordOptions).keys() | {"ema"}
    for function in (tf.assign, tf.scaffold_fn, tf.get_assignment_map_from_checkpoint, tf.WarmStartHook):
        assert inspect.signature(function).parameters.keys() >= hints_of(tf.WarmStartOptions).keys()
    assert "session" in inspect.signature(tf.assign).parameters
    for module, names in EXPORTED.items():
        for name in names:
            value = getattr(import_module(module), name)
            if inspect.isfunction(value):
                kinds = {one.kind for one in inspect.signature(value).parameters.values()}
                assert inspect.Parameter.VAR_KEYWORD not in kinds, name


def test_help_shows_the_options():
    """What `help()` prints, in a process of its own: the options are written when the function is first asked for."""
    code = "import bridgeckpt; help(bridgeckpt.convert); help(bridgeckpt.PlanOptions)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "heads: int | None = None" in shown
    assert shown.count("heads: number of attention heads") == 2
    assert "Annotated" not in shown.partition("Help on class")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": 3}, r'^convert\(\) has no option "head"; did you mean "heads"\?'),
        ({"max_shard_siz": 3}, r'did you mean "max_shard_size"\?'),
        ({"xyzzy": 3}, r'^convert\(\) has no option "xyzzy"\n  hint: it takes source, destination, dtype, '),
        ({"heads": "12"}, r'^heads must be a whole number, not "12"$'),
        ({"heads": 12.0}, r"^heads must be a whole number, not 12.0$"),
        ({"heads": True}, r"^heads must be a whole number, not True$"),
        ({"heads": 0}, r"^heads must be at least 1, not 0$"),
        ({"layer_norm_eps": "1e-12"}, r'^layer_norm_eps must be a number, not "1e-12"$'),
        ({"ema": 1}, r"^ema must be True or False, not 1$"),
        ({"config": 3}, r"^config must be a path, not 3$"),
        ({"mapping": ["bert/google"]}, r"^mapping must be a path, not \['bert/google'\]$"),
        ({"architecture": Path("x")}, r"^architecture must be text, not "),
        ({"dtype": "float8"}, r'^dtype must be one of float32, float16, bfloat16, not "float8"$'),
        ({"max_shard_size": "huge"}, r'^max_shard_size must be a size above zero, as in 500MB or 5GB, not "huge"$'),
        ({"max_shard_size": 0}, r"^max_shard_size must be a size above zero"),
        ({"force": "yes"}, r'^force must be True or False, not "yes"$'),
    ],
    ids=str,
)
def test_a_wrong_option_is_named(options, message, example, tmp_path):
    """As an error of ours and as a TypeError, which is what Python raises for a wrong call, before anything is done."""
    with pytest.raises(OptionError, match=message) as caught:
        bridgeckpt.convert(example, tmp_path / "out", **options)
    assert isinstance(caught.value, BridgeckptError)
    assert isinstance(caught.value, TypeError)
    assert caught.value.option == next(iter(options))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["diff", *PLANNING])
def test_every_function_checks_its_options(name, example):
    arguments = (example, example) if name in ("diff", "convert") else (example,)
    for options in ({"head": 3}, {"heads": "12"}, {"heads": 0}):
        with pytest.raises(OptionError, match="head"):
            getattr(bridgeckpt, name)(*arguments, **options)


def test_an_argument_by_position_is_checked_too(tmp_path):
    with pytest.raises(OptionError, match=r"^source must be a path or a Checkpoint, not 3$"):
        bridgeckpt.convert(3, tmp_path / "out")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'destination'"):
        bridgeckpt.convert(tmp_path)


@pytest.mark.parametrize(
    ("hint", "right", "wrong", "words"),
    [
        (int, [1], [True, 1.0, "1", None], "a whole number"),
        (float, [1, 1.5], [True, "1"], "a number"),
        (float | None, [None, 1], ["x"], "a number"),
        (dict[str, int], [{"a": 1}], [{"a": "b"}, {1: 1}, []], "a dict"),
        (list[str], [["a"]], [[1], "a"], "a list of text"),
        (Path, [Path()], ["a"], "a path"),
        (Literal["np", "pt"], ["np"], ["tf", 1, None], "one of np, pt"),
    ],
)
def test_hints_as_checks(hint, right, wrong, words):
    assert all(fits(hint, value) for value in right)
    assert not any(fits(hint, value) for value in wrong)
    assert describe(hint) == words


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("open_checkpoint", (3,)),
        ("load_table", (None,)),
        ("check", ([],)),
        ("read_reference", (b"r.safetensors",)),
        ("record", ("bert_model.ckpt", {}, "r.safetensors")),
        ("record", (dict, "inputs", "r.safetensors")),
    ],
)
def test_a_wrong_argument_of_any_export_is_named(name, arguments):
    with pytest.raises(bridgeckpt.OptionError, match="must be"):
        getattr(bridgeckpt, name)(*arguments)


def test_every_exported_function_checks_its_arguments():
    functions = {name: getattr(bridgeckpt, name) for name in bridgeckpt.__all__}
    functions = {name: value for name, value in functions.items() if inspect.isfunction(value)}
    assert len(functions) >= 12
    for function in functions.values():
        with pytest.raises(bridgeckpt.OptionError, match="has no option"):
            function(an_option_that_nobody_has=1)


def test_numbers_of_numpy_are_numbers(example):
    plan = bridgeckpt.plan(example, heads=np.int64(3), layer_norm_eps=np.float32(0.5))
    values = plan.configuration.values
    assert (type(values["num_attention_heads"]), type(values["layer_norm_eps"])) == (int, float)
    with pytest.raises(bridgeckpt.OptionError, match="heads must be a whole number"):
        bridgeckpt.plan(example, heads=np.float64(3))
    with pytest.raises(bridgeckpt.OptionError, match="thousands of digits"):
        bridgeckpt.plan(example, heads=-(10**5000))


def test_a_path_of_any_kind_names_a_table(example):
    class Named(os.PathLike):
        def __fspath__(self):
            return str(ROOT / "mappings/bert/google.toml")

    assert bridgeckpt.plan(example, mapping=Named()).table.name == "bert/google"


def test_what_the_command_line_refuses_python_refuses_too(example):
    for wrong in ({"atol": -1.0}, {"rtol": float("nan")}, {"seed": -1}):
        with pytest.raises(bridgeckpt.OptionError, match=f"{next(iter(wrong))} must be"):
            bridgeckpt.verify(example, "folder", **wrong)
    with pytest.raises(bridgeckpt.OptionError, match="seed must be"):
        bridgeckpt.record_checkpoint(example, "r.safetensors", seed=-1)


def test_an_open_checkpoint_is_inspected(example):
    with bridgeckpt.open_checkpoint(example) as checkpoint:
        assert bridgeckpt.inspect(checkpoint) == bridgeckpt.inspect(example)


def test_torch_is_asked_for_before_anything_is_read(example, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(bridgeckpt.BridgeckptError, match="needs PyTorch") as caught:
        bridgeckpt.load_state_dict(example, framework="pt")
    assert "bridgeckpt[torch]" in caught.value.hint
