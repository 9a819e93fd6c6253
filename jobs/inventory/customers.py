"""Customers by their orders: how many, how much, how often, and at what hour."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from pipeline.datasets import Bool, Contract, Float, Int, Money, Text, Time, conserves, dataset, reference

from .sales import quotient

_DAY = 86_400_000_000
"""Microseconds of a day."""


class OrderAnalytics(Contract):
    """Orders of a customer."""

    customer_id = Text("id of the customer; null: orders that name none", nullable=True, forget="row")
    orders = Int("orders that count")
    pieces = Int("pieces of their lines")
    spending_cents = Money("value of the orders", unit="cents")
    mean_order_cents = Float("spending by orders; null: there are none", unit="cents", nullable=True)
    first_order_at = Time("the first order", nullable=True)
    last_order_at = Time("the last order", nullable=True)
    mean_days_between = Float("mean time from an order to the next; null: there is none", unit="days", nullable=True)
    median_days_between = Float("median of these times", nullable=True, unit="days")
    peak_hour = Int("hour with most orders, in the zone of the settings; the smallest of equal ones", nullable=True)
    frequency = Text("by orders: frequent, regular, occasional; none: without orders; unknown: orders that name nobody")
    spending = Text("by spending: high, medium, low; none and unknown as for frequency")
    is_vip = Bool("whether orders and spending are those of a VIP")


@dataset(
    OrderAnalytics,
    grain="one row per customer, also without orders; and one for all orders that name none",
    by="customer_id",
    keyed={"counted_orders": ["ordered_at", "hour", "pieces", "value_cents"], "shop_customers": ["customer_id"]},
    key="customer_id",
    checks=[
        reference("customer_id", to="shop_customers", action="warn"),
        conserves("spending_cents", source="counted_orders", column="value_cents"),
        conserves("pieces", source="counted_orders"),
    ],
)
def order_analytics(
    counted_orders: pl.LazyFrame, shop_customers: pl.LazyFrame, settings: Mapping[str, Any]
) -> pl.LazyFrame:
    """What each customer ordered, how regularly, and which segments that makes."""
    at = pl.col("ordered_at")
    sums = counted_orders.group_by("customer_id").agg(
        pl.len().cast(pl.Int64).alias("orders"), pl.col("pieces").sum(),
        pl.col("value_cents").sum().alias("spending_cents"), at.min().alias("first_order_at"),
        at.max().alias("last_order_at"),
        at.sort().diff(null_behavior="drop").dt.total_microseconds().sort().alias("gaps"),
    )  # fmt: skip
    ids = pl.concat([counted_orders.select("customer_id"), shop_customers.select("customer_id")]).unique()
    found = ids.join(sums, on="customer_id", how="left", validate="1:1", nulls_equal=True)
    found = found.join(_peaks(counted_orders), on="customer_id", how="left", validate="1:1", nulls_equal=True)
    named = pl.col("customer_id").is_not_null()
    return found.with_columns(pl.col("orders", "pieces", "spending_cents").fill_null(0)).with_columns(
        quotient("spending_cents", "orders").alias("mean_order_cents"),
        pl.when(named).then(_mean_days()).alias("mean_days_between"),
        pl.when(named).then(_median_days()).alias("median_days_between"),
        pl.when(named).then(pl.col("peak_hour")),
        _segment("orders", {"frequent": "frequent_orders", "regular": "regular_orders"}, "occasional", settings)
        .alias("frequency"),
        _segment("spending_cents", {"high": "high_cents", "medium": "medium_cents"}, "low", settings).alias("spending"),
        (named & (pl.col("orders") >= settings["vip_orders"]) & (pl.col("spending_cents") >= settings["vip_cents"]))
        .alias("is_vip"),
    ).drop("gaps")  # fmt: skip


def _peaks(orders: pl.LazyFrame) -> pl.LazyFrame:
    """The hour with most orders of each customer; of equal ones the smallest."""
    hours = orders.group_by("customer_id", "hour").agg(pl.len())
    best = pl.col("hour").sort_by("len", "hour", descending=[True, False]).first()
    return hours.group_by("customer_id").agg(best.alias("peak_hour"))


def _mean_days() -> pl.Expr:
    """The gaps add up to the time from the first to the last order, which whole numbers tell exactly."""
    span = (pl.col("last_order_at") - pl.col("first_order_at")).dt.total_microseconds()
    days = (pl.col("orders") - 1) * _DAY
    return pl.when(days > 0).then(span.cast(pl.Float64) / days.cast(pl.Float64))


def _median_days() -> pl.Expr:
    """The middle of the sorted gaps, or half the sum of the two in the middle.

    The divisor is made of a column: by a literal, Polars multiplies with its reciprocal, in some frames and not in
    others.
    """
    gaps = pl.col("gaps")
    count = gaps.list.len().cast(pl.Int64)
    middle = gaps.list.get((count - 1) // 2, null_on_oob=True) + gaps.list.get(count // 2, null_on_oob=True)
    return middle.cast(pl.Float64) / (count * 0 + 2 * _DAY).cast(pl.Float64)


def _segment(column: str, least: Mapping[str, str], rest: str, settings: Mapping[str, Any]) -> pl.Expr:
    """The first segment whose least value, a setting, is reached. ``least``: setting by segment, greatest first."""
    reached = [pl.when(pl.col(column) >= settings[name]).then(pl.lit(segment)) for segment, name in least.items()]
    known = pl.coalesce(*reached, pl.lit(rest))
    none = pl.when(pl.col("orders") > 0).then(known).otherwise(pl.lit("none"))
    return pl.when(pl.col("customer_id").is_null()).then(pl.lit("unknown")).otherwise(none)


class CustomerSegment(Contract):
    """Customers of a segment."""

    frequency = Text("segment by orders")
    spending = Text("segment by spending")
    is_vip = Bool("whether they are VIPs")
    customers = Int("customers; orders that name none count as one")
    orders = Int("their orders")
    pieces = Int("pieces of these")
    spending_cents = Money("value of these", unit="cents")
    mean_order_cents = Float("spending by orders", unit="cents", nullable=True)


@dataset(
    CustomerSegment,
    grain="one row per combination of segments that occurs",
    by=("frequency", "spending", "is_vip"),
    keyed={"order_analytics": ["orders", "pieces", "spending_cents"]},
    key=("frequency", "spending", "is_vip"),
    checks=[conserves(name, source="order_analytics") for name in ("orders", "pieces", "spending_cents")],
)
def customer_segments(order_analytics: pl.LazyFrame) -> pl.LazyFrame:
    """How many customers each segment has, and what they ordered."""
    sums = order_analytics.group_by("frequency", "spending", "is_vip").agg(
        pl.len().alias("customers"), pl.col("orders", "pieces", "spending_cents").sum()
    )
    return sums.with_columns(quotient("spending_cents", "orders").alias("mean_order_cents"))


class CustomerProduct(Contract):
    """What a customer bought of a product."""

    customer_id = Text("id of the customer; null: orders that name none", nullable=True, forget="row")
    product_id = Text("id of the product")
    is_vip = Bool("whether the customer is a VIP")
    pieces = Int("pieces")
    revenue_cents = Money("net of the lines", unit="cents")


@dataset(
    CustomerProduct,
    layer="silver",
    grain="one row per customer and product that was bought",
    by="customer_id",
    keyed={
        "counted_lines": ["product_id", "quantity", "net_cents"],
        "order_analytics": ["is_vip", "pieces", "spending_cents"],
    },
    key=("customer_id", "product_id"),
    checks=[
        conserves("revenue_cents", source="order_analytics", column="spending_cents"),
        conserves("pieces", source="order_analytics"),
    ],
)
def customer_products(counted_lines: pl.LazyFrame, order_analytics: pl.LazyFrame) -> pl.LazyFrame:
    """The bridge between customers and products: its sums are those of both."""
    sums = counted_lines.group_by("customer_id", "product_id").agg(
        pl.col("quantity").sum().alias("pieces"), pl.col("net_cents").sum().alias("revenue_cents")
    )
    return sums.join(
        order_analytics.select("customer_id", "is_vip"), on="customer_id", how="left", validate="m:1", nulls_equal=True
    )
