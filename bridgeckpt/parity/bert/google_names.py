"""One BERT's variables by the names of google-research/bert: layer by layer, and the heads that there are."""

from __future__ import annotations

import re

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.hints import OWN_FUNCTION


class Search:
    """The variables of one BERT and its heads, by role; a missing variable is an error.

    Args:
        names: Those in the checkpoint, without the slots of optimizers.
        where: The checkpoint, as errors call it.
        root: What the names of the encoder begin with.
        scope: What those of its heads may begin with.
        shared: Where else heads may be.

    Attributes:
        prefixes: Where heads were looked for.
        keras: Whether a LayerNorm of tf.keras was found.
    """

    def __init__(self, names: set[str], where: str, root: str, scope: str, shared: list[str]) -> None:
        self.names, self.where, self.root = names, where, root
        # Heads lie under the scope of the model, beside a root of another name, or at the top of the checkpoint.
        beside = root[: root.rstrip("/").rfind("/") + 1]
        self.prefixes = list(dict.fromkeys([scope, beside, *shared]))
        self.found: dict[str, str] = {}
        self.keras = False

    def everything(self) -> dict[str, str]:
        """Role to variable, of the encoder and all heads that there are.

        Raises:
            ParityError: a variable is missing.
        """
        root = self.root
        for role, name in (("words", "word"), ("positions", "position"), ("types", "token_type")):
            self._take(f"embeddings.{role}", f"{root}embeddings/{name}_embeddings")
        self._norm("embeddings", f"{root}embeddings/")
        layer = 0
        while any(name.startswith(f"{root}encoder/layer_{layer}/") for name in self.names):
            self._layer(f"layer.{layer}", f"{root}encoder/layer_{layer}/")
            layer += 1
        relation = self._place("cls/seq_relationship/", "output_weights") is not None
        if relation or any(name.startswith(f"{root}pooler/") for name in self.names):
            self._dense("pooler", f"{root}pooler/")
        self._heads()
        return self.found

    def _layer(self, layer: str, place: str) -> None:
        numbered = self._numbered(f"{place}attention/self/", "dense")
        projections = ("query", "key", "value")
        if len(numbered) == 3:  # a port made them in this order, and tf.keras counted
            layers = dict(zip(projections, numbered, strict=True))
        else:
            layers = {name: f"{place}attention/self/{name}" for name in projections}
        for role, name in layers.items():
            self._take(f"{layer}.{role}.kernel", f"{name}/kernel")
            self._take(f"{layer}.{role}.bias", f"{name}/bias")
        self._dense(f"{layer}.attention", f"{place}attention/output/")
        self._norm(f"{layer}.attention", f"{place}attention/output/")
        self._dense(f"{layer}.intermediate", f"{place}intermediate/")
        self._dense(f"{layer}.output", f"{place}output/")
        self._norm(f"{layer}.output", f"{place}output/")

    def _heads(self) -> None:
        if place := self._place("cls/predictions/", "output_bias"):
            self._dense("transform", f"{place}transform/")
            self._norm("transform", f"{place}transform/")
            self._take("mlm_logits.kernel", f"{self.root}embeddings/word_embeddings")
            self._take("mlm_logits.bias", f"{place}output_bias")
        heads: dict[str, tuple[str, ...]] = {"cls/seq_relationship/": ("nsp_logits",), "cls/squad/": ("span_logits",)}
        # No name says what a classifier reads: the pooler, if there is one, or every position.
        heads[""] = ("logits", "token_logits") if "pooler.kernel" in self.found else ("token_logits",)
        for inside, stages in heads.items():
            place = self._place(inside, "output_weights")
            for stage in stages if place is not None else ():
                self._take(f"{stage}.kernel", f"{place}output_weights")
                self._take(f"{stage}.bias", f"{place}output_bias")

    def _place(self, inside: str, variable: str) -> str | None:
        places = [f"{prefix}{inside}" for prefix in self.prefixes]
        return next((place for place in places if f"{place}{variable}" in self.names), None)

    def _dense(self, role: str, place: str) -> None:
        layer = self._only(place, "dense")
        self._take(f"{role}.kernel", f"{layer}/kernel")
        self._take(f"{role}.bias", f"{layer}/bias")

    def _norm(self, role: str, place: str) -> None:
        numbered = self._numbered(place, "layer_normalization")
        self.keras = self.keras or bool(numbered)
        layer = self._only(place, "layer_normalization") if numbered else f"{place}LayerNorm"
        self._take(f"{role}.gamma", f"{layer}/gamma")
        self._take(f"{role}.beta", f"{layer}/beta")

    def _numbered(self, place: str, kind: str) -> list[str]:
        """The layers of a kind in a place, in the order of their numbers: ``dense``, ``dense_1``, ``dense_10``."""
        pattern = re.compile(rf"({re.escape(place)}{kind}(?:_(\d+))?)/[^/]+")
        matches = (match for match in map(pattern.fullmatch, self.names) if match)
        return sorted({match[1] for match in matches}, key=lambda name: (len(name), name))

    def _only(self, place: str, kind: str) -> str:
        numbered = self._numbered(place, kind) or [f"{place}{kind}"]
        if len(numbered) > 1:
            raise ParityError(
                f"{self.where} holds {len(numbered)} layers where a BERT has one: {', '.join(numbered)}",
                hint=OWN_FUNCTION,
            )
        return numbered[0]

    def _take(self, role: str, name: str) -> None:
        if name not in self.names:
            raise ParityError(
                f"{self.where} has no variable {name} ({role} of a BERT)",
                hint=f"if the model is no plain BERT, {OWN_FUNCTION}",
            )
        self.found[role] = name
