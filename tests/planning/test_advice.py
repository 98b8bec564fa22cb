"""One refusal is enough: problems of one cause are one, and all that has to be given is named together."""

from __future__ import annotations

import json

import pytest
from tfwrite import save

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.errors import PlanError, Problem
from bridgeckpt.planning.advice import together
from bridgeckpt.planning.problems import lines_of, merged
from bridgeckpt.sentences import Sentence, Setting

HEADS = Problem("heads", "unknown", (), Sentence("give {heads:N}, or {config:FILE}"))
CLASS = Problem("heads", "two heads", (), Sentence("choose with {architecture:CLASS}"))


def test_problems_with_one_hint_are_one():
    shapes = [Problem("shape", f"{name} is [1]", (f"of {name}",), "another config?", (name,)) for name in "abc"]
    (one,) = merged(shapes)
    assert one.subject == "a is [1]; b is [1]; c is [1]"
    assert one.details == ("of a",)
    assert one.tensors == ("a", "b", "c")
    assert merged([HEADS, CLASS, *shapes[:1]]) == (HEADS, CLASS, shapes[0])
    names = [Problem("missing", f"bert/{number}", (), "complete?") for number in range(20)]
    assert merged(names)[0].subject.endswith("bert/3 and 16 more")
    without = [Problem("refused", name) for name in "ab"]  # nothing says that these have one cause
    assert merged(without) == tuple(without)


def test_a_hint_that_lines_share_is_shown_once():
    lines = lines_of([Problem("shape", "a", (), "look"), Problem("dtype", "b", (), "look"), Problem("missing", "c")])
    assert lines == ["shape      a", "dtype      b", "           hint: look", "missing    c"]
    assert lines_of([]) == []


def test_all_settings_together():
    assert together([HEADS]) is None
    assert together([HEADS, Problem("missing", "a", (), "is it complete?")]) is None  # no option makes it complete
    assert together([HEADS, CLASS]) == "all of it in one run: heads=N architecture=CLASS"
    chosen = CLASS._replace(hint=Sentence("take {model}", model=Setting("architecture", "BertModel")))
    assert together([HEADS, CLASS, chosen]) == 'all of it in one run: heads=N architecture="BertModel"'
    scope = Setting("scope", "a/")
    assert together([HEADS], [scope]) == 'all of it in one run: scope="a/" heads=N'


@pytest.fixture(scope="module")
def unsaid(built, tmp_path_factory):
    """Two heads, no config and no graph; and the same with two models, under scopes."""
    folder = tmp_path_factory.mktemp("unsaid")
    mlm, classifier = built(head="mlm"), built(head="classifier")
    both = mlm.variables | {name: classifier.variables[name] for name in ("output_weights", "output_bias")}
    save(folder / "one.ckpt", both)
    save(folder / "two.ckpt", {f"{scope}/{name}": value for scope in "ab" for name, value in mlm.variables.items()})
    (folder / "more").mkdir()
    save(folder / "more" / "bert_model.ckpt", mlm.variables)
    (folder / "more" / "bert_config.json").write_text(json.dumps({"hidden_act": "fancy"}))
    return folder


@pytest.mark.parametrize(
    ("name", "together", "given"),
    [
        ("one.ckpt", "--heads N --architecture CLASS", {"heads": 3, "architecture": "BertModel"}),
        ("two.ckpt", "--scope a/ --heads N", {"scope": "a/", "heads": 3}),
        ("more/bert_model.ckpt", "--heads N --hidden-act NAME", {"heads": 3, "hidden_act": "gelu"}),
    ],
)
def test_one_refusal_names_all_that_has_to_be_given(unsaid, capsys, name, together, given):
    assert main(["convert", "tf2pt", str(unsaid / name), str(unsaid / "out")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"all of it in one run: {together}")
    assert bridgeckpt.plan(unsaid / name, **given).configuration is not None
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(unsaid / name)
    assert set(given) <= set(caught.value.settings)
