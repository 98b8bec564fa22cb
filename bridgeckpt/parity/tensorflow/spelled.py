"""The search for one BERT's variables by the names of a spelling: layer by layer, and the heads that there are."""

from __future__ import annotations

from collections.abc import Collection

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.tensorflow.request import OWN_FUNCTION
from bridgeckpt.parity.tensorflow.spellings import SPELLINGS, Spelling

_WORDS, _FIRST = "embeddings.words", "layer.query.kernel"


def roots_of(spelling: Spelling, names: Collection[str]) -> list[str]:
    """What the names of each BERT of this spelling begin with: where there is a table of words and a layer 0."""
    roots = {
        name.removesuffix(words)
        for words in spelling.body[_WORDS]
        for name in names
        if name.endswith(words) and (name == words or name[: -len(words)].endswith("/"))
    }
    return sorted(root for root in roots if _there(spelling, _FIRST, root, 0, names))


def find_spelling(names: Collection[str]) -> tuple[Spelling, list[str]] | None:
    """The spelling that a checkpoint's names are of, with the roots of its BERTs; None if it is none of those known."""
    return next(((spelling, roots) for spelling in SPELLINGS if (roots := roots_of(spelling, names))), None)


def search(spelling: Spelling, root: str, names: Collection[str], where: str) -> dict[str, str]:
    """Role to variable, of the encoder under ``root`` and all heads that there are.

    Raises:
        ParityError: a variable that every BERT has is missing, or a head is there twice.
    """
    found: dict[str, str] = {}
    layers = 0
    while _there(spelling, _FIRST, root, layers, names):
        layers += 1
    for role in spelling.body:
        for layer in range(layers) if role.startswith("layer.") else [0]:
            full = role.replace("layer.", f"layer.{layer}.")
            name = _there(spelling, role, root, layer, names)
            if name is not None:
                found[full] = name
            elif not role.startswith("pooler."):
                expected = root + _spell(spelling.body[role][0], layer)
                raise ParityError(
                    f"{where} has no variable {expected} ({full} of a BERT, as {spelling.title} names it)",
                    hint=f"if the model is no plain BERT, {OWN_FUNCTION}",
                )
    for role, endings in spelling.heads.items():
        places = [name for ending in endings for name in names if name == ending or name.endswith(f"/{ending}")]
        beside = [name for name in places if name.startswith(root.removesuffix("bert/"))]
        if len(beside or places) > 1:
            listed = ", ".join(sorted(beside or places))
            raise ParityError(f"{where} holds several variables for {role}: {listed}", hint=OWN_FUNCTION)
        found.update(zip([role], beside or places, strict=False))
    return _settled(found)


def _settled(found: dict[str, str]) -> dict[str, str]:
    """The same, with what the heads share with the body, and without what has no use."""
    own_pooler = {role: name for role, name in found.items() if role.startswith("own_pooler.")}
    found = {role: name for role, name in found.items() if role not in own_pooler}
    if "nsp_logits.kernel" in found or "logits.kernel" in found:
        found |= {role.removeprefix("own_"): name for role, name in own_pooler.items()}
    if "mlm_logits.bias" in found:
        found["mlm_logits.kernel"] = found[_WORDS]
    for part in ("kernel", "bias"):
        if f"logits.{part}" in found:  # no name tells what a classifier reads: the pooler, or every position
            found[f"token_logits.{part}"] = found[f"logits.{part}"]
    if "pooler.kernel" not in found:
        found = {role: name for role, name in found.items() if not role.startswith("logits.")}
    return found


def _there(spelling: Spelling, role: str, root: str, layer: int, names: Collection[str]) -> str | None:
    spelled = (root + _spell(template, layer) for template in spelling.body[role])
    return next((name for name in spelled if name in names), None)


def _spell(template: str, layer: int) -> str:
    counted = f"_{layer}" if layer else ""
    return template.replace("{n}", str(layer)).replace("{nth}", str(layer + 1)).replace("{_n}", counted)
