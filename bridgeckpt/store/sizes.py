"""Sizes in bytes as people write them (``5GB``, ``500 MiB``) and read them."""

from __future__ import annotations

import re

# Decimal units as huggingface_hub reads them, binary ones with an i.
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_LARGEST = 1 << 62  # above any disk
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", re.IGNORECASE)


def parse_size(size: int | str) -> int:
    """Bytes of a size such as ``5GB``, ``1.5 GiB`` or ``1000``.

    Raises:
        ValueError: the text is not a size, or is zero.
    """
    if isinstance(size, int):
        value = size
    else:
        match = _SIZE.fullmatch(size)
        if match is None or match[2].upper() not in _UNITS:
            raise ValueError(f"{size!r} is not a size, as in 500MB or 5GB")
        number = float(match[1])
        value = int(number * _UNITS[match[2].upper()]) if number < _LARGEST else _LARGEST
    if value < 1:
        raise ValueError(f"{size!r} is not a size above zero")
    return value


def is_size(size: int | str) -> bool:
    """Whether :func:`parse_size` reads it."""
    try:
        return parse_size(size) > 0
    except ValueError:
        return False


def format_size(size: float) -> str:
    """A size for people, in decimal units: ``440.5 MB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
