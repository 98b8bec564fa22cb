"""Differences between two records of outcomes, by kind: a file, a fact, a text, a new key, or the digest of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Keys of the JSON whose values are sentences.
TEXTS = {"details", "error", "hint", "message", "notes", "reason", "refusal", "remedy", "subject", "summary", "cause"}


def differences(before: Any, after: Any, where: str = "", key: str = "") -> Iterator[tuple[str, str, Any, Any]]:
    """Kind, place and both values of everything that differs."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from differences(
                before.get(name), after.get(name), f"{where}/{name}", name if name not in "ab" else key
            )
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after) and key not in TEXTS:
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, f"{where}[{index}]", key)
    elif before != after and not _is_close(before, after):
        yield _kind(where, before, after, key), where, before, after


def _is_close(before: Any, after: Any) -> bool:
    """Whether both are floats that differ by at most 5 %: one computation with other rounding."""
    return (
        isinstance(before, float)
        and isinstance(after, float)
        and abs(before - after) <= 0.05 * max(abs(before), abs(after))
    )


def _kind(where: str, before: Any, after: Any, key: str) -> str:
    if "/files/" in where:
        return "file"
    if "/table/sha256/" in where:
        return "table"
    if before is None and "/json/" in where:
        return "added"
    return "text" if _is_text(before, after, key) else "fact"


def _is_text(before: Any, after: Any, key: str) -> bool:
    return key in TEXTS or (isinstance(before, str) and isinstance(after, str) and " " in before and " " in after)
