"""One BERT's variables by the names of other code (see ``spellings``): layer by layer, and the heads that there are."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.bert.spellings import SPELLINGS
from bridgeckpt.parity.hints import OWN_FUNCTION

if TYPE_CHECKING:
    from bridgeckpt.parity.bert.spelling import Spelling

_WORDS, _NORM, _FIRST = "embeddings.words", "embeddings.gamma", "layer.query.kernel"
_ORDINAL = re.compile(r"\{#(\d)\}")


class Layer(NamedTuple):
    """The text by which names distinguish a layer, and the number of the layer."""

    text: str
    number: int


def find_spelling(names: Collection[str]) -> tuple[Spelling, list[str]] | None:
    """The spelling that a checkpoint's names are of, with the roots of its BERTs; None if the spelling is not known."""
    found = [(spelling, roots) for spelling in SPELLINGS if (roots := _roots(spelling, names))]
    with_norm = [
        (spelling, roots) for spelling, roots in found if _matches(re.escape(roots[0]), spelling.body[_NORM], names)
    ]
    return next(iter(with_norm or found), None)


def _roots(spelling: Spelling, names: Collection[str]) -> list[str]:
    """What the names of each BERT of this spelling begin with: where there is a table of words and a layer."""
    words = re.compile(f"(?P<root>{spelling.root}){_regex(spelling.body[_WORDS])}")
    roots = {match["root"] for match in map(words.fullmatch, names) if match}
    return sorted(root for root in roots if _layers(spelling, root, names))


def search(spelling: Spelling, root: str, shapes: Mapping[str, Sequence[int]], where: str) -> dict[str, str]:
    """Role to variable, of the encoder under ``root`` and all heads that there are, given the shape of each variable.

    Raises:
        ParityError: a variable that every BERT has is missing, or a head is there twice.
    """
    found: dict[str, str] = {}
    names = [*shapes]
    layers = _layers(spelling, root, names)
    for role, template in spelling.body.items():
        for layer in layers if role.startswith("layer.") else [Layer("", 0)]:
            full = role.replace("layer.", f"layer.{layer.number}.")
            name = _find(re.escape(root), template, layer.text, names)
            if name is not None:
                found[full] = name
            elif not role.startswith("pooler."):
                raise ParityError(
                    f"{where} has no variable for {full} of a BERT, as {spelling.title} names it: "
                    f"{root}{_shown(template, layer.text)}",
                    hint=f"if the model is no plain BERT, {OWN_FUNCTION}",
                )
    used = {*found.values()}
    beside = re.escape(root.removesuffix("bert/"))
    for role, template in spelling.heads.items():
        there = [name for name in names if name not in used]
        places = _matches(beside, template, there) or _matches("(?:.*/)?", template, there)
        if len(places) > 1:
            raise ParityError(
                f"{where} holds several variables for {role}: {', '.join(sorted(places))}", hint=OWN_FUNCTION
            )
        found.update(zip([role], places, strict=False))
    kernel = found.get("any_logits.kernel")
    return _with_shared(found, 0 if kernel is None else shapes[kernel][-1])


def pooler_of(spelling: Spelling, root: str, names: Collection[str]) -> list[str]:
    """The variables of the encoder's own pooler, which a model whose head has another one does not read."""
    templates = [template for role, template in spelling.body.items() if role.startswith("pooler.")]
    return [name for template in templates for name in _matches(re.escape(root), template, names)]


def _with_shared(found: dict[str, str], labels: int) -> dict[str, str]:
    """The same, with the tensors that heads share with the body; an ambiguous head becomes each possible one.

    Beside a masked language model that is a next sentence head; else a classifier that reads the pooler, one that
    reads every position, or, with two ``labels``, a span labeler.
    """
    plain = {role: name for role, name in found.items() if not role.startswith(("own_pooler.", "any_logits."))}
    if "mlm_logits.bias" in plain:
        plain["mlm_logits.kernel"] = plain[_WORDS]
    for part in ("kernel", "bias"):
        if f"any_logits.{part}" in found:
            classifiers = ("logits", "span_logits") if labels == 2 else ("logits",)
            heads = ("nsp_logits",) if "mlm_logits.bias" in plain else classifiers
            plain.update({f"{head}.{part}": found[f"any_logits.{part}"] for head in heads})
        if f"logits.{part}" in plain:
            plain[f"token_logits.{part}"] = plain[f"logits.{part}"]
        if f"own_pooler.{part}" in found and {"nsp_logits.kernel", "logits.kernel"} & plain.keys():
            plain[f"pooler.{part}"] = found[f"own_pooler.{part}"]
    if "pooler.kernel" not in plain:
        plain = {role: name for role, name in plain.items() if not role.startswith("logits.")}
    return plain


def _layers(spelling: Spelling, root: str, names: Collection[str]) -> list[Layer]:
    """The layers that have a query, by their numbers."""
    before, _, after = spelling.body[_FIRST].partition("{layer}")
    # Where a name holds it twice, it is the same both times.
    after = _regex(after).replace("{layer}", "(?P=layer)")
    pattern = re.compile(f"{re.escape(root)}{_regex(before)}(?P<layer>{spelling.layer}){after}")
    texts = {match["layer"] for match in map(pattern.fullmatch, names) if match}
    ordered = sorted(texts, key=lambda text: int(text.strip("_") or 0))
    return [Layer(text, number) for number, text in enumerate(ordered)]


def _find(root: str, template: str, layer: str, names: Collection[str]) -> str | None:
    """The one variable of a template; of several that differ in Keras' number, the one that the template means."""
    places = _matches(root, template.replace("{layer}", re.escape(layer)), names)
    ordinal = _ORDINAL.search(template)
    if len(places) > 1:
        return places[int(ordinal[1])] if ordinal and int(ordinal[1]) < len(places) else None
    return places[0] if places else None


def _matches(root: str, template: str, names: Collection[str]) -> list[str]:
    """The names of a template, by the first number that they differ in."""
    pattern = re.compile(root + _regex(template))
    found = [name for name in names if pattern.fullmatch(name)]
    return sorted(found, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def _regex(template: str) -> str:
    return re.sub(r"\{#\d?\}", r"(?:_\\d+)?", template)


def _shown(template: str, layer: str) -> str:
    """A template as a name for people: the first of its choices, without numbers of Keras' and escapes."""
    first = re.sub(r"\(\?:([^|()]*)[^()]*\)\??", r"\1", template.replace("{layer}", layer))
    return re.sub(r"\{#\d?\}|\\", "", first)
