"""Sales by day, hour and product; classes of products by what they bring in."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl

from pipeline.datasets import Bool, Contract, Date, Float, Int, Money, Text, conserves, dataset, row_count

from .orders import day_of


def quotient(part: str, whole: str) -> pl.Expr:
    """One division of two exact sums; null where the divisor is 0."""
    divisor = pl.col(whole).cast(pl.Float64)
    return pl.when(pl.col(whole) != 0).then(pl.col(part).cast(pl.Float64) / divisor)


class SalesAnalytics(Contract):
    """Sales of a day."""

    day = Date("the day, in the zone of the settings")
    orders = Int("orders")
    customers = Int("customers who ordered; orders that name none are not among them")
    lines = Int("lines")
    pieces = Int("pieces")
    revenue_cents = Money("value of the orders", unit="cents")
    mean_order_cents = Float("revenue by orders", unit="cents")


@dataset(
    SalesAnalytics,
    grain="one row per day with an order",
    by="day",
    keyed={"counted_orders": ["customer_id", "lines", "pieces", "value_cents"]},
    key="day",
    checks=[
        conserves("revenue_cents", source="counted_orders", column="value_cents"),
        conserves("pieces", source="counted_orders"),
    ],
)
def sales_analytics(counted_orders: pl.LazyFrame) -> pl.LazyFrame:
    """Orders and revenue of each day."""
    sums = counted_orders.group_by("day").agg(
        pl.len().alias("orders"), pl.col("customer_id").drop_nulls().n_unique().alias("customers"),
        pl.col("lines", "pieces").sum(), pl.col("value_cents").sum().alias("revenue_cents"),
    )  # fmt: skip
    return sums.with_columns(quotient("revenue_cents", "orders").alias("mean_order_cents"))


class HourSales(Contract):
    """Sales of an hour of the day."""

    hour = Int("hour of the day, in the zone of the settings")
    orders = Int("orders")
    revenue_cents = Money("value of the orders", unit="cents")


@dataset(
    HourSales,
    layer="silver",
    grain="one row per hour of the day with an order",
    by="hour",
    keyed={"counted_orders": ["value_cents"]},
    key="hour",
    checks=[conserves("revenue_cents", source="counted_orders", column="value_cents")],
)
def hour_sales(counted_orders: pl.LazyFrame) -> pl.LazyFrame:
    """Orders of each hour of the day."""
    return counted_orders.group_by("hour").agg(
        pl.len().alias("orders"), pl.col("value_cents").sum().alias("revenue_cents")
    )


class PeakHours(Contract):
    """Hours of the day by their orders."""

    hour = Int("hour of the day, in the zone of the settings")
    orders = Int("orders")
    revenue_cents = Money("value of the orders", unit="cents")
    share = Float("of all orders; null where there are none", nullable=True)
    place = Int("place by orders, 1 to 24; of equal hours the smaller one is before the other")
    is_peak = Bool("whether it has the first place, and an order")


@dataset(
    PeakHours,
    grain="one row per hour of the day, also without orders",
    key="hour",
    checks=[row_count(24, 24), conserves("orders", source="hour_sales")],
)
def peak_hours(hour_sales: pl.LazyFrame) -> pl.LazyFrame:
    """All hours of the day, and which has most orders."""
    hours = pl.LazyFrame({"hour": range(24)}, schema={"hour": pl.Int64})
    found = hours.join(hour_sales, on="hour", how="left", validate="1:1")
    counted = found.with_columns(
        pl.col("orders", "revenue_cents").fill_null(0), pl.col("orders").sum().alias("all")
    ).with_columns(
        pl.col("all") + pl.col("orders") * 0  # a sum that stands for all rows is divided by as a literal is: inexactly
    )
    placed = counted.sort(["orders", "hour"], descending=[True, False]).with_row_index("place", offset=1)
    return placed.select(
        "hour", "orders", "revenue_cents", quotient("orders", "all").alias("share"), "place",
        ((pl.col("place") == 1) & (pl.col("orders") > 0)).alias("is_peak"),
    )  # fmt: skip


class ProductSales(Contract):
    """Sales of a product."""

    product_id = Text("id of the product")
    pieces = Int("pieces ever")
    revenue_cents = Money("net of the lines ever", unit="cents")
    window_pieces = Int("pieces in the window: the last days until the as-of")
    window_revenue_cents = Money("net of the lines in the window", unit="cents")


@dataset(
    ProductSales,
    layer="silver",
    grain="one row per product that was sold",
    by="product_id",
    keyed={"counted_lines": ["day", "quantity", "net_cents"]},
    key="product_id",
    checks=[
        conserves("revenue_cents", source="counted_lines", column="net_cents"),
        conserves("pieces", source="counted_lines", column="quantity"),
    ],
)
def product_sales(counted_lines: pl.LazyFrame, as_of: dt.datetime, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """What was sold of each product, ever and in the window."""
    today = day_of(as_of, settings["zone"])
    inside = pl.col("day") > today - dt.timedelta(days=settings["window_days"])
    pieces, net = pl.col("quantity"), pl.col("net_cents")
    return counted_lines.group_by("product_id").agg(
        pieces.sum().alias("pieces"), net.sum().alias("revenue_cents"),
        pieces.filter(inside).sum().alias("window_pieces"), net.filter(inside).sum().alias("window_revenue_cents"),
    )  # fmt: skip


class AbcClass(Contract):
    """Products by revenue."""

    product_id = Text("id of the product")
    window_revenue_cents = Money("revenue in the window", unit="cents")
    before_cents = Money("revenue of all products before it", unit="cents")
    place = Int("place by revenue; of equal products the smaller id, as text, is before the other")
    abc_class = Text("A, B or C")


@dataset(
    AbcClass,
    layer="silver",
    grain="one row per product that was sold",
    whole={"product_sales": ["product_id", "window_revenue_cents"]},
    key="product_id",
    checks=[conserves("window_revenue_cents", source="product_sales")],
)
def abc_classes(product_sales: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """A product is A while those before it bring less than ``a_points`` of the revenue; then B; without revenue C."""
    revenue = pl.col("window_revenue_cents")
    placed = (
        product_sales.select("product_id", "window_revenue_cents")
        .sort(["window_revenue_cents", "product_id"], descending=[True, False])
        .with_row_index("place", offset=1)
        .with_columns((revenue.cum_sum() - revenue).alias("before_cents"), revenue.sum().alias("all_cents"))
    )
    before, every = pl.col("before_cents").cast(pl.Int128) * 10_000, pl.col("all_cents").cast(pl.Int128)
    is_a, is_b = (before < every * settings[name] for name in ("a_points", "b_points"))
    letter = (
        pl.when(revenue <= 0).then(pl.lit("C")).when(is_a).then(pl.lit("A")).when(is_b).then(pl.lit("B"))
        .otherwise(pl.lit("C"))
    )  # fmt: skip
    return placed.select("product_id", "window_revenue_cents", "before_cents", "place", letter.alias("abc_class"))
