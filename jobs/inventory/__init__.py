"""Stock, orders and customers of a shop, day by day: scores, restocking, segments, and insights of all together."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.datasets import ConfigError, Job

from . import customers, insights, inventory, members, orders, sales, sources

_ASCENDING = (
    ("reorder_days", "target_days", "overstock_days"),
    ("a_points", "b_points"),
    ("regular_orders", "frequent_orders"),
    ("medium_cents", "high_cents"),
)
"""Settings of which each must be at least the one before."""
_MOST_POINTS = 10_000


def _check_settings(settings: Mapping[str, Any]) -> None:
    try:
        ZoneInfo(settings["zone"])
    except (KeyError, ValueError, OSError):
        raise ConfigError(f"the setting zone is {settings['zone']!r}, expected one such as Europe/Berlin") from None
    if settings["lines_numbered_by"] not in ("shop", "order"):
        raise ConfigError(f"the setting lines_numbered_by is {settings['lines_numbered_by']!r}, expected shop or order")
    if both := set(orders.statuses(settings["counted_statuses"])) & set(orders.statuses(settings["other_statuses"])):
        raise ConfigError(f"counted_statuses and other_statuses both name {min(both)}: it counts, or it does not")
    for name in ("window_days", *(name for names in _ASCENDING for name in names), "vip_orders", "vip_cents"):
        if settings[name] < 1:
            raise ConfigError(f"the setting {name} is {settings[name]}, expected 1 or more")
    for names in _ASCENDING:
        if (values := [settings[name] for name in names]) != sorted(values):
            raise ConfigError(f"the settings {', '.join(names)} are {values}, expected ascending numbers")
    if settings["b_points"] > _MOST_POINTS:
        raise ConfigError(f"the setting b_points is {settings['b_points']}, expected {_MOST_POINTS} at most")


job = Job(
    sources,
    members,
    orders,
    sales,
    inventory,
    customers,
    insights,
    daily=True,
    output="business_insights",
    settings={
        "zone": "UTC",  # of days and hours
        "counted_statuses": "completed,delivered,paid,shipped",
        "other_statuses": "cancelled,failed,pending,processing,refunded,returned",
        "lines_numbered_by": "shop",  # order: each order numbers its lines anew
        "window_days": 90,
        "reorder_days": 14,
        "target_days": 30,
        "overstock_days": 90,
        "a_points": 8_000,
        "b_points": 9_500,
        "regular_orders": 3,
        "frequent_orders": 10,
        "medium_cents": 20_000,
        "high_cents": 100_000,
        "vip_orders": 10,
        "vip_cents": 100_000,
    },
    check_settings=_check_settings,
)
