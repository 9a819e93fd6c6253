"""Stock against capacity and demand: by product and location, by location, and by product."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl

from pipeline.datasets import Bool, Contract, Float, Int, Money, Text, Time, allocate, conserves, dataset, reference

from .sales import quotient

_DAY = 86_400_000_000
"""Microseconds of a day."""


def score(quantity: str, capacity: str, days: str) -> pl.Expr:
    """(1 - 2·|quantity / capacity - 0.5|)·100 - 2·days, from 0 to 100 (Float64): one division of whole numbers.

    What is above the capacity scores 0, as does what is full. Null where the capacity is null or not positive, or the
    days are null.
    """
    held, most = pl.min_horizontal(quantity, capacity), pl.col(capacity)
    points = 200 * pl.min_horizontal(held, most - held) - 2 * pl.col(days) * most
    return pl.when(most > 0).then(points.clip(lower_bound=0).cast(pl.Float64) / most.cast(pl.Float64))


def why_no_score(known: str, capacity: str, days: str) -> pl.Expr:
    """Why ``score`` is null; null where it is not. ``known``: whether the location is known."""
    return (
        pl.when(~pl.col(known)).then(pl.lit("unknown location"))
        .when(pl.col(capacity).is_null()).then(pl.lit("no capacity"))
        .when(pl.col(capacity) <= 0).then(pl.lit("capacity is not positive"))
        .when(pl.col(days).is_null()).then(pl.lit("no time of update"))
    )  # fmt: skip


def utilisation(quantity: str, capacity: str) -> pl.Expr:
    """Quantity by capacity (Float64); null where the capacity is null or not positive."""
    return pl.when(pl.col(capacity) > 0).then(quotient(quantity, capacity))


def with_levels(rows: pl.LazyFrame, quantity: str, demand: str, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """Rows with what their stock should be by the demand of the window; ``quantity``, ``demand``: columns of pieces.

    Adds ``days_of_supply`` (Float64; null without demand), ``reorder_level``, ``optimal_level``, ``overstock_level``,
    ``restock_quantity`` and ``overstock_quantity`` (pieces). Levels are rounded up to whole pieces.
    """
    window = settings["window_days"]
    level = {
        f"{name}_level": (pl.col(demand) * settings[f"{days}_days"] + window - 1) // window
        for name, days in (("reorder", "reorder"), ("optimal", "target"), ("overstock", "overstock"))
    }
    held, optimal, most = pl.col(quantity), pl.col("optimal_level"), pl.col("overstock_level")
    supply = (pl.col(quantity) * window).cast(pl.Float64) / pl.col(demand).cast(pl.Float64)
    return rows.with_columns(pl.col(demand).fill_null(0)).with_columns(
        pl.when(pl.col(demand) > 0).then(supply).alias("days_of_supply"),
        *(value.alias(name) for name, value in level.items()),
    ).with_columns(
        pl.when(held < pl.col("reorder_level")).then(optimal - held).otherwise(0).alias("restock_quantity"),
        pl.when(held > most).then(held - most).otherwise(0).alias("overstock_quantity"),
    )  # fmt: skip


class InventoryAnalytics(Contract):
    """Stock of a product in a location."""

    product_id = Text("id of the product")
    location_id = Text("id of the location")
    quantity = Int("pieces")
    capacity = Int("pieces that the location can hold", nullable=True)
    utilisation = Float("quantity by capacity", nullable=True)
    last_updated = Time("when they were counted last", nullable=True)
    days_since_update = Int("whole days from then to the as-of; 0 for the future", nullable=True)
    updated_in_future = Bool("whether they were counted after the as-of")
    score = Float("from 0 to 100: half full and counted today is 100", nullable=True)
    no_score_reason = Text("why there is no score", nullable=True)
    value_cents = Money("quantity times cost; null: the cost is unknown", unit="cents", nullable=True)
    abc_class = Text("class of the product by its revenue in the window: A, B or C")
    demand = Int("pieces of the product that were sold in the window: the part of this location")
    days_of_supply = Float("days that the stock lasts at this demand; null: there is none", nullable=True)
    reorder_level = Int("pieces below which more is needed")
    optimal_level = Int("pieces that there should be")
    overstock_level = Int("pieces above which there are too many")
    restock_quantity = Int("pieces that are missing to the optimal level, where more is needed")
    overstock_quantity = Int("pieces above the overstock level")


@dataset(
    InventoryAnalytics,
    grain="one row per product and location",
    by="product_id",
    keyed={
        "stock": ["location_id", "quantity", "last_updated"],
        "product_sales": ["window_pieces"],
        "abc_classes": ["abc_class"],
        "shop_products": ["cost_cents"],
    },
    lookup={"shop_locations": "location_id"},
    key=("product_id", "location_id"),
    checks=[
        reference("location_id", to="shop_locations", action="warn"),
        reference("product_id", to="shop_products", action="warn"),
        conserves("quantity", source="stock"),
    ],
)
def inventory_analytics(
    stock: pl.LazyFrame,
    product_sales: pl.LazyFrame,
    abc_classes: pl.LazyFrame,
    shop_products: pl.LazyFrame,
    shop_locations: pl.LazyFrame,
    as_of: dt.datetime,
    settings: Mapping[str, Any],
) -> pl.LazyFrame:
    """Score, days of supply, and what is missing or too much."""
    places = shop_locations.select("location_id", "capacity", pl.lit(True).alias("known"))
    held = stock.join(places, on="location_id", how="left", validate="m:1").with_columns(
        pl.col("known").fill_null(False)
    )
    for facts in (product_sales, abc_classes, shop_products):
        held = held.join(facts, on="product_id", how="left", validate="m:1")
    now = pl.lit(as_of, pl.Datetime("us"))
    future = (pl.col("last_updated") > now).fill_null(False)
    days = (now - pl.col("last_updated")).dt.total_microseconds() // _DAY
    # By capacity; where one of the product's locations has none, in equal parts.
    divisible = (pl.col("capacity") > 0).fill_null(False).all().over("product_id")
    aged = held.with_columns(
        future.alias("updated_in_future"), pl.when(future).then(0).otherwise(days).alias("days_since_update"),
        pl.col("window_pieces").fill_null(0), pl.when(divisible).then("capacity").otherwise(1).alias("weight"),
    ).with_columns(
        allocate("window_pieces", "weight", over="product_id", order="location_id").alias("demand")
    )  # fmt: skip
    return with_levels(aged, "quantity", "demand", settings).with_columns(
        utilisation("quantity", "capacity").alias("utilisation"),
        score("quantity", "capacity", "days_since_update").alias("score"),
        why_no_score("known", "capacity", "days_since_update").alias("no_score_reason"),
        (pl.col("quantity") * pl.col("cost_cents")).alias("value_cents"), pl.col("abc_class").fill_null("C"),
    ).drop("known", "weight", "window_pieces", "cost_cents")  # fmt: skip


class WarehouseUtilisation(Contract):
    """Stock of a location."""

    location_id = Text("id of the location")
    location_name = Text("what people call it", nullable=True)
    products = Int("products that it has")
    quantity = Int("pieces of all its products")
    capacity = Int("pieces that it can hold", nullable=True)
    utilisation = Float("quantity by capacity", nullable=True)
    days_since_update = Int("whole days since the latest count of any of its products", nullable=True)
    never_updated = Int("products that have no time of a count")
    updated_in_future = Int("products that were counted after the as-of")
    score = Float("from 0 to 100: half full and counted today is 100", nullable=True)
    no_score_reason = Text("why there is no score", nullable=True)
    value_cents = Money("value of the products whose cost is known", unit="cents")
    restock_quantity = Int("pieces that are missing")
    overstock_quantity = Int("pieces that are too many")


_COUNTS = (
    "products", "quantity", "value_cents", "restock_quantity", "overstock_quantity", "never_updated",
    "updated_in_future",
)  # fmt: skip


@dataset(
    WarehouseUtilisation,
    grain="one row per location, also of stock that no location is known for",
    by="location_id",
    keyed={
        "inventory_analytics": [
            "product_id", "quantity", "days_since_update", "updated_in_future", "value_cents", "restock_quantity",
            "overstock_quantity",
        ],
        "shop_locations": ["location_name", "capacity"],
    },
    key="location_id",
    checks=[
        conserves(name, source="inventory_analytics")
        for name in ("quantity", "value_cents", "restock_quantity", "overstock_quantity", "updated_in_future")
    ],
)  # fmt: skip
def warehouse_utilisation(inventory_analytics: pl.LazyFrame, shop_locations: pl.LazyFrame) -> pl.LazyFrame:
    """How full each location is: all its products together."""
    sums = inventory_analytics.group_by("location_id").agg(
        pl.len().alias("products"), pl.col("quantity", "value_cents", "restock_quantity", "overstock_quantity").sum(),
        pl.col("days_since_update").min(), pl.col("days_since_update").null_count().alias("never_updated"),
        pl.col("updated_in_future").sum(),
    )  # fmt: skip
    known = shop_locations.with_columns(pl.lit(True).alias("known"))
    return (
        known.join(sums, on="location_id", how="full", coalesce=True, validate="1:1")
        .with_columns(pl.col("known").fill_null(False), pl.col(*_COUNTS).fill_null(0))
        .with_columns(
            utilisation("quantity", "capacity").alias("utilisation"),
            score("quantity", "capacity", "days_since_update").alias("score"),
            why_no_score("known", "capacity", "days_since_update").alias("no_score_reason"),
        )
        .drop("known")
    )


class Turnover(Contract):
    """Stock of a product against its sales."""

    product_id = Text("id of the product")
    product_name = Text("what people call it", nullable=True)
    category = Text("category", nullable=True)
    is_known = Bool("whether the shop's products have it; others only occur in stock or sales")
    locations = Int("locations that have it")
    stock_quantity = Int("pieces in all locations")
    stock_value_cents = Money("stock times cost; null: the cost is unknown", unit="cents", nullable=True)
    pieces = Int("pieces that were ever sold")
    revenue_cents = Money("what they brought", unit="cents")
    window_pieces = Int("pieces that were sold in the window")
    window_revenue_cents = Money("what these brought", unit="cents")
    turnover = Float("pieces sold in the window by pieces in stock now; null: there is no stock", nullable=True)
    yearly_turnover = Float("the same for 365 days", nullable=True)
    days_of_supply = Float("days that the stock lasts at the demand of the window; null: there is none", nullable=True)
    reorder_level = Int("pieces below which more is needed")
    optimal_level = Int("pieces that there should be")
    overstock_level = Int("pieces above which there are too many")
    restock_quantity = Int("pieces that are missing in all locations together")
    overstock_quantity = Int("pieces that are too many in all locations together")
    abc_class = Text("class by revenue in the window: A, B or C")


@dataset(
    Turnover,
    grain="one row per product that is known, in stock or was sold",
    by="product_id",
    keyed=["shop_products", "product_sales", "stock", "abc_classes"],
    key="product_id",
    checks=[
        conserves("stock_quantity", source="stock", column="quantity"),
        *(conserves(name, source="product_sales") for name in ("pieces", "revenue_cents", "window_revenue_cents")),
    ],
)
def turnover(
    shop_products: pl.LazyFrame,
    product_sales: pl.LazyFrame,
    stock: pl.LazyFrame,
    abc_classes: pl.LazyFrame,
    settings: Mapping[str, Any],
) -> pl.LazyFrame:
    """How often the stock of a product is sold, and how long it lasts."""
    held = stock.group_by("product_id").agg(
        pl.len().alias("locations"), pl.col("quantity").sum().alias("stock_quantity")
    )
    parts = (
        shop_products.drop("price_cents").with_columns(pl.lit(True).alias("is_known")),
        product_sales, held, abc_classes.select("product_id", "abc_class"),
    )  # fmt: skip
    rows = pl.concat([part.select("product_id") for part in parts]).unique()
    for part in parts:
        rows = rows.join(part, on="product_id", how="left", validate="1:1")
    counts = ("locations", "stock_quantity", "pieces", "revenue_cents", "window_pieces", "window_revenue_cents")
    filled = rows.with_columns(
        pl.col(counts).fill_null(0), pl.col("is_known").fill_null(False), pl.col("abc_class").fill_null("C")
    )
    window = settings["window_days"]
    sold, there = (pl.col("window_pieces") * 365).cast(pl.Float64), (pl.col("stock_quantity") * window).cast(pl.Float64)
    return with_levels(filled, "stock_quantity", "window_pieces", settings).with_columns(
        (pl.col("stock_quantity") * pl.col("cost_cents")).alias("stock_value_cents"),
        quotient("window_pieces", "stock_quantity").alias("turnover"),
        pl.when(pl.col("stock_quantity") > 0).then(sold / there).alias("yearly_turnover"),
    ).drop("cost_cents")  # fmt: skip
