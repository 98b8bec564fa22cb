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


class Command(NamedTuple):
    """A function of this package that is also a command: ``bridgeckpt.diff(SRC, DST)`` or ``bridgeckpt diff SRC DST``.

    An argument in capitals stands for one that the caller has to choose; any other is a path. ``function`` is the name
    in Python, if it is another.
    """

    name: str
    arguments: tuple[str, ...] = ()
    function: str = ""


Words = Callable[[Setting], str]
Part = str | Setting | Command


def python_words(setting: Setting) -> str:
    """A setting as a Python program spells it."""
    name, value = setting.name, setting.blank
    if setting.value is not None:
        value = f'"{setting.value}"' if isinstance(setting.value, str) else str(setting.value)
    if setting.argument:
        return f'{setting.argument}={{"{name}": {value}}}' if value else f'{setting.argument}["{name}"]'
    return f"{name}={value}"


def _spelled(part: Part, words: Words) -> str:
    if isinstance(part, Setting):
        return words(part)
    if isinstance(part, str):
        return part
    if words is python_words:
        arguments = (text if text.isupper() else repr(text) for text in part.arguments)
        return f"`bridgeckpt.{part.function or part.name}" + (f"({', '.join(arguments)})`" if part.arguments else "`")
    import shlex  # only when a command is spelled

    return f"`{' '.join(('bridgeckpt', part.name, *map(shlex.quote, part.arguments)))}`"


@final
class Sentence(str):
    """A text that names settings and commands; ``parts`` are its pieces of text, settings and commands, in order.

    It is made from a template and the values of its fields: text, another sentence, a :class:`Setting` or a
    :class:`Command`. A field without a value is a setting of that name: ``{heads}`` only names it, ``{heads:N}`` has a
    blank, and ``{ema:True}`` has a value; ``{run:diff SRC DST}`` is a command. The template has to be constant. Text
    that varies, such as a path, can contain braces and goes into a field.
    """

    __slots__ = ("parts",)

    parts: tuple[Part, ...]

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
        return "".join(_spelled(part, words) for part in self.parts)

    def __reduce__(self) -> tuple[Callable[..., Sentence], tuple[tuple[Part, ...]]]:
        """Pickle the parts too, not only the text."""
        return _sentence, (self.parts,)


def joined(separator: str, pieces: Iterable[Part]) -> Sentence:
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
    return [_record(part) for part in text.parts]


def _record(part: Part) -> object:
    if isinstance(part, Setting):
        return {"setting": part.name, **({"blank": part.blank} if part.value is None else {"value": part.value})}
    if isinstance(part, Command):
        named = {"function": part.function} if part.function else {}
        return {"command": part.name, "arguments": part.arguments, **named}
    return part


def text_of(record: str | list[Any]) -> str:
    """The text that :func:`record_of` made ``record`` of.

    Raises:
        KeyError, TypeError: ``record`` has another structure.
    """
    if isinstance(record, str):
        return record
    return joined("", map(_part, record))


def _part(record: str | dict[str, Any]) -> Part:
    if isinstance(record, str):
        return record
    if "command" in record:
        return Command(record["command"], tuple(record["arguments"]), record.get("function", ""))
    return Setting(record["setting"], record.get("value"), record.get("blank", ""))


def setting_names(texts: Iterable[str | None]) -> tuple[str, ...]:
    """The names of the settings in texts, each name once."""
    settings = (setting for text in texts if isinstance(text, Sentence) for setting in text.settings)
    return tuple(dict.fromkeys(setting.name for setting in settings))


def _sentence(parts: tuple[Part, ...]) -> Sentence:
    sentence = str.__new__(Sentence, "".join(_spelled(part, python_words) for part in parts))
    sentence.parts = parts
    return sentence


def _setting(name: str, spec: str) -> Setting | Command:
    if name == "run":
        command, *arguments = spec.split()
        return Command(command, tuple(arguments))
    return Setting(name, value=_FLAGS[spec]) if spec in _FLAGS else Setting(name, blank=spec)


def _flat(parts: Iterable[object]) -> tuple[Part, ...]:
    return tuple(_pieces(parts))


def _pieces(parts: Iterable[object]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Sentence):
            yield from part.parts
        elif part != "":
            yield part if isinstance(part, (Setting, Command)) else str(part)
