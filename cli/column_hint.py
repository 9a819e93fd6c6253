"""A ready block of TOML for logs that name their columns differently, from the reasons of their refusal."""

import json
from collections.abc import Iterable
from difflib import get_close_matches

from cli.console import printable
from pipeline.reading.no_header import USUAL_NAMES, missing_columns

_LIKELY = {
    "LOG_ID_COLUMN": ("event", "uuid", "guid", "log", "id"),
    "USER_ID_COLUMN": ("user", "viewer", "member", "account", "customer", "subscriber", "uid"),
    "IP_ADDRESS_COLUMN": ("ip", "address", "host", "remote", "client"),
    "WATCH_TIME_COLUMN": ("watch", "minutes", "duration", "seconds", "played", "time"),
    "TIMESTAMP_COLUMN": ("timestamp", "datetime", "time", "date", "moment", "at"),
}
"""Words in the name of a column, the likeliest first."""

_MOST_LISTED = 20


def column_block(reasons: Iterable[str]) -> list[str]:
    """Lines of TOML that name a column for each that was not found, and as a comment the columns that are there.

    Of reasons that miss different columns the first counts, one that shows a header before one that does not, because
    nothing in the file is like one. Empty where no reason says that columns are missing.
    """
    found = [missing_columns(reason) for reason in reasons]
    for missing, there in sorted(found, key=lambda one: not one[1]):
        settings = {name: accepted for name, accepted in missing.items() if name.endswith("_COLUMN")}
        if settings:
            return _block(settings, there)
    return []


def _block(settings: dict[str, str], there: tuple[str, ...]) -> list[str]:
    shown = ", ".join(printable(name) for name in there[:_MOST_LISTED])
    lines = ["# logmill.toml. The columns that are there:", f"# {shown}"] if there else ["# logmill.toml"]
    free = [name for name in there if name and name not in USUAL_NAMES.values()]
    for setting, accepted in settings.items():
        name = _guess(setting, accepted, free)
        if name is not None:
            free.remove(name)
        value = "NAME OF THE COLUMN" if name is None else name
        lines.append(f"{setting} = {json.dumps([accepted, value], ensure_ascii=False)}")
    return lines


def _guess(setting: str, accepted: str, free: list[str]) -> str | None:
    """The column that is likely meant; None where no name is like it."""
    plain = {name.casefold(): name for name in reversed(free)}
    if close := get_close_matches(accepted.casefold(), plain, n=1):
        return plain[close[0]]
    for word in _LIKELY.get(setting, ()):
        for text, name in plain.items():
            if word in text:
                return name
    return None
