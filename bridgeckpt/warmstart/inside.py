"""Tensors inside layers that a program starts from, but does not have: then the checkpoint's layers compute more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.warmstart.body import NUMBER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_PART = 4  # variables that a program may take out of a layer without meaning the layer


def inside_layers(unused: Iterable[str], used: Collection[str]) -> tuple[str, ...]:
    """The unused tensors that are inside a layer of which most tensors are used, such as those of an adapter.

    A layer is one of several of the same prefix. What a program leaves out of a part that it uses does not count.
    """
    layers: dict[str, dict[str, int]] = {}  # used tensors, by the name before the layer's number, then by the layer
    for name in used:
        for number in NUMBER.finditer(name):
            below = layers.setdefault(name[: number.start()], {})
            below[name[: number.end()]] = below.get(name[: number.end()], 0) + 1
    folders = {name.rpartition("/")[0] for name in used}
    return tuple(
        name
        for name in unused
        if name.rpartition("/")[0] not in folders
        and any(
            len(below := layers.get(name[: number.start()], {})) > 1 and below.get(name[: number.end()], 0) > _PART
            for number in NUMBER.finditer(name)
        )
    )
