"""The tokenizer of a folder, judged by the vocabulary beside the checkpoint: damaged in many ways, or right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paths import FIXTURES, ROOT

import bridgeckpt
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.parity.bert.vocabulary import source_vocabulary
from bridgeckpt.parity.families import FAMILIES
from bridgeckpt.parity.judging.expected_vocabulary import expected_vocabulary
from bridgeckpt.parity.judging.tokenizer import TokenizerFindings, judge_tokenizer

pytest.importorskip("transformers")

UNCASED, CASED = ROOT / "examples" / "tiny-bert", FIXTURES / "hub_tf2_module" / "source"
Edit = Callable[[Path], object]


def vocabulary_beside(source: Path):
    with open_checkpoint(source) as checkpoint:
        return source_vocabulary(checkpoint, checkpoint.graph_path)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """``converted(source)``: its folder. Do not modify it."""
    made: dict[str, Path] = {}

    def make(source: Path, **options: Any) -> Path:
        key = repr((source, options))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("tokenizer") / "out"
            bridgeckpt.convert(source, made[key], **options)
        return made[key]

    return make


def judged(folder: Path, recorded: Any) -> TokenizerFindings:
    """What ``verify`` finds about the tokenizer in ``folder``; ``recorded`` is the vocabulary of the reference."""
    expected = expected_vocabulary(recorded, folder, FAMILIES[0].read_vocabulary)
    padding = json.loads((folder / "config.json").read_text()).get("pad_token_id")
    found = judge_tokenizer(folder, padding, expected.vocabulary, FAMILIES[0].encode)
    return found._replace(
        failures=(*found.failures, *filter(None, [expected.failure])),
        notes=(*found.notes, *filter(None, [expected.note])),
    )


@pytest.fixture
def findings(converted, tmp_path):
    """``findings(edit, source)``: what is found after ``edit(folder)``."""

    def make(edit: Edit, source: Path = UNCASED, *, recorded: bool = True) -> TokenizerFindings:
        copy = tmp_path / "copy"
        shutil.copytree(converted(source, **({} if source == UNCASED else {"heads": 3})), copy)
        edit(copy)
        return judged(copy, vocabulary_beside(source) if recorded else None)

    return make


def edited(name: str, change: Callable[[dict[str, Any]], object]) -> Edit:
    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return edit


def settings(**values: object) -> Edit:
    return edited("tokenizer_config.json", lambda content: content.update(values))


def normalizer(**values: object) -> Edit:
    def change(content: dict[str, Any]) -> None:
        outer = content["normalizer"]
        for one in outer.get("normalizers", [outer]):
            if one["type"] == "BertNormalizer":
                one.update(values)

    return edited("tokenizer.json", change)


def exchanged_lines(folder: Path) -> None:
    lines = (folder / "vocab.txt").read_text().split("\n")
    lines[10], lines[11] = lines[11], lines[10]
    (folder / "vocab.txt").write_text("\n".join(lines))


def exchange_ids(content: dict[str, Any]) -> None:
    ids = content["model"]["vocab"]
    a, b = list(ids)[10:12]
    ids[a], ids[b] = ids[b], ids[a]


def both_exchanged(folder: Path) -> None:
    exchanged_lines(folder)
    edited("tokenizer.json", exchange_ids)(folder)


def added(content: dict[str, Any]) -> None:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False)
    content["added_tokens"].append({"id": 999, "content": "foo", "normalized": True, **flags})


DAMAGED: dict[str, tuple[Edit, str]] = {
    "the order of vocab.txt": (
        exchanged_lines,
        "vocab.txt gives '!' the id 11, which is 10 in vocab.txt of the source",
    ),
    "ids in tokenizer.json": (edited("tokenizer.json", exchange_ids), "the tokenizer gives '!' the id 11"),
    "ids in both": (both_exchanged, "2 tokens differ"),
    "a line less": (
        lambda folder: (folder / "vocab.txt").write_text((folder / "vocab.txt").read_text().rpartition("\n##")[0]),
        "vocab.txt has no token '##ship'",
    ),
    "a token more": (edited("tokenizer.json", added), "gives 'foo' the id 225, which is not in vocab.txt"),
    "casing in the settings": (settings(do_lower_case=False), "do_lower_case = false, which is true in the source"),
    "casing of another class": (
        settings(do_lower_case=False, tokenizer_class="BertTokenizer"),
        "the tokenizer keeps capital letters",
    ),
    "casing in tokenizer.json": (normalizer(lowercase=False), "the tokenizer keeps capital letters"),
    "accents in the settings": (settings(strip_accents=False), "strip_accents = false"),
    "accents in tokenizer.json": (
        normalizer(strip_accents=False),
        "the tokenizer keeps accents, other than the source",
    ),
    "Chinese in the settings": (settings(tokenize_chinese_chars=False), "tokenize_chinese_chars = false"),
    "Chinese in tokenizer.json": (normalizer(handle_chinese_chars=False), "joins Chinese characters to words"),
    "control characters": (normalizer(clean_text=False), "divides text in another way"),
    "a mask token": (
        edited("tokenizer_config.json", lambda content: content.pop("mask_token")),
        "has no mask_token, which is '[MASK]' in the source",
    ),
    "roles exchanged": (settings(cls_token="[SEP]", sep_token="[CLS]"), "has '[SEP]' as its cls_token"),
    "a role in the older file": (
        lambda folder: (folder / "special_tokens_map.json").write_text('{"pad_token": {"content": "[UNK]"}}'),
        "has '[UNK]' as its pad_token",
    ),
    "the id of padding": (
        edited("config.json", lambda content: content.update(pad_token_id=5)),
        "config.json says pad_token_id = 5, and [PAD] is 0 in vocab.txt",
    ),
    "no special tokens": (edited("tokenizer.json", lambda content: content.update(post_processor=None)), "([CLS])"),
    "short words only": (
        edited("tokenizer.json", lambda content: content["model"].update(max_input_chars_per_word=5)),
        "([UNK])",
    ),
    "one segment": (settings(model_input_names=["input_ids"]), "gives no token types"),
    "half a file": (
        lambda folder: (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text()[:500]),
        "is not loaded by AutoTokenizer",
    ),
    "no tokenizer.json": (lambda folder: (folder / "tokenizer.json").unlink(), "is not loaded by AutoTokenizer"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named(name, findings):
    edit, words = DAMAGED[name]
    found = findings(edit)
    assert any(words in failure for failure in found.failures), found.failures


@pytest.mark.parametrize(
    "edit",
    [normalizer(lowercase=True), normalizer(strip_accents=True), settings(do_lower_case=True)],
    ids=["lower-cased", "without accents", "settings"],
)
def test_damage_to_a_cased_tokenizer_is_found(edit, findings):
    assert findings(edit, CASED).failures


def resaved(folder: Path) -> None:
    import transformers

    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)


RIGHT: dict[str, Edit] = {
    "as converted": lambda folder: None,
    "saved again by transformers": resaved,
    "another class": settings(tokenizer_class="BertTokenizer"),
    "without vocab.txt": lambda folder: (folder / "vocab.txt").unlink(),
    "lines of Windows": lambda folder: (folder / "vocab.txt").write_bytes(
        (folder / "vocab.txt").read_bytes().replace(b"\n", b"\r\n")
    ),
}


@pytest.mark.parametrize("source", [UNCASED, CASED], ids=["uncased", "cased"])
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_tokenizer_passes(name, source, findings):
    found = findings(RIGHT[name], source)
    assert found.failures == found.notes == ()
    assert f"({'un' * (source == UNCASED)}cased)" in found.judged


def test_the_file_that_was_written_is_the_vocabulary_of_an_older_reference(findings):
    assert findings(settings(do_lower_case=False), recorded=False).failures


def test_a_vocabulary_that_was_changed_is_none_to_judge_by(findings):
    found = findings(both_exchanged, recorded=False)
    assert any("changed after the conversion" in failure for failure in found.failures)


def test_nothing_to_judge_is_a_note(findings):
    def without(folder: Path) -> None:
        for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
            (folder / name).unlink()

    found = findings(without)
    assert found.failures == ()
    assert found.notes == ("no tokenizer to judge: the folder has none, and the source has vocab.txt",)
    assert found.judged is None


def test_a_vocabulary_and_a_casing_of_the_users_own_are_judged_as_given(converted, tmp_path):
    tokens = (UNCASED / "vocab.txt").read_text().split("\n")
    tokens[20], tokens[21] = tokens[21], tokens[20]
    (tmp_path / "other.txt").write_text("\n".join(tokens))
    given = converted(UNCASED, vocab=tmp_path / "other.txt")
    found = judged(given, vocabulary_beside(UNCASED))
    assert found.failures == ()
    assert "the one that the conversion was given" in found.notes[0]
    found = judged(converted(UNCASED, lowercase=False), vocabulary_beside(UNCASED))
    assert found.failures == ()
    assert "the user's word" in found.notes[0]


@pytest.fixture
def copied(tmp_path):
    """``copied(edit, **files)``: what is found in the folder of a source of transformers, whose files are copied.

    ``files`` are written beside the source first, ``edit`` is made to the folder.
    """

    def make(edit: Edit, files: dict[str, object]) -> TokenizerFindings:
        shutil.copytree(FIXTURES / "hf440_masked_lm" / "source", tmp_path / "source")
        for name, content in files.items():
            (tmp_path / "source" / name).write_text(json.dumps(content))
        bridgeckpt.convert(tmp_path / "source", tmp_path / "out")
        edit(tmp_path / "out")
        return judged(tmp_path / "out", vocabulary_beside(tmp_path / "source"))

    return make


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda folder: None, None),
        (settings(do_lower_case=True), "do_lower_case = true, which is false in the source"),
        (exchanged_lines, "2 tokens differ"),
    ],
    ids=["as copied", "casing", "order"],
)
def test_copied_files_are_judged_by_those_of_the_source(edit, words, copied):
    found = copied(edit, {})
    assert any(words in failure for failure in found.failures) if words else not found.failures, found.failures
    assert found.judged is not None


def test_an_added_token_that_is_not_loaded_any_more_is_told(copied):
    """transformers 5 does not read it from here, where version 4 did."""
    found = copied(lambda folder: None, {"added_tokens.json": {"[E1]": 61}})
    assert found.failures == ("the tokenizer has no token '[E1]', which is 61 in vocab.txt of the source",)


def test_a_tokenizer_of_another_kind_is_not_judged(copied):
    config = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab", "do_lower_case": False}
    found = copied(lambda folder: None, {"tokenizer_config.json": config})
    assert found.failures == ()
    assert "none is known of the source" in found.notes[0]
