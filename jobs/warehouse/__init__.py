"""Star schema of an online shop: sales and payments by customer, product and day."""

from collections.abc import Mapping
from typing import Any

from pipeline.datasets import ConfigError, Job

from . import conflicts, gold, silver, sources, star
from .staging import Missing

_MISSING: tuple[Missing, ...] = (
    *silver.LINE_NULLS.values(),
    *silver.PAYMENT_NULLS.values(),
    *star.CUSTOMER_NULLS.values(),
    *star.PRODUCT_NULLS.values(),
)


def _check_settings(settings: Mapping[str, Any]) -> None:
    for rule in _MISSING:
        rule.check(settings[rule.setting])
    if not 1 <= settings["fiscal_start"] <= 12:
        raise ConfigError(f"the setting fiscal_start is {settings['fiscal_start']!r}, expected a month from 1 to 12")


job = Job(
    sources,
    silver,
    star,
    conflicts,
    gold,
    settings={
        **{rule.setting: rule.default for rule in _MISSING},
        "fiscal_start": 1,  # the month in which a fiscal year begins
        "vip_cents": 100_000,
        "regular_cents": 20_000,
        "premium_cents": 10_000,
        "mid_cents": 2_000,
        "max_null_share": 0.05,
        "max_orphan_share": 0.05,
        "max_duplicate_share": 0.01,
        "max_age_hours": 24.0,
        "max_rejected_share": 0.05,
        "least_score": 90.0,
    },
    environments={
        "staging": {"max_null_share": 0.03, "max_rejected_share": 0.03},
        "production": {"max_null_share": 0.02, "max_rejected_share": 0.02},
    },
    check_settings=_check_settings,
)
