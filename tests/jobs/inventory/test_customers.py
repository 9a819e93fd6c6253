"""``order_analytics`` of a few orders, computed by hand or with fractions."""

import datetime as dt
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from pipeline.datasets.job import JOBS, load_job

FIRST = dt.datetime(2026, 3, 1, 10)


def analytics(orders: dict[str | None, list[dt.timedelta]], cents: int = 100) -> pl.DataFrame:
    """The rows of customers; ``orders``: by customer, the times of orders since ``FIRST``, each of ``cents``."""
    job = load_job(str(JOBS / "inventory"))
    rows = [(who, FIRST + after, (FIRST + after).hour, 1, cents) for who, times in orders.items() for after in times]
    schema = {"customer_id": pl.String, "ordered_at": pl.Datetime("us"), "hour": pl.Int64, "pieces": pl.Int64,
              "value_cents": pl.Int64}  # fmt: skip
    found = job.datasets["order_analytics"].function(
        counted_orders=pl.LazyFrame(rows, schema=schema, orient="row"),
        shop_customers=pl.LazyFrame({"customer_id": ["nobody"]}),
        settings=job.settings,
    )
    assert isinstance(found, pl.LazyFrame)
    return found.collect().sort("customer_id")


def hours(*numbers: float) -> list[dt.timedelta]:
    return [dt.timedelta(hours=number) for number in numbers]


@pytest.mark.parametrize(
    ("times", "mean", "median", "peak"),
    [
        (hours(0), None, None, 10),
        (hours(0, 12), 0.5, 0.5, 10),  # 10 and 22 o'clock tie
        (hours(0, 0), 0.0, 0.0, 10),
        (hours(14, 0, 14 + 24), 19 / 24, 19 / 24, 0),  # 10:00, 00:00 and 00:00: gaps of 14 and 24 hours
        (hours(72, 0, 24, 1), 1.0, 23 / 24, 10),  # gaps of 1, 23 and 48 hours
        (hours(13, 15, 13, 15), 2 / 72, 0.0, 1),  # 23 and 1 o'clock tie, and the smaller is on the next day
    ],
)
def test_times_between_orders_and_peak_hours(
    times: list[dt.timedelta], mean: float | None, median: float | None, peak: int
) -> None:
    row = analytics({"c": times}).row(0, named=True)
    assert (row["mean_days_between"], row["median_days_between"], row["peak_hour"]) == (mean, median, peak)
    assert (row["first_order_at"], row["last_order_at"]) == (FIRST + min(times), FIRST + max(times))


def test_a_quotient_is_the_same_beside_any_number_of_customers() -> None:
    """Polars divides by what stands for all rows with the reciprocal where it has many of them."""
    gaps = [dt.timedelta(hours=number) for number in (5, 333, 334, 1000)]
    times = [sum(gaps[:number], dt.timedelta()) for number in range(5)]
    expected = float(Fraction(333 + 334, 2 * 24))
    for count in (1, 2, 3, 40):
        found = analytics({f"c{number}": times for number in range(count)}).filter(pl.col("orders") > 0)
        assert found["median_days_between"].to_list() == [expected] * count


@pytest.mark.parametrize(
    ("count", "cents", "expected"),
    [
        (1, 19_999, ("occasional", "low", False)),
        (2, 10_000, ("occasional", "medium", False)),
        (3, 100, ("regular", "low", False)),
        (9, 100_000, ("regular", "high", False)),
        (10, 9_999, ("frequent", "medium", False)),
        (10, 10_000, ("frequent", "high", True)),
    ],
)
def test_segments_begin_at_their_least_values(count: int, cents: int, expected: tuple[Any, ...]) -> None:
    found = analytics({"c": hours(*range(count))}, cents)
    assert found.select("frequency", "spending", "is_vip").rows() == [expected, ("none", "none", False)]


def test_orders_of_nobody_are_one_row_without_segments_and_times() -> None:
    found = analytics({None: hours(*range(12))}, 100_000).row(0, named=True)
    assert (found["customer_id"], found["orders"], found["spending_cents"]) == (None, 12, 1_200_000)
    assert (found["frequency"], found["spending"], found["is_vip"]) == ("unknown", "unknown", False)
    assert {found[name] for name in ("mean_days_between", "median_days_between", "peak_hour")} == {None}
