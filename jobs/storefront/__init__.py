"""Medallion of an online shop: orders, lines and clicks by day, with buyers, sellers, products and categories."""

import zoneinfo
from collections.abc import Mapping
from typing import Any

from pipeline.datasets import ConfigError, Job

from . import cleaned, facts, gold, members, money, sources


def _check_settings(settings: Mapping[str, Any]) -> None:
    try:
        zoneinfo.ZoneInfo(str(settings["zone"]))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise ConfigError(
            f"the setting zone is {settings['zone']!r}, expected a time zone such as Europe/Berlin"
        ) from None
    gap, days = settings["session_gap_minutes"], settings["empty_days"]
    if isinstance(gap, bool) or not isinstance(gap, int) or gap < 1:
        raise ConfigError(f"the setting session_gap_minutes is {gap!r}, expected a whole number of minutes from 1 on")
    if days not in ("keep", "leave_out"):
        raise ConfigError(f"the setting empty_days is {days!r}, expected one of keep, leave_out")


job = Job(
    sources,
    cleaned,
    money,
    members,
    facts,
    gold,
    settings={
        "zone": "UTC",
        "session_gap_minutes": 30,
        "empty_days": "keep",
        "uncounted_statuses": "cancelled",
    },
    check_settings=_check_settings,
)
