"""record and verify as a person, a pipe and a script see them; a verdict as text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from paths import SUPPORT
from verdicts import REFERENCE, empty, failing, passing, stage, unproven

from bridgeckpt.cli import main
from bridgeckpt.parity import recording, verifying
from bridgeckpt.parity.reference.probes import Probe
from bridgeckpt.parity.reference.reference import Reference, is_reference, read_reference, write_reference
from bridgeckpt.parity.showing.figures import number, share, small
from bridgeckpt.parity.showing.page import render
from bridgeckpt.parity.showing.rendering import lines, text
from bridgeckpt.parity.showing.summary import rows


@pytest.fixture
def reference(tmp_path):
    """A file that is a reference, of nobody's model."""
    values = np.ones((2, 3), np.float32)
    made = Reference({"p": Probe({"x": values})}, {"float32": {"p": {"logits": values}}}, REFERENCE, notes=("so",))
    write_reference(made, tmp_path / "reference.safetensors")
    return tmp_path / "reference.safetensors"


@pytest.fixture
def verified(monkeypatch):
    """``verified(verdict)``: what `verify` finds from now on; returns the list of its calls."""

    def give(verdict):
        calls = []

        def verify(*given, **options):
            calls.append((given, options))
            return verdict

        monkeypatch.setattr(verifying, "verify", verify)
        return calls

    return give


@pytest.fixture
def recorded(monkeypatch):
    """The calls of `record_checkpoint`, which writes what is recorded of no model."""
    calls = []

    def record_checkpoint(source, path, **options):
        calls.append((source, options))
        values = np.ones((2, 3), np.float32)
        made = Reference({"p": Probe({"x": values})}, {"float32": {"p": {"logits": values}}}, REFERENCE, notes=("so",))
        write_reference(made, path)
        return made

    monkeypatch.setattr(recording, "record_checkpoint", record_checkpoint)
    return calls


# --- text ------------------------------------------------------------------------------------------------------------


def test_a_pass_fits_on_a_screen():
    shown = text(passing(24)).splitlines()
    assert len(shown) < 25
    assert "layer.0 to layer.23" in text(passing(24))
    assert [line for line in shown if line.startswith("PASS")] == [
        "PASS       all 173 stages agree within their limits; nsp_logits comes nearest, at 27.2 % of its limit"
    ]
    assert "reference  tensorflow 2.21.0, device CPU, checkpoint bert_model.ckpt, fingerprint 0123456789ab" in shown
    assert "settings   heads 12 (bert_config.json)" in shown
    assert "note       assumed: epsilon" in shown
    assert "took       1.3 s, loading 1.2 s" in shown


def test_a_failure_says_where_and_what():
    shown = text(failing())
    for part in (
        "FAIL       some stages differ by more than rounding explains, first layer.3.query",
        "first      layer.3.query (bert.layer.3.query): all values, 9876 times the limit",
        "cause      query and key are swapped (proven: undoing it removes the difference)",
        "parameter  bert.encoder.layer.3.query.weight",
        "variable   bert/encoder/query/kernel (TensorFlow)",
        "remedy     swap the two",
        "also       wrong by themselves: pooler",
    ):
        assert part in shown
    assert "PASS" not in shown


def test_the_first_failure_and_its_neighbours_stand_apart():
    found = {row.name: row.outcome for row in rows(failing(24, "layer.12.intermediate"))}
    assert [*found][:12] == [
        "embeddings",
        "layer.0 to layer.10",
        "layer.11.attention",
        "layer.11.output",
        "layer.12.attention",
        "layer.12.intermediate",
        "layer.12.output",
        "layer.13.attention",
        "layer.13.output",
        "layer.14 to layer.23",
        "pooler",
        "mlm_logits",
    ]
    assert found["layer.12.intermediate"] == found["pooler"] == "DIVERGES"  # the pooler by the diagnosis
    assert found["layer.12.output"] == found["layer.14 to layer.23"] == "follows"
    assert found["layer.0 to layer.10"] == "ok"


def test_what_goes_wrong_in_every_layer_is_not_said_to_follow():
    verdict = failing(24, "layer.0.intermediate")
    others = tuple(f"layer.{layer}.intermediate" for layer in range(1, 24))
    found = {
        row.name: row.outcome for row in rows(verdict._replace(diagnosis=verdict.diagnosis._replace(others=others)))
    }
    assert found["layer.2 to layer.23"] == "DIVERGES"
    assert found["pooler"] == "follows"
    unknown = verdict._replace(diagnosis=None)  # nothing says that they would agree by themselves
    assert {row.outcome for row in rows(unknown)} == {"ok", "DIVERGES"}


def test_a_folded_row_shows_the_worst_of_all_its_stages():
    verdict = passing(6)
    odd = [one._replace(rms=4.6, excess=0.98) if one.name == "layer.2.value" else one for one in verdict.stages]
    (row,) = [row for row in rows(verdict._replace(stages=tuple(odd))) if " to " in row.name]
    assert row.stage.rms == 4.6


def test_every_stage_has_a_row_when_asked():
    assert [row.name for row in rows(passing(), every=True)] == [one.name for one in passing().stages]


@pytest.mark.parametrize("width", [60, 80, 110, 200])
@pytest.mark.parametrize("verdict", [passing(), failing(), failing(24, "layer.12.intermediate"), empty()])
def test_it_fits_the_terminal(verdict, width):
    widest = max(len(line.text) for line in lines(verdict, width=width))
    assert widest <= max(80, width)
    narrow = "".join(line.text for line in lines(verdict, width=width)).replace(" ", "")
    for note in verdict.notes + verdict.failures:
        assert note.replace(" ", "") in narrow  # wrapped, not cut


@pytest.mark.parametrize("width", [80, 200])
def test_a_column_that_is_left_out_is_not_explained(width):
    verdict = passing()
    verdict = verdict._replace(stages=tuple(stage._replace(double=stage.rms) for stage in verdict.stages))
    shown = [line.text for line in lines(verdict, width=width)]
    heading = next(line for line in shown if line.startswith("stage "))
    assert ("float64" in heading) == (width == 200) == any("float64 is that of" in line for line in shown)


def test_stages_of_a_function_of_the_users_own():
    names = ("hidden_states.0", "hidden_states.1", "logits")
    shown = text(passing()._replace(stages=tuple(stage(name, accumulated=None) for name in names), devices=()))
    assert all(name in shown for name in names)


def test_figures_of_a_tolerance_are_not_called_rounding():
    verdict = failing()
    assert "count roundings" in text(verdict)
    tolerant = verdict._replace(provenance={**verdict.provenance, "tolerance": "atol 1e-05, rtol 0"})
    assert "shares of the tolerance" in text(tolerant)
    assert "count roundings" not in text(tolerant)


def test_numbers_as_they_are_shown():
    assert [number(x) for x in (None, 0.0, 0.984, 99.99, 152.3, 12345.0, 1.8e6, nan, inf)] == [
        "", "0.00", "0.98", "99.99", "152", "12345", "1.8e+06", "nan", "inf",
    ]  # fmt: skip
    assert [small(x) for x in (None, 0.0, 3.14e-7, nan)] == ["", "0", "3.1e-07", "nan"]
    assert [share(x) for x in (None, 1.0, 0.99999, 0.5, nan)] == ["", "100 %", "99.9 %", "50.0 %", "nan"]


# --- verify ----------------------------------------------------------------------------------------------------------


def test_the_options_reach_the_verification(verified, tmp_path, capsys):
    calls = verified(passing())
    (tmp_path / "texts").write_text("\ufeffone text\r\n\nfirst\tsecond\n", encoding="utf-8")
    command = ["verify", "src", "dst", "--device", "cuda:1", "--dtype", "tf32", "--dtype", "bfloat16", "--atol", "1e-5"]
    command += ["--strict"]
    more = ["--seed", "7", "--scope", "a/", "--ema", "--any-checkpoint", "--texts", str(tmp_path / "texts")]
    settings = ["--config", "c.json", "--heads", "3", "--hidden-act", "gelu", "--layer-norm-eps", "1e-6"]
    assert main([*command, *more, *settings]) == 0
    ((source, folder), options), *_ = calls
    assert (str(source), str(folder)) == ("src", "dst")
    assert options == {
        "device": "cuda:1",
        "dtypes": ["tf32", "bfloat16"],
        "atol": 1e-5,
        "rtol": None,
        "texts": ["one text", "first\tsecond"],
        "seed": 7,
        "scope": "a/",
        "ema": True,
        "config": Path("c.json"),
        "heads": 3,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "any_checkpoint": True,
        "strict": True,
        "progress": None,
    }


def _printed(verdict):
    """The text of a verdict as the command prints it: with the option that shows the folded stages."""
    return "\n".join(line.text for line in lines(verdict, unfolding="--all shows each"))


def test_pass_and_fail_are_the_status(verified, capsys):
    verified(passing())
    assert main(["verify", "r", "dst"]) == 0
    assert capsys.readouterr().out.strip() == _printed(passing())  # in a pipe as it is, without colours
    verified(failing())
    assert main(["verify", "r", "dst"]) == 1
    assert capsys.readouterr().out.strip() == _printed(failing())
    verified(empty())
    assert main(["verify", "r", "dst"]) == 1
    assert "FAIL       nothing was compared" in capsys.readouterr().out


def test_what_is_not_proven_is_listed(verified, capsys):
    verified(passing())
    assert main(["verify", "r", "dst", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unproven"] == []
    verified(unproven())
    assert main(["verify", "r", "dst", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["unproven"] == ["hidden_act", "layer_norm_eps"]
    assert main(["verify", "r", "dst"]) == 0
    shown = capsys.readouterr().out
    assert "hidden_act and layer_norm_eps are not proven" in next(x for x in shown.splitlines() if x.startswith("PASS"))
    assert "unproven   hidden_act = gelu is assumed: --hidden-act NAME settles it" in shown


def test_all_shows_every_stage(verified, capsys):
    verified(passing())
    assert main(["verify", "r", "dst", "--all"]) == 0
    assert "layer.7.context " in capsys.readouterr().out


def test_a_verdict_as_json_whatever_its_numbers(verified, capsys):
    verdict = failing()
    verified(verdict._replace(stages=(stage("embeddings", rms=nan, peak=inf, excess=-inf, passed=False),)))
    assert main(["verify", "r", "dst", "--json"]) == 1
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["ok"] is found["passed"] is False
    assert found["diagnosis"]["cause"] == "query and key are swapped"
    (one,) = found["stages"]
    assert (one["rms"], one["peak"], one["excess"], one["limit"]) == ("NaN", "Infinity", "-Infinity", 4.7)


def test_the_page_is_written_for_both_and_replaces_its_own(verified, tmp_path, capsys):
    page = tmp_path / "parity.html"
    for verdict in (passing(), failing()):
        verified(verdict)
        assert main(["verify", "r", "dst", "--html", str(page)]) == (not verdict.passed)
        assert page.read_text(encoding="utf-8") == render(verdict, "r and dst")
        assert f"page       {page}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["parity.html"]
    assert main(["verify", "r", "dst", "--html", str(page), "--json"]) == 1
    json.loads(capsys.readouterr().out)


def test_a_page_that_cannot_be_written_is_found_first(verified, tmp_path, capsys):
    calls = verified(passing())
    (tmp_path / "thesis.html").write_text("<p>years of work</p>")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling.html").symlink_to(tmp_path / "nowhere.html")
    for name in ("thesis.html", "folder", "dangling.html", "none/parity.html", "thesis.html/parity.html", "x" * 300):
        assert main(["verify", "r", "dst", "--html", str(tmp_path / name)]) == 1
        assert "hint" in capsys.readouterr().err
    assert (tmp_path / "thesis.html").read_text() == "<p>years of work</p>"
    assert calls == []


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_writable(verified, tmp_path, capsys):
    calls = verified(passing())
    (tmp_path / "locked").mkdir(mode=0o500)
    assert main(["verify", "r", "dst", "--html", str(tmp_path / "locked" / "parity.html")]) == 1
    assert "not writable" in capsys.readouterr().err
    assert calls == []


@pytest.mark.parametrize("options", ["--seed 0", "--scope a", "--ema", "--texts lines.txt", "--heads 3"])
def test_options_that_would_do_nothing_are_refused(options, verified, reference, capsys):
    calls = verified(passing())
    assert main(["verify", str(reference), "dst", *options.split()]) == 1
    assert f"{options.split()[0]} would have no effect" in capsys.readouterr().err
    assert calls == []
    assert main(["verify", str(reference), "dst"]) == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no text"),
        (b" \n\t\n", "holds no text"),
        (b"a\nb\tc\td\n", "line 2"),
        (b"a\tb\n\tb\n", "line 2"),
        (b"caf\xe9\n", "not UTF-8"),
        (None, "cannot read"),
    ],
)
def test_texts_that_are_none(content, says, verified, tmp_path, capsys):
    calls = verified(passing())
    if content is not None:
        (tmp_path / "texts").write_bytes(content)
    assert main(["verify", "src", "dst", "--texts", str(tmp_path / "texts")]) == 1
    assert says in capsys.readouterr().err
    assert calls == []


@pytest.mark.parametrize(
    "command",
    [
        ["verify", "a", "b", "--device", "gpu"],
        ["verify", "a", "b", "--device", "cpu:1"],
        ["verify", "a", "b", "--dtype", "float32"],
        ["verify", "a", "b", "--atol", "-1"],
        ["verify", "a", "b", "--rtol", "nan"],
        ["verify", "a", "b", "--atol", "inf"],
        ["verify", "a", "b", "--seed", "-1"],
        ["verify", "a"],
        ["record", "a", "b.npz"],
        ["record", "a", "b.safetensors", "--layer-norm-eps", "2"],
        ["diff", "a"],
    ],
)
def test_wrong_usage_is_status_2(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 2
    assert "usage: bridgeckpt" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["record", "verify", "diff"])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_colours_and_the_width_of_a_terminal():
    pty = pytest.importorskip("pty")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from verdicts import failing;"
        "from bridgeckpt.cli.verify import _show; _show(failing(), every=False)"
    )
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen([sys.executable, "-c", code, str(SUPPORT)], stdout=end, env=environment)
    os.close(end)
    shown = b""
    try:
        while data := os.read(terminal, 1 << 16):
            shown += data
    except OSError:  # how a terminal says that the other side has gone
        pass
    os.close(terminal)
    assert process.wait(timeout=60) == 0
    assert b"\x1b[1;31mlayer.3.query" in shown
    assert b"DIVERGES" in shown


# --- record ----------------------------------------------------------------------------------------------------------


def test_record_says_what_it_kept(recorded, tmp_path, capsys):
    path = tmp_path / "r.safetensors"
    assert main(["record", "src", str(path), "--no-float64", "--no-graph", "--heads", "3"]) == 0
    shown = capsys.readouterr().out
    assert is_reference(path)
    for part in (
        "from       tensorflow 2.21.0",
        "inputs     p (2 x 3)",
        "kept       float32: 1 stage",
        "note       so",
    ):
        assert part in shown
    assert f"bridgeckpt verify {path} DST" in shown
    ((source, options),) = recorded
    assert str(source) == "src"
    assert (options["float64"], options["graph"], options["heads"], options["seed"]) == (False, False, 3, 0)
    assert (options["texts"], options["tokenizer"], options["config"]) == (None, None, None)


def test_record_as_json(recorded, tmp_path, capsys):
    path = tmp_path / "r.safetensors"
    assert main(["record", "src", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert found["runs"] == {"float32": ["logits"]}
    assert found["bytes"] == path.stat().st_size


def test_record_replaces_a_reference_and_nothing_else(recorded, reference, tmp_path, capsys):
    assert main(["record", "src", str(reference)]) == 0
    weights = tmp_path / "model.safetensors"
    from safetensors.numpy import save_file

    save_file({"w": np.ones(3, np.float32)}, weights)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\xff" * 20)
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    before = {path: path.read_bytes() for path in (weights, damaged)}
    for path in (weights, damaged, folder, tmp_path / "none" / "r.safetensors"):
        recorded.clear()
        assert main(["record", "src", str(path)]) == 1
        assert "hint" in capsys.readouterr().err
        assert recorded == []
    assert {path: path.read_bytes() for path in (weights, damaged)} == before


def test_a_tokenizer_without_texts_is_refused(recorded, tmp_path, capsys):
    assert main(["record", "src", str(tmp_path / "r.safetensors"), "--tokenizer", "dst"]) == 1
    assert "--texts" in capsys.readouterr().err
    assert recorded == []


# --- the real thing --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_split_over_two_machines(example, tmp_path, capsys):
    pytest.importorskip("tensorflow")
    pytest.importorskip("torch")
    path, folder, page = tmp_path / "r.safetensors", tmp_path / "bert", tmp_path / "parity.html"
    assert main(["convert", "tf2pt", str(example), str(folder)]) == 0
    assert main(["record", str(example), str(path)]) == 0
    assert "float64" in read_reference(path).runs
    capsys.readouterr()
    assert main(["verify", str(path), str(folder), "--device", "cpu", "--html", str(page)]) == 0
    shown = capsys.readouterr()
    assert "PASS" in shown.out
    assert "mlm_logits" in shown.out
    assert shown.err == ""
    assert "layer.1.output" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_both_sides_at_once(example, tmp_path, capsys):
    pytest.importorskip("tensorflow")
    pytest.importorskip("torch")
    assert main(["convert", "tf2pt", str(example), str(tmp_path / "bert")]) == 0
    capsys.readouterr()
    assert main(["verify", str(example), str(tmp_path / "bert"), "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


@pytest.mark.parametrize(
    ("source", "folder", "says"),
    [
        ("none.safetensors", "model", "there is no reference"),
        ("none.ckpt", "model", "none.ckpt does not exist"),
        ("none.ckpt", "none", "none is not a model: it does not exist"),
        ("none.ckpt", ".", "it has no config.json"),
    ],
)
def test_a_wrong_path_is_told_before_a_framework_is_imported(source, folder, says, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    code = (
        "import sys; from bridgeckpt.cli import main; code = main(sys.argv[1:]);"
        "sys.exit(3 if {'torch', 'transformers', 'tensorflow'} & {*sys.modules} else code)"
    )
    command = [sys.executable, "-c", code, "verify", source, folder]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
