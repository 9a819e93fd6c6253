"""How the values of records are written, by the settings: what the judges of values and both parsers need to know.

Settings import this module first, so that it imports nothing heavy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

AddressFormat = Literal["plain", "endpoint", "forwarded"]
"""As in pipeline/geo/addresses.py, which settings do not import because it loads much."""

WatchTimeUnit = Literal["minutes", "seconds", "milliseconds", "microseconds"]
WatchTimeFormat = Literal["number", "decimal_comma", "hh:mm:ss", "iso8601"]

PER_MINUTE: dict[str, int] = {"minutes": 1, "seconds": 60, "milliseconds": 60_000, "microseconds": 60_000_000}
"""Units of watch time in a minute."""

DURATIONS = ("hh:mm:ss", "iso8601")
"""Formats of watch time that name their units themselves."""


@dataclass(frozen=True)
class ValueFormats:
    """The settings of values.

    ===============  =============================================================================================
    ``timestamps``   TIMESTAMP_FORMAT: patterns that are tried before the usual forms
    ``watch_time``   WATCH_TIME_FORMAT: how a watch time is written
    ``unit``         WATCH_TIME_UNIT: the unit of a number
    ``addresses``    IP_ADDRESS_FORMAT: how an address is written
    ``proxies``      TRUSTED_PROXIES: which place of a list of addresses counts
    ===============  =============================================================================================
    """

    timestamps: tuple[str, ...] = ()
    watch_time: WatchTimeFormat = "number"
    unit: WatchTimeUnit = "minutes"
    addresses: AddressFormat = "plain"
    proxies: int = 0

    @property
    def compilable(self) -> bool:
        """Whether the compiled parser reads these formats."""
        return not self.timestamps and self.watch_time not in DURATIONS


USUAL_FORMATS = ValueFormats()
"""The formats by default."""


def formats_of(settings: Mapping[str, Any]) -> ValueFormats:
    """The formats of settings by name, also of those in the record of a version; an earlier release has fewer.

    The patterns of timestamps are left out where DEDUPE_KEEP reads no timestamp.
    """
    timestamps = tuple(settings.get("TIMESTAMP_FORMAT", ())) if settings["DEDUPE_KEEP"] != "longest" else ()
    return ValueFormats(
        timestamps=timestamps,
        watch_time=settings.get("WATCH_TIME_FORMAT", USUAL_FORMATS.watch_time),
        unit=settings.get("WATCH_TIME_UNIT", USUAL_FORMATS.unit),
        addresses=settings.get("IP_ADDRESS_FORMAT", USUAL_FORMATS.addresses),
        proxies=settings.get("TRUSTED_PROXIES", USUAL_FORMATS.proxies),
    )
