"""Vocabulary and tokenizer: AutoTokenizer splits text into the ids of google-research/bert.

The reference is the published algorithm, written here anew in plain Python.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import EXAMPLE

from bridgeckpt.errors import ConfigError
from bridgeckpt.mapping.tables import tokenizer as table
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.sidecar.tokenizer import choice, wordpiece
from bridgeckpt.sidecar.tokenizer.casing import Casing, infer_casing
from bridgeckpt.sidecar.tokenizer.kinds import KINDS

if TYPE_CHECKING:
    from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary

VOCABULARY = EXAMPLE / "vocab.txt"
BERT = load_table("bert/google").tokenizer
assert BERT is not None
SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHINESE = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F))
CHINESE += ((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def read_vocabulary(path: Path) -> Vocabulary:
    return wordpiece.read_vocabulary(path, BERT)


def tokenizer_files(vocabulary: Vocabulary, lowercase: bool, length: int | None) -> dict[str, bytes]:
    return wordpiece.tokenizer_files(BERT, vocabulary, Casing(lowercase, "as the test asks"), length)


def find_vocabulary(directory: Path, explicit: Path | None = None) -> Path | None:
    """The vocabulary that is taken."""
    found = choice.read_vocabulary_in(directory, BERT, explicit)
    return found.path if found is not None else None


def reference_words(text: str, lowercase: bool) -> list[str]:
    """The words that google-research/bert looks up (its BasicTokenizer)."""
    cleaned = ""
    for char in text:
        category = unicodedata.category(char)
        if char in "\t\n\r" or category == "Zs":
            cleaned += " "
        elif char not in "\0\ufffd" and category not in {"Cc", "Cf"}:
            cleaned += f" {char} " if any(low <= ord(char) <= high for low, high in CHINESE) else char
    words: list[str] = []
    for token in cleaned.split():
        if lowercase:
            decomposed = unicodedata.normalize("NFD", token.lower())
            token = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
        word = ""
        for char in token:
            if unicodedata.category(char)[0] == "P" or (char.isascii() and not char.isalnum()):
                words += [word, char]
                word = ""
            else:
                word += char
        words.append(word)
    return " ".join(words).split()


def reference_ids(text: str, ids: dict[str, int], lowercase: bool) -> list[int]:
    """google-research/bert's ids: the longest piece first, [UNK] for a word that cannot be pieced together."""
    found: list[int] = []
    for word in reference_words(text, lowercase):
        pieces: list[int] = []
        start = 0
        while start < len(word) <= 200:
            ends = (end for end in range(len(word), start, -1) if ("##" * (start > 0)) + word[start:end] in ids)
            if (end := next(ends, None)) is None:
                break
            pieces.append(ids[("##" * (start > 0)) + word[start:end]])
            start = end
        found += pieces if start == len(word) else [ids["[UNK]"]]
    return found


def stable(char: str) -> bool:
    """Whether all versions of Unicode class the character alike: libraries carry tables of different age."""
    category = unicodedata.category(char)
    return category == unicodedata.ucd_3_2_0.category(char) and category not in {"Cn", "Co", "Cs"}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    """Special tokens, some words, and every character below U+3000 as a beginning and as a continuation."""
    chars = [chr(point) for point in range(0x21, 0x3000)]
    chars = [char for char in chars if stable(char) and unicodedata.category(char)[0] not in "CZ"]
    words = ["hello", "world", "un", "##aff", "##able", "Hello", "中", "文", "한", "##" + "a" * 9]
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, *words, *chars, *(f"##{char}" for char in chars), ""]), encoding="utf-8")
    return read_vocabulary(path)


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def tokenizer(request, vocabulary, tmp_path_factory):
    """What AutoTokenizer makes of the files; ``lowercase`` as it was written."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tokenizer")
    write(folder, tokenizer_files(vocabulary, request.param, 512))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.lowercase = request.param
    return tokenizer


def write(folder: Path, files: dict[str, bytes]) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')
    for name, content in files.items():
        (folder / name).write_bytes(content)


def ids_of(tokenizer, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


# ruff: noqa: RUF001 - these texts are made of look-alikes
TEXTS = [
    "",
    "Hello, World! unaffable UNAFFABLE",
    "naïve façade Ångström ﬁne ǰ ẞ ß Œuvre e\u0301",
    "İstanbul ISPARTA ıspanak I\u0307",
    "ΟΔΟΣ ΟΔΟΣ. ΟΔΟΣΑ Σ ΣΑ ΑΣ' ΑΣ'Α Σίσυφος Ά\u0301Σ ΑΣ\u0301 ΑΣ1 ΑΣ_ 1Σ",
    "中文hello中文 漢字かなカナ 한국어 \U00020000x豈",
    "a\x00b\x07c\ufffdd\u200be\u200df\xadg\ufeffh",
    "a\tb\nc\rd\xa0e\u3000f\u2003g\u2028h\x0bi\x85j",
    "a!b\"c#d$e%f&g'h(i)j*k+l,m-n.o/p:q;r<s=t>u?v@w[x\\y]z^a_b`c{d|e}f~g",
    "¿qué? «oui» „ja“ — … ‰ † § ¶ ₤ € © ™ ± ²",
    "😀 👩‍💻 🇩🇪 ❤️",
    "##hello hello##world [unused0] [UNUSED0] [ CLS ]",
    "หวัดดี नमस्ते مرحبا שָׁלוֹם",
    "a" * 200,
    "a" * 201,
    "a" * 200 + "." + "b" * 201 + " c",
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.slow
def test_ids_are_those_of_google_research_bert(tokenizer, vocabulary, text):
    assert ids_of(tokenizer, text) == reference_ids(text, vocabulary.ids, tokenizer.lowercase)


CHARS = st.one_of(st.characters(max_codepoint=0x2FFF), st.characters(), st.sampled_from("aAI \n中.'-")).filter(stable)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(CHARS))
@pytest.mark.slow
def test_ids_of_any_text_are_those_of_google_research_bert(tokenizer, vocabulary, text):
    assert ids_of(tokenizer, text) == reference_ids(text, vocabulary.ids, tokenizer.lowercase)


@pytest.mark.slow
def test_a_pair_is_framed_as_bert_was_trained(tokenizer, vocabulary):
    ids = vocabulary.ids
    encoded = tokenizer("hello", "world")
    frame = ["[CLS]", "hello", "[SEP]", "world", "[SEP]"]
    assert encoded["input_ids"] == [ids[token] for token in frame]
    assert encoded["token_type_ids"] == [0, 0, 0, 1, 1]
    assert encoded["attention_mask"] == [1] * 5


@pytest.mark.slow
def test_special_tokens_and_length_are_known(tokenizer, vocabulary):
    assert tokenizer.model_max_length == 512
    assert len(tokenizer) == len(vocabulary.tokens)
    tokens = {name: getattr(tokenizer, f"{name}_token") for name in ("pad", "unk", "cls", "sep", "mask")}
    assert tokens == {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    assert ids_of(tokenizer, "[MASK]") == [vocabulary.ids["[MASK]"]]
    assert tokenizer.decode(ids_of(tokenizer, "hello, world")) == "hello, world"


@pytest.mark.slow
def test_saving_again_keeps_the_longest_word(tokenizer, vocabulary, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert ids_of(again, "a" * 200) == reference_ids("a" * 200, vocabulary.ids, lowercase=False)


@pytest.mark.slow
def test_a_token_that_is_not_there_is_not_added(tmp_path):
    """A mask token with a new id would lie beyond the embedding table."""
    transformers = pytest.importorskip("transformers")
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"[UNK]\n[CLS]\n\n[SEP]\na\n\na\n")
    vocabulary = read_vocabulary(path)
    write(tmp_path, tokenizer_files(vocabulary, True, 16))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.mask_token is None
    assert tokenizer.pad_token is None
    assert tokenizer("a")["input_ids"] == [1, 6, 3]


def test_the_vocabulary_is_copied_byte_for_byte(tmp_path):
    content = VOCABULARY.read_bytes().replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    (tmp_path / "vocab.txt").write_bytes(content)
    files = tokenizer_files(read_vocabulary(tmp_path / "vocab.txt"), True, 64)
    assert files["vocab.txt"] == content
    assert json.loads(files["tokenizer.json"])["model"]["vocab"] == {
        token: number for number, token in enumerate(VOCABULARY.read_text().split())
    }


def test_a_model_without_a_longest_sequence():
    settings = json.loads(tokenizer_files(read_vocabulary(VOCABULARY), True, None)["tokenizer_config.json"])
    assert "model_max_length" not in settings


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        (b"[UNK]\n[CLS]\n[SEP]", ["[UNK]", "[CLS]", "[SEP]"]),
        (b"[UNK]\n[CLS]\n[SEP]\n", ["[UNK]", "[CLS]", "[SEP]"]),
        (b"[UNK]\n\n[CLS]\n[SEP]\n\n", ["[UNK]", "", "[CLS]", "[SEP]"]),  # blank lines at the end are no tokens
        (b"\xef\xbb\xbf[UNK] \r\n[CLS]\t\n[SEP]\n", ["[UNK]", "[CLS]", "[SEP]"]),
        ("[UNK]\n[CLS]\n[SEP]\na\u2028b\x0bc\n".encode(), ["[UNK]", "[CLS]", "[SEP]", "a\u2028b\x0bc"]),
    ],
)
def test_lines_are_numbered_as_google_numbers_them(tmp_path, content, tokens):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    assert read_vocabulary(path).tokens == tokens


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not the vocabulary of this model: it holds nothing"),
        (b"\n\n", "is not the vocabulary of this model: it holds nothing"),
        (b"<s>\n<unk>\n[CLS]\n", "is not the vocabulary of this model: it holds 3 lines without [UNK], [SEP]"),
        (b"[UNK]\n[CLS]\n\xff\n", "is not UTF-8 text: byte 0xff in line 3"),
        (b"\x89PNG\r\n\x1a\n\0", "is not UTF-8 text: byte 0x89 in line 1"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_vocabulary(path)
    assert caught.value.message == f"{path} {message}"
    assert caught.value.hint is not None
    assert "vocab=FILE" in caught.value.hint


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*vocab\.txt: No such file"):
        read_vocabulary(tmp_path / "vocab.txt")


class TestFinding:
    def test_vocab_txt_before_any_other(self, tmp_path):
        assert find_vocabulary(tmp_path) is None
        (tmp_path / "label_vocab.txt").write_text("B-PER\nI-PER\nO\n")
        assert find_vocabulary(tmp_path) is None
        (tmp_path / "my_vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n")
        assert find_vocabulary(tmp_path) == tmp_path / "my_vocab.txt"
        (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n")
        assert find_vocabulary(tmp_path) == tmp_path / "vocab.txt"

    def test_several_are_named(self, tmp_path):
        for name in ("vocab_a.txt", "vocab_b.txt"):
            (tmp_path / name).write_text("[UNK]\n[CLS]\n[SEP]\n")
        with pytest.raises(ConfigError, match=r"2 vocabularies: vocab_a\.txt, vocab_b\.txt"):
            find_vocabulary(tmp_path)

    def test_an_explicit_one(self, tmp_path):
        assert find_vocabulary(tmp_path, VOCABULARY) == VOCABULARY
        with pytest.raises(ConfigError, match=r"there is no vocabulary .*missing\.txt"):
            find_vocabulary(tmp_path, tmp_path / "missing.txt")


@pytest.mark.parametrize(
    ("tokens", "lowercase", "reason"),
    [
        (["hello", "##é"], True, "uncased: none of 9 tokens holds a capital letter"),
        (["Hello", "hello"], False, "cased: 1 of 9 tokens hold a capital letter"),
        (["Hello", *["word"] * 200], True, "uncased: only 1 of 208 tokens hold a capital letter"),
        (["中", "文", "##1"], True, "uncased by default: none of 10 tokens holds a letter"),
        (["中", "a", "<S>", "<T>"], True, "uncased: none of 11 tokens holds a capital letter"),
        (["Привет", "мир"], False, "cased: 1 of 9 tokens hold a capital letter"),
    ],
)
def test_casing_is_inferred_with_its_reason(tmp_path, tokens, lowercase, reason):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, "[unused1]", *tokens, ""]), encoding="utf-8")
    casing = infer_casing(read_vocabulary(path))
    assert casing.lowercase is lowercase
    assert casing.reason.startswith(reason)


@pytest.mark.parametrize(
    ("stated", "lowercase"), [('{"do_lower_case": false}', False), ('{"do_lower_case": true}', True)]
)
def test_the_casing_that_stands_beside_the_vocabulary(tmp_path, stated, lowercase):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n" + "Abc\n" * lowercase + "abc\n")
    (tmp_path / "tokenizer_config.json").write_text(stated)
    casing = infer_casing(read_vocabulary(tmp_path / "vocab.txt"))
    assert casing.lowercase is lowercase
    assert "tokenizer_config.json" in casing.reason
    assert casing.strip_accents is None
    (tmp_path / "tokenizer_config.json").write_text('{"strip_accents": false, ' + stated[1:])
    assert infer_casing(read_vocabulary(tmp_path / "vocab.txt")).strip_accents is False
    (tmp_path / "tokenizer_config.json").write_text("[]")
    assert "capital letter" in infer_casing(read_vocabulary(tmp_path / "vocab.txt")).reason


def test_each_kind_and_normalizer_that_a_table_may_name_is_there():
    assert set(KINDS) == set(table.KINDS)
    assert set(wordpiece._NORMALIZERS) == set(table.NORMALIZERS)


def test_tokens_frame_and_longest_word_are_the_tables(tmp_path):
    """A model of other special tokens needs another table, and no other code."""
    pytest.importorskip("tokenizers")
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    other = BERT._replace(special=special, single="<s> $A </s>", pair="<s> $A </s> $B </s>", longest_word=3)
    path = tmp_path / "vocab.txt"
    path.write_text("<unk>\n<s>\n</s>\nabc\n##d\n")
    vocabulary = wordpiece.read_vocabulary(path, other)
    files = wordpiece.tokenizer_files(other, vocabulary, Casing(True, ""), None)
    made = __import__("tokenizers").Tokenizer.from_str(files["tokenizer.json"].decode())
    assert made.encode("abc abcd").tokens == ["<s>", "abc", "<unk>", "</s>"]
    settings = json.loads(files["tokenizer_config.json"])
    assert special.items() <= settings.items()
    assert "cls_token" not in settings
    with pytest.raises(ConfigError, match=r"without <unk>, <s>, </s>"):
        wordpiece.read_vocabulary(VOCABULARY, other)
