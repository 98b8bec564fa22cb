"""The number of heads by the constant that a graph scales attention scores with, the root of a head's size.

It is for graphs that cannot be run: a function that takes other inputs than token ids and their mask, for instance. A
conversion reads the number from the shapes that the graph reshapes to; this is another place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.tensorflow.graphdef import read_graph

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.parity.bert.settings import Settings
    from bridgeckpt.parity.bert.variables import Bert

_QUERY = "layer.0.query.kernel"
_SAME = 1e-4  # relative difference of a constant in float32 from the root


def with_heads_of_graph(settings: Settings, bert: Bert, path: Path | None) -> Settings:
    """The same settings, with the heads that the graph at ``path`` shows if nothing else says how many there are."""
    found = _heads(path, bert) if path is not None and not settings.heads else 0
    if not found or path is None:
        return settings
    origin = f"the scale of the scores in {path.name}"
    return settings._replace(heads=found, origins={**settings.origins, "heads": origin})


def _heads(path: Path, bert: Bert) -> int:
    """The number of heads, or 0 if the graph does not show one number."""
    try:
        graph = read_graph(path)
    except CheckpointError:  # recording goes on without it
        return 0
    # The functions of an inner model have the names without the scope of the outer one.
    query = bert.variables[_QUERY].partition(":")[0].removeprefix(bert.scope)
    scope = f"/{query.rpartition('/')[0].rpartition('/')[0]}/"
    roots = {size**0.5: size for size in range(2, bert.hidden + 1) if bert.hidden % size == 0}
    sizes: set[int] = set()
    for name in graph:
        if scope in f"/{name}" and isinstance(value := _scalar(graph, name), float) and value > 0:
            sizes |= {size for root, size in roots.items() if min(abs(value / root - 1), abs(value * root - 1)) < _SAME}
    return bert.hidden // sizes.pop() if len(sizes) == 1 else 0


def _scalar(graph: Graph, name: str) -> float | int | None:
    """The value of a constant of one element."""
    constant = graph.constant(name)
    return constant[0] if constant is not None and len(constant) == 1 else None
