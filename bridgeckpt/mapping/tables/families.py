"""Models that no table converts, recognised by the names of tensors: the list in ``mappings/families.toml``.

Each entry is one model or one variant of a model that a table converts:

==================  ===================================================================================================
``title``           what it is, for people: "it is TITLE, which no table converts yet"
``name``            a name that its checkpoints hold under any scope, or a list of which they hold one. ``*`` is any
                    text without ``/``, ``**`` any text, ``{#}`` the number that Keras may give. It may be the name
                    of an object too
``without``         a name that its checkpoints lack under that scope, where the table's model has it
``unread = true``   it counts only if no table reads the names
``hint``            what to do about it
==================  ===================================================================================================

The first entry that fits counts. ``[[relative]]`` names models that tables do convert, by the ``file`` that their code
writes beside a checkpoint.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.mapping.notation.templates import COUNTER
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.document import Document
from bridgeckpt.mapping.tables.model import check_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from bridgeckpt.mapping.tables.document import Section

_FILE = "families.toml"
_SPECIAL = re.compile(r"(\*\*?|\{#\})")
_PATTERNS = {"*": "[^/]*", "**": ".*", "{#}": COUNTER}


class UnsupportedModel(NamedTuple):
    """A model that no table converts: its ``title``, and what to do about it or ""."""

    title: str
    hint: str


def find_unsupported_model(
    names: Collection[str], *, unread: bool = True, complete: bool = True
) -> UnsupportedModel | None:
    """The first listed model whose tensors or objects have these ``names``, or None.

    ``unread`` says whether no table reads them, ``complete`` whether a name that is not among them is not in the model.

    Raises:
        TableError: the list is malformed.
    """
    for section in _list().tables("family"):
        section.allow_only("title", "name", "without", "unread", "hint")
        if (section.flag("unread") and not unread) or ("without" in section and not complete):
            continue
        if any(_is_without(section, scope, names) for scope in _scopes(section.texts("name"), names)):
            return UnsupportedModel(section.text("title"), section.text("hint", ""))
    return None


def relatives() -> dict[str, str]:
    """The titles of the listed models that tables convert, by the name of a file beside their checkpoints.

    Raises:
        TableError: the list is malformed.
    """
    sections = _list().tables("relative")
    for section in sections:
        section.allow_only("title", "file")
    return {section.text("file"): section.text("title") for section in sections}


def _list() -> Section:
    root = Document(tables.folder() / _FILE, f"mappings/{_FILE}").root
    check_schema(root)
    return root


def _scopes(patterns: Collection[str], names: Collection[str]) -> Iterator[str]:
    """What stands before each name that one of the ``patterns`` describes."""
    for pattern in patterns:
        end = _SPECIAL.split(pattern)[-1]  # cheap to compare, and excludes nearly every name
        if near := [name for name in names if name.endswith(end)]:
            whole = re.compile(f"((?:.*/)?){_regex(pattern)}", re.DOTALL)
            yield from (match[1] for name in near if (match := whole.fullmatch(name)))


def _is_without(section: Section, scope: str, names: Collection[str]) -> bool:
    """Whether no name under ``scope`` is the one that the model lacks."""
    if "without" not in section:
        return True
    lacked = re.compile(re.escape(scope) + _regex(section.text("without")))
    return not any(map(lacked.fullmatch, names))


def _regex(pattern: str) -> str:
    return "".join(_PATTERNS.get(part) or re.escape(part) for part in _SPECIAL.split(pattern))
