"""Staging: one row is one order line, one payment, one day; what cannot be right is in the quarantine."""

from collections.abc import Mapping

import polars as pl

from pipeline.datasets import (
    Contract,
    Date,
    Int,
    Money,
    Text,
    at_least,
    dataset,
    expression,
    fresh,
    latest,
    product_fits,
    reference,
    repeated,
)

from . import sources
from .methods import normalise_method
from .staging import DROP, FILL, KEEP, QUARANTINE, Missing, missing_checks

LINE_KEY = ("order_id", "product_id", "line_number")
LINE_VALUES = ("customer_id", "day", "quantity", "unit_price_cents", "discount_cents", "payment_type")
PAYMENT_VALUES = ("order_id", "payment_method", "amount_cents", "day", "payment_status")

GROSS = pl.col("quantity").cast(pl.Int128) * pl.col("unit_price_cents").cast(pl.Int128)
"""Quantity times price, as it may be beyond 64 bits."""

HAS_COME = pl.col("status").is_in(["completed", "complete", "paid", "success", "succeeded"]).fill_null(False)
"""Whether the money of a payment has come, by its status after a missing one was filled."""

FILL_MEDIAN = "fill_median"
"""The median price of the product: ``fact_sales`` fills it in, because all lines of the product decide it."""

LINE_NULLS: Mapping[str, Missing] = {
    "customer_id": Missing("missing_customer", KEEP, (KEEP, FILL, DROP, QUARANTINE)),
    "product_id": Missing("missing_product", KEEP, (KEEP, DROP, QUARANTINE)),
    "day": Missing("missing_order_day", QUARANTINE, (DROP, QUARANTINE)),
    "quantity": Missing("missing_quantity", QUARANTINE, (FILL, DROP, QUARANTINE), whole=True),
    "unit_price_cents": Missing("missing_price", QUARANTINE, (FILL_MEDIAN, DROP, QUARANTINE)),
    "discount_cents": Missing("missing_discount", "fill:0", (FILL, DROP, QUARANTINE), whole=True),
}
PAYMENT_NULLS: Mapping[str, Missing] = {
    "order_id": Missing("missing_payment_order", KEEP, (KEEP, DROP, QUARANTINE)),
    "amount_cents": Missing("missing_amount", QUARANTINE, (DROP, QUARANTINE)),
    "day": Missing("missing_payment_day", QUARANTINE, (DROP, QUARANTINE)),
    "status": Missing("missing_status", "fill:unknown", (FILL, DROP, QUARANTINE)),
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
    discount_cents = Money("discount on the line", unit="cents", nullable=True)
    payment_type = Text("how the customer means to pay")


@dataset(
    OrderLine,
    layer="silver",
    grain="one row per order line",
    by="order_id",
    keyed={"orders": ["_source", *sources.Orders.columns]},
    key=LINE_KEY,
    checks=[
        *missing_checks(LINE_NULLS, "max_null_share"),
        at_least("quantity", 1),
        at_least("unit_price_cents", 1),
        at_least("discount_cents", 0),
        expression("amount_fits", product_fits("quantity", "unit_price_cents")),
        expression("discount", pl.col("discount_cents") <= GROSS),
        reference("customer_id", to="customers", action="warn", allowed="max_orphan_share"),
        reference("product_id", to="products", action="warn", allowed="max_orphan_share"),
        repeated("orders", allowed="max_duplicate_share"),
    ],
)
def order_lines(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Order lines, each once: of the last file by name that has the line, without invented prices."""
    once = latest(numbered(orders), key=LINE_KEY, order=["_source", *LINE_VALUES])
    return once.select(
        *LINE_KEY, "customer_id", "day", "quantity", "unit_price_cents", "discount_cents",
        normalise_method("payment_type"),
    )  # fmt: skip


def numbered(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Orders with a number for each line: 0 where the shop gives none."""
    return orders.with_columns(pl.col("line_number").fill_null(0))


class Payment(Contract):
    """Payments, each once."""

    payment_id = Text("id of the payment")
    order_id = Text("the order that is paid; null: the provider does not say", nullable=True)
    method = Text("how it was paid")
    amount_cents = Money("amount", unit="cents", nullable=True)
    day = Date("day of the payment", nullable=True)
    status = Text("what became of it, in small letters", nullable=True)


@dataset(
    Payment,
    layer="silver",
    grain="one row per payment",
    by="payment_id",
    keyed={"payments": ["_source", *sources.Payments.columns]},
    key="payment_id",
    checks=[
        *missing_checks(PAYMENT_NULLS, "max_null_share"),
        at_least("amount_cents", 1),
        repeated("payments", allowed="max_duplicate_share"),
    ],
)
def clean_payments(payments: pl.LazyFrame) -> pl.LazyFrame:
    """Payments, each once: of the last file by name that has the payment, with one name for each method."""
    once = latest(payments, key=["payment_id"], order=["_source", *PAYMENT_VALUES])
    status = pl.col("payment_status").str.strip_chars().str.to_lowercase()
    named = once.with_columns(status.alias("status"), normalise_method("payment_method").alias("method"))
    return named.select("payment_id", "order_id", "method", "amount_cents", "day", "status")


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
    checks=[fresh("day", hours="max_age_hours", action="warn")],
)
def active_days(order_lines: pl.LazyFrame, clean_payments: pl.LazyFrame) -> pl.LazyFrame:
    """The days that the calendar must have."""
    return pl.concat([order_lines.select("day"), clean_payments.select("day")]).unique()
