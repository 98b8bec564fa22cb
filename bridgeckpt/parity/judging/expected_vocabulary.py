"""Which vocabulary the tokenizer of a folder is judged by: the source's, or the one that the conversion was given.

The report of the conversion has the SHA-256 of the tokenizer's files, and what was decided about the casing. If the
vocabulary file is still the one that it wrote, that is known, also where the reference has none.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.parity.judging.converted_folder import ASKED, from_report
from bridgeckpt.store.source import is_file
from bridgeckpt.store.texts import TextError, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.parity.reference.vocabulary import SourceVocabulary

    Read = Callable[[Path, bool], SourceVocabulary | None]

_FILE = "vocab.txt"
_LARGEST = 64 << 20  # bytes


class ExpectedVocabulary(NamedTuple):
    """The vocabulary to judge by, or None; a note on it; and a failure if it cannot be known any more."""

    vocabulary: SourceVocabulary | None
    note: str | None = None
    failure: str | None = None


def expected_vocabulary(recorded: SourceVocabulary | None, folder: Path, read: Read) -> ExpectedVocabulary:
    """The vocabulary to judge ``folder`` by. ``recorded`` is that of the reference; ``read`` reads a file."""
    told = from_report(folder, "casing")  # only of a tokenizer that the conversion made; it copies others
    lowercase = told.startswith("un") if isinstance(told, str) else None
    if recorded is not None and lowercase is not None:
        recorded = recorded._replace(added=())
    written = from_report(folder, "tokenizer_files", _FILE)
    is_written = isinstance(written, str) and written == _digest(folder / _FILE)
    own = read(folder / _FILE, lowercase) if is_written and lowercase is not None else None
    if recorded is None:
        is_edited = written is not None and lowercase is not None and not is_written and is_file(folder / _FILE)
        why = f"{_FILE} was changed after the conversion, and the reference has no vocabulary: record the source again"
        return ExpectedVocabulary(own, failure=why if is_edited else None)
    if own is not None and own.tokens != recorded.tokens:
        note = f"{_FILE} is not {recorded.origin} of the source: it is the one that the conversion was given"
        return ExpectedVocabulary(own, note)
    if lowercase is None or recorded.lowercase == lowercase:
        return ExpectedVocabulary(recorded)
    as_converted = recorded._replace(lowercase=lowercase, strip_accents=None)
    if isinstance(told, str) and told.endswith(ASKED):
        return ExpectedVocabulary(as_converted, f"the casing is the user's word, given to the conversion: {told}")
    return ExpectedVocabulary(recorded if recorded.stated else as_converted)


def _digest(path: Path) -> str | None:
    try:
        return sha256(read_bytes(path, _LARGEST)).hexdigest()
    except TextError:
        return None
