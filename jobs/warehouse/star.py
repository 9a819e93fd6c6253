"""The star: facts of sales and payments, and the dimensions that they refer to."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl

from pipeline.datasets import (
    UNKNOWN,
    Bool,
    Contract,
    Date,
    Int,
    Money,
    Text,
    Time,
    as_of_join,
    at_least,
    basis_points,
    between,
    calendar,
    conserves,
    dataset,
    date_key,
    exact_difference,
    exact_product,
    exact_sum,
    expression,
    history,
    not_null,
    reference,
    surrogate_key,
)

from .methods import normalise_method, usual_fees
from .silver import FILL_MEDIAN, GROSS, HAS_COME
from .staging import FILL, KEEP, Missing, missing_checks

_FIRST = pl.lit(dt.datetime(1970, 1, 1)).cast(pl.Datetime("us"))
"""Since when an inferred member holds: nobody knows better."""
CUSTOMER_VALUES = ("customer_name", "email", "phone", "address", "city", "state", "zip_code", "age", "registered_on")
PRODUCT_VALUES = ("product_name", "category", "subcategory", "brand", "price_cents", "cost_cents")
_PERIOD = ("valid_from", "valid_to", "is_current")
CUSTOMER_NULLS = {"city": Missing("missing_city", "fill:Unknown", (KEEP, FILL))}
PRODUCT_NULLS = {"category": Missing("missing_category", "fill:Unknown", (KEEP, FILL))}
_AGES = [(18, "under 18"), (25, "18-24"), (35, "25-34"), (45, "35-44"), (55, "45-54"), (65, "55-64")]


class DimCustomer(Contract):
    """Customers over time: one row for each version."""

    customer_key = Int("key of the version; -1: the order names no customer")
    customer_durable_key = Int("key of the customer in all versions; -1: the order names no customer")
    customer_id = Text("id of the customer", nullable=True)
    customer_name = Text("name", nullable=True, sensitive="name")
    email = Text("address of electronic mail", nullable=True, sensitive="email")
    phone = Text("number of the telephone", nullable=True, sensitive="phone")
    address = Text("street and house", nullable=True, sensitive="address")
    city = Text("town; Unknown where the shop does not know it", nullable=True)
    state = Text("state", nullable=True)
    zip_code = Text("postal code", nullable=True)
    age = Int("age in years", nullable=True)
    age_band = Text("under 18, 18-24, ..., 65 and over, unknown")
    registered_on = Date("day of the registration", nullable=True)
    segment = Text("by what was bought until now, at prices that the shop gave: vip, regular, occasional, none")
    is_inferred = Bool("whether only orders name the customer")
    valid_from = Time("since when the version holds")
    valid_to = Time("until when, exclusive; null: until now", nullable=True)
    is_current = Bool("whether it holds now")


@dataset(
    DimCustomer,
    grain="one row per version of a customer",
    by="customer_id",
    keyed={
        "customers": ["_extracted_at", *CUSTOMER_VALUES],
        "order_lines": ["quantity", "unit_price_cents", "discount_cents"],
    },
    key="customer_key",
    checks=[*missing_checks(CUSTOMER_NULLS), between("age", 0, 120, action="warn")],
)
def dim_customer(customers: pl.LazyFrame, order_lines: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """Customers with their history; those whom only orders name are inferred."""
    net = exact_product("quantity", "unit_price_cents") - pl.col("discount_cents")
    spent = order_lines.group_by("customer_id").agg(exact_sum(net).alias("spent"))
    versions = _versions(customers, spent, "customer_id", CUSTOMER_VALUES)
    with_spent = versions.join(spent, on="customer_id", how="left", validate="m:1")
    return with_spent.with_columns(
        _member_key("customer_id", "customer_id", "valid_from").alias("customer_key"),
        _member_key("customer_id", "customer_id").alias("customer_durable_key"),
        _age_band().alias("age_band"),
        _segment(settings).alias("segment"),
    ).drop("spent")  # fmt: skip


def _versions(snapshots: pl.LazyFrame, used: pl.LazyFrame, key: str, values: tuple[str, ...]) -> pl.LazyFrame:
    """The history of all members, and a version without values for each member that only facts name."""
    known = history(snapshots, key=key, tracked=values, valid_from="_extracted_at")
    inferred = used.select(key).join(snapshots.select(key).unique(), on=key, how="anti")
    return pl.concat(
        [
            known.with_columns(pl.lit(False).alias("is_inferred")),
            inferred.with_columns(
                _FIRST.alias("valid_from"), pl.lit(True).alias("is_current"), pl.lit(True).alias("is_inferred")
            ),
        ],
        how="diagonal",
    )


def _member_key(member: str, *columns: str) -> pl.Expr:
    return pl.when(pl.col(member).is_null()).then(UNKNOWN).otherwise(surrogate_key(*columns))


def _age_band() -> pl.Expr:
    age = pl.col("age")
    bands = [pl.when(age < limit).then(pl.lit(name)) for limit, name in _AGES]
    known = pl.coalesce(*bands, pl.lit("65 and over"))
    return pl.when(age.is_between(0, 120)).then(known).otherwise(pl.lit("unknown"))


def _segment(settings: Mapping[str, Any]) -> pl.Expr:
    spent = pl.col("spent")
    return (
        pl.when(spent >= settings["vip_cents"]).then(pl.lit("vip"))
        .when(spent >= settings["regular_cents"]).then(pl.lit("regular"))
        .when(spent.is_not_null()).then(pl.lit("occasional"))
        .otherwise(pl.lit("none"))
    )  # fmt: skip


class DimProduct(Contract):
    """Products over time: one row for each version."""

    product_key = Int("key of the version; -1: the order names no product")
    product_durable_key = Int("key of the product in all versions; -1: the order names no product")
    product_id = Text("id of the product", nullable=True)
    product_name = Text("what people call it", nullable=True)
    category = Text("category; Unknown where the shop does not know it", nullable=True)
    subcategory = Text("part of the category", nullable=True)
    brand = Text("who makes it", nullable=True)
    price_cents = Money("list price", unit="cents", nullable=True)
    cost_cents = Money("what the shop pays for it", unit="cents", nullable=True)
    price_class = Text("premium, mid, budget, unknown")
    margin_points = Int("(price - cost) / price in hundredths of a percent, rounded down", nullable=True)
    is_inferred = Bool("whether only orders name the product")
    valid_from = Time("since when the version holds")
    valid_to = Time("until when, exclusive; null: until now", nullable=True)
    is_current = Bool("whether it holds now")


@dataset(
    DimProduct,
    grain="one row per version of a product",
    by="product_id",
    keyed={"products": ["_extracted_at", *PRODUCT_VALUES], "order_lines": ["order_id"]},
    key="product_key",
    checks=[
        *missing_checks(PRODUCT_NULLS),
        at_least("price_cents", 0, action="warn"),
        at_least("cost_cents", 0, action="warn"),
    ],
)
def dim_product(products: pl.LazyFrame, order_lines: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """Products with their history; those that only orders name are inferred."""
    price, cost = pl.col("price_cents"), pl.col("cost_cents")
    price_class = (
        pl.when(price.is_null()).then(pl.lit("unknown"))
        .when(price >= settings["premium_cents"]).then(pl.lit("premium"))
        .when(price >= settings["mid_cents"]).then(pl.lit("mid"))
        .otherwise(pl.lit("budget"))
    )  # fmt: skip
    versions = _versions(products, order_lines.select("product_id").unique(), "product_id", PRODUCT_VALUES)
    return versions.with_columns(
        _member_key("product_id", "product_id", "valid_from").alias("product_key"),
        _member_key("product_id", "product_id").alias("product_durable_key"),
        price_class.alias("price_class"),
        pl.when(price > 0).then((price - cost) * 10_000 // price).alias("margin_points"),
    )


class DimDate(Contract):
    """Days of whole fiscal years, without gaps."""

    date_key = Int("the day as a number: 20261130")
    day = Date("the day")
    year = Int("year")
    quarter = Int("quarter of the year")
    month = Int("month")
    day_of_month = Int("day of the month")
    day_of_week = Int("day of the week by ISO 8601: Monday is 1")
    iso_year = Int("year that the ISO week belongs to")
    iso_week = Int("week by ISO 8601")
    day_of_year = Int("day of the year")
    is_weekend = Bool("Saturday or Sunday")
    is_month_end = Bool("the last day of its month")
    fiscal_year = Int("fiscal year, by the year in which it ends")
    fiscal_quarter = Int("quarter of the fiscal year")
    holiday = Text("name of the holiday", nullable=True)


@dataset(DimDate, grain="one row per day", key="date_key")
def dim_date(active_days: pl.LazyFrame, holidays: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """The calendar of all facts."""
    limits = active_days.select(pl.col("day").min().alias("first"), pl.col("day").max().alias("last")).collect()
    first, last = limits.row(0)
    if first is None:
        return calendar(dt.date(1970, 1, 1), dt.date(1970, 1, 1)).head(0)
    names = holidays.sort("day", "holiday").unique("day", keep="first", maintain_order=True)
    days = calendar(first, last, fiscal_start=int(settings["fiscal_start"])).drop("holiday")
    return days.join(names.select("day", "holiday"), on="day", how="left", validate="1:1")


class FactSales(Contract):
    """Order lines with their amounts."""

    order_id = Text("id of the order")
    line_number = Int("tells lines of the same product in one order apart")
    date_key = Int("day of the order")
    customer_key = Int("version of the customer that held on that day; -1: the order names none")
    customer_durable_key = Int("the customer; -1: the order names none")
    product_key = Int("version of the product that held on that day; -1: the order names none")
    product_durable_key = Int("the product; -1: the order names none")
    quantity = Int("pieces")
    unit_price_cents = Money("price of one piece", unit="cents", nullable=True)
    price_filled = Bool("whether the price is the median of its product, because the shop gave none")
    gross_cents = Money("quantity times price", unit="cents", nullable=True)
    discount_cents = Money("discount on the line", unit="cents")
    net_cents = Money("gross less discount", unit="cents", nullable=True)
    cost_cents = Money("quantity times what the shop pays for it", unit="cents", nullable=True)
    profit_cents = Money("net less cost", unit="cents", nullable=True)
    payment_type = Text("how the customer means to pay")
    payment_status = Text("paid, partly paid or unpaid: of the whole order")
    year = Int("year of the order")
    month = Int("month of the order")


@dataset(
    FactSales,
    grain="one row per order line",
    by="order_id",
    keyed={"order_lines": [], "clean_payments": ["amount_cents", "status"]},
    whole={
        "dim_customer": ["customer_key", "customer_durable_key", *_PERIOD],
        "dim_product": ["product_key", "product_durable_key", "cost_cents", *_PERIOD],
    },
    lookup={"dim_customer": "customer_id", "dim_product": "product_id", "price_medians": "product_id"},
    key=("order_id", "product_durable_key", "line_number"),
    partition_by=("year", "month"),
    checks=[
        reference("date_key", to="dim_date", action="fail"),
        reference("customer_key", to="dim_customer", action="fail"),
        reference("product_key", to="dim_product", action="fail"),
        not_null("unit_price_cents"),  # which no line of the product has, and so no median
        not_null("gross_cents"),  # too large, with the median
        expression("discount", pl.col("discount_cents") <= pl.col("gross_cents")),
        conserves("quantity", source="order_lines"),
    ],
)
def fact_sales(
    order_lines: pl.LazyFrame,
    clean_payments: pl.LazyFrame,
    dim_customer: pl.LazyFrame,
    dim_product: pl.LazyFrame,
    price_medians: pl.LazyFrame,
    settings: Mapping[str, Any],
) -> pl.LazyFrame:
    """Sales: each order line with what it cost, and what became of its order's payments."""
    paid = clean_payments.filter(HAS_COME).group_by("order_id").agg(exact_sum("amount_cents").alias("paid_cents"))
    filled = settings["missing_price"] == FILL_MEDIAN
    priced = _priced(order_lines, price_medians) if filled else order_lines.with_columns(price_filled=pl.lit(False))
    # Null where there is no price, not even a median, or it does not fit: checks reject such a line.
    amounts = priced.with_columns(GROSS.cast(pl.Int64, strict=False).alias("gross_cents"))
    amounts = amounts.with_columns((pl.col("gross_cents") - pl.col("discount_cents")).alias("net_cents"))
    total = exact_sum("net_cents").over("order_id")
    status = (
        pl.when(pl.col("paid_cents").is_null()).then(pl.lit("unpaid"))
        .when(pl.col("paid_cents") >= total).then(pl.lit("paid"))
        .otherwise(pl.lit("partly paid"))
    )  # fmt: skip
    with_status = amounts.join(paid, on="order_id", how="left", validate="m:1").with_columns(
        status.alias("payment_status")
    )
    customers = dim_customer.select(
        "customer_id", "customer_key", "customer_durable_key", "valid_from", "valid_to", "is_current"
    )
    products = dim_product.select(
        "product_id", "product_key", "product_durable_key", pl.col("cost_cents").alias("piece_cost_cents"),
        "valid_from", "valid_to", "is_current",
    )  # fmt: skip
    found = as_of_join(with_status, customers, on="customer_id", at="day", early=True)
    found = as_of_join(found, products, on="product_id", at="day", early=True)
    cost = exact_product("quantity", "piece_cost_cents")
    keys = [
        pl.col(name).fill_null(UNKNOWN)
        for name in ("customer_key", "customer_durable_key", "product_key", "product_durable_key")
    ]
    return found.select(
        "order_id", "line_number", date_key("day").alias("date_key"), *keys, "quantity", "unit_price_cents",
        "price_filled", "gross_cents", "discount_cents", "net_cents", cost.alias("cost_cents"),
        exact_difference("net_cents", cost).alias("profit_cents"), "payment_type", "payment_status",
        pl.col("day").dt.year().alias("year"), pl.col("day").dt.month().alias("month"),
    )  # fmt: skip


def _priced(order_lines: pl.LazyFrame, price_medians: pl.LazyFrame) -> pl.LazyFrame:
    """Lines with the median price of their product where they have none."""
    with_median = order_lines.join(price_medians, on="product_id", how="left", validate="m:1", nulls_equal=True)
    return with_median.with_columns(
        (pl.col("unit_price_cents").is_null() & pl.col("median_cents").is_not_null()).alias("price_filled"),
        pl.coalesce("unit_price_cents", "median_cents").alias("unit_price_cents"),
    )


class FactPayments(Contract):
    """Payments with the provider's fee."""

    payment_id = Text("id of the payment")
    order_id = Text("the order that is paid; null: the provider does not say", nullable=True)
    date_key = Int("day of the payment")
    method = Text("how it was paid")
    status = Text("what became of it", nullable=True)
    counts = Bool("whether the money has come")
    amount_cents = Money("amount", unit="cents")
    fee_points = Int("rate of the fee in hundredths of a percent, of the day of the payment")
    fee_cents = Money("what the provider takes, rounded half up; 0 where no money has come", unit="cents")
    received_cents = Money("amount less fee; 0 where no money has come", unit="cents")
    year = Int("year of the payment")
    month = Int("month of the payment")


@dataset(
    FactPayments,
    grain="one row per payment",
    by="payment_id",
    keyed=["clean_payments"],
    whole=["fee_rates"],
    key="payment_id",
    partition_by=("year", "month"),
    checks=[
        reference("date_key", to="dim_date", action="fail"),
        reference("order_id", to="order_lines", action="warn", allowed="max_orphan_share"),
        conserves("amount_cents", source="clean_payments"),
    ],
)
def fact_payments(clean_payments: pl.LazyFrame, fee_rates: pl.LazyFrame) -> pl.LazyFrame:
    """Payments with fees by the rates that held on their days."""
    own = fee_rates.select(normalise_method("method"), "valid_from", "fee_points")
    rates = own if own.head(1).collect().height else usual_fees()
    rates = rates.sort("valid_from", "fee_points").unique(["method", "valid_from"], keep="last", maintain_order=True)
    priced = clean_payments.sort("day").join_asof(
        rates.sort("valid_from"),
        left_on="day",
        right_on="valid_from",
        by="method",
        strategy="backward",
        check_sortedness=False,
    )
    known = priced.with_columns(pl.col("fee_points").fill_null(0), HAS_COME.alias("counts"))
    fee = pl.when("counts").then(basis_points("amount_cents", "fee_points")).otherwise(0)
    received = pl.when("counts").then(pl.col("amount_cents") - fee).otherwise(0)
    return known.select(
        "payment_id", "order_id", date_key("day").alias("date_key"), "method", "status", "counts", "amount_cents",
        "fee_points", fee.alias("fee_cents"), received.alias("received_cents"),
        pl.col("day").dt.year().alias("year"), pl.col("day").dt.month().alias("month"),
    )  # fmt: skip
