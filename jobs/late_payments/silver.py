"""Clean tables: what an invoice comes to, when it is paid, and how much of it is open on any day."""

from typing import Any

import polars as pl

from pipeline.datasets import (
    Bool,
    Contract,
    Date,
    Decimal,
    Int,
    Money,
    Text,
    dataset,
    expression,
    not_null,
    one_of,
    reference,
)

REGULAR, DISPUTED, CANCELLED, PAID_SOME_DAY = "regular", "disputed", "cancelled", "paid on an unknown day"
CLASSES = (REGULAR, DISPUTED, CANCELLED, PAID_SOME_DAY)
_DISPUTED_WORDS = ("disputed", "dispute", "in dispute")
_CANCELLED_WORDS = ("cancelled", "canceled", "void", "voided")
_PAID_WORDS = ("paid", "settled", "closed")
_NANO_OF_A_CENT = 10_000_000
"""Units of 10^-9, which prices have, in a cent."""
_PRICE_BANDS = {"pieces_below_10": (0, 10), "pieces_10_to_100": (10, 100), "pieces_from_100": (100, None)}
"""Pieces of an invoice by retail price of the piece: from, and below."""


class Customer(Contract):
    """An account without what names anyone."""

    account_id = Text("id of the account")
    joining_date = Date("day on which the account was opened", nullable=True)


@dataset(
    Customer,
    layer="silver",
    grain="one row per account",
    by="account_id",
    keyed={"accounts": ["joining_date"]},
    key="account_id",
)
def customers(accounts: pl.LazyFrame) -> pl.LazyFrame:
    """Accounts, each once."""
    return accounts.select("account_id", "joining_date").unique()


class Item(Contract):
    """What is sold."""

    item_id = Text("id of the item")
    item_retail_price = Decimal("price of a piece", scale=9)


@dataset(
    Item,
    layer="silver",
    grain="one row per item",
    by="item_id",
    keyed={"skus": ["item_retail_price"]},
    key="item_id",
)
def items(skus: pl.LazyFrame) -> pl.LazyFrame:
    """Items, each once."""
    return skus.select("item_id", "item_retail_price").unique()


class PricedLine(Contract):
    """A line of an invoice with its price."""

    invoice_id = Text("id of the invoice")
    item_id = Text("what was sold")
    quantity = Int("pieces, over all lines of the invoice with this item", unit="pieces")
    item_retail_price = Decimal("price of a piece", scale=9, nullable=True)


@dataset(
    PricedLine,
    layer="silver",
    grain="one row per invoice and item",
    by="invoice_id",
    keyed=["invoice_line_items"],
    lookup={"items": "item_id"},
    key=("invoice_id", "item_id"),
    checks=[reference("item_id", to="items")],
)
def priced_lines(invoice_line_items: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    """Pieces of each item of an invoice; lines of unknown items are rejected."""
    pieces = invoice_line_items.group_by("invoice_id", "item_id").agg(pl.col("quantity").sum())
    return pieces.join(items, on="item_id", how="left", validate="m:1")


class InvoiceTotal(Contract):
    """What an invoice comes to."""

    invoice_id = Text("id of the invoice")
    total_cents = Money("retail price times quantity, added up exactly and rounded once, half up", unit="cents")
    item_count = Int("pieces", unit="pieces")
    distinct_items = Int("different items")
    pieces_below_10 = Int("pieces with a price below 10", unit="pieces")
    pieces_10_to_100 = Int("pieces with a price from 10 to below 100", unit="pieces")
    pieces_from_100 = Int("pieces with a price of 100 or more", unit="pieces")


@dataset(
    InvoiceTotal,
    layer="silver",
    grain="one row per invoice that has lines",
    by="invoice_id",
    key="invoice_id",
)
def invoice_totals(priced_lines: pl.LazyFrame) -> pl.LazyFrame:
    """Amount, pieces and product mix of each invoice."""
    price = pl.col("item_retail_price")
    nano = (price.to_physical().cast(pl.Int128) * pl.col("quantity").cast(pl.Int128)).sum()
    bands = {
        name: pl.col("quantity").filter(price >= low, price < high if high else pl.lit(True)).sum()
        for name, (low, high) in _PRICE_BANDS.items()
    }
    return priced_lines.group_by("invoice_id").agg(
        _round_half_up(nano).cast(pl.Int64).alias("total_cents"),
        pl.col("quantity").sum().alias("item_count"),
        pl.len().cast(pl.Int64).alias("distinct_items"),
        **bands,
    )


def _round_half_up(nano: pl.Expr) -> pl.Expr:
    """Units of 10^-9 (Int128) to cents, half away from zero."""
    half = pl.lit(_NANO_OF_A_CENT // 2, pl.Int128)
    return nano.sign() * ((nano.abs() + half) // pl.lit(_NANO_OF_A_CENT, pl.Int128))


class Receipt(Contract):
    """What an invoice was paid and credited on one day."""

    invoice_id = Text("id of the invoice")
    day = Date("day of payments and credit notes")
    paid_cents = Money("payments of the day", unit="cents")
    credited_cents = Money("credit notes of the day", unit="cents")
    pays_all = Bool("whether the invoice itself says that all was paid on this day")
    has_invoice = Bool("whether there is an invoice of this id")


@dataset(
    Receipt,
    layer="silver",
    grain="one row per invoice and day with a payment or credit note",
    by="invoice_id",
    keyed={"payments": ["paid_on", "amount_cents"], "credit_notes": ["issued_on", "amount_cents"],
           "invoices": ["payment_date"]},
    key=("invoice_id", "day"),
    checks=[expression("has_invoice", pl.col("has_invoice"), columns=["invoice_id"])],
)  # fmt: skip
def receipts(payments: pl.LazyFrame, credit_notes: pl.LazyFrame, invoices: pl.LazyFrame) -> pl.LazyFrame:
    """Payments and credit notes of each invoice by day; those of unknown invoices are rejected."""
    none = pl.lit(0, pl.Int64)
    events = [
        _event(payments, pl.col("paid_on"), pl.col("amount_cents"), none),
        _event(credit_notes, pl.col("issued_on"), none, pl.col("amount_cents")),
        _event(invoices.drop_nulls("payment_date"), pl.col("payment_date"), none, none, pays_all=True),
    ]
    sums = pl.col("paid_cents").sum(), pl.col("credited_cents").sum(), pl.col("pays_all").any()
    known = invoices.select("invoice_id", pl.lit(True).alias("has_invoice")).unique()
    return (
        pl.concat(events)
        .group_by("invoice_id", "day")
        .agg(*sums)
        .join(known, on="invoice_id", how="left", validate="m:1")
        .with_columns(pl.col("has_invoice").fill_null(False))
    )


def _event(
    rows: pl.LazyFrame, day: pl.Expr, paid: pl.Expr, credited: pl.Expr, *, pays_all: bool = False
) -> pl.LazyFrame:
    return rows.select(
        "invoice_id", day.alias("day"), paid.alias("paid_cents"), credited.alias("credited_cents"),
        pl.lit(pays_all).alias("pays_all"),
    )  # fmt: skip


class Settlement(Contract):
    """An invoice, and when it was paid."""

    invoice_id = Text("id of the invoice")
    account_id = Text("who has to pay")
    issued_on = Date("day of issue")
    due_on = Date("last day to pay: the invoice's own, otherwise day of issue and terms")
    total_cents = Money("what it comes to; null: it has no lines", unit="cents", nullable=True)
    item_count = Int("pieces", unit="pieces")
    distinct_items = Int("different items")
    pieces_below_10 = Int("pieces with a price below 10", unit="pieces")
    pieces_10_to_100 = Int("pieces with a price from 10 to below 100", unit="pieces")
    pieces_from_100 = Int("pieces with a price of 100 or more", unit="pieces")
    invoice_class = Text(f"what it is by its status now: {', '.join(CLASSES)}")
    paid_on = Date("first day on which payments and credit notes reach the total; null: they do not", nullable=True)


@dataset(
    Settlement,
    layer="silver",
    grain="one row per invoice",
    by="invoice_id",
    keyed=["invoices", "invoice_totals", "receipts"],
    key="invoice_id",
    checks=[
        one_of("invoice_class", CLASSES, action="fail"),
        not_null("total_cents", action="warn"),
    ],
)
def settlements(
    invoices: pl.LazyFrame, invoice_totals: pl.LazyFrame, receipts: pl.LazyFrame, settings: dict[str, Any]
) -> pl.LazyFrame:
    """Each invoice with what it comes to, the day it is due and the day it was paid."""
    due = pl.coalesce("due_date", pl.col("issued_on") + pl.duration(days=int(settings["terms_days"])))
    known = (
        invoices.unique()
        .join(invoice_totals, on="invoice_id", how="left", validate="m:1")
        .with_columns(due.alias("due_on"))
    )
    counts = [name for name, column in InvoiceTotal.columns.items() if type(column) is Int]
    first_closed = pl.col("day").filter("is_closed").min().alias("paid_on")
    closed = open_by_day(known, receipts).group_by("invoice_id").agg(first_closed)
    return (
        known.join(closed, on="invoice_id", how="left", validate="m:1")
        .with_columns(pl.col(counts).fill_null(0), _class().alias("invoice_class"))
        .drop("due_date", "payment_date", "status")
    )


def _class() -> pl.Expr:
    """The class of an invoice by its status, which has no date: no other invoice's feature may use it."""
    status = pl.col("status").str.strip_chars().str.to_lowercase()
    return (
        pl.when(status.is_in(_CANCELLED_WORDS)).then(pl.lit(CANCELLED))
        .when(status.is_in(_DISPUTED_WORDS)).then(pl.lit(DISPUTED))
        .when(status.is_in(_PAID_WORDS) & pl.col("paid_on").is_null()).then(pl.lit(PAID_SOME_DAY))
        .otherwise(pl.lit(REGULAR))
    )  # fmt: skip


def open_by_day(known: pl.LazyFrame, receipts: pl.LazyFrame) -> pl.LazyFrame:
    """How much of each invoice is open after the day of issue and after each receipt.

    ``known``: ``invoice_id``, ``issued_on`` and ``total_cents``. Returns ``invoice_id``, ``day``, ``is_closed``
    (whether all of it was paid by then; once true it stays true) and ``open_cents`` (null without a total), in the
    order of invoice and day. Nothing of a day depends on later days.
    """
    zero = pl.lit(0, pl.Int64)
    begins = known.select(
        "invoice_id", pl.col("issued_on").alias("day"), zero.alias("cents"), pl.lit(False).alias("pays_all")
    )
    cents = (pl.col("paid_cents") + pl.col("credited_cents")).alias("cents")
    moves = receipts.select("invoice_id", "day", cents, "pays_all")
    sums = pl.col("cents").sum(), pl.col("pays_all").any()
    days = pl.concat([begins, moves]).group_by("invoice_id", "day").agg(*sums)
    left = pl.col("total_cents") - pl.col("cents").cum_sum().over("invoice_id")
    closes = (pl.col("pays_all") | (pl.col("left") <= 0)).fill_null(False)
    return (
        days.join(known.select("invoice_id", "total_cents"), on="invoice_id", how="inner", validate="m:1")
        .sort("invoice_id", "day")
        .with_columns(left.alias("left"))
        .with_columns(closes.cum_max().over("invoice_id").alias("is_closed"))
        .select("invoice_id", "day", "is_closed", pl.when("is_closed").then(zero).otherwise("left").alias("open_cents"))
    )  # fmt: skip


class Balance(Contract):
    """A change of what is open of an invoice."""

    invoice_id = Text("id of the invoice")
    account_id = Text("who has to pay")
    day = Date("day of the change, not before the day of issue")
    due_on = Date("last day to pay")
    change_cents = Money("by how much more is open after the day than before", unit="cents")
    open_cents = Money("what is open after the day", unit="cents")


@dataset(
    Balance,
    layer="silver",
    grain="one row per invoice with a total and day on which what is open of it changed",
    by="invoice_id",
    keyed={"settlements": ["account_id", "issued_on", "due_on", "total_cents"], "receipts": []},
    key=("invoice_id", "day"),
)
def balances(settlements: pl.LazyFrame, receipts: pl.LazyFrame) -> pl.LazyFrame:
    """What is open of each invoice over time, also of disputed and cancelled ones: their status has no day."""
    known = settlements.drop_nulls("total_cents")
    days = open_by_day(known, receipts).join(
        known.select("invoice_id", "account_id", "issued_on", "due_on"), on="invoice_id", validate="m:1"
    )
    last = (
        days.with_columns(pl.max_horizontal("day", "issued_on").alias("from"))
        .group_by("invoice_id", "account_id", "from", "due_on")
        .agg(pl.col("open_cents").sort_by("day").last())
        .sort("invoice_id", "from")
    )
    change = pl.col("open_cents") - pl.col("open_cents").shift(1).over("invoice_id").fill_null(0)
    return (
        last.with_columns(change.alias("change_cents"))
        .filter(pl.col("change_cents") != 0)
        .rename({"from": "day"})
        .select(list(Balance.columns))
    )
