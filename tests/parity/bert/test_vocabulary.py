"""The vocabulary beside a checkpoint, its casing, and its WordPiece against google-research/bert's own code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from paths import CASES, EXAMPLE

import bridgeckpt
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.parity.bert.vocabulary import source_vocabulary
from bridgeckpt.parity.bert.wordpiece import encoded_texts
from bridgeckpt.parity.reference.vocabulary import SourceVocabulary, vocabulary_of

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture
def beside(tmp_path):
    """The vocabulary found among files: lists of tokens are written as lines, other values as JSON."""

    def find(files: Mapping[str, object]) -> SourceVocabulary | None:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join([*content, ""]) if isinstance(content, list) else json.dumps(content))
        return source_vocabulary(SimpleNamespace(directory=tmp_path, tensors={}), None)

    return find


@pytest.mark.parametrize(
    "name",
    ["vocab.txt", "assets/vocab.txt", "assets/tokenizer/vocabulary.txt", "my_vocab_2.txt", "assets/the-vocab.txt"],
)
def test_it_is_found_where_sources_have_it(name, beside):
    found = beside({name: [*SPECIAL, "abc"]})
    assert found.tokens == (*SPECIAL, "abc")
    assert found.origin == name.rpartition("/")[2]
    assert found.special["mask_token"] == "[MASK]"


def test_none_or_several_are_none(beside):
    assert beside({"labels_vocab.txt": ["yes", "no"]}) is None
    assert beside({"a_vocab.txt": SPECIAL, "b_vocab.txt": SPECIAL}) is None
    assert beside({"vocab.txt": [*SPECIAL]}).tokens == tuple(SPECIAL)


UNCASED, CASED = [*SPECIAL, "abc"], [*SPECIAL, "Abc"]
WHOLE = {
    "model": {"type": "WordPiece", "vocab": {token: number for number, token in enumerate(UNCASED)}},
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "BertNormalizer", "lowercase": False}]},
    "added_tokens": [{"id": 6, "content": "extra"}],
}


@pytest.mark.parametrize(
    ("files", "lowercase", "strip_accents", "stated"),
    [
        ({"vocab.txt": UNCASED}, True, None, False),
        ({"vocab.txt": CASED}, False, None, False),
        ({"vocab.txt": CASED, "tokenizer_config.json": {"do_lower_case": True}}, True, None, True),
        (
            {"vocab.txt": UNCASED, "tokenizer_config.json": {"do_lower_case": True, "strip_accents": False}},
            *(True, False, True),
        ),
        ({"vocab.txt": CASED, "tokenizer_config.json": {"model_max_length": 512}}, True, None, False),
        ({"vocab.txt": UNCASED, "tokenizer.json": {"config": {"lowercase": False}}}, False, False, True),  # KerasHub
        ({"tokenizer.json": WHOLE}, False, None, True),
    ],
    ids=["tokens", "capitals", "settings", "accents", "silent settings", "preset", "tokenizer.json"],
)
def test_the_casing_is_what_the_files_say(files, lowercase, strip_accents, stated, beside):
    found = beside(files)
    assert (found.lowercase, found.strip_accents, found.stated) == (lowercase, strip_accents, stated)


def test_tokens_of_a_whole_tokenizer_are_those_and_what_was_added(beside):
    assert beside({"tokenizer.json": WHOLE}).tokens == (*UNCASED, "extra")


def test_special_tokens_of_other_names(beside):
    tokens = ["<pad>", *SPECIAL[1:]]
    found = beside({"vocab.txt": tokens, "special_tokens_map.json": {"pad_token": {"content": "<pad>"}}})
    assert found.special["pad_token"] == "<pad>"


def test_it_survives_its_record(beside):
    found = beside({"vocab.txt": UNCASED})
    assert vocabulary_of(json.loads(json.dumps(found.record()))) == found


@pytest.mark.slow  # its module imports TensorFlow
@pytest.mark.parametrize("lowercase", [True, False])
def test_ids_are_those_of_googles_own_code(lowercase, beside):
    tokenization = pytest.importorskip("bert.tokenization")
    pytest.importorskip("absl.flags").FLAGS(["test"], known_only=True)  # its code reads a flag
    tokens = EXAMPLE.joinpath("vocab.txt").read_text().split()
    words = ["Paris", "Über", "naïve", "привет", "Ελλάδα", "中", "can't", "##ing", "##s"]
    found = beside({"vocab.txt": [*tokens, *words]})._replace(lowercase=lowercase)
    basic = tokenization.BasicTokenizer(do_lower_case=lowercase)
    pieces = tokenization.WordpieceTokenizer(found.ids)
    texts = encoded_texts(found)
    assert len(texts) > 10
    for one in texts:
        expected = []
        for text in filter(None, (one.text, one.second)):
            expected += [piece for word in basic.tokenize(text) for piece in pieces.tokenize(word)] + ["[SEP]"]
        assert [found.tokens[number] for number in one.ids] == ["[CLS]", *expected]


@pytest.mark.parametrize(
    "case", [case for case in CASES if (case / "source" / "vocab.txt").is_file()], ids=lambda c: c.name
)
def test_sources_of_other_code_have_the_casing_that_the_conversion_takes(case):
    """Two readers, written apart: this one and the conversion's."""
    with open_checkpoint(case / "source") as checkpoint:
        found = source_vocabulary(checkpoint, checkpoint.graph_path)
        plan = bridgeckpt.plan(checkpoint, heads=3)
    assert found is not None
    if plan.vocabulary is not None:
        assert list(found.tokens) == plan.vocabulary.tokens
        assert found.lowercase == plan.casing.lowercase
