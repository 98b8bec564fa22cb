"""Errors are facts: they pickle, know the settings that they name, and only the command line names its options."""

from __future__ import annotations

import ast
import importlib
import json
import pickle
import pkgutil
import re
from pathlib import Path
from string import Formatter

import pytest

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.cli.words import option, options
from bridgeckpt.errors import BridgeckptError, CheckpointError, OptionError, PlanError, Problem, TableError
from bridgeckpt.mapping.notation.errors import LintError
from bridgeckpt.mapping.tables.library import RULES
from bridgeckpt.mapping.tables.rules import load_rules
from bridgeckpt.sentences import Command, Sentence, Setting, joined, record_of, say, text_of, within
from bridgeckpt.warmstart.report import WarmStartError

PACKAGE = Path(bridgeckpt.__file__).parent
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "cli" not in path.relative_to(PACKAGE).parts)
# An option in a text; the page of a verdict has styles, whose variables are called --ink: and var(--ink).
OPTION = re.compile(r"(?<![\w(-])--[a-z][a-z-]*(?![\w-]*:)")
ADVICE = Sentence("give {heads:N}, or the config with {config:FILE}")


def option_names(text):
    """The option names in the string literals and docstrings of a module."""
    strings = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
    return [name for string in strings if isinstance(string, str) for name in OPTION.findall(string)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_names_its_options(path):
    assert not option_names(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text", ['hint = f"give {one} with --config FILE"', '"""Take the --ema ones."""', "x = '--all'"]
)
def test_an_option_name_elsewhere_would_be_found(text):
    assert option_names(text)


def sentences():
    """Each call of Sentence in the package: where, the template, and the fields that it is given."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Sentence":
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node.args[0], {k.arg for k in node.keywords}


def test_every_setting_that_a_sentence_names_is_an_option_of_the_command_line():
    found = list(sentences())
    assert len(found) > 50
    for where, template, given in found:
        if ast.unparse(template) == "entry.hint":  # of a table of rules
            continue
        assert isinstance(template, ast.Constant), where  # what varies is put in: a path may have braces
        fields = {field for _, field, _, _ in Formatter().parse(template.value) if field is not None}
        assert given - {None} <= fields, where
        assert None in given or fields - given - {"run"} <= options().keys(), where
    made = re.findall(r'\bSetting\("(\w+)"', "\n".join(path.read_text(encoding="utf-8") for path in SOURCES))
    assert {*made} <= options().keys()


def test_every_setting_that_a_table_of_rules_names_is_an_option_of_the_command_line():
    rules = load_rules(RULES)
    hints = [entry.hint for model in rules.models.values() for entry in model.computes if entry.hint]
    assert hints
    for hint in hints:
        assert {field for _, field, _, _ in Formatter().parse(hint) if field is not None} <= options().keys(), hint


@pytest.mark.parametrize(
    ("setting", "python", "command_line"),
    [
        (Setting("heads"), "heads=", "--heads"),
        (Setting("heads", blank="N"), "heads=N", "--heads N"),
        (Setting("layer_norm_eps", 1e-12), "layer_norm_eps=1e-12", "--layer-norm-eps 1e-12"),
        (Setting("scope", "my model/"), 'scope="my model/"', "--scope 'my model/'"),
        (Setting("ema"), "ema=", "--ema"),
        (Setting("ema", value=True), "ema=True", "--ema"),
        (Setting("verify", value=False), "verify=False", "--skip-crc"),
        (Setting("graph", value=False), "graph=False", "--no-graph"),
        (Setting("coverage", value=True), "coverage=True", "--coverage"),
        (Setting("coverage", value=False), "coverage=False", "--no-coverage"),
        (Setting("lowercase"), "lowercase=", "--cased/--uncased"),
        (Setting("lowercase", value=False), "lowercase=False", "--cased"),
        (Setting("any_checkpoint", value=True), "any_checkpoint=True", "--any-checkpoint"),
        (Setting("progress"), "progress=", "progress="),  # of Python alone
    ],
)
def test_a_setting_in_the_words_of_each_surface(setting, python, command_line):
    sentence = Sentence("{it}", it=setting)
    assert (str(sentence), say(sentence, option)) == (python, command_line)


def test_a_sentence():
    assert ADVICE == "give heads=N, or the config with config=FILE"
    assert say(ADVICE, option) == "give --heads N, or the config with --config FILE"
    below = within(ADVICE, "reading")
    assert below == 'give reading={"heads": N}, or the config with reading={"config": FILE}'
    assert within(Sentence("choose {scope}"), "reading") == 'choose reading["scope"]'
    assert [setting.name for setting in below.settings] == ["heads", "config"]
    assert say("plain", option) == within("plain", "reading") == "plain"
    nested = joined("; ", ["in layer_{0..11}", Sentence("hint: {hint}", hint=ADVICE), Setting("ema", value=True)])
    assert nested == f"in layer_{{0..11}}; hint: {ADVICE}; ema=True"
    assert say(nested, option).endswith("--config FILE; --ema")


def test_a_sentence_as_json():
    """In a reference, which one surface writes and another one reads."""
    packed = json.loads(json.dumps([record_of(ADVICE), record_of("plain")]))
    assert packed == [
        ["give ", {"setting": "heads", "blank": "N"}, ", or the config with ", {"setting": "config", "blank": "FILE"}],
        "plain",
    ]
    assert [text_of(one) for one in packed] == [ADVICE, "plain"]
    assert say(text_of(packed[0]), option) == say(ADVICE, option)
    flag = Sentence("without {ema:True}")
    assert text_of(record_of(flag)).parts == flag.parts


def test_every_command_that_a_sentence_names_is_a_function_too():
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    named = {*re.findall(r"\{run:(\w+)", text), *re.findall(r'\bCommand\("(\w+)"', text)}
    assert named >= {"diff", "inspect", "record", "verify"}
    for name in named:
        assert callable(getattr(bridgeckpt, name))
        with pytest.raises(SystemExit):
            main([name, "--help"])


def test_a_command_is_a_call_in_python():
    folder = Command("diff", ("SRC", "my folder"))
    sentence = Sentence("use {folder}, or {run:inspect} and {heads:N}", folder=folder)
    assert sentence == "use `bridgeckpt.diff(SRC, 'my folder')`, or `bridgeckpt.inspect` and heads=N"
    assert say(sentence, option) == "use `bridgeckpt diff SRC 'my folder'`, or `bridgeckpt inspect` and --heads N"
    within_reading = "use `bridgeckpt.diff(SRC, 'my folder')`, or `bridgeckpt.inspect` and reading={\"heads\": N}"
    assert within(sentence, "reading") == within_reading
    assert text_of(json.loads(json.dumps(record_of(sentence)))) == sentence
    assert pickle.loads(pickle.dumps(sentence)).parts == sentence.parts


def test_a_command_may_have_another_name_in_python():
    sentence = Sentence("{run}", run=Command("record", ("SRC", "r.safetensors"), function="record_checkpoint"))
    assert sentence == "`bridgeckpt.record_checkpoint(SRC, 'r.safetensors')`"
    again = text_of(json.loads(json.dumps(record_of(sentence))))
    assert (again, say(again, option)) == (sentence, "`bridgeckpt record SRC r.safetensors`")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_sentences_pickle(protocol):
    again = pickle.loads(pickle.dumps(ADVICE, protocol))
    assert (again, again.parts) == (ADVICE, ADVICE.parts)


def every_error():
    for module in pkgutil.walk_packages([str(PACKAGE)], "bridgeckpt."):
        if not module.name.startswith(
            ("bridgeckpt.tf", "bridgeckpt.parity", "bridgeckpt.__main__", "bridgeckpt.pytest")
        ):
            importlib.import_module(module.name)
    kinds = [BridgeckptError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return [kind for kind in dict.fromkeys(kinds) if kind.__module__.startswith("bridgeckpt.")]


MADE = {
    LintError: lambda: LintError("schema", "unknown key", where="t.toml:3", hint=ADVICE),
    CheckpointError: lambda: CheckpointError("it is damaged", path=Path("a.index"), hint=ADVICE),
    OptionError: lambda: OptionError("heads must be at least 1, not 0", option="heads", hint=ADVICE),
    TableError: lambda: TableError("no such table", where="t.toml:3", hint=ADVICE),
    PlanError: lambda: PlanError(
        Sentence("refused: {ema:True}"),
        [Problem("heads", "unknown", ("a", ADVICE), ADVICE, ("x",))],
        names=["x"],
        kind="k",
    ),
    WarmStartError: lambda: WarmStartError("it does not fit", None, hint=ADVICE),
}


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_pickles(kind):
    error = MADE.get(kind, lambda: kind("it failed", hint=ADVICE))()
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.args) == (str(error), error.args)
    assert vars(again) == vars(error)
    assert again.said(option) == error.said(option)
    assert again.settings == error.settings != ()


def test_the_settings_of_an_error():
    problem = Problem("heads", "unknown", (), ADVICE)
    error = PlanError("refused", [problem], hint=Sentence("or {ema:True}"))
    assert error.settings == ("ema", "heads", "config")
    assert problem.settings == ("heads", "config")
    assert error.said(option) == "refused\n  hint: or --ema"
    told = error.within("reading")
    assert str(told) == 'refused\n  hint: or reading={"ema": True}'
    assert told.problems[0].hint == within(ADVICE, "reading")
    assert str(error) == "refused\n  hint: or ema=True"  # as it was


def test_the_facts_as_json(example, tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 7}')
    command = ["convert", "tf2pt", str(example), str(tmp_path / "out"), "--config", str(tmp_path), "--json"]
    assert main(command) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["settings"] == record["problems"][0]["settings"] == ["config"]
    assert record["problems"][0]["hint"].endswith("Give the right one with --config FILE")
    with pytest.raises(PlanError, match="Give the right one with config=FILE") as caught:
        bridgeckpt.plan(example, config=tmp_path)
    assert caught.value.settings == ("config",)


def test_a_checkpoint_that_no_table_reads_is_a_fact(tmp_path):
    """Which a script need not find in the message."""
    np, safetensors = pytest.importorskip("numpy"), pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"dense/kernel": np.zeros((2, 2), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(PlanError, match="no mapping table recognises") as caught:
        bridgeckpt.plan(tmp_path / "model.safetensors")
    assert (caught.value.kind, caught.value.names) == ("unrecognised", ("dense/kernel",))
