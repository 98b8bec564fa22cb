"""Models that no table converts, recognised by the name of a tensor: the list in ``mappings/families.toml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.document import Document
from bridgeckpt.mapping.tables.model import check_schema

if TYPE_CHECKING:
    from collections.abc import Collection

_FILE = "families.toml"


def find_unsupported_model(names: Collection[str]) -> str | None:
    """The title of the listed model that has one of these tensor ``names``, or None.

    Raises:
        TableError: the list is malformed.
    """
    root = Document(tables.folder() / _FILE, f"mappings/{_FILE}").root
    check_schema(root)
    for section in root.tables("family"):
        section.allow_only("title", "name")
        wanted = section.text("name")
        if any(name == wanted or name.endswith(f"/{wanted}") for name in names):
            return section.text("title")
    return None
