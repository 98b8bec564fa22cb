"""Writing output files: space is reserved when a file is made, and written bytes are sent to the disk early."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from bridgeckpt.errors import OutputError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_HAS_FLUSH = hasattr(os, "posix_fadvise")


def open_output(path: Path, size: int) -> int:
    """Create and open a file of ``size`` bytes, and reserve its space if the system can. Returns its descriptor.

    Raises:
        OutputError: the file exists or cannot be created, or the disk is full. No file is left behind.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        hint = "check the path and its permissions"
        raise OutputError(f"cannot create {path}: {error.strerror}", hint=hint) from None
    try:
        _reserve(descriptor, size)
    except OSError as error:
        os.close(descriptor)
        path.unlink()
        if error.errno not in _NO_SPACE:
            raise OutputError(f"cannot create {path}: {error.strerror}") from None
        raise OutputError(
            f"no space left for {path}: it takes {size:,} bytes{_free(path.parent)}",
            hint="free some space or give a path on another disk",
        ) from None
    return descriptor


def write(descriptor: int, data: bytes | memoryview, offset: int, name: str) -> None:
    """Write contiguous ``data`` at ``offset``. ``name`` is the tensor, for errors.

    Raises:
        OutputError: the disk is full or fails.
    """
    try:
        done = _pwrite(descriptor, data, offset)
        while done < len(data):  # the system may write only a part
            done += _pwrite(descriptor, memoryview(data)[done:], offset + done)
    except OSError as error:
        hint = "free some space or give a path on another disk" if error.errno in _NO_SPACE else None
        raise OutputError(f"cannot write {name}: {error.strerror}", hint=hint) from None


def write_small(path: Path, content: bytes) -> None:
    """Write a small file in one call, in a folder that is not yet in its place.

    Raises:
        OSError: the disk is full or fails.
    """
    path.write_bytes(content)


def flush(descriptor: int, offset: int, nbytes: int) -> None:
    """Start to write a range to the disk in the background, so that :func:`finish` does not wait long.

    On Linux, POSIX_FADV_DONTNEED does this to dirty pages: they are queued for writing and stay cached.
    """
    if _HAS_FLUSH:
        os.posix_fadvise(descriptor, offset, nbytes, os.POSIX_FADV_DONTNEED)


def finish(descriptor: int) -> None:
    """Wait until all written bytes are on the disk. The file stays open.

    Raises:
        OutputError: the disk is full or fails.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OutputError(f"cannot write the output to disk: {error.strerror}") from None


def _reserve(descriptor: int, size: int) -> None:
    if size and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    os.ftruncate(descriptor, size)


def _free(folder: Path) -> str:
    if not hasattr(os, "statvfs"):
        return ""
    status = os.statvfs(folder)
    return f", {status.f_bavail * status.f_frsize:,} are free"


if hasattr(os, "pwrite"):
    _pwrite = os.pwrite
else:  # Windows
    from threading import Lock

    _seeking = Lock()

    def _pwrite(descriptor: int, data: Any, offset: int) -> int:  # noqa: ANN401
        with _seeking:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.write(descriptor, data)
