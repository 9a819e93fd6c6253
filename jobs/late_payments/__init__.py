"""Which invoices will be paid late: features known on the day of issue, ageing, days sales outstanding."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pipeline.datasets import ConfigError, Job

from . import amounts, cleaned, gold, receivables, silver, sources

SETTINGS: dict[str, str | int | float | bool] = {
    "terms_days": 30,
    "validation_from": "",
    "partition_by": "issued_month",
}
"""``terms_days``: days to pay of an invoice without a due date. ``validation_from``: first day of issue (ISO) of the
invoices that a model is validated on; empty: invoices are not split. ``partition_by``: columns of the folders of
the features."""
_MOST_DAYS = 3_650


def _check_settings(settings: Mapping[str, Any]) -> None:
    days, first = settings["terms_days"], settings["validation_from"]
    if not 0 <= days <= _MOST_DAYS:
        raise ConfigError(f"the setting terms_days is {days}, expected days from 0 to {_MOST_DAYS:,}")
    if first and not _is_day(first):
        raise ConfigError(f"the setting validation_from is {first!r}, expected a day such as 2025-06-01, or nothing")


def _is_day(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


job = Job(sources, cleaned, amounts, silver, gold, receivables, settings=SETTINGS, check_settings=_check_settings)
