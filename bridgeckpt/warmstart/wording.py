"""Words: what planning says in options of the command line, said in keywords of ``reading``."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.options import PlanOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYWORDS = {key.replace("_", "-"): key for key in PlanOptions.__annotations__}
# A value behind an option is quoted, or is no word of a sentence: FILE, 12, BertModel, my_table.toml.
_OPTION = re.compile(rf"--({'|'.join(_KEYWORDS)})(?![\w-])(?: ('[^']*'|[\w./-]*[A-Z0-9./][\w./-]*(?<=\w)))?")


def as_keywords(text: str) -> str:
    """Text with each option of the command line as the keyword that it is."""
    return _OPTION.sub(_as_keyword, text)


def _as_keyword(option: re.Match[str]) -> str:
    keyword, value = _KEYWORDS[option[1]], option[2]
    if value is None:
        return f'reading["{keyword}"]'
    plain = value.strip("'")
    spelled = plain if plain.isdigit() or plain == "N" else repr(plain)
    return f"reading={{{keyword!r}: {spelled}}}"


@contextmanager
def said_in_keywords() -> Iterator[None]:
    """Have errors speak of keywords."""
    try:
        yield
    except BridgeckptError as error:
        error.message = as_keywords(error.message)
        error.hint = as_keywords(error.hint) if error.hint else None
        raise
