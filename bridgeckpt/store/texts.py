"""JSON, YAML and text read with bounds: one reader for every config, index and description beside a checkpoint."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from bridgeckpt.errors import ConfigError

JSON = dict[str, Any]


def parse_json(text: str | bytes, where: str) -> JSON:
    """A JSON object; ``where`` is what an error calls the file.

    Raises:
        ConfigError: it is none.
    """

    def not_json(name: str) -> NoReturn:
        raise ConfigError(f"{where} is not JSON: it holds {name}", hint="write a number")

    try:
        values = json.loads(text, parse_constant=not_json)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{where} is not JSON: {error.msg} at {place}", hint="correct the file") from error
    except (ValueError, RecursionError) as error:  # no text, or a number of thousands of digits
        raise ConfigError(f"{where} is not JSON text", hint="give the config with --config FILE") from error
    return _object(values, where)


def parse_yaml(text: bytes, where: str) -> JSON:
    """A mapping in YAML of plain values, without aliases; ``where`` is what an error calls the file.

    Raises:
        ConfigError: it is none.
    """
    import yaml

    try:
        # Nothing that a config needs has an alias, and with them a short file can be one of any size, or hold itself.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ConfigError(f"{where} holds aliases (*name)", hint="write out what they stand for")
        return _object(yaml.safe_load(text), where)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not YAML: {error}", hint="correct the file") from error


def _object(values: object, where: str) -> JSON:
    if not isinstance(values, dict):
        raise ConfigError(f"{where} holds no JSON object but {shown(values)[:40]}", hint='a config is { "key": value }')
    if other := [key for key in values if not isinstance(key, str)]:
        raise ConfigError(f"{where} holds the key {shown(other[0])}, which is no name", hint="correct the file")
    return values


def shown(value: object) -> str:
    """A value as JSON has it; YAML has dates, too."""
    return json.dumps(value, default=str)
