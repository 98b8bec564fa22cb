"""Sentences that name settings: written once, and spelled by each surface as its users need them.

An error or a note may advise to give the number of attention heads. That is ``heads=N`` in Python, an option on the
command line, and ``reading={"heads": N}`` for a warm start. A :class:`Sentence` keeps its settings apart from its text,
so that each surface can spell them. As a string, it spells them as Python does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, final

_FLAGS = {"True": True, "False": False}


class Setting(NamedTuple):
    """An option of a function of this package, or of a command.

    ``name`` is the keyword in Python. ``value`` is the value to give. If the caller has to choose it, ``blank`` stands
    for it, as N does in ``heads=N``. With neither, the setting is only named. If ``argument`` is given, the setting is
    an entry of the dict that this argument takes.
    """

    name: str
    value: str | int | float | bool | None = None
    blank: str = ""
    argument: str = ""


Words = Callable[[Setting], str]


def python_words(setting: Setting) -> str:
    """A setting as a Python program spells it."""
    name, value = setting.name, setting.blank
    if setting.value is not None:
        value = f'"{setting.value}"' if isinstance(setting.value, str) else str(setting.value)
    if setting.argument:
        return f'{setting.argument}={{"{name}": {value}}}' if value else f'{setting.argument}["{name}"]'
    return f"{name}={value}"


@final
class Sentence(str):
    """A text that names settings; ``parts`` are its pieces of text and its settings, in order.

    It is made from a template and the values of its fields: text, another sentence or a :class:`Setting`. A field
    without a value is a setting of that name: ``{heads}`` only names it, ``{heads:N}`` has a blank, and ``{ema:True}``
    has a value. The template has to be constant. Text that varies, such as a path, can contain braces and goes into a
    field.
    """

    __slots__ = ("parts",)

    parts: tuple[str | Setting, ...]

    def __new__(cls, template: str, /, **fields: object) -> Sentence:
        """Put ``fields`` into ``template``."""
        parts: list[object] = []
        from string import Formatter  # only when a sentence is made

        for text, field, spec, _ in Formatter().parse(template):
            parts.append(text)
            if field is not None:
                parts.append(fields[field] if field in fields else _setting(field, spec or ""))
        return _sentence(_flat(parts))

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings that the sentence names."""
        return tuple(part for part in self.parts if isinstance(part, Setting))

    def said(self, words: Words) -> str:
        """The sentence with each setting as ``words`` spells it."""
        return "".join(words(part) if isinstance(part, Setting) else part for part in self.parts)

    def __reduce__(self) -> tuple[Callable[..., Sentence], tuple[tuple[str | Setting, ...]]]:
        """Pickle the parts too, not only the text."""
        return _sentence, (self.parts,)


def joined(separator: str, pieces: Iterable[str | Setting]) -> Sentence:
    """One sentence made of several pieces, with ``separator`` between them."""
    parts: list[object] = []
    for piece in pieces:
        parts += [separator, piece] if parts else [piece]
    return _sentence(_flat(parts))


def say(text: str, words: Words) -> str:
    """A text with each setting, if it is a sentence, as ``words`` spells it."""
    return text.said(words) if isinstance(text, Sentence) else text


def within(text: str, argument: str) -> str:
    """A text that names each setting as an entry of the dict ``argument``."""
    if not isinstance(text, Sentence):
        return text
    parts = (part._replace(argument=argument) if isinstance(part, Setting) else part for part in text.parts)
    return _sentence(tuple(parts))


def record_of(text: str) -> str | list[object]:
    """A text as JSON-ready values that keep its settings, for a file that every surface can show."""
    if not isinstance(text, Sentence):
        return text
    return [
        {"setting": part.name, **({"blank": part.blank} if part.value is None else {"value": part.value})}
        if isinstance(part, Setting)
        else part
        for part in text.parts
    ]


def text_of(record: str | list[Any]) -> str:
    """The text that :func:`record_of` made ``record`` of.

    Raises:
        KeyError, TypeError: ``record`` has another structure.
    """
    if isinstance(record, str):
        return record
    return joined(
        "",
        (
            part if isinstance(part, str) else Setting(part["setting"], part.get("value"), part.get("blank", ""))
            for part in record
        ),
    )


def setting_names(texts: Iterable[str | None]) -> tuple[str, ...]:
    """The names of the settings in texts, each name once."""
    settings = (setting for text in texts if isinstance(text, Sentence) for setting in text.settings)
    return tuple(dict.fromkeys(setting.name for setting in settings))


def _sentence(parts: tuple[str | Setting, ...]) -> Sentence:
    sentence = str.__new__(
        Sentence, "".join(python_words(part) if isinstance(part, Setting) else part for part in parts)
    )
    sentence.parts = parts
    return sentence


def _setting(name: str, spec: str) -> Setting:
    return Setting(name, value=_FLAGS[spec]) if spec in _FLAGS else Setting(name, blank=spec)


def _flat(parts: Iterable[object]) -> tuple[str | Setting, ...]:
    return tuple(_pieces(parts))


def _pieces(parts: Iterable[object]) -> Iterator[str | Setting]:
    for part in parts:
        if isinstance(part, Sentence):
            yield from part.parts
        elif part != "":
            yield part if isinstance(part, Setting) else str(part)
