"""Words: what planning says in options of the command line, said in keywords of ``reading``."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.planning.plan import PlanOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPTIONS = {f"--{key.replace('_', '-')}": f'reading["{key}"]' for key in PlanOptions.__annotations__}
_OPTION = re.compile(rf"({'|'.join(_OPTIONS)})(?![\w-])")


def as_keywords(text: str) -> str:
    """Text with each option of the command line as the keyword that it is."""
    return _OPTION.sub(lambda option: _OPTIONS[option[0]], text)


@contextmanager
def said_in_keywords() -> Iterator[None]:
    """Have errors speak of keywords."""
    try:
        yield
    except BridgeckptError as error:
        error.message = as_keywords(error.message)
        error.hint = as_keywords(error.hint) if error.hint else None
        raise
