"""The known model families, and the family of a model.

A further family is a folder like ``bert/`` and a row in :data:`FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.bert.anatomy import BertAnatomy
from bridgeckpt.parity.bert.family import BERT
from bridgeckpt.parity.bert.recording import reference_of
from bridgeckpt.parity.bert.vocabulary import vocabulary_in
from bridgeckpt.parity.bert.wordpiece import encoded_texts

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.parity.diagnosing.anatomy import Anatomy
    from bridgeckpt.parity.family import Family
    from bridgeckpt.parity.judging.pytorch import Subject
    from bridgeckpt.parity.judging.tokenizer import TokenizerFindings
    from bridgeckpt.parity.judging.verdict import Diagnosis, StageResult
    from bridgeckpt.parity.reference.reference import Reference
    from bridgeckpt.parity.reference.vocabulary import Encode, SourceVocabulary
    from bridgeckpt.parity.request import RecordingRequest


class KnownFamily(NamedTuple):
    """A family, and its functions.

    Attributes:
        family: Its stages and sites.
        record: Runs a TensorFlow checkpoint of the family.
        take_apart: Divides a PyTorch model of the family into its stages, for the diagnosis.
        read_vocabulary: Reads a vocabulary file, given whether text is lower-cased.
        encode: Encodes texts that tell tokenizers apart by a vocabulary.
    """

    family: Family
    record: Callable[[RecordingRequest], Reference]
    take_apart: Callable[[Subject], Anatomy]
    read_vocabulary: Callable[[Path, bool], SourceVocabulary | None]
    encode: Encode


FAMILIES = (
    KnownFamily(
        family=BERT,
        record=reference_of,
        take_apart=BertAnatomy,
        read_vocabulary=vocabulary_in,
        encode=encoded_texts,
    ),
)


def family_of(model: Any) -> Family:  # noqa: ANN401 - transformers' models have no common type worth importing
    """The family of a PyTorch model: the first one whose stages it computes.

    A model of another architecture has no stages. It gets the first family, whose names a reference may use.
    """
    return next((known.family for known in FAMILIES if known.family.sites(model)), FAMILIES[0].family)


def record(request: RecordingRequest) -> Reference:
    """What TensorFlow computes for a checkpoint.

    Only one family is known so far, so every checkpoint is taken for it.
    """
    return FAMILIES[0].record(request)


def diagnose(reference: Reference, subject: Subject, results: Sequence[StageResult]) -> Diagnosis:
    """What is to blame for the stages that failed."""
    from bridgeckpt.parity.diagnosing.diagnosis import diagnose as diagnose_with

    take_apart = next(known.take_apart for known in FAMILIES if known.family is subject.family)
    return diagnose_with(reference, subject, results, take_apart)


def judge_tokenizer(reference: Reference, subject: Subject) -> TokenizerFindings:
    """Whether the tokenizer of the folder is that of the source."""
    from bridgeckpt.parity.judging import tokenizer
    from bridgeckpt.parity.judging.expected_vocabulary import expected_vocabulary

    known = next(known for known in FAMILIES if known.family is subject.family)
    # The family of a model without stages is only a guess, and so would be how it divides text.
    read = known.read_vocabulary if subject.sites else lambda _path, _lowercase: None
    expected = expected_vocabulary(reference.vocabulary, subject.folder, read)
    padding = getattr(subject.model.config, "pad_token_id", None)
    findings = tokenizer.judge_tokenizer(subject.folder, padding, expected.vocabulary, known.encode)
    return findings._replace(
        failures=(*findings.failures, *filter(None, [expected.failure])),
        notes=(*findings.notes, *filter(None, [expected.note])),
    )
