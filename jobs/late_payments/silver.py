"""What became of invoices: when they are paid, and how much of them is open on any day."""

from typing import Any

import polars as pl

from pipeline.datasets import (
    Bool,
    Contract,
    Date,
    Int,
    Money,
    Text,
    dataset,
    exact_sum,
    expression,
    not_null,
    one_of,
)

from .amounts import InvoiceTotal

REGULAR, DISPUTED, CANCELLED, PAID_SOME_DAY = "regular", "disputed", "cancelled", "paid on an unknown day"
CLASSES = (REGULAR, DISPUTED, CANCELLED, PAID_SOME_DAY)
_DISPUTED_WORDS = ("disputed", "dispute", "in dispute")
_CANCELLED_WORDS = ("cancelled", "canceled", "void", "voided")
_PAID_WORDS = ("paid", "settled", "closed")


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
           "invoice_headers": ["payment_date"]},
    key=("invoice_id", "day"),
    checks=[expression("has_invoice", pl.col("has_invoice"), columns=["invoice_id"])],
)  # fmt: skip
def receipts(payments: pl.LazyFrame, credit_notes: pl.LazyFrame, invoice_headers: pl.LazyFrame) -> pl.LazyFrame:
    """Payments and credit notes of each invoice by day; those of unknown invoices are rejected."""
    none = pl.lit(0, pl.Int64)
    events = [
        _event(payments, pl.col("paid_on"), pl.col("amount_cents"), none),
        _event(credit_notes, pl.col("issued_on"), none, pl.col("amount_cents")),
        _event(invoice_headers.drop_nulls("payment_date"), pl.col("payment_date"), none, none, pays_all=True),
    ]
    sums = exact_sum("paid_cents"), exact_sum("credited_cents"), pl.col("pays_all").any()
    known = invoice_headers.select("invoice_id", pl.lit(True).alias("has_invoice"))
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
    total_cents = Money("what it comes to; null: it has no lines or unknown items", unit="cents", nullable=True)
    item_count = InvoiceTotal.item_count
    distinct_items = InvoiceTotal.distinct_items
    unknown_items = InvoiceTotal.unknown_items
    pieces_below_10 = InvoiceTotal.pieces_below_10
    pieces_10_to_100 = InvoiceTotal.pieces_10_to_100
    pieces_from_100 = InvoiceTotal.pieces_from_100
    invoice_class = Text(f"what it is by its status now: {', '.join(CLASSES)}")
    paid_on = Date("first day on which payments and credit notes reach the total; null: they do not", nullable=True)


@dataset(
    Settlement,
    layer="silver",
    grain="one row per invoice",
    by="invoice_id",
    keyed={
        "invoice_headers": ["account_id", "issued_on", "due_date", "payment_date", "status"],
        "invoice_totals": [],
        "receipts": [],
    },
    key="invoice_id",
    checks=[
        one_of("invoice_class", CLASSES, action="fail"),
        not_null("total_cents", action="warn"),
    ],
)
def settlements(
    invoice_headers: pl.LazyFrame, invoice_totals: pl.LazyFrame, receipts: pl.LazyFrame, settings: dict[str, Any]
) -> pl.LazyFrame:
    """Each invoice with what it comes to, the day it is due and the day it was paid."""
    due = pl.coalesce("due_date", pl.col("issued_on") + pl.duration(days=int(settings["terms_days"])))
    known = invoice_headers.join(invoice_totals, on="invoice_id", how="left", validate="1:1").with_columns(
        due.alias("due_on")
    )
    counts = [name for name, column in InvoiceTotal.columns.items() if type(column) is Int]
    has_lines = pl.col("distinct_items").is_not_null()
    first_closed = pl.col("day").filter("is_closed").min().alias("paid_on")
    closed = open_by_day(known, receipts).group_by("invoice_id").agg(first_closed)
    return (
        known.join(closed, on="invoice_id", how="left", validate="1:1")
        .with_columns(pl.when(has_lines).then(pl.col(counts)).otherwise(0), _class().alias("invoice_class"))
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
    (whether all of it was paid by then; once true it stays true) and ``open_cents`` (Int128, whose sums cannot wrap;
    null without a total), in the order of invoice and day. Nothing of a day depends on later days.
    """
    zero = pl.lit(0, pl.Int128)
    begins = known.select(
        "invoice_id", pl.col("issued_on").alias("day"), zero.alias("cents"), pl.lit(False).alias("pays_all")
    )
    cents = (pl.col("paid_cents").cast(pl.Int128) + pl.col("credited_cents")).alias("cents")
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
