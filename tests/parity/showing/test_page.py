"""The page of a verdict: well formed, self-contained, escaped, and its picture true."""

from __future__ import annotations

import re
from math import inf, nan
from xml.etree import ElementTree as ET

import pytest
from verdicts import empty, failing, passing, stage, unproven

from bridgeckpt.parity.showing.page import is_page, render
from bridgeckpt.parity.showing.rendering import text

SVG = "{http://www.w3.org/2000/svg}"
XHTML = "{http://www.w3.org/1999/xhtml}"


def parsed(verdict, title="model"):
    page = render(verdict, title)
    assert page.startswith("<!DOCTYPE html>\n")
    return ET.fromstring(page.partition("\n")[2])


def classes(root, tag, name):
    return [one for one in root.iter(SVG + tag) if one.get("class") == name]


VERDICTS = {"1": passing(1), "24": passing(24), "fail": failing(), "empty": empty(), "unproven": unproven()}


@pytest.mark.parametrize("verdict", VERDICTS.values(), ids=VERDICTS)
def test_it_is_well_formed_and_says_what_the_terminal_says(verdict):
    root = parsed(verdict)
    said = " ".join(" ".join(root.itertext()).split())
    assert ("PASS" if verdict.passed else "FAIL") in said
    for line in text(verdict).splitlines():
        words = line.split()
        if words and words[0] in {"cause", "remedy", "note", "parameter", "PASS", "FAIL", "unproven"}:
            assert " ".join(words[1:]) in said
    for one in verdict.devices:
        assert one.device_name in said


@pytest.mark.parametrize("verdict", [passing(), failing(), empty()])
def test_it_fetches_nothing_and_runs_nothing(verdict):
    page = render(verdict, "model")
    for word in ("<script", "src=", "href=", "url(", "@import", "http-equiv"):
        assert word not in page
    assert set(re.findall(r"https?://[^\s\"]+", page)) <= {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"}


def test_everything_is_escaped():
    evil = "<script>alert('&\"')</script>\x00\x1b"
    odd = stage(evil, module=evil, where=evil, passed=False)
    verdict = failing()._replace(stages=(odd,), first=evil, failures=(evil,), notes=(evil,), provenance={evil: evil})
    page = render(verdict, evil)
    root = parsed(verdict, evil)
    assert "<script" not in page
    assert "\x1b" not in page
    assert any("<script>alert('&\"')</script>" in (one.text or "") for one in root.iter(XHTML + "dd"))


def test_the_picture_has_a_point_for_each_stage():
    verdict = failing(12)
    root = parsed(verdict)
    (svg,) = root.iter(SVG + "svg")
    plotted = [one for one in classes(svg, "circle", "point") if len(one)]
    wrong = [one for one in classes(svg, "path", "wrong") if len(one)]
    assert len(plotted) == sum(one.passed for one in verdict.stages)
    assert len(wrong) == 2  # the first, and what the diagnosis names beside it
    followed = [one for one in classes(svg, "circle", "follows") if len(one)]
    assert len(followed) == sum(not one.passed for one in verdict.stages) - 2
    assert "layer.3.query: rms 28113, drift 31250, limit 4.70" in wrong[0][0].text
    ids = {one.get("id") for one in svg}
    assert set(svg.get("aria-labelledby").split()) <= ids
    (desc,) = svg.iter(SVG + "desc")
    assert "layer.3.query 28113" in desc.text


def test_the_picture_stays_in_its_frame_and_points_up():
    stages = [
        stage("embeddings", rms=0.0, accumulated=None),
        stage("layer.0.query", rms=nan),
        stage("layer.0.key", rms=1e300),
    ]
    stages += [stage("layer.0.value", rms=1e-300), stage("pooler", rms=inf, limit=inf), stage("logits", rms=10.0)]
    root = parsed(passing()._replace(stages=tuple(stages)))
    (svg,) = root.iter(SVG + "svg")
    _, _, width, height = map(float, svg.get("viewBox").split())
    points = [one for one in classes(svg, "circle", "point") if len(one)]
    places = [(float(one.get("cx")), float(one.get("cy"))) for one in points]
    assert all(0 < x < width and 0 < y < height for x, y in places)
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    zero, not_a_number, huge, tiny, infinite, ten = (y for _, y in places)
    assert zero == tiny > ten > huge == not_a_number == infinite


@pytest.mark.parametrize("layers", [1, 2, 12, 24, 48])
def test_the_picture_is_no_wider_than_it_has_to_be(layers):
    (svg,) = parsed(passing(layers)).iter(SVG + "svg")
    assert 200 < float(svg.get("width")) < (1060 if layers <= 24 else 2000)  # of the page
    names = [one.text for one in svg.iter(SVG + "text")]
    assert "embeddings" in names
    assert {"0", "layer 0"} & {*names}


def test_all_stages_are_there_to_unfold():
    root = parsed(passing(24))
    folded, every = list(root.iter(XHTML + "tbody"))[:2]
    assert len(folded) < 10
    assert len(every) == len(passing(24).stages)


def test_a_page_is_known_again(tmp_path):
    page, other = tmp_path / "page.html", tmp_path / "other.html"
    page.write_text(render(empty(), "x" * 1000), encoding="utf-8")
    other.write_text("<!DOCTYPE html><p>bridgeckpt verify</p>")
    assert is_page(page)
    assert not is_page(other)
