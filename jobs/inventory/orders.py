"""Orders and their lines: each once; and those that count at the as-of."""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from pipeline.datasets import (
    Bool,
    Contract,
    Date,
    Int,
    Money,
    Text,
    Time,
    at_least,
    between,
    conserves,
    dataset,
    expression,
    latest,
    reference,
    repeated,
)

from .members import CHANGED
from .sources import MOST_CENTS, MOST_PIECES

NO_STATUS = "none"
"""What a list of statuses calls orders that have none."""


def statuses(text: str) -> list[str]:
    """The statuses that a setting lists, between commas."""
    return [word.strip().lower() for word in text.split(",") if word.strip()]


def day_of(as_of: dt.datetime, zone: str) -> dt.date:
    """The day of a moment (naive UTC) in a zone."""
    return as_of.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone)).date()


class ShopOrder(Contract):
    """Orders."""

    order_id = Text("id of the order")
    customer_id = Text("who ordered; null: the shop does not say", nullable=True, forget="value")
    ordered_at = Time("when")
    day = Date("day of the order, in the zone of the settings")
    hour = Int("hour of the day of the order, in the zone of the settings")
    status = Text("what became of it, in small letters; none: the shop does not say")
    counts = Bool(
        "whether its status counts; null: the settings do not name the status, and it does not", nullable=True
    )
    total_cents = Money("amount of the order", unit="cents", nullable=True)
    year = Int("year of the day")
    month = Int("month of the day")


@dataset(
    ShopOrder,
    layer="silver",
    grain="one row per order",
    by="order_id",
    key="order_id",
    partition_by=("year", "month"),
    checks=[
        expression(
            "status_in_settings", pl.col("counts").is_not_null(), columns=("status",), action="fail", allowed=0.5
        ),
        repeated("orders"),
    ],
)
def shop_orders(orders: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """Orders, each once, with day and hour in the zone of the settings.

    Where the settings name the status of less than half of them, the figures would be of the rest: the run is stopped.
    """
    local = pl.col("ordered_at").dt.replace_time_zone("UTC").dt.convert_time_zone(settings["zone"]).dt
    status = pl.col("status").str.strip_chars().str.to_lowercase().fill_null(NO_STATUS)
    counted, other = (
        pl.col("status").is_in(statuses(settings[name])) for name in ("counted_statuses", "other_statuses")
    )
    once = latest(orders, key=["order_id"], order=[*CHANGED, "ordered_at"])
    return once.select(
        "order_id", "customer_id", "ordered_at", local.date().alias("day"), local.hour().alias("hour"), status,
        "total_cents",
    ).with_columns(
        pl.when(counted).then(True).when(other).then(False).alias("counts"),
        pl.col("day").dt.year().alias("year"), pl.col("day").dt.month().alias("month"),
    )  # fmt: skip


class ShopLine(Contract):
    """Lines of orders as the shop knows them now."""

    order_item_id = Text("id of the line")
    order_id = Text("its order")
    product_id = Text("what was bought")
    quantity = Int("pieces")
    unit_price_cents = Money("price of one piece", unit="cents")
    discount_cents = Money("discount on the line", unit="cents", nullable=True)
    orders = Int("orders that the shop ever had it under; 1 where each order numbers its lines anew")


@dataset(
    ShopLine,
    layer="silver",
    grain="one row per order line",
    by="order_item_id",
    key=("order_item_id", "order_id"),
    checks=[
        repeated("order_items"),
        expression("moved_lines", pl.col("orders") == 1, columns=("order_item_id",), action="fail", allowed=0.5),
    ],
)
def shop_lines(order_items: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """Order lines, each once. A line that moved to another order is of that one alone.

    Where most ids have several orders, each order numbers its lines anew, and nothing is published under ``shop``.
    """
    key = {"shop": ["order_item_id"], "order": ["order_item_id", "order_id"]}[settings["lines_numbered_by"]]
    orders = order_items.group_by(key).agg(pl.col("order_id").n_unique().cast(pl.Int64).alias("orders"))
    once = latest(order_items, key=key, order=CHANGED).drop("updated_at")
    return once.join(orders, on=key, how="left", validate="1:1")


class OrderLine(Contract):
    """Lines of orders."""

    order_id = Text("id of the order")
    order_item_id = Text("id of the line")
    product_id = Text("what was bought")
    quantity = Int("pieces")
    unit_price_cents = Money("price of one piece", unit="cents")
    discount_cents = Money("discount on the line", unit="cents")
    net_cents = Money("quantity times price, less the discount", unit="cents")
    year = Int("year of the order", nullable=True)
    month = Int("month of the order", nullable=True)


@dataset(
    OrderLine,
    layer="silver",
    grain="one row per order line",
    by="order_id",
    keyed={
        "shop_lines": ["order_item_id", "product_id", "quantity", "unit_price_cents", "discount_cents"],
        "shop_orders": ["year", "month"],
    },
    key=("order_id", "order_item_id"),
    partition_by=("year", "month"),
    checks=[
        reference("order_id", to="shop_orders"),
        between("quantity", 1, MOST_PIECES),
        between("unit_price_cents", 0, MOST_CENTS),
        at_least("discount_cents", 0),
        expression("discount", pl.col("net_cents") >= 0, columns=("discount_cents",)),
    ],
)
def order_lines(shop_lines: pl.LazyFrame, shop_orders: pl.LazyFrame) -> pl.LazyFrame:
    """Order lines with what they come to; those of orders that are not there are rejected."""
    discount = pl.col("discount_cents").fill_null(0)
    priced = shop_lines.with_columns(
        discount, (pl.col("quantity") * pl.col("unit_price_cents") - discount).alias("net_cents")
    )
    return priced.join(shop_orders, on="order_id", how="left", validate="m:1")


class CountedOrder(Contract):
    """Orders that count."""

    order_id = Text("id of the order")
    customer_id = Text("who ordered; null: the shop does not say", nullable=True, forget="value")
    ordered_at = Time("when")
    day = Date("day of the order, in the zone of the settings")
    hour = Int("hour of the day of the order, in the zone of the settings")
    lines = Int("lines")
    pieces = Int("pieces")
    value_cents = Money("sum of its lines", unit="cents")
    total_cents = Money("amount that the shop gives", unit="cents", nullable=True)
    year = Int("year of the day")
    month = Int("month of the day")


@dataset(
    CountedOrder,
    layer="silver",
    grain="one row per order whose status counts, until the as-of",
    by="order_id",
    keyed={
        "shop_orders": ["customer_id", "ordered_at", "day", "hour", "counts", "total_cents", "year", "month"],
        "order_lines": ["quantity", "net_cents"],
    },
    key="order_id",
    partition_by=("year", "month"),
    checks=[
        expression("has_lines", pl.col("lines") > 0, action="warn", dimension="completeness"),
        expression("total", pl.col("total_cents") == pl.col("value_cents"), columns=("total_cents",), action="warn"),
    ],
)
def counted_orders(shop_orders: pl.LazyFrame, order_lines: pl.LazyFrame, as_of: dt.datetime) -> pl.LazyFrame:
    """The orders that all figures are of. Their value is that of their lines."""
    until = pl.col("ordered_at") <= pl.lit(as_of, pl.Datetime("us"))
    sums = order_lines.group_by("order_id").agg(
        pl.len().alias("lines"),
        pl.col("quantity").sum().alias("pieces"),
        pl.col("net_cents").sum().alias("value_cents"),
    )
    counted = shop_orders.filter(pl.col("counts") & until).drop("counts")
    found = counted.join(sums, on="order_id", how="left", validate="1:1")
    return found.with_columns(pl.col("lines", "pieces", "value_cents").fill_null(0))


class CountedLine(Contract):
    """Lines of orders that count."""

    order_id = Text("id of the order")
    order_item_id = Text("id of the line")
    product_id = Text("what was bought")
    customer_id = Text("who ordered; null: the shop does not say", nullable=True, forget="value")
    day = Date("day of the order, in the zone of the settings")
    quantity = Int("pieces")
    net_cents = Money("quantity times price, less the discount", unit="cents")
    year = Int("year of the day")
    month = Int("month of the day")


@dataset(
    CountedLine,
    layer="silver",
    grain="one row per line of an order that counts",
    by="order_id",
    keyed={
        "order_lines": ["order_item_id", "product_id", "quantity", "net_cents"],
        "counted_orders": ["customer_id", "day", "value_cents", "pieces", "year", "month"],
    },
    key=("order_id", "order_item_id"),
    partition_by=("year", "month"),
    checks=[
        conserves("net_cents", source="counted_orders", column="value_cents"),
        conserves("quantity", source="counted_orders", column="pieces"),
    ],
)
def counted_lines(order_lines: pl.LazyFrame, counted_orders: pl.LazyFrame) -> pl.LazyFrame:
    """The lines that all figures are of."""
    found = order_lines.join(counted_orders, on="order_id", how="inner", validate="m:1")
    return found.drop("value_cents", "pieces")
