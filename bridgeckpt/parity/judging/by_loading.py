"""What of a verdict is due to loading: what transformers changed or made up, and whether that explains a failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from bridgeckpt.parity.judging.comparison import compare
from bridgeckpt.parity.judging.converted_folder import CONFIG, config_of
from bridgeckpt.parity.judging.loaded import as_in_files
from bridgeckpt.parity.judging.passes import combined, in_float32, in_float64, is_narrower
from bridgeckpt.parity.judging.verdict import Diagnosis
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.pytorch import Subject
    from bridgeckpt.parity.reference.reference import Reference

_TIED = "tie_word_embeddings"
_SHOWN = 5  # names of parameters in a sentence


def loading_failures(subject: Subject) -> Iterator[str]:
    """Why the model that ``from_pretrained`` makes of the folder is not the one in its files."""
    for change in subject.changes:
        yield f"while loading, transformers {change.what}; {change.remedy}"
    if subject.made_up:
        yield (
            f"no file of the folder holds {listed(subject.made_up, _SHOWN)}, so that transformers made up the values"
            f"{_untied(subject)}"
        )


def blame_loading(
    reference: Reference, subject: Subject, wanted: Mapping[str, set[str]], first: str
) -> Diagnosis | None:
    """The diagnosis of a failure that is gone with the tensors as the files have them; None of any other.

    ``wanted`` is what was caught, by probe, and ``first`` the first stage that failed.
    """
    if not subject.changes:
        return None
    with as_in_files(subject.changes, subject.folder):
        rounded = in_float32(reference, subject, wanted)
        truth, narrowed = in_float64(reference, subject, wanted, is_narrower(reference, subject))
    runs = combined(truth, rounded, narrowed, rounded.free)
    order = {stage: site.module for stage, site in subject.sites.items()}
    order.setdefault(first, first)
    results = compare(reference, runs, order, subject.family)
    if any(not result.passed for result in results if result.name == first):
        return None
    change = subject.changes[0]
    return Diagnosis(
        stage=first,
        cause=f"while loading, transformers {change.what}",
        remedy=change.remedy,
        parameter=f"{CONFIG}: {change.key}" if change.key else next(iter(change.tensors), None),
        variable=None,
        proven=True,
    )


def _untied(subject: Subject) -> str:
    """The reason why a tied parameter is missing, if config.json unties it."""
    tied = getattr(subject.model, "_tied_weights_keys", None) or ()
    untied = config_of(subject.folder).get(_TIED) is False and any(name in tied for name in subject.made_up)
    return f": {_TIED} = false in {CONFIG} unties them" if untied else ""
