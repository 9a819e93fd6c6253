"""``config``: the settings in effect, and where each comes from."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.arguments import Arguments
from cli.console import Answer, printable
from cli.terminal import PipeConsole
from config import CONFIG_FILE, CONFIG_VARIABLE, Config
from utils.settings import declared, describe_group, groups
from utils.units import format_size, parse_size

DEFAULT, OF_THIS_MACHINE = "default", "default, by this machine"


def config_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answer with the settings in groups, or one JSON object."""
    file = str(arguments.config) if arguments.config else None
    if answer.as_json:
        answer.give({"file": file, "settings": _as_json(config)})
    else:
        print_settings(config, file, PipeConsole())
    return 0


def print_settings(config: Config, file: str | None, console: Console) -> None:
    """Print the settings group by group, as lines of a TOML file; what is not the default stands out, with its origin
    as a comment."""
    found = f"settings file: {file}" if file else f"no settings file: neither {CONFIG_FILE} here nor {CONFIG_VARIABLE}"
    console.print(Text(f"# {printable(found)}\n# without an origin: the default"), soft_wrap=True)
    for group in groups(config):
        console.print(Text(f"\n# {describe_group(group)[0]}", style="bold"))
        for name, field in declared(group).items():
            line = printable(f"{name} = {written(getattr(config, name), field.metadata['unit'])}")
            _print_line(console, line, _origin(config, name, field), changed=name in config.origins)


def _print_line(console: Console, line: str, origin: str, *, changed: bool) -> None:
    comment = f"# {printable(origin)}" if origin != DEFAULT else ""
    beside = len(line) + len(comment) + 2 <= console.width
    whole = f"{line}  {comment}" if beside else f"{comment}\n{line}"
    console.print(Text(whole.strip(), style="cyan" if changed else ""), soft_wrap=True)


def written(value: object, unit: str = "") -> str:
    """A value as a TOML file has it. Bytes are a size where that is exact: ``"8 GB"``, ``"2 MiB"``."""
    if unit == "bytes" and isinstance(value, int) and 0 < value < 10**12:
        sizes = (format_size(value), f"{value >> 20} MiB")
        return next((json.dumps(size) for size in sizes if parse_size(size) == value), str(value))
    return "{}" if value == () and unit.endswith("by name") else _toml(_plain(value))


def _origin(config: Config, name: str, field: dataclasses.Field[Any]) -> str:
    of_machine = field.default_factory is not dataclasses.MISSING
    return config.origins.get(name, OF_THIS_MACHINE if of_machine else DEFAULT)


def _as_json(config: Config) -> dict[str, object]:
    return {
        name: {
            "value": _plain(getattr(config, name)),
            "from": _origin(config, name, field),
            "group": describe_group(group)[0],
        }
        for group in groups(config)
        for name, field in declared(group).items()
    }


def _plain(value: object) -> object:
    """Gates and rules as the tables that they are made from, other values as they are."""
    if isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
        tables = (dict(vars(item)) for item in value)
        return {table.pop("name"): {key: part for key, part in table.items() if part is not None} for table in tables}
    return list(value) if isinstance(value, tuple) else value


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_toml(part)}" for name, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)
