"""The score, days and levels of stock, computed by hand or with fractions."""

import datetime as dt
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.job import JOBS, load_job
from tests.examples import tries


def analytics(stock: list[tuple[object, ...]], capacities: dict[str, int | None], sold: int = 0) -> pl.DataFrame:
    """``inventory_analytics`` of product p; ``stock``: location, quantity, last update."""
    job = load_job(str(JOBS / "inventory"))
    schemas = {name: one.contract.schema() for name, one in job.datasets.items()}
    sales = [("p", sold, 0, sold, 0)] if sold else []
    rows = {
        "stock": [("p", *row) for row in stock], "product_sales": sales, "abc_classes": [],
        "shop_products": [], "shop_locations": [(name, None, capacity) for name, capacity in capacities.items()],
    }  # fmt: skip
    inputs = {name: pl.LazyFrame(found, schema=schemas[name], orient="row") for name, found in rows.items()}
    inputs["product_sales"] = inputs["product_sales"].select("product_id", "window_pieces")
    inputs["abc_classes"] = inputs["abc_classes"].select("product_id", "abc_class")
    inputs["shop_products"] = inputs["shop_products"].select("product_id", "cost_cents")
    one = job.datasets["inventory_analytics"]
    found = one.function(**inputs, as_of=NOW, settings=job.settings)
    assert isinstance(found, pl.LazyFrame)
    return found.collect().sort("location_id")


NOW = dt.datetime(2026, 6, 15, 12)
LATEST = NOW - dt.timedelta(hours=23)


@pytest.mark.parametrize(
    ("quantity", "capacity", "updated", "score", "reason"),
    [
        (50, 100, LATEST, 100.0, None),
        (50, 100, NOW - dt.timedelta(days=1), 98.0, None),
        (25, 100, LATEST, 50.0, None),
        (75, 100, NOW - dt.timedelta(days=3, hours=1), 44.0, None),
        (0, 100, LATEST, 0.0, None),
        (100, 100, LATEST, 0.0, None),
        (101, 100, LATEST, 0.0, None),
        (50, 100, dt.datetime(1970, 1, 1), 0.0, None),
        (50, 100, NOW + dt.timedelta(microseconds=1), 100.0, None),
        (50, 0, LATEST, None, "capacity is not positive"),
        (50, -1, LATEST, None, "capacity is not positive"),
        (50, None, LATEST, None, "no capacity"),
        (50, 100, None, None, "no time of update"),
        (50, None, None, None, "no capacity"),
    ],
)
def test_score(
    quantity: int, capacity: int | None, updated: dt.datetime | None, score: float | None, reason: str | None
) -> None:
    (row,) = analytics([("h", quantity, updated)], {"h": capacity}).rows(named=True)
    assert (row["score"], row["no_score_reason"]) == (score, reason)
    assert row["updated_in_future"] is (updated is not None and updated > NOW)


@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(1, 10**8), st.integers(0, 60)), min_size=1, max_size=99))
@tries(12)
def test_score_is_the_formula_rounded_once(cases: list[tuple[int, int, int]]) -> None:
    stock = [(f"{at:02d}", quantity, NOW - dt.timedelta(days=days)) for at, (quantity, _, days) in enumerate(cases)]
    found = analytics(stock, {f"{at:02d}": capacity for at, (_, capacity, _) in enumerate(cases)})
    exact = [
        (1 - 2 * abs(Fraction(quantity, capacity) - Fraction(1, 2))) * 100 - 2 * days
        for quantity, capacity, days in cases
    ]
    assert found["score"].to_list() == [float(max(one, Fraction(0))) for one in exact]


@pytest.mark.parametrize(
    ("capacities", "demands"),
    [
        ({"a": 100, "b": 300, "c": 600}, [10, 30, 60]),
        ({"a": 1, "b": 1, "c": 1}, [34, 33, 33]),  # what is left goes to the first
        ({"a": 0, "b": 300, "c": 600}, [34, 33, 33]),  # without a capacity: in equal parts
        ({"b": 300, "c": 600}, [34, 33, 33]),
    ],
)
def test_demand_is_divided_among_the_locations_of_a_product(
    capacities: dict[str, int | None], demands: list[int]
) -> None:
    found = analytics([(hall, 1, None) for hall in "abc"], capacities, sold=100)
    assert found["demand"].to_list() == demands


def test_levels_follow_from_the_demand_of_the_window() -> None:
    """100 pieces in 90 days: 15.6 in 14 days, 33.3 in 30."""
    levels = ("reorder_level", "optimal_level", "overstock_level", "restock_quantity", "overstock_quantity")
    for quantity, expected in ((15, (16, 34, 100, 19, 0)), (16, (16, 34, 100, 0, 0)), (130, (16, 34, 100, 0, 30))):
        (row,) = analytics([("h", quantity, None)], {"h": 1}, sold=100).select(levels).rows()
        assert row == expected
    (supply,) = analytics([("h", 130, None)], {"h": 1}, sold=100)["days_of_supply"]
    assert supply == 117.0
    (row,) = analytics([("h", 7, None)], {"h": 1}).select("days_of_supply", *levels).rows()
    assert row == (None, 0, 0, 0, 0, 7), "what nobody buys is too much"
