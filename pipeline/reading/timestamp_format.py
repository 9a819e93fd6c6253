"""The patterns of TIMESTAMP_FORMAT: strptime's directives become a regular expression with a group for each field.

Settings import this module first, so that it imports nothing heavy.
"""

import json
import re
from functools import lru_cache

from utils.settings import Kind, SettingFault

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
"""The first three letters of the months' names in English."""

_MONTH_NAMES = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
    *("november", "december"),
)
_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

OFFSET = r"(?P<sign>[+-])(?P<zone_hours>[01][0-9]|2[0-3])(?::?(?P<zone_minutes>[0-5][0-9]))?"
"""A difference to UTC: hours, or hours and minutes."""

_FIELDS = {
    "Y": r"(?P<year>[0-9]{4})",
    "y": r"(?P<short_year>[0-9]{2})",
    "m": r"(?P<month>1[0-2]|0[1-9]|[1-9])",
    "d": r"(?P<day>3[01]|[12][0-9]|0[1-9]|[1-9])",
    "j": r"(?P<day_of_year>36[0-6]|3[0-5][0-9]|[12][0-9]{2}|0[1-9][0-9]|00[1-9]|[1-9][0-9]|0[1-9]|[1-9])",
    "H": r"(?P<hour>2[0-3]|[01][0-9]|[0-9])",
    "I": r"(?P<hour12>1[0-2]|0[1-9]|[1-9])",
    "p": r"(?P<half>(?i:[ap])\.?(?i:m)\.?)",
    "M": r"(?P<minute>[0-5][0-9]|[0-9])",
    "S": r"(?P<second>60|[0-5][0-9]|[0-9])",
    "f": r"(?P<fraction>[0-9]{1,9})",
    "z": rf"(?:[Zz]|{OFFSET})",
    "Z": r"(?:(?i:UTC|GMT)|[Zz])",
    "b": rf"(?P<month_name>(?i:{'|'.join(MONTHS)}))",
    "B": rf"(?P<month_name>(?i:{'|'.join(_MONTH_NAMES)}))",
    "a": rf"(?i:{'|'.join(day[:3] for day in _DAY_NAMES)})",
    "A": rf"(?i:{'|'.join(_DAY_NAMES)})",
    "s": r"(?P<epoch>-?[0-9]{1,11})",
    "%": "%",
}
"""Directive → what it matches. Numbers may lack leading zeros, as strptime takes them."""

_FULL_WIDTH = {
    "m": r"(?P<month>1[0-2]|0[1-9])",
    "d": r"(?P<day>3[01]|[12][0-9]|0[1-9])",
    "j": r"(?P<day_of_year>36[0-6]|3[0-5][0-9]|[12][0-9]{2}|0[1-9][0-9]|00[1-9])",
    "H": r"(?P<hour>2[0-3]|[01][0-9])",
    "I": r"(?P<hour12>1[0-2]|0[1-9])",
    "M": r"(?P<minute>[0-5][0-9])",
    "S": r"(?P<second>60|[0-5][0-9])",
}
"""Numbers with all their digits, where another number stands directly beside: ``1795903200`` is no ``%Y%m%d%H%M%S``."""

_NUMBERS = {*_FULL_WIDTH, "Y", "y", "f"}

_SHORT_FORMS = {"T": "%H:%M:%S", "R": "%H:%M", "F": "%Y-%m-%d", "D": "%m/%d/%y", "e": "%d", "h": "%b"}

_EXPECTED = (
    "one or more patterns of strptime, such as %d.%m.%Y %H:%M:%S; in the environment one pattern, or several as a JSON "
    "list; or empty"
)


def timestamp_formats() -> Kind:
    """The kind of a setting that takes patterns: a list of texts, or one text."""
    return Kind(_EXPECTED, _read)


def _read(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        raw = _listed(raw) if raw.lstrip().startswith("[") else [raw] if raw.strip() else []
    if not isinstance(raw, list | tuple) or not all(isinstance(pattern, str) and pattern for pattern in raw):
        raise ValueError
    patterns = tuple(str(pattern) for pattern in raw)
    for pattern in patterns:
        as_regex(pattern)
    if len(set(patterns)) < len(patterns):
        raise SettingFault("a pattern is there twice")
    return patterns


def _listed(text: str) -> object:
    """A JSON list; a pattern that only begins with a bracket is itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return [text]


@lru_cache(maxsize=64)
def as_regex(pattern: str) -> str:
    """The regular expression that matches a whole text in the form of ``pattern``. Its groups are named fields.

    White space in the pattern matches any white space; numbers side by side have all their digits. Raises SettingFault
    for a directive that is not known, for one that is there twice, and for a pattern that does not say the day.
    """
    for short, long in _SHORT_FORMS.items():
        pattern = re.sub(rf"(?<!%)((?:%%)*)%{short}", rf"\g<1>{long}", pattern)
    pieces: list[str] = []
    used: set[str] = set()
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "%":
            directive = pattern[position + 1 : position + 2]
            _check_directive(pattern, directive, used)
            used.add(directive)
            beside = pattern[max(0, position - 2) : position], pattern[position + 2 : position + 4]
            touches = any(len(other) == 2 and other[0] == "%" and other[1] in _NUMBERS for other in beside)
            pieces.append((_FULL_WIDTH if touches else _FIELDS).get(directive, _FIELDS[directive]))
            position += 2
        else:
            pieces.append(r"\s+" if char.isspace() else f"\\x{{{ord(char):X}}}")
            position += 1
    _check_fields(pattern, used)
    return rf"\A{''.join(pieces)}\z"


def _check_directive(pattern: str, directive: str, used: set[str]) -> None:
    if directive not in _FIELDS or not directive:
        known = " ".join(f"%{name}" for name in (*_FIELDS, *_SHORT_FORMS))
        raise SettingFault(f"the pattern {pattern!r} has %{directive}, expected only {known}")
    if directive in used and directive != "%":
        raise SettingFault(f"the pattern {pattern!r} has %{directive} twice, expected each directive once")


def _check_fields(pattern: str, used: set[str]) -> None:
    """Raise SettingFault where the fields do not say one moment."""
    for one, other in (("Y", "y"), ("H", "I"), ("b", "B"), ("m", "b"), ("m", "B"), ("b", "B")):
        if {one, other} <= used:
            raise SettingFault(f"the pattern {pattern!r} has %{one} and %{other}, expected one of them")
    if ("I" in used) != ("p" in used):
        raise SettingFault(f"the pattern {pattern!r} has only one of %I and %p, expected both or %H")
    date = bool(used & {"Y", "y"}) and ("j" in used) != ("d" in used and bool(used & {"m", "b", "B"}))
    if "s" in used:
        if used - {"s", "f", "%", "Z"}:
            raise SettingFault(f"the pattern {pattern!r} has more than %s and %f, expected a number of seconds alone")
    elif not date:
        raise SettingFault(f"the pattern {pattern!r} does not say the day, expected %Y %m %d, %Y %j or the like")
