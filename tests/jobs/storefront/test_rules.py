"""Rules of the job on few rows: amounts, sessions, weights, gates and settings."""

import datetime as dt
import random
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from jobs.storefront import gold, members, money
from jobs.storefront.cleaned import clean_clicks
from jobs.storefront.facts import fact_clickstream
from jobs.storefront.money import converted, minor_units, whole_minor
from pipeline.datasets.job import JOBS
from pipeline.datasets.judge import judge_rows
from pipeline.errors import ConfigError
from pipeline.sources.contract import conform
from tests.jobs.storefront.shops import storefront

SETTINGS: Mapping[str, Any] = {"zone": "UTC", "session_gap_minutes": 30}
NOON = dt.datetime(2026, 6, 1, 12)


def half_up(value: Fraction) -> int:
    return int(value + Fraction(1, 2))


def test_amounts_are_exact_and_rounded_once() -> None:
    """Prices of four decimals in currencies of no, two and three digits, against fractions."""
    dice = random.Random(5)
    units = {"USD": 100, "EUR": 100, "JPY": 1, "KWD": 1000}
    assert {name: minor_units(name) for name in units} == units
    targets = {"USD": 10**9, "EUR": 1_080_000_001, "JPY": 6_712_345}
    rows = [
        (dice.choice((50, 149, 150, dice.randrange(10**9))), dice.choice((1, 3, 50)), units[dice.choice(list(units))],
         dice.choice((10**9, 5, dice.randrange(1, 10**10))), *targets.values())
        for _ in range(400)
    ]  # fmt: skip
    names = ["price", "quantity", "minor_units", "rate_nano", "usd_nano", "eur_nano", "jpy_nano"]
    prices = pl.Series("price", [Decimal(row[0]).scaleb(-4) for row in rows], dtype=pl.Decimal(38, 4))
    made = (
        pl.DataFrame(rows, schema=names, orient="row").with_columns(prices)
        .with_columns(whole_minor("price", "quantity").alias("minor"))
        .with_columns(converted(pl.col("minor"), to).alias(to) for to in targets)
    )  # fmt: skip
    for (price, quantity, of_unit, nano, *_), found in zip(rows, made.rows(named=True), strict=True):
        minor = half_up(Fraction(price * quantity, 10_000) * of_unit)
        assert found["minor"] == minor
        value = Fraction(minor, of_unit) * nano
        assert {to: found[to] for to in targets} == {to: half_up(value / of * units[to]) for to, of in targets.items()}


def test_a_session_ends_after_a_longer_pause_than_the_gap() -> None:
    """Exactly the gap is no end; the order of rows and other people do not matter."""
    minutes = {"a": 0, "b": 30, "c": 60.02, "d": 91, "e": 10}
    users = {"a": 1, "b": 1, "c": 1, "d": 1, "e": 2, "f": None, "g": None}
    clicks = pl.DataFrame(
        [(name, NOON + dt.timedelta(minutes=minutes.get(name, 0)), users[name]) for name in reversed(users)],
        schema={"event_id": pl.String, "event_at": pl.Datetime("us"), "user_id": pl.Int64}, orient="row",
    )  # fmt: skip
    rest = [pl.lit(None, pl.Int64).alias(name) for name in ("product_id", "order_id")]
    once = clean_clicks.function(
        clickstream=clicks.lazy().with_columns(*rest, event_type=pl.lit("view"), received_at=NOON, click_id=1),
        settings=SETTINGS,
    )
    assert len(set(once.filter(pl.col("user_id").is_null()).collect()["visitor"])) == 2
    found = fact_clickstream.function(clean_clicks=once, settings=SETTINGS).collect().sort("event_id")
    assert found["session_number"].to_list() == [1, 1, 2, 3, 1, None, None]
    assert found["event_number"].to_list() == [1, 2, 1, 1, 1, None, None]
    keys = found["session_key"].to_list()
    assert (keys[0] == keys[1], len(set(keys[1:5])), keys[5]) == (True, 4, None)


def test_weights_of_a_product_add_up_to_a_million() -> None:
    links = [(product, category) for product in range(1, 8) for category in range(product)]
    names = pl.LazyFrame({"category_id": list(range(8)), "category_name": [f"c{at}" for at in range(8)]})
    found = members.product_x_category.function(
        product=pl.LazyFrame({"product_id": [0, *range(1, 8)]}),
        clean_product_category=pl.LazyFrame(links, schema=["product_id", "category_id"], orient="row"),
        dim_category=names,
    ).collect()
    sums = found.group_by("product_id").agg(pl.col("weight_ppm").sum())
    assert sums["weight_ppm"].to_list() == [10**6] * 8
    three = found.filter(pl.col("product_id") == 3).sort("category_id")["weight_ppm"].to_list()
    assert three == [333_334, 333_333, 333_333]
    assert found.filter(pl.col("product_id") == 0)["category_name"].to_list() == ["Uncategorised"]


def broken(name: str, rows: pl.LazyFrame) -> dict[str, int]:
    """Checks of a table that rows of it break."""
    one = storefront().datasets[name]
    whole = conform(rows, one.contract, name).collect()
    return {check: count for check, count in judge_rows(whole, one, {}).broken.items() if count}


def test_a_day_whose_categories_do_not_come_to_its_orders_stops_the_run() -> None:
    day = dt.date(2026, 6, 1)
    made = gold.daily_order_metrics.function(
        report_days=pl.LazyFrame({"day": [day]}),
        wide_orders=pl.LazyFrame({"day": [day] * 2, "counts": [True, False], "revenue_cents": [1_001, 0]}),
        daily_category_metrics=pl.LazyFrame({"day": [day], "weighted_revenue_cents": [1_000]}),
    )
    assert broken("daily_order_metrics", made) == {"expression:categories_are_orders": 1}


def test_a_mean_revenue_above_a_hundred_thousand_stops_the_run() -> None:
    day = dt.date(2026, 6, 1)
    items = pl.LazyFrame(
        {"day": [day] * 2, "order_id": [1, 2], "counts": [True] * 2, "quantity": [1, 1],
         "revenue_cents": [10_000_000, 10_000_001], "category_ids": [[1], [2]], "categories": [["a"], ["b"]],
         "category_revenue_cents": [[10_000_000], [10_000_001]]}
    )  # fmt: skip
    made = gold.daily_category_metrics.function(wide_order_items=items)
    assert broken("daily_category_metrics", made) == {"at_most:mean_revenue_cents": 1}
    checks = {check.name: check.action for check in storefront().datasets["daily_category_metrics"].checks}
    assert checks["at_most:mean_revenue_cents"] == "fail"


@pytest.mark.parametrize(("empty_days", "expected"), [("keep", [1, 2, 3, 4]), ("leave_out", [1, 4])])
def test_days_without_orders_are_there_as_declared(empty_days: str, expected: list[int]) -> None:
    days = [dt.date(2026, 6, number) for number in (4, 1, 1, 9)]
    rates = pl.LazyFrame({"day": days, "rate_nano": [10**9, 10**9, 5, None]})  # of the ninth no order is published
    found = gold.report_days.function(day_rates=rates, settings={"empty_days": empty_days}).collect()
    assert sorted(day.day for day in found["day"]) == expected
    none = gold.report_days.function(day_rates=rates.head(0), settings={"empty_days": empty_days}).collect()
    assert none.is_empty()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("zone", "Mars/Olympus", "zone is 'Mars/Olympus', expected a time zone"),
        ("session_gap_minutes", 0, "expected a whole number of minutes"),
        ("session_gap_minutes", 1.5, "expected a whole number of minutes"),
        ("empty_days", "yes", "expected one of keep, leave_out"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        storefront().with_settings({setting: value})


def test_the_job_takes_a_third_of_the_lines_of_hand_written_classes() -> None:
    """Of 4,800. The page of the job says how many lines it has."""
    sizes = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in (JOBS / "storefront").iterdir()
        if path.suffix in (".py", ".sql")
    }
    assert sum(sizes.values()) <= 1_600
    told = (
        f"{sum(sizes.values()):,} lines of Python and SQL, of which the generator of demo data has {sizes['demo.py']}"
    )
    assert told in " ".join((JOBS / "storefront" / "README.md").read_text(encoding="utf-8").split())


def test_a_rate_of_nothing_or_below_is_no_rate() -> None:
    """And no earlier one takes its place: orders of these days wait in the quarantine."""
    day = dt.date(2026, 11, 25)
    orders = pl.LazyFrame({"day": [day, day, dt.date(2026, 11, 24)], "currency": ["EUR", "CLP", "EUR"]})
    told = [("EUR", dt.date(2026, 1, 1), "1.1"), ("EUR", day, "0"), ("CLP", dt.date(2026, 1, 1), "-1")]
    kinds = {"currency": pl.String, "valid_from": pl.Date, "rate": pl.Decimal(38, 9)}
    rates = pl.LazyFrame([(name, since, Decimal(rate)) for name, since, rate in told], schema=kinds, orient="row")
    found = money.day_rates.function(clean_orders=orders, exchange_rate=rates).sort("day", "currency").collect()
    assert found.select("currency", "rate_nano", "eur_nano").rows() == [
        ("EUR", 1_100_000_000, 1_100_000_000), ("CLP", None, None), ("EUR", None, None),
    ]  # fmt: skip
