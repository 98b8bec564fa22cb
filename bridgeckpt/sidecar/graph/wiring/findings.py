"""The parts that a graph computes from something else than the class does, by the wiring of the model's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.mapping.tables.wiring import Reading
from bridgeckpt.sidecar.graph.wiring.masks import mask_in
from bridgeckpt.sidecar.graph.wiring.matching import agrees, expected_text
from bridgeckpt.sidecar.graph.wiring.norms import unshifted
from bridgeckpt.sidecar.graph.wiring.outputs import outputs_of, unlike_output
from bridgeckpt.sidecar.graph.wiring.terms import of_function
from bridgeckpt.sidecar.graph.wiring.tracing import Tracer
from bridgeckpt.sidecar.graph.wiring.uses import uses_of
from bridgeckpt.sidecar.graph.wiring.weights import WeightNodes
from bridgeckpt.sidecar.graph.wiring.wording import described

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.mapping.tables.wiring import Wiring, WiringRow
    from bridgeckpt.sidecar.graph.wiring.uses import PartUse
    from bridgeckpt.sidecar.graph.wiring.weights import Weight


class Finding(NamedTuple):
    """A part that the graph computes in another way than the class.

    Attributes:
        part: Its name in the PyTorch model.
        label: Its name in messages.
        row: That of the table's rows, which stands for all layers.
        node: The node that shows it.
        computed: What the graph does, in words.
        expected: What the class does it with.
    """

    part: str
    label: str
    row: str
    node: str
    computed: str
    expected: str


class ModelInGraph(NamedTuple):
    """What is known of a model whose wiring is looked at.

    ``weights`` are its variables by the names of their nodes, ``labels`` the names of parts in messages, ``layers`` the
    number of layers, ``prefix`` what the class leaves out of names, ``head`` its kind of head, ``sizes`` those of axes.
    """

    weights: Mapping[str, tuple[Weight, ...]]
    labels: Mapping[str, str]
    layers: Mapping[str, int]
    prefix: str
    head: str | None
    sizes: Mapping[str, int]


class Seen(NamedTuple):
    """What was found: ``findings``, and by kind of mask in attentions a node that shows it."""

    findings: tuple[Finding, ...]
    masks: Mapping[str, str]


class _Site(NamedTuple):
    """A row at one layer, with the uses of its part. ``others`` is what classes with other heads compute it from."""

    part: str
    row: WiringRow
    reads: Reading
    uses: Sequence[PartUse]
    others: tuple[Reading, ...]


def look_at(graph: Graph, wiring: Wiring, model: ModelInGraph) -> Seen:
    """The parts that are computed in another way. What is not understood is no finding.

    Raises:
        CheckpointError: a node is damaged.
    """
    weights = WeightNodes(graph, model.weights)
    tracer = Tracer(graph, weights)
    uses = uses_of(graph, weights, tracer)
    sites = list(_sites(wiring, model, uses))
    outputs = outputs_of(
        graph, tracer, {site.part: [use.node for use in site.uses] for site in sites if site.row.gives and site.uses}
    )
    findings: list[Finding] = []
    for site in sites:
        label = model.labels.get(site.part, site.part)
        if (use := _unlike(site, model.sizes)) is not None:
            computed = f"computes it from {described(use.reads, model.labels)}"
            expected = f"from {expected_text(site.reads, model.labels)}"
            findings.append(_finding(site, label, use.node, computed, expected))
        elif (output := unlike_output(outputs.get(site.part, ()), site.row.gives)) is not None:
            computed = f"passes on {described(of_function(output.of, output.values), model.labels)}"
            expected = expected_text(_given(site), model.labels)
            findings.append(_finding(site, label, output.node, computed, expected))
    findings += _unlike_norms(graph, weights, tracer, sites, model.labels)
    return Seen(tuple(findings), _masks(sites))


def _unlike_norms(
    graph: Graph, weights: WeightNodes, tracer: Tracer, sites: Sequence[_Site], labels: Mapping[str, str]
) -> Iterator[Finding]:
    """Layer norms of which nothing is one: another norm, or one whose shift is not used."""
    for site in sites:
        if site.part in weights.norms and site.part not in tracer.norms:
            node = tracer.unlike_norms.get(site.part) or unshifted(graph, weights, site.part)
            if node is not None:
                label = labels.get(site.part, site.part)
                computed = "normalises in another way, or only scales"
                yield _finding(site, label, node, computed, "is a layer norm")


def _finding(site: _Site, label: str, node: str, computed: str, expected: str) -> Finding:
    row = site.row.part.text
    return Finding(part=site.part, label=label, row=row, node=node, computed=computed, expected=expected)


def _masks(sites: Sequence[_Site]) -> dict[str, str]:
    """The kinds of mask in attentions, each with a node that shows it."""
    uses = [use for site in sites if site.reads.function == "attention" for use in site.uses]
    return {kind: use.node for use in reversed(uses) if (kind := mask_in(use.reads)) is not None}


def _given(site: _Site) -> Reading:
    part = Reading("", (), site.part)
    return part if site.row.gives == "linear" else Reading(site.row.gives, (part,))


def _sites(wiring: Wiring, model: ModelInGraph, uses: Mapping[str, Sequence[PartUse]]) -> Iterator[_Site]:
    own = [row for row in wiring.rows if not row.heads or model.head is None or model.head in row.heads]
    for row in own:
        of_others = [other for other in wiring.rows if other not in own and other.part == row.part]
        others = tuple(reads for other in of_others for _, reads in _expanded(other, wiring, model))
        for part, reads in _expanded(row, wiring, model):
            yield _Site(part, row, reads, _in_scope(uses.get(part, ()), model.labels.get(part, part)), others)


def _in_scope(uses: Sequence[PartUse], scope: str) -> Sequence[PartUse]:
    """The uses in the scope of the part's variables, if there are any; else all."""
    return [use for use in uses if use.node.startswith(f"{scope}/")] or uses


def _unlike(site: _Site, sizes: Mapping[str, int]) -> PartUse | None:
    """The first use, if every use reads something else, and not what a class with another head reads."""
    expected = (site.reads, *site.others)
    verdicts = [_any(agrees(use.reads, reads, sizes) for reads in expected) for use in site.uses]
    return site.uses[0] if verdicts and all(verdict is False for verdict in verdicts) else None


def _any(verdicts: Iterable[bool | None]) -> bool | None:
    found = {*verdicts}
    return True if True in found else None if None in found else False


def _expanded(row: WiringRow, wiring: Wiring, model: ModelInGraph) -> Iterator[tuple[str, Reading]]:
    """The row at every layer, with names as the class has them."""
    last = {index: count - 1 for index, count in model.layers.items()}
    layers = [{**last, index: layer} for index in row.part.indices for layer in range(model.layers.get(index, 0))]
    for values in layers if row.part.indices else [last]:
        part = row.part.render(values).removeprefix(model.prefix)
        yield part, _rendered(row.reads, values, wiring.start, model.prefix)


def _rendered(reads: Reading, values: Mapping[str, int], start: str, prefix: str) -> Reading:
    name = reads.name
    if reads.template is not None and not reads.function:
        name = reads.template.render(values)
        name = start if ".-1." in name else name
    operands = tuple(_rendered(operand, values, start, prefix) for operand in reads.operands)
    return Reading(reads.function, operands, name.removeprefix(prefix))
