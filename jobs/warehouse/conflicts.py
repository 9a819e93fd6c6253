"""Conflicts: contents that sources give besides those that count, so that none is lost."""

from collections.abc import Sequence

import polars as pl

from pipeline.datasets import Contract, Date, Int, Money, Text, dataset, may_occur_again

from . import sources
from .silver import LINE_KEY, LINE_VALUES, PAYMENT_VALUES, numbered
from .star import CUSTOMER_VALUES, PRODUCT_VALUES


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
    keyed={"orders": ["_source", *sources.Orders.columns]},
)
def order_conflicts(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Conflicts: what the shop said of an order line before, or besides."""
    return _lost_versions(numbered(orders), LINE_KEY, LINE_VALUES)


class LostPayment(Contract):
    """Contents of payments that another one replaces."""

    payment_id = Text("id of the payment")
    order_id = Text("the order that was paid", nullable=True)
    payment_method = Text("how it was paid, as the provider wrote it", nullable=True)
    amount_cents = Money("amount", unit="cents", nullable=True)
    day = Date("day of the payment", nullable=True)
    payment_status = Text("what became of it, as the provider wrote it", nullable=True)


@dataset(
    LostPayment,
    layer="silver",
    grain="one row per content of a payment that does not count",
    by="payment_id",
    keyed={"payments": ["_source", *sources.Payments.columns]},
)
def payment_conflicts(payments: pl.LazyFrame) -> pl.LazyFrame:
    """Conflicts: what the provider said of a payment before, or besides."""
    return _lost_versions(payments, ["payment_id"], PAYMENT_VALUES)


class LostCustomer(Contract):
    """Contents of customers of one extract that another one replaces."""

    customer_id = Text("id of the customer")
    customer_name = Text("name", nullable=True, sensitive="name")
    email = Text("address of electronic mail", nullable=True, sensitive="email")
    phone = Text("number of the telephone", nullable=True, sensitive="phone")
    address = Text("street and house", nullable=True, sensitive="address")
    city = Text("town", nullable=True)
    state = Text("state", nullable=True)
    zip_code = Text("postal code", nullable=True)
    age = Int("age in years", nullable=True)
    registered_on = Date("day of the registration", nullable=True)


@dataset(
    LostCustomer,
    layer="silver",
    grain="one row per content of a customer that does not count",
    by="customer_id",
    keyed={"customers": ["_extracted_at", *CUSTOMER_VALUES]},
)
def customer_conflicts(customers: pl.LazyFrame) -> pl.LazyFrame:
    """Conflicts: what one extract says of a customer besides."""
    return _lost_members(customers, "customer_id", CUSTOMER_VALUES)


class LostProduct(Contract):
    """Contents of products of one extract that another one replaces."""

    product_id = Text("id of the product")
    product_name = Text("what people call it", nullable=True)
    category = Text("category", nullable=True)
    subcategory = Text("part of the category", nullable=True)
    brand = Text("who makes it", nullable=True)
    price_cents = Money("list price", unit="cents", nullable=True)
    cost_cents = Money("what the shop pays for it", unit="cents", nullable=True)


@dataset(
    LostProduct,
    layer="silver",
    grain="one row per content of a product that does not count",
    by="product_id",
    keyed={"products": ["_extracted_at", *PRODUCT_VALUES]},
)
def product_conflicts(products: pl.LazyFrame) -> pl.LazyFrame:
    """Conflicts: what one extract says of a product besides."""
    return _lost_members(products, "product_id", PRODUCT_VALUES)


def _lost_members(snapshots: pl.LazyFrame, key: str, values: tuple[str, ...]) -> pl.LazyFrame:
    """What ``history`` leaves out: of rows of one key and moment all but the greatest by ``values``. Each content once,
    however many extracts have it."""
    lost = _lost_versions(snapshots, [key, "_extracted_at"], values, order=())
    return lost.drop("_extracted_at").unique()


def _lost_versions(
    rows: pl.LazyFrame, key: Sequence[str], values: Sequence[str], order: Sequence[str] = ("_source",)
) -> pl.LazyFrame:
    """The other contents of keys that have several: each once, with the columns ``key`` and ``values``.

    The one that counts is the last by ``order``, then by ``values``. Files are ordered by their names, as the moment of
    an extract would differ where all files come at once.
    """
    several = rows.filter(may_occur_again(key)).sort(*key, *order, *values, nulls_last=False)
    differs = (pl.col(name).ne_missing(pl.col(name).last().over(key)) for name in values)
    return several.filter(pl.any_horizontal(differs)).select(*key, *values).unique()
