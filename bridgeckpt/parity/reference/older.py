"""References of older versions, which kept what was assumed among their notes and the origins of their settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridgeckpt.sentences import Sentence, Setting

_ASSUMED = "assumed: "  # began a note on an assumption, which named the option that says otherwise
_ORIGIN = " (assumed)"  # ended the value of an assumed setting
_KEYS = {"heads": "num_attention_heads"}  # the key in config.json, where a setting has another name


def assumed_in_notes(provenance: Mapping[str, Any], notes: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What such a reference assumed, by the key in config.json, and its other notes."""
    assumed: dict[str, str] = {}
    others: list[str] = []
    for note in notes:
        names = [setting.name for setting in note.settings] if isinstance(note, Sentence) else []
        if note.startswith(_ASSUMED) and names:
            assumed[_key(names[0])] = note
        else:
            others.append(note)
    settings: Any = provenance.get("settings")
    for name, text in settings.items() if isinstance(settings, Mapping) else ():
        key = _key(name)
        if key not in assumed and str(text).endswith(_ORIGIN):
            assumed[key] = Sentence(
                "{key} = {value} was assumed when the reference was recorded; {option} says otherwise, if it is "
                "recorded again",
                key=key,
                value=str(text).removesuffix(_ORIGIN),
                option=Setting(name, blank="X"),
            )
    return assumed, tuple(others)


def _key(name: str) -> str:
    return _KEYS.get(name, name)
