"""Declared settings: dataclass fields with a unit, a meaning and allowed values, and readers of their raw values.

Every reader takes a string (command line, environment) or a plain value (TOML, Python) and raises ValueError for
anything it does not allow; it never guesses and never falls back.
"""

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from utils.units import format_size, parse_size

T = TypeVar("T")


class SettingFault(ValueError):
    """A fault within a value that has parts. Its text says what is wrong, and goes into the message."""


@dataclass(frozen=True)
class Kind:
    """The allowed values of a setting: ``expected`` in words, ``read`` from a raw value (ValueError if not allowed)."""

    expected: str
    read: Callable[[object], Any]


def setting(default: T, kind: Kind, *, unit: str, meaning: str, change: str, option: str | None = None) -> T:
    """A dataclass field with its default, unit, one-line meaning, when to change it, and its command-line option."""
    return dataclasses.field(default=default, metadata=_about(kind, unit, meaning, change, option))


def setting_from(
    default: Callable[[], T],
    kind: Kind,
    *,
    unit: str,
    meaning: str,
    change: str,
    shown: str,
    option: str | None = None,
    also: str | None = None,
) -> T:
    """A ``setting`` whose default is computed when the object is made.

    ``shown``: the default in words. ``also``: another name that is understood.
    """
    about = _about(kind, unit, meaning, change, option)
    return dataclasses.field(default_factory=default, metadata={**about, "shown": shown, "also": also})


def _about(kind: Kind, unit: str, meaning: str, change: str, option: str | None) -> dict[str, Any]:
    about = {"kind": kind, "unit": unit, "meaning": meaning, "change": change, "option": option}
    return {**about, "shown": None, "also": None}


@dataclass(frozen=True)
class Group:
    """Settings of one owner, or several groups that a class joins by inheritance.

    The first line of a group's docstring is its title; the rest says who changes its settings, and when. Raises
    ValueError for a value that is not allowed.
    """

    def __post_init__(self) -> None:
        for name, field in declared(self).items():
            also = field.metadata["also"]
            place = f"in config.py, {also}" if also else "in config.py"
            object.__setattr__(self, name, read_setting(field, getattr(self, name), place))


def groups(owner: Group | type[Group]) -> tuple[type[Group], ...]:
    """The groups that a class joins, in the order of its bases. A single group is its own only group."""
    group = owner if isinstance(owner, type) else type(owner)
    joined = tuple(kind for kind in group.__bases__ if issubclass(kind, Group) and kind is not Group)
    return joined or (group,)


def declared(owner: Group | type[Group]) -> dict[str, dataclasses.Field[Any]]:
    """The settings of a class (or an instance) by name, group by group.

    (``dataclasses.fields`` of joined groups begins with the last group.)
    """
    return {
        field.name: field for group in groups(owner) for field in dataclasses.fields(group) if "kind" in field.metadata
    }


def describe_group(group: type[Group]) -> tuple[str, str]:
    """(title of a group, who changes its settings and when)."""
    title, _, advice = (inspect.getdoc(group) or "").partition("\n\n")
    return title.rstrip("."), " ".join(advice.split())


def describe(settings: Group) -> str:
    """Every group, and every setting with its value, unit, meaning and when to change it, as text."""
    parts = []
    for group in groups(settings):
        lines = [f"# {line}" for line in describe_group(group)]
        for name, field in declared(group).items():
            about = field.metadata
            lines.append(f"{name} = {getattr(settings, name)!r}  [{about['unit']}: {about['kind'].expected}]")
            lines.append(f"    {about['meaning']} Change it when: {about['change']}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def read_setting(field: dataclasses.Field[Any], raw: object, origin: str) -> Any:
    """Read the value of ``raw``, which came from ``origin``: a place, or the option that was typed.

    A ValueError names setting and origin, or the option, and what was found and expected.
    """
    kind: Kind = field.metadata["kind"]
    typed = origin.startswith("-")
    place, remedy = ("", "") if typed else (f" ({origin})", " Correct it there.")
    try:
        return kind.read(raw)
    except SettingFault as fault:
        raise ValueError(f"{origin if typed else field.name}{place}: {fault}.{remedy}") from None
    except (ValueError, TypeError):
        found = repr(raw)
        excerpt = found if len(found) <= 80 else found[:77] + "..."
        name = origin if typed else field.name
        raise ValueError(f"{name} is {excerpt}{place}: expected {kind.expected}.{remedy}") from None


def read_sources(
    owner: type[Group],
    cli: Mapping[str, object],
    environ: Mapping[str, str],
    prefix: str,
    toml: Path | None,
    shorts: Mapping[str, str],
    sections: Sequence[str] = (),
    section: Mapping[str, object] | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """(values by setting, origin of each): the command line wins over the environment, and both win over the file.

    Args:
        owner: the class that declares the settings.
        cli: raw values by setting; None means that the option was not given.
        environ: variables; those that begin with ``prefix`` are settings.
        toml: a TOML file, or None.
        shorts: short options that were typed, by setting.
        sections: names in the file that are tables of their own and no settings.
        section: values of one of these tables, which win over the rest of the file.

    Raises:
        ValueError: an unknown name, a value that is not allowed, an unreadable file; the message names where.
    """
    fields = declared(owner)
    options = {name: f", {field.metadata['option']}" for name, field in fields.items() if field.metadata["option"]}
    whole = read_toml(toml) if toml else {}
    file = {name: value for name, value in whole.items() if name not in sections} | dict(section or {})
    variables = {name.removeprefix(prefix): value for name, value in environ.items() if name.startswith(prefix)}
    given = {name: value for name, value in cli.items() if value is not None}
    sources: list[tuple[Mapping[str, object], str, dict[str, str]]] = [
        (file, "from", {name: str(toml) for name in file}),
        (variables, "from the", {name: f"environment, {prefix}{name}" for name in variables}),
        (given, "from the", {name: f"command line{options.get(name, '')}" for name in given}),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for raw, preposition, origins_of_source in sources:
        for name, own in _own_names(fields, raw, preposition, origins_of_source).items():
            typed = shorts.get(own) or fields[own].metadata["option"] if raw is given and own in fields else None
            values[own] = _read_named(fields, own, raw[name], typed or f"{preposition} {origins_of_source[name]}")
            origins[own] = origins_of_source[name]
    return values, origins


def _own_names(
    fields: Mapping[str, dataclasses.Field[Any]], raw: Mapping[str, object], preposition: str, origins: dict[str, str]
) -> dict[str, str]:
    """The setting's own name for each name of one source. Raises ValueError where two names stand for one setting."""
    others = {field.metadata["also"]: name for name, field in fields.items()}
    own = {name: others.get(name, name) for name in raw}
    for name, meant in own.items():
        if name != meant and meant in own:
            raise ValueError(
                f"{name} ({preposition} {origins[name]}) is {meant}, which is set there, too. Remove one of them."
            )
    return own


def _read_named(fields: Mapping[str, dataclasses.Field[Any]], name: str, raw: object, origin: str) -> Any:
    if name not in fields:
        import difflib

        others = (field.metadata["also"] for field in fields.values())
        close = difflib.get_close_matches(name.upper(), [*fields, *filter(None, others)], n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(f"unknown setting {name!r} ({origin}): {hint}All settings are listed in config.py.")
    return read_setting(fields[name], raw, origin)


def as_typed(message: str, origins: Mapping[str, str]) -> str:
    """The message with the option that was typed, where it begins with the setting that the option stands for."""
    setting = message.partition(" ")[0].rstrip(":")
    typed = origins.get(setting, "").removeprefix("command line, ")
    return typed + message.removeprefix(setting) if typed.startswith("-") else message


def read_toml(path: Path) -> dict[str, object]:
    """Read the values of a TOML file by setting; ``engine`` and ``ENGINE`` are the same setting.

    Raises ValueError for a file that cannot be read, is not valid, or has a setting twice.
    """
    import tomllib  # most runs have no such file

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors put a byte-order mark first
    except OSError as error:
        raise ValueError(
            f"cannot read {path}: {error.strerror}. Name an existing TOML file with --config or "
            f"LOGMILL_CONFIG, or say --no-config."
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}. Correct it there.") from None
    values: dict[str, object] = {}
    for key, value in table.items():
        name = key.upper() if key.islower() else key
        if name in values:
            raise ValueError(f"{name} is set twice in {path}, in capitals and in small letters. Remove one.")
        values[name] = value
    return values


def text(expected: str = "a text that is not empty", allow_empty: bool = False) -> Kind:
    """A string without NUL characters."""

    def read(raw: object) -> str:
        if not isinstance(raw, str) or "\0" in raw or (not raw.strip() and not (allow_empty and raw == "")):
            raise ValueError
        return raw

    return Kind(expected, read)


def pattern(expected: str) -> Kind:
    """A regular expression, or empty text."""

    def read(raw: object) -> str:
        if not isinstance(raw, str) or "\0" in raw:
            raise ValueError
        try:
            re.compile(raw)
        except re.error:
            raise ValueError from None
        return raw

    return Kind(expected, read)


def integer(low: int, high: int, also: str = "", accept: Callable[[int], bool] = lambda _: True) -> Kind:
    """A whole number from ``low`` to ``high`` for which ``accept`` holds; ``also`` says that in words."""

    def read(raw: object) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int | str):
            raise ValueError
        number = int(raw)
        if not low <= number <= high or not accept(number):
            raise ValueError
        return number

    return Kind(f"a whole number from {low:,} to {high:,}{also}", read)


def size(low: int, high: int = 10**18, zero: bool = False) -> Kind:
    """Bytes as a whole number or text such as ``8GB``; ``zero`` allows 0, which leaves the choice to the program."""

    def read(raw: object) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int | str):
            raise ValueError
        number = raw if isinstance(raw, int) else parse_size(raw)
        if not low <= number <= high and not (zero and number == 0):
            raise ValueError
        return number

    limits = f"a size like 8GB (10^9 bytes each) or 512MiB (2^20), at least {format_size(low)}"
    upper = f", at most {format_size(high)}" if high < 10**18 else ""
    return Kind(limits + upper + (", or 0" if zero else ""), read)


def share(high: float = 1.0) -> Kind:
    """A number from 0 to ``high``."""

    def read(raw: object) -> float:
        if isinstance(raw, bool) or not isinstance(raw, int | float | str):
            raise ValueError
        number = float(raw)
        if not 0 <= number <= high:
            raise ValueError
        return number

    return Kind(f"a share from 0 to {high:g} (0.01 is 1 %)", read)


def choice(*allowed: str) -> Kind:
    """One of a few words, in any case."""

    def read(raw: object) -> str:
        if not isinstance(raw, str) or raw.lower() not in allowed:
            raise ValueError
        return raw.lower()

    return Kind("one of " + ", ".join(allowed), read)


def flag() -> Kind:
    """True or false."""
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

    def read(raw: object) -> bool:
        found = raw if isinstance(raw, bool) else words.get(raw.lower()) if isinstance(raw, str) else None
        if found is None:
            raise ValueError
        return found

    return Kind("true or false", read)


def names(*, optional: bool = False) -> Kind:
    """Names of columns: a list, one in JSON, or a text with commas between them; ``optional`` allows none."""

    def read(raw: object) -> tuple[str, ...]:
        items = raw
        if isinstance(raw, str):
            items = json.loads(raw) if raw.lstrip().startswith('["') else raw.split(",")
        if optional and isinstance(items, list | tuple) and list(items) in ([], [""]):
            return ()
        if not isinstance(items, list | tuple) or not items:
            raise ValueError
        found = tuple(item.strip() if isinstance(item, str) else "" for item in items)
        if not all(found) or len(set(found)) < len(found) or any(set(name) & set("\0\r\n") for name in found):
            raise ValueError
        return found

    expected = "different column names, with commas between them"
    return Kind(f"{expected}, or none" if optional else f"one or more {expected}", read)


def several_names() -> Kind:
    """Two or more names, or none: a list, or one string with commas between them."""

    def read(raw: object) -> tuple[str, ...]:
        if raw in ("", (), []):
            return ()
        found: tuple[str, ...] = names().read(raw)
        if len(found) < 2:
            raise ValueError
        return found

    return Kind("two or more different column names, with commas between them, or empty", read)
