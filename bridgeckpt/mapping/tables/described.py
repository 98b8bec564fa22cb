"""``[described]`` of a dialect: the layers of its models as Keras describes them, and what each of them reads.

``[described.GROUP]`` has the layers of a group by their names, with indices and wildcards as in names of tensors::

    "Encoder-{layer}-Norm" = { reads = "Encoder-{layer}-Output + Encoder-{layer}-Attention" }

=========================  =============================================================================================
``reads``                  the layers that it reads, or a list of them if it has several inputs; ``+`` is a sum, and
                           ``[:, 0]`` behind a name the first token alone. Neither layers that change nothing outside
                           training (dropout) nor inputs of the model (masks) are named. Outside the layers,
                           ``{layer}`` is the last layer
``first``                  what it reads in the first layer
``states`` key = key       what a key of its config says, by the key of config.json, or of ``[config.source.required]``.
                           All layers that state a key have to say the same
``must`` key = value       the only value, or values, of a key of its config that classes of transformers compute
``never``                  arguments of its calls that may not be set
=========================  =============================================================================================

``use = "bert/keras_bert"`` borrows the groups of another table that are missing here.

``[described.heads]`` has by kind of head the layers that its logits may be computed from. A layer that is a whole model
of the code has the number of its output behind an ``@``: ``TFBertModel@1``, by its class. In brackets is a flag of its
config that has to be true, or false: ``BertEncoder[dict_outputs]@3``, ``BertEncoder[!dict_outputs]@1``. ``depth`` is
the key of its config with the number of layers. With one of the settings or arguments in ``unless``, its outputs have
other numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.frozen import FrozenDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.mapping.notation.templates import Template

Sum = tuple["Template", ...]
INPUT = "@input"


class DescribedLayer(NamedTuple):
    """A layer of a ``group``: its name, the sums that it reads (None: any), what its config states and must say.

    ``never`` are arguments of its calls that may not be set.
    """

    group: str
    name: Template
    reads: tuple[Sum, ...] | None = None
    first: tuple[Sum, ...] | None = None
    states: Mapping[str, str] = FrozenDict()
    must: Mapping[str, Any] = FrozenDict()
    never: tuple[str, ...] = ()


class DescribedLayers(NamedTuple):
    """The layers of a dialect, and by kind of head the layers that its logits may be computed from.

    With one of the settings ``unless``, the outputs of a model have other numbers; ``depth`` is the key of its config
    with the number of layers.
    """

    layers: tuple[DescribedLayer, ...] = ()
    heads: Mapping[str, tuple[Template, ...]] = FrozenDict()
    unless: tuple[str, ...] = ()
    depth: str = ""

    def merged_over(self, base: DescribedLayers) -> DescribedLayers:
        """These, and those of ``base`` for the groups that are missing here."""
        own = {layer.group for layer in self.layers}
        inherited = [layer for layer in base.layers if layer.group not in own]
        return DescribedLayers(
            layers=(*self.layers, *inherited),
            heads={**base.heads, **self.heads},
            unless=self.unless or base.unless,
            depth=self.depth or base.depth,
        )
