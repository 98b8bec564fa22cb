"""The README's table of dialects is true: each word of it is a claim that a checkpoint shows (``readme_claims.py``)."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from architectures import write_source
from paths import CASES, FIXTURES, ROOT
from readme_claims import CLAIMS, MadeWith, Other, Shown, ShownByTest, Written

import bridgeckpt
from bridgeckpt.mapping.tables import library
from bridgeckpt.sentences import setting_names

FILLERS = {"and", "or", "of", "from", "in", "its"}  # what may stand between claims, beside signs


def table():
    """The cells of each row, by its first dialect; "as above" is what stands above."""
    lines = re.search(r"^\| dialect \|.*\n\|[-|]+\n((?:\|.*\n)+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    rows, above = {}, None
    for line in lines[1].splitlines():
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        cells = [cell.replace("as above", above[place]) if above else cell for place, cell in enumerate(cells)]
        rows[cells[0].partition(",")[0].strip("`")] = above = cells
    return rows


def dialects_of(row):
    """The dialects that a row names: `a/b`, and `..._c` for `a/b_c`."""
    first, *more = re.findall(r"`([^`]+)`", row[0]) or [row[0]]
    return [first, *(first + name.removeprefix("...") for name in more)]


ROWS = table()


def evidence(kind):
    """Each piece of evidence of a kind, with the row and the claim that it is for."""
    for row, claims in CLAIMS.items():
        for claim, pieces in claims.items():
            for number, piece in enumerate(pieces):
                if isinstance(piece, kind):
                    slow = kind is Shown and not isinstance(piece.source, str)
                    marks = [pytest.mark.slow] if slow else []
                    yield pytest.param(row, piece, id=f"{row}: {claim} {number}", marks=marks)


def test_every_dialect_has_a_row():
    named = [dialect for row in ROWS.values() for dialect in dialects_of(row)]
    assert sorted(named) == sorted((*library.names(), "transformers/general", "your own"))


def test_every_row_has_claims():
    assert list(ROWS) == list(CLAIMS)


@pytest.mark.parametrize("row", ROWS)
def test_every_word_of_a_row_is_a_claim(row):
    for cell in ROWS[row][1:]:
        rest = cell
        for claim in sorted(CLAIMS[row], key=len, reverse=True):
            rest = rest.replace(claim, " ")
        assert not [word for word in re.findall(r"[\w`*./-]+", rest) if word not in FILLERS], rest


@pytest.mark.parametrize("row", ROWS)
def test_every_claim_is_in_its_row(row):
    text = " | ".join(ROWS[row])
    assert [claim for claim, pieces in CLAIMS[row].items() if claim not in text or not pieces] == []


def case_of(name):
    folder = FIXTURES / name.partition("/")[0]
    return json.loads((folder / "case.json").read_text()) if (folder / "case.json").is_file() else {}


@pytest.fixture
def opened(tmp_path, request):
    """The path and the options for what shows a claim, changed as it says."""

    def find(shown):
        if isinstance(shown.source, str):
            case = case_of(shown.source)
            path = FIXTURES / (shown.source if "/" in shown.source else f"{shown.source}/{case['source']}")
            options = case.get("options", {})
        elif isinstance(shown.source, Other):
            pytest.importorskip("transformers")
            path, options = write_source(shown.source.name, tmp_path / "written"), {}
        else:
            path, options = request.getfixturevalue("built")(**shown.source).directory, {}
        if shown.without or shown.edit:
            folder = path if path.is_dir() else path.parent
            copy = shutil.copytree(folder, tmp_path / "copy")
            path = copy if path.is_dir() else copy / path.name
            for gone in (file for pattern in shown.without for file in copy.glob(pattern)):
                gone.unlink()
            if shown.edit:
                shown.edit(copy)
        return path, {**options, **shown.options}

    return find


@pytest.mark.parametrize(("row", "shown"), evidence(Shown))
def test_a_checkpoint_shows_it(row, shown, opened):
    path, options = opened(shown)
    if shown.refused:
        with pytest.raises(bridgeckpt.PlanError, match=re.escape(shown.refused)):
            bridgeckpt.plan(path, **options)
        return
    if shown.needs:
        assert shown.needs in asked_for(path, {**options, shown.needs: None})
    plan = bridgeckpt.plan(path, **options)
    assert plan.table.name in dialects_of(ROWS[row])
    assert plan.architecture.name == (shown.makes or plan.architecture.name)
    assert plan.checkpoint.format.startswith(shown.format)
    assert {key: plan.configuration.values.get(key) for key in shown.config} == shown.config
    assert set(shown.states) <= set(plan.ledger.source_counts())
    assert set(shown.handed_on) <= {path.name for path in plan.companions}
    if shown.casing:
        assert plan.vocabulary is not None
        assert shown.casing in plan.casing.reason


def asked_for(path, options):
    """The options that a refusal or a warning asks for."""
    try:
        return setting_names(bridgeckpt.plan(path, **options).warnings)
    except bridgeckpt.PlanError as error:
        return error.settings


@pytest.mark.parametrize(("row", "written"), evidence(Written))
def test_these_versions_wrote_it(row, written):
    dialects = dialects_of(ROWS[row])
    cases = [json.loads((folder / "case.json").read_text()) for folder in CASES]
    writers = [case["writer"] for case in cases if case["dialect"] in dialects]
    for version in written.versions:
        assert any(f"{written.by} {version}" in writer for writer in writers), f"{written.by} {version}"


@pytest.mark.parametrize(("row", "made"), evidence(MadeWith))
def test_it_was_made_so(row, made):
    case = case_of(made.source)
    assert case["dialect"] in dialects_of(ROWS[row])
    script = (FIXTURES / case["made_by"]).read_text()
    assert made.text in script or made.text in case["notes"] or made.text in case["writer"]


@pytest.mark.parametrize(("row", "tested"), evidence(ShownByTest))
def test_such_a_test_is_there(row, tested):
    assert f"\ndef {tested.test}(" in (ROOT / "tests" / tested.file).read_text(), row


def test_so_many_classes_agree():
    text = (ROOT / "benchmarks" / "results" / "architectures.md").read_text()
    differences = re.findall(r"^\| (?!model type)\w\S* \| \w+ \| ([^|]+) \|$", text, re.MULTILINE)
    agreeing = [value for value in differences if re.fullmatch(r"\d.*", value) and float(value) <= 3e-5]
    assert f"of {len(differences)} tried, {len(agreeing)} agree to 3e-5" in " | ".join(ROWS["transformers/general"])


def test_no_search_found_another_model_without_a_word():
    text = (ROOT / "benchmarks" / "results" / "silent.md").read_text()
    totals = re.findall(r"^\| all \| (\d+) \|[^|]*\|[^|]*\|[^|]*\|([^|]*)\|([^|]*)\|$", text, re.MULTILINE)
    assert len(totals) == 3
    assert sum(int(models) for models, _, _ in totals) >= 1000
    assert not [total for total in totals if total[1].strip() or total[2].strip()]


@pytest.mark.parametrize("dialect", library.names())
def test_a_checkpoint_of_every_dialect_is_among_the_evidence(dialect):
    """A fixture, which test_fixtures.py converts, or what TensorFlow writes in the tests, or an edited fixture."""
    dialects = {"bert/google", "bert/google_keras", "bert/keras_nlp"} | {case_of(one.name)["dialect"] for one in CASES}
    assert dialect in dialects
