"""Staging: one row is one order line, one payment, one day; what cannot be right is in the quarantine."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from pipeline.datasets import Bool, Contract, Date, Int, Money, Text, at_least, dataset, expression

from . import sources
from .methods import normalise_method
from .staging import KEEP, QUARANTINE, Missing, fill, latest, lost_versions, missing_checks, treat_missing

LINE_KEY = ("order_id", "product_id", "line_number")
_LINE_VALUES = ("customer_id", "day", "quantity", "unit_price_cents", "discount_cents", "payment_type")
_PAYMENT_VALUES = ("order_id", "payment_method", "amount_cents", "day", "payment_status")

LINE_NULLS: Mapping[str, Missing] = {
    "customer_id": KEEP,
    "product_id": KEEP,
    "day": QUARANTINE,
    "quantity": QUARANTINE,
    "discount_cents": fill(0),
}
PAYMENT_NULLS: Mapping[str, Missing] = {
    "order_id": KEEP,
    "amount_cents": QUARANTINE,
    "day": QUARANTINE,
    "payment_status": fill("unknown"),
}


class OrderLine(Contract):
    """Order lines, each once."""

    order_id = Text("id of the order")
    product_id = Text("what was bought; null: the shop does not say", nullable=True)
    line_number = Int("tells lines of the same product in one order apart; 0 where the shop does not number them")
    customer_id = Text("who bought; null: the shop does not say", nullable=True)
    day = Date("day of the order", nullable=True)
    quantity = Int("pieces", nullable=True)
    unit_price_cents = Money("price of one piece; null: the median of its product counts", unit="cents", nullable=True)
    discount_cents = Money("discount on the line", unit="cents")
    payment_type = Text("how the customer means to pay")


@dataset(
    OrderLine,
    layer="silver",
    grain="one row per order line",
    by="order_id",
    keyed={"orders": ["_extracted_at", *sources.Orders.columns]},
    key=LINE_KEY,
    checks=[
        *missing_checks(LINE_NULLS, "max_null_share"),
        at_least("quantity", 1),
        at_least("unit_price_cents", 1),
        at_least("discount_cents", 0),
        expression("discount", pl.col("discount_cents") <= pl.col("quantity") * pl.col("unit_price_cents")),
    ],
)
def order_lines(orders: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """Order lines, each once: of the latest extract, without invented prices."""
    once = treat_missing(latest(_numbered(orders), LINE_KEY, _LINE_VALUES), LINE_NULLS)
    price = pl.col("unit_price_cents")
    if settings["missing_price"] == "quarantine":
        price = price.fill_null(0)  # which the check on prices rejects
    return once.select(
        *LINE_KEY, "customer_id", "day", "quantity", price, "discount_cents", normalise_method("payment_type")
    )


class LostLine(Contract):
    """Contents of order lines that another one replaces."""

    order_id = Text("id of the order")
    product_id = Text("what was bought", nullable=True)
    line_number = Int("number of the line")
    customer_id = Text("who bought", nullable=True)
    day = Date("day of the order", nullable=True)
    quantity = Int("pieces", nullable=True)
    unit_price_cents = Money("price of one piece", unit="cents", nullable=True)
    discount_cents = Money("discount on the line", unit="cents", nullable=True)
    payment_type = Text("how the customer meant to pay", nullable=True)


@dataset(
    LostLine,
    layer="silver",
    grain="one row per content of a line that does not count",
    by="order_id",
    keyed={"orders": ["_extracted_at", *sources.Orders.columns]},
)
def order_conflicts(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Conflicts: what the shop said of an order line before, or besides."""
    return lost_versions(_numbered(orders), LINE_KEY, _LINE_VALUES)


def _numbered(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.with_columns(pl.col("line_number").fill_null(0))


class Payment(Contract):
    """Payments, each once."""

    payment_id = Text("id of the payment")
    order_id = Text("the order that is paid; null: the provider does not say", nullable=True)
    method = Text("how it was paid")
    amount_cents = Money("amount", unit="cents", nullable=True)
    day = Date("day of the payment", nullable=True)
    status = Text("what became of it, in small letters")
    counts = Bool("whether the money has come")


@dataset(
    Payment,
    layer="silver",
    grain="one row per payment",
    by="payment_id",
    keyed={"payments": ["_extracted_at", *sources.Payments.columns]},
    key="payment_id",
    checks=[*missing_checks(PAYMENT_NULLS, "max_null_share"), at_least("amount_cents", 1)],
)
def clean_payments(payments: pl.LazyFrame) -> pl.LazyFrame:
    """Payments, each once: of the latest extract, with one name for each method."""
    once = treat_missing(latest(payments, ["payment_id"], _PAYMENT_VALUES), PAYMENT_NULLS)
    status = pl.col("payment_status").str.strip_chars().str.to_lowercase()
    return once.select(
        "payment_id", "order_id", normalise_method("payment_method").alias("method"), "amount_cents", "day",
        status.alias("status"), status.is_in(["completed", "complete", "paid", "success", "succeeded"]).alias("counts"),
    )  # fmt: skip


class PriceMedian(Contract):
    """The usual price of a product."""

    product_id = Text("id of the product", nullable=True)
    median_cents = Money("the lower median of its prices over all lines", unit="cents")


@dataset(PriceMedian, layer="silver", grain="one row per product that was sold", by="product_id", key="product_id")
def price_medians(order_lines: pl.LazyFrame) -> pl.LazyFrame:
    """The median price of each product, which ``missing_price = fill_median`` uses."""
    median = pl.col("unit_price_cents").quantile(0.5, interpolation="lower").cast(pl.Int64)
    prices = order_lines.filter(pl.col("unit_price_cents").is_not_null())
    return prices.group_by("product_id").agg(median.alias("median_cents"))


class Day(Contract):
    """Days on which something was ordered or paid."""

    day = Date("the day")


@dataset(
    Day,
    layer="silver",
    grain="one row per day with an order or a payment",
    by="day",
    keyed={"order_lines": ["day"], "clean_payments": ["day"]},
    key="day",
)
def active_days(order_lines: pl.LazyFrame, clean_payments: pl.LazyFrame) -> pl.LazyFrame:
    """The days that the calendar must have."""
    return pl.concat([order_lines.select("day"), clean_payments.select("day")]).unique()
