"""Protocol buffers read where they lie in a file: the fields of a message by position, without reading their payloads.

:mod:`wire` decodes a message that is in memory. A graph with weights in it is too large for that, and of a weight only
its place is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.tensorflow.wire import BYTES, FIXED32, FIXED64, VARINT, WireError, varint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridgeckpt.store.contract import StoredFile

_AHEAD = 1 << 16  # bytes that are read at a time
_LONGEST_HEAD = 20  # bytes of a tag and a number
_FIXED = {FIXED32: 4, FIXED64: 8}


class Span(NamedTuple):
    """Bytes of a file, from ``start`` up to ``end``."""

    start: int
    end: int

    @property
    def nbytes(self) -> int:
        """How many."""
        return self.end - self.start


class StoredField(NamedTuple):
    """A field: its tag, its value if it is a number without a fixed size, and the place of its payload otherwise."""

    key: int
    number: int
    payload: Span


class StoredMessages:
    """The messages in a file. It reads ahead, so that many small fields take few reads."""

    def __init__(self, file: StoredFile) -> None:
        self._file = file
        self._start, self._data = 0, b""

    @property
    def whole(self) -> Span:
        """The whole file."""
        return Span(0, self._file.size)

    def read(self, span: Span) -> bytes:
        """The bytes of a span, which is part of the file."""
        if not self._start <= span.start <= span.end <= self._start + len(self._data):
            nbytes = min(max(span.nbytes, _AHEAD), self._file.size - span.start)
            self._start, self._data = span.start, self._file.read(span.start, nbytes)
        return self._data[span.start - self._start : span.end - self._start]

    def fields(self, message: Span) -> Iterator[StoredField]:
        """Every field of the message at a span, in order.

        Raises:
            WireError: the bytes are not a message. The fields before the damage were yielded already.
        """
        position = message.start
        while position < message.end:
            head = self.read(Span(position, min(position + _LONGEST_HEAD, message.end)))
            key, used = varint(head, 0)
            number, size = 0, _FIXED.get(key & 7, 0)
            if key & 7 == VARINT:
                number, used = varint(head, used)
            elif key & 7 == BYTES:
                size, used = varint(head, used)
            elif not size:
                raise WireError(f"no field at byte {position} (wire type {key & 7})")
            payload = Span(position + used, position + used + size)
            if payload.end > message.end:
                raise WireError(f"{size:,} bytes at byte {payload.start:,} of {message.end:,}")
            yield StoredField(key, number, payload)
            position = payload.end
