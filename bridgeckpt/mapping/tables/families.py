"""Models that no table converts, told by a name: what ``mappings/families.toml`` lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.document import Document
from bridgeckpt.mapping.tables.model import check_schema

if TYPE_CHECKING:
    from collections.abc import Collection

_FILE = "families.toml"


def family_of(names: Collection[str]) -> str | None:
    """What a checkpoint of these names is, or None if it is nothing known.

    Raises:
        TableError: the list is malformed.
    """
    root = Document(tables.folder() / _FILE, f"mappings/{_FILE}").root
    check_schema(root)
    for section in root.tables("family"):
        section.only("title", "name")
        wanted = section.text("name")
        if any(name == wanted or name.endswith(f"/{wanted}") for name in names):
            return section.text("title")
    return None
