"""Sizes, amounts and times as people write and read them.

Decimal units are powers of 1000 (GB), binary units are powers of 1024 (GiB).
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

T = TypeVar("T")

_FACTORS: dict[str, int] = {"": 1, "b": 1} | {
    f"{letter}{suffix}": step**power
    for power, letter in enumerate("kmgtp", start=1)
    for suffix, step in (("b", 1000), ("", 1000), ("ib", 1024), ("i", 1024))
}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]*)", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes of ``"8GB"``, ``"8G"`` (the same), ``"512 MiB"``, ``"512Mi"``, ``"1.5GB"`` or ``"1000"`` (bytes).

    Letters may have any case, and mean what they mean to Kubernetes: G is 10^9, Gi is 2^30.

    Raises:
        ValueError: anything else.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in _FACTORS:
        raise ValueError(f"{text!r} is not a size; write it like 8GB, 512MiB or a number of bytes")
    whole, _, decimals = match[1].partition(".")
    size: int = int(whole + decimals) * _FACTORS[match[2]] // 10 ** len(decimals)
    return size


def format_size(size: float) -> str:
    """``size`` bytes in the decimal unit that gives 1 to 999: ``"1.50 GB"``, ``"250 MB"``, ``"64 B"``."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.2f} TB"


def format_amount(number: float, unit: str) -> str:
    """``"1.50 GB"`` where ``unit`` is ``bytes``, else the number with its unit: ``"8,000,000 rows"``."""
    return format_size(number) if unit == "bytes" else f"{number:,.0f} {unit}"


def format_seconds(seconds: float) -> str:
    """``"0.42 s"``, ``"36.2 s"``, ``"2 min 05 s"`` or ``"1 h 02 min"``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def format_count(number: int, noun: str) -> str:
    """A number of things: ``"1 file"``, ``"2,000 files"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_list(items: Sequence[T], most: int, show: Callable[[T], str] = str) -> str:
    """The first ``most`` items, as ``show`` writes them, and how many more they are: ``"a, b and 3 more"``."""
    listed = ", ".join(map(show, items[:most]))
    return listed if len(items) <= most else f"{listed} and {len(items) - most:,} more"


def format_moment(moment: datetime) -> str:
    """``"30 November 2026, 15:14 UTC"``; ``moment`` is in UTC."""
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def format_moment_shortly(moment: datetime) -> str:
    """``"30 Nov 15:14"``, as a label of a chart."""
    return f"{moment.day} {moment:%b %H:%M}"


def format_ago(seconds: float) -> str:
    """``"just now"``, ``"3 minutes ago"``, ``"1 hour ago"`` or ``"12 days ago"``."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{format_count(int(seconds // size), unit)} ago"
    return "just now"
