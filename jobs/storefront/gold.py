"""One big table of orders and one of their lines, and what a day's orders and categories come to."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl

from pipeline.datasets import (
    UNKNOWN,
    Contract,
    Date,
    Float,
    Int,
    ListOf,
    Money,
    Text,
    allocate,
    at_most,
    conserves,
    dataset,
    expression,
)

from .facts import FactOrder, FactOrderItem
from .members import UNCATEGORISED, WHOLE

MOST_MEAN_CENTS = 10_000_000
"""A mean revenue above 100,000 USD is a fault of the data: nothing is published."""
_PRODUCT = ("product_name", "brand_name", "manufacturer_name", "mean_score")


class WideOrder(FactOrder):
    """Orders with their buyers and what their lines come to."""

    tier = Text("what the shop grants the buyer", nullable=True)
    buyer_country = Text("country of the buyer at the time of the order", nullable=True)
    items = Int("lines")
    quantity = Int("pieces of all lines")
    lines_minor = Int("gross of all lines", unit="minor units of the order's currency")
    difference_minor = Int("total of the header less that of the lines", unit="minor units of the order's currency")
    revenue_cents = Money("net of all lines; 0 where the order does not count", unit="USD cents")


@dataset(
    WideOrder,
    grain="one row per order",
    by="order_id",
    keyed={"fact_orders": [], "fact_order_items": ["quantity", "gross_minor", "revenue_cents"]},
    whole={"dim_buyer": ["buyer_key", "tier", "country"]},
    lookup={"dim_buyer": "buyer_id"},
    key="order_id",
    partition_by="day",
    checks=[
        expression(
            "header_is_its_lines", pl.col("difference_minor") == 0, columns=["difference_minor"], action="warn",
            dimension="consistency",
        ),
        conserves("revenue_cents", source="fact_order_items"),
        conserves("quantity", source="fact_order_items"),
    ],
)  # fmt: skip
def wide_orders(fact_orders: pl.LazyFrame, fact_order_items: pl.LazyFrame, dim_buyer: pl.LazyFrame) -> pl.LazyFrame:
    """Orders with all that is known of them; where header and lines differ, it says by how much."""
    sums = fact_order_items.group_by("order_id").agg(
        pl.len().cast(pl.Int64).alias("items"), pl.col("quantity", "revenue_cents").sum(),
        pl.col("gross_minor").sum().alias("lines_minor"),
    )  # fmt: skip
    buyers = dim_buyer.select("buyer_key", "tier", pl.col("country").alias("buyer_country"))
    found = fact_orders.join(sums, on="order_id", how="left", validate="1:1").with_columns(
        pl.col("items", "quantity", "revenue_cents", "lines_minor").fill_null(0)
    )
    with_difference = found.with_columns((pl.col("total_minor") - pl.col("lines_minor")).alias("difference_minor"))
    return with_difference.join(buyers, on="buyer_key", how="left", validate="m:1")


class WideOrderItem(FactOrderItem):
    """Order lines with products, sellers, buyers and categories."""

    product_name = Text("what people call it; null: the shop has no such product", nullable=True)
    brand_name = Text("brand of the product", nullable=True)
    manufacturer_name = Text("who makes the product", nullable=True)
    mean_score = Float("mean of the product's ratings", nullable=True)
    seller_name = Text("name of the seller at the time of the order", nullable=True)
    buyer_country = Text("country of the buyer at the time of the order", nullable=True)
    category_ids = ListOf(Int(), "categories of the product, in order")
    categories = ListOf(Text(), "their names")
    weights_ppm = ListOf(Int(), "their weights", unit="parts per million")
    category_revenue_cents = ListOf(Money(), "the revenue, divided among them by weight", unit="USD cents")


@dataset(
    WideOrderItem,
    grain="one row per order line",
    by="order_id",
    keyed=["fact_order_items"],
    whole={"dim_product": _PRODUCT, "dim_seller": ["seller_key", "seller_name"], "dim_buyer": ["buyer_key", "country"]},
    lookup={
        "dim_product": "product_id", "product_x_category": "product_id", "dim_seller": "seller_id",
        "dim_buyer": "buyer_id",
    },
    key="order_item_id",
    partition_by="day",
    checks=[
        expression(
            "shares_add_up", pl.col("category_revenue_cents").list.sum() == pl.col("revenue_cents"),
            columns=["category_revenue_cents"], action="fail",
        ),
        conserves("revenue_cents", source="fact_order_items"),
    ],
)  # fmt: skip
def wide_order_items(
    fact_order_items: pl.LazyFrame,
    dim_product: pl.LazyFrame,
    product_x_category: pl.LazyFrame,
    dim_seller: pl.LazyFrame,
    dim_buyer: pl.LazyFrame,
) -> pl.LazyFrame:
    """Order lines with all that is known of them, and their revenue divided exactly among categories."""
    products = dim_product.select("product_id", *_PRODUCT)
    sellers = dim_seller.select("seller_key", "seller_name")
    buyers = dim_buyer.select("buyer_key", pl.col("country").alias("buyer_country"))
    return (
        fact_order_items.join(products, on="product_id", how="left", validate="m:1")
        .join(sellers, on="seller_key", how="left", validate="m:1")
        .join(buyers, on="buyer_key", how="left", validate="m:1")
        .join(_shares(fact_order_items, product_x_category), on="order_item_id", how="left", validate="1:1")
    )


def _shares(lines: pl.LazyFrame, product_x_category: pl.LazyFrame) -> pl.LazyFrame:
    """For each line lists of its categories with their weights and shares of the revenue, by category."""
    links = lines.select("order_item_id", "product_id", "revenue_cents").join(
        product_x_category, on="product_id", how="left"
    )
    named = links.with_columns(
        pl.col("category_id").fill_null(UNKNOWN),
        pl.col("category_name").fill_null(UNCATEGORISED),
        pl.col("weight_ppm").fill_null(WHOLE),
    )
    share = allocate("revenue_cents", "weight_ppm", over="order_item_id", order="category_id")
    lists = {"category_ids": "category_id", "categories": "category_name", "weights_ppm": "weight_ppm"}
    return (
        named.with_columns(share.alias("category_revenue_cents"))
        .sort("order_item_id", "category_id")
        .group_by("order_item_id", maintain_order=True)  # and the order of rows in each list
        .agg(*(pl.col(column).alias(name) for name, column in lists.items()), "category_revenue_cents")
    )


class CategoryDay(Contract):
    """What the orders of a day come to in a category."""

    day = Date("day of the orders in the zone of the job")
    category_id = Int("the category; -1: products without one")
    category_name = Text("its name")
    orders = Int("orders with a product of the category")
    items = Int("their lines with such a product")
    quantity = Int("pieces of those lines")
    weighted_revenue_cents = Money("revenue by the weights of categories: adds up to that of orders", unit="USD cents")
    impact_revenue_cents = Money(
        "revenue of all lines with the category, each whole: adds up to more than that of orders", unit="USD cents"
    )
    mean_revenue_cents = Float("mean revenue of those lines, each whole", unit="USD cents")
    median_revenue_cents = Float("exact median of the same", unit="USD cents")


@dataset(
    CategoryDay,
    grain="one row per day and category with sales",
    by="day",
    keyed={
        "wide_order_items": [
            "order_id", "counts", "quantity", "revenue_cents", "category_ids", "categories", "category_revenue_cents",
        ]
    },
    key=("day", "category_id"),
    checks=[
        at_most("mean_revenue_cents", MOST_MEAN_CENTS, action="fail"),
        conserves("weighted_revenue_cents", source="wide_order_items", column="revenue_cents"),
    ],
)  # fmt: skip
def daily_category_metrics(wide_order_items: pl.LazyFrame) -> pl.LazyFrame:
    """Revenue of each day and category: weighted, so that it adds up, and with the whole impact of each line."""
    lines = wide_order_items.filter("counts").explode("category_ids", "categories", "category_revenue_cents")
    revenue = pl.col("revenue_cents")
    middle = [revenue.quantile(0.5, interpolation=side).cast(pl.Int64) for side in ("lower", "higher")]
    named = lines.rename({"category_ids": "category_id", "categories": "category_name"})
    sums = named.group_by("day", "category_id", "category_name").agg(
        pl.col("order_id").n_unique().alias("orders"), pl.len().cast(pl.Int64).alias("items"), pl.col("quantity").sum(),
        pl.col("category_revenue_cents").sum().alias("weighted_revenue_cents"),
        revenue.sum().alias("impact_revenue_cents"), (middle[0] + middle[1]).alias("_twice_median"),
    )  # fmt: skip
    return sums.with_columns(
        _mean("impact_revenue_cents", "items").alias("mean_revenue_cents"),
        (pl.col("_twice_median").cast(pl.Float64) * 0.5).alias("median_revenue_cents"),
    ).drop("_twice_median")


def _mean(total: str, count: str) -> pl.Expr:
    """One division of two exact sums; null where there is nothing to divide by."""
    number = pl.col(count).cast(pl.Float64)
    return pl.when(pl.col(count) > 0).then(pl.col(total).cast(pl.Float64) / number)


class ReportDay(Contract):
    """Days that reports have."""

    day = Date("the day")


@dataset(ReportDay, grain="one row per day of the reports", key="day")
def report_days(day_rates: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """Days with orders; with ``empty_days = keep`` also those between them."""
    days = day_rates.filter(pl.col("rate_nano").is_not_null()).select("day").unique()
    if settings["empty_days"] != "keep":
        return days
    first, last = days.select(first=pl.col("day").min(), last=pl.col("day").max()).collect().row(0)
    every = [] if first is None else [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    return pl.LazyFrame({"day": every}, schema={"day": pl.Date})


class OrderDay(Contract):
    """What the orders of a day come to."""

    day = Date("day of the orders in the zone of the job")
    orders = Int("orders that count")
    uncounted_orders = Int("orders that do not, by their status")
    revenue_cents = Money("net revenue of the lines of orders that count", unit="USD cents")
    category_revenue_cents = Money("weighted revenue of all categories: the same", unit="USD cents")
    mean_revenue_cents = Float("revenue by orders; null: no order counts", unit="USD cents", nullable=True)


@dataset(
    OrderDay,
    grain="one row per day of the reports",
    by="day",
    keyed={
        "report_days": ["day"],
        "wide_orders": ["counts", "revenue_cents"],
        "daily_category_metrics": ["weighted_revenue_cents"],
    },
    key="day",
    checks=[
        at_most("mean_revenue_cents", MOST_MEAN_CENTS, action="fail"),
        expression(
            "categories_are_orders", pl.col("category_revenue_cents") == pl.col("revenue_cents"),
            columns=["category_revenue_cents"], action="fail", dimension="consistency",
        ),
        conserves("revenue_cents", source="wide_orders"),
    ],
)  # fmt: skip
def daily_order_metrics(
    report_days: pl.LazyFrame, wide_orders: pl.LazyFrame, daily_category_metrics: pl.LazyFrame
) -> pl.LazyFrame:
    """Orders and revenue of each day, which its categories must come to as well."""
    counts = pl.col("counts").cast(pl.Int64)
    orders = wide_orders.group_by("day").agg(
        counts.sum().alias("orders"), (1 - counts).sum().alias("uncounted_orders"), pl.col("revenue_cents").sum()
    )
    categories = daily_category_metrics.group_by("day").agg(
        pl.col("weighted_revenue_cents").sum().alias("category_revenue_cents")
    )
    found = report_days.join(orders, on="day", how="left", validate="1:1")
    filled = found.join(categories, on="day", how="left", validate="1:1").with_columns(
        pl.all().exclude("day").fill_null(0)
    )
    return filled.with_columns(_mean("revenue_cents", "orders").alias("mean_revenue_cents"))
