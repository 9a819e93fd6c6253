"""Cleaned tables: each row of the shop's tables once, as it is now; what cannot be right is in the quarantine."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from pipeline.datasets import (
    Bool,
    Check,
    DataSet,
    Date,
    Int,
    Text,
    at_least,
    between,
    dataset,
    expression,
    latest,
    one_of,
    reference,
    repeated,
    surrogate_key,
)

from . import sources
from .money import REPORT

EVENTS = ("view", "impression", "add_to_cart", "checkout", "purchase")


def cleaned(name: str, source: str, key: Sequence[str], grain: str, *checks: Check) -> DataSet:
    """A data set ``name`` with each ``key`` of a source once: of its rows the one that changed last."""
    contract = getattr(sources, source).contract

    def transform(**inputs: pl.LazyFrame) -> pl.LazyFrame:
        return latest(inputs[source], key=key, order=["updated_at"])

    function: Any = transform
    function.__name__ = name
    function.__doc__ = f"{(contract.__doc__ or '').rstrip('.')}: each once."
    function.__signature__ = inspect.Signature([inspect.Parameter(source, inspect.Parameter.KEYWORD_ONLY)])
    declare = dataset(
        contract, layer="silver", grain=grain, by=key, keyed={source: list(contract.columns)}, key=key,
        checks=[*checks, repeated(source)],
    )  # fmt: skip
    return declare(function)


clean_ratings = cleaned("clean_ratings", "ratings", ["rating_id"], "one row per rating", between("score", 1, 5))
clean_product_category = cleaned(
    "clean_product_category", "product_category", ["product_id", "category_id"],
    "one row per product and category that it is in", reference("category_id", to="category"),
)  # fmt: skip
seller_x_product = cleaned(
    "seller_x_product", "seller_product", ["seller_id", "product_id"], "one row per seller and product that it offers"
)
clean_order_items = cleaned(
    "clean_order_items", "order_item", ["order_item_id"], "one row per order line",
    at_least("quantity", 1), at_least("base_price", 0), at_least("tax", 0),
    expression("tax_within_price", pl.col("tax") <= pl.col("base_price"), columns=["tax"]),
)  # fmt: skip


class CleanClick(sources.Event):
    """What people do on the pages, each event once."""

    day = Date("day of the event in the zone of the job")
    visitor = Int("who: the person, or a negative number of its own for an event of nobody who signed in")


@dataset(
    CleanClick,
    layer="silver",
    grain="one row per event",
    by="event_id",
    keyed={"clickstream": list(sources.Clickstream.columns)},
    key="event_id",
    checks=[one_of("event_type", EVENTS), repeated("clickstream")],
)
def clean_clicks(clickstream: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """What people do on the pages: each event once, as the first message tells it.

    Events of nobody are apart from each other, so that they need not meet in one place however many there are.
    """
    alone = -1 - surrogate_key("event_id")
    first = latest(clickstream, key=["event_id"], order=["received_at", "click_id"], keep="first")
    return first.drop("received_at", "click_id").with_columns(
        day_of("event_at", settings).alias("day"), pl.coalesce("user_id", alone).alias("visitor")
    )


class CleanOrder(sources.Orders):
    """Headers of orders, each once."""

    currency = Text("currency of all its amounts by ISO 4217")
    status = Text("what became of it, in small letters; unknown: the shop does not say")
    day = Date("day of the order in the zone of the job")
    counts = Bool("whether it counts as revenue, by its status")


@dataset(
    CleanOrder,
    layer="silver",
    grain="one row per order",
    by="order_id",
    keyed={"orders": list(sources.Orders.columns)},
    key="order_id",
    checks=[at_least("total", 0), repeated("orders")],
)
def clean_orders(orders: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """Headers of orders: each once, with the day on which its place's clocks were."""
    uncounted = [word.strip().lower() for word in str(settings["uncounted_statuses"]).split(",")]
    status = pl.col("status").str.strip_chars().str.to_lowercase().fill_null("unknown")
    once = latest(orders, key=["order_id"], order=["updated_at"])
    return once.with_columns(
        pl.col("currency").str.to_uppercase().fill_null(REPORT),
        status,
        day_of("ordered_at", settings).alias("day"),
        (~status.is_in(uncounted)).alias("counts"),
    )


def day_of(moment: str, settings: Mapping[str, Any]) -> pl.Expr:
    """The day of a moment (naive UTC) in the zone of the job."""
    zoned = pl.col(moment).dt.replace_time_zone("UTC").dt.convert_time_zone(str(settings["zone"]))
    return zoned.dt.date()
