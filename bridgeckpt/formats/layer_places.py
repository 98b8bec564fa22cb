"""The places of layers in a model, as the keys of an object graph's checkpoint state them.

Keras tracks the layers of a Sequential or functional model by position: ``layer_with_weights-3/kernel`` in Keras 2,
``_operations/3/_kernel`` in Keras 3, and an exported SavedModel lists its variables, ``variables/3``. The order of
positions is that of ``model.layers``. Attributes of a model (``encoder/kernel``) have names, but no order.

Sources: https://github.com/keras-team/tf-keras, tf_keras/engine/functional.py (``_trackable_children``);
https://github.com/keras-team/keras, keras/src/models/functional.py and keras/src/export/saved_model.py
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Place = tuple[int, ...]  # of a layer in its model, then of one inside it, if that is a model too

POSITION = re.compile(r"(?:(?<=/)|^)(?:layer_with_weights-|_operations/|_layers/)([0-9]+)(?=/)")
_SAVED = re.compile(r"(?:^|/)vars/[0-9]+\Z")
_LISTED = re.compile(r"variables/([0-9]+)/")


def is_saved_path(key: str) -> bool:
    """Whether a key is the path of a variable in ``.weights.h5`` or ``.keras``, as ``layers/dense_1/vars/0``."""
    return _SAVED.search(key) is not None


def has_saved_paths(keys: Iterable[str]) -> bool:
    """Whether the keys of a checkpoint are such paths."""
    return any(map(is_saved_path, keys))


def places_by_position(keys: Iterable[str]) -> dict[str, Place]:
    """The place of the layer of each key; no place for a key without a position.

    Empty if there are positions in several objects: the order of these objects is not known.
    """
    found: dict[str, Place] = {}
    owners: set[str] = set()
    for key in keys:
        listed = _LISTED.match(key)
        positions = [listed] if listed else list(POSITION.finditer(key))
        if positions:
            owners.add(key[: positions[0].start()] + ("variables" if listed else ""))
            found[key] = tuple(int(one[1]) for one in positions)
    return found if len(owners) == 1 else {}
