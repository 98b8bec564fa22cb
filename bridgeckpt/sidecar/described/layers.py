"""Every layer that Keras describes, against what its code builds: settings that differ, and parts that no class has.

``[described]`` of a dialect has the layers. Where the description says nothing of one, nothing is claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.formats.descriptions import plain
from bridgeckpt.formats.networks import networks_of
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.mapping.tables.described import INPUT
from bridgeckpt.sidecar.described.reading import sources_of, truthy
from bridgeckpt.store.texts import shown
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.networks import Network, NetworkLayer
    from bridgeckpt.mapping.notation.templates import Template
    from bridgeckpt.mapping.tables.described import DescribedLayer, Sum
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.sidecar.described.reading import Summed

    Values = Mapping[str, int | str]

INDEX = "layer"
_SHOWN = 3  # layers in a message


class Contradiction(NamedTuple):
    """What no class computes: the ``group`` that it is part of, the ``subject``, and why."""

    group: str
    subject: str
    why: str


class StatedSetting(NamedTuple):
    """What the config of one layer says of a key of config.json: the ``value``, None for a function without a name."""

    group: str
    layer: str
    value: object


class DescribedFacts(NamedTuple):
    """What a description says of the layers that a dialect knows.

    Attributes:
        place: Where the description is.
        networks: The networks in it.
        values: By key of config.json (or of ``[config.source.required]``), what the first layer says that says it.
        unnamed: By key, the layers that have a function of which the description has no name.
        contradictions: What no class computes.
        depth: The number of layers.
    """

    place: str
    networks: tuple[Network, ...] = ()
    values: Mapping[str, Any] = FrozenDict()
    unnamed: Mapping[str, tuple[str, ...]] = FrozenDict()
    contradictions: tuple[Contradiction, ...] = ()
    depth: int = 0


def read_described(checkpoint: Checkpoint, table: Table, wildcards: Mapping[str, str]) -> DescribedFacts | None:
    """What Keras' description in a checkpoint says of its layers; None if it has none that the table knows."""
    if not table.described.layers and not table.described.heads:
        return None
    for place, text in checkpoint.descriptions.items():
        networks = [_unprefixed(network, table, wildcards) for network in networks_of(text, place)]
        known = [(network, _found(network, table, wildcards)) for network in networks]
        known = [(network, layers) for network, layers in known if layers]
        if len(known) == 1:
            return _facts(place, networks, *known[0], table)
        if networks and not known:
            return DescribedFacts(place, tuple(networks))
    return None


def _unprefixed(network: Network, table: Table, wildcards: Mapping[str, str]) -> Network:
    """The network without a prefix that a program gave to all layers of the model, as ``Student-Embedding-Norm``."""
    values: dict[str, int | str] = {**wildcards, INDEX: 0}
    names = [entry.name.render(values) for entry in table.described.layers if INDEX in entry.name.indices]
    if not names or any(name in network.layers for name in names):
        return network
    prefixes = {layer.removesuffix(names[0]) for layer in network.layers if layer.endswith(f"-{names[0]}")}
    return network.without_prefix(prefixes.pop()) if len(prefixes) == 1 else network


class _Found(NamedTuple):
    """A layer of the network that an entry of the table is about; ``values`` are those of its name."""

    entry: DescribedLayer
    layer: NetworkLayer
    values: Values


def _found(network: Network, table: Table, wildcards: Mapping[str, str]) -> list[_Found]:
    """The layers of a network that the table knows: those with an index in the order of the layers, then the others."""
    indexed = [entry for entry in table.described.layers if INDEX in entry.name.indices]
    found: list[_Found] = []
    count = 0
    while True:
        values: dict[str, int | str] = {**wildcards, INDEX: count}
        here = [_Found(entry, layer, values) for entry in indexed if (layer := _named(network, entry.name, values))]
        if not here:
            break
        found += here
        count += 1
    if not found:
        return []
    last: dict[str, int | str] = {**wildcards, INDEX: count - 1}
    rest = [entry for entry in table.described.layers if INDEX not in entry.name.indices]
    return [*found, *(_Found(entry, layer, last) for entry in rest if (layer := _named(network, entry.name, last)))]


def _named(network: Network, name: Template, values: Values) -> NetworkLayer | None:
    return network.layers.get(name.render(values))


def _facts(
    place: str,
    networks: list[Network],
    network: Network,
    found: list[_Found],
    table: Table,
) -> DescribedFacts:
    stated: dict[str, list[StatedSetting]] = {}
    for entry, layer, _ in found:
        for key, target in entry.states.items():
            if (raw := layer.config.get(key)) is not None:
                stated.setdefault(target, []).append(StatedSetting(entry.group, layer.name, plain(_only(raw))))
    values = {key: next((one.value for one in sites if one.value is not None), None) for key, sites in stated.items()}
    unnamed = {key: tuple(one.layer for one in sites if one.value is None) for key, sites in stated.items()}
    contradictions = [
        *(problem for key, sites in stated.items() for problem in _differing(key, sites, table)),
        *(problem for one in found for problem in _forbidden(one)),
        *(problem for one in found for problem in _misread(network, one)),
    ]
    return DescribedFacts(
        place=place,
        networks=tuple(networks),
        values=FrozenDict({key: value for key, value in values.items() if value is not None}),
        unnamed=FrozenDict({key: layers for key, layers in unnamed.items() if layers}),
        contradictions=tuple(contradictions),
        depth=1 + max(int(one.values[INDEX]) for one in found),
    )


def _only(value: object) -> object:
    """The only element of a list, or the value."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _differing(key: str, sites: list[StatedSetting], table: Table) -> Iterator[Contradiction]:
    """For each group, the layers that say something else than the first layer."""
    words = table.config.words.get(key, {})

    def meaning(value: object) -> object:
        return words.get(value, value) if isinstance(value, str) else value

    named = [site for site in sites if site.value is not None]
    for group in dict.fromkeys(site.group for site in named):
        first = named[0]
        others = [site for site in named if site.group == group and meaning(site.value) != meaning(first.value)]
        if others:
            names = listed([site.layer for site in others], _SHOWN)
            said = f"{key} = {shown(others[0].value)} in {names}, but {shown(first.value)} in {first.layer}"
            yield Contradiction(group, said, "a class of transformers computes all of its layers alike")


def _forbidden(found: _Found) -> Iterator[Contradiction]:
    entry, layer, _ = found
    for key, wanted in entry.must.items():
        raw = layer.config.get(key)
        value, allowed = plain(_only(raw)), wanted if isinstance(wanted, list) else [wanted]
        if raw is not None and value not in allowed:
            said = f"{layer.name} with {key} = {shown(value) if value is not None else 'a function without a name'}"
            values = " or ".join(map(shown, allowed))
            yield Contradiction(entry.group, said, f"classes of transformers compute {key} = {values} alone")
    for argument in entry.never:
        if truthy(layer.arguments, (argument,)):
            why = "the layer of transformers has no such argument"
            yield Contradiction(entry.group, f"{layer.name} is called with {argument}", why)


def _misread(network: Network, found: _Found) -> Iterator[Contradiction]:
    """A contradiction for a layer that reads something else than the table says."""
    entry, layer, values = found
    sums = entry.first if entry.first is not None and values[INDEX] == 0 else entry.reads
    if sums is None:
        return
    wanted = {_expected(one, values) for one in sums}
    for reads in sources_of(network, layer):
        if reads is None:
            continue
        read = {tuple(sorted(source.name for source in one)) for one in reads} - {(INPUT,)}  # as masks
        if read != wanted:
            said = f"{layer.name} reads {_written(reads)}"
            should = " and ".join(" + ".join(one) for one in sorted(wanted))
            yield Contradiction(entry.group, said, f"classes of transformers compute it from {should}")
            return


def _expected(one: Sum, values: Values) -> tuple[str, ...]:
    return tuple(sorted(name.render(values) for name in one))


def _written(reads: tuple[Summed, ...]) -> str:
    """What is read, with the class of each layer."""
    sums = [
        " + ".join(f"{one.name} ({one.class_name})" if one.class_name else one.name for one in sum_) for sum_ in reads
    ]
    return " and ".join(dict.fromkeys(sums)) or "nothing"
