"""Features of invoices that were known on their day of issue, and what became of the invoices: the labels.

A feature of an invoice of day d comes from its own header and lines, and from what happened before d. Status and
payment dates of later days enter labels alone, so that a model that learns on the features sees no future.
"""

import datetime as dt
from typing import Any

import polars as pl

from pipeline.datasets import Bool, Contract, Date, Decimal, Float, Int, Text, conserves, dataset, not_null, one_of

from .amounts import InvoiceTotal
from .known import Span, known_before
from .silver import REGULAR, Settlement

LABELS = ("is_late", "days_to_pay", "invoice_class", "paid_on", "outcome_on", "split")
"""Columns of ``late_payment_features`` that tell the future of the invoice: never give them to a model as features."""
WINDOWS = {"": None, "_90d": 90, "_365d": 365}
"""Suffixes of features of prior invoices, and how many days before d their day of issue lies at most; None: any."""
TRAIN, VALIDATION, GAP = "train", "validation", "gap"


class Outcome(Settlement):
    """An invoice as it is known at as-of."""

    is_late = Int("1: paid after the due day, or open after it; 0: paid in time; null: not yet known", nullable=True)
    outcome_on = Date("day on which is_late became known: of the payment, or after the due day", nullable=True)


@dataset(
    Outcome,
    layer="silver",
    grain="one row per invoice that was issued by as-of",
    by="invoice_id",
    key="invoice_id",
)
def outcomes(settlements: pl.LazyFrame, as_of: dt.datetime) -> pl.LazyFrame:
    """What is known of each invoice at the end of the as-of day: paid in time, late, or open and not yet due."""
    today, paid, due = pl.lit(as_of.date(), pl.Date), pl.col("paid_on"), pl.col("due_on")
    known = settlements.filter(pl.col("issued_on") <= today).with_columns(pl.when(paid <= today).then(paid))
    in_time = paid <= due
    # Without a total, only its own day of payment tells that an invoice is paid: until then it may be, or not.
    late_from = pl.when(pl.col("total_cents").is_not_null()).then(due + pl.duration(days=1)).otherwise(paid)
    judged = pl.col("invoice_class") == REGULAR
    late = pl.when(judged & in_time).then(0).when(judged & (late_from <= today)).then(1)
    when = pl.when(judged & in_time).then(paid).when(judged & (late_from <= today)).then(late_from)
    return known.with_columns(late.alias("is_late"), when.alias("outcome_on"))


class LatePaymentFeatures(Contract):
    """Features of an invoice, and its labels."""

    invoice_id = Text("id of the invoice")
    account_id = Text("who has to pay")
    issued_month = Text("month of issue, such as 2026-11")
    issued_year = Int("year of issue")
    issued_on = Date("day of issue, d below")
    due_on = Date("last day to pay: the invoice's own, otherwise day of issue and terms")
    invoice_total = Decimal(
        "retail price times quantity, added up and rounded once; null: it has no lines or unknown items", scale=2,
        nullable=True,
    )  # fmt: skip
    item_count = InvoiceTotal.item_count
    distinct_items = InvoiceTotal.distinct_items
    unknown_items = InvoiceTotal.unknown_items
    pieces_below_10 = InvoiceTotal.pieces_below_10
    pieces_10_to_100 = InvoiceTotal.pieces_10_to_100
    pieces_from_100 = InvoiceTotal.pieces_from_100
    account_age_days = Int("from joining to d; null: not known", unit="days", nullable=True)
    days_until_due = Int("from d to the due day", unit="days")
    day_of_week = Int("of d: 1 is Monday, 7 is Sunday")
    is_month_end = Bool("whether d is the last day of a month")
    invoices_120d = Int("invoices of the account issued from d-120 to d-1")
    invoices_to_date = Int("number of the invoice among those of the account, by day and id, from 1")
    prior_known = Int("prior invoices (issued before d) paid before d or due before d; without a total: paid before d")
    prior_late = Int("of these, not paid by their due day")
    prior_late_rate = Float("prior_late / prior_known; null: none is known", nullable=True)
    prior_mean_days_late = Float(
        "mean over prior_known of the days from due day to payment, or to d where open; 0 in time", nullable=True
    )
    prior_known_90d = Int("prior_known of invoices issued from d-90")
    prior_late_90d = Int("prior_late of invoices issued from d-90")
    prior_late_rate_90d = Float("prior_late_rate of invoices issued from d-90", nullable=True)
    prior_mean_days_late_90d = Float("prior_mean_days_late of invoices issued from d-90", nullable=True)
    prior_known_365d = Int("prior_known of invoices issued from d-365")
    prior_late_365d = Int("prior_late of invoices issued from d-365")
    prior_late_rate_365d = Float("prior_late_rate of invoices issued from d-365", nullable=True)
    prior_mean_days_late_365d = Float("prior_mean_days_late of invoices issued from d-365", nullable=True)
    open_invoices = Int("prior invoices with a total, not paid before d")
    open_total = Decimal("what was open of prior invoices with all receipts before d", scale=2)
    overdue_invoices = Int("of open_invoices, due before d")
    overdue_total = Decimal("of open_total, what was due before d", scale=2)
    total_to_mean = Float("invoice_total / mean total of prior invoices; null: there is none", nullable=True)
    is_late = Int("label; 1: paid after the due day, or open after it; 0: paid in time; null: not known", nullable=True)
    days_to_pay = Int("label; from d to the payment; null: not paid", unit="days", nullable=True)
    invoice_class = Text("label; by its status at as-of: regular, disputed, cancelled, paid on an unknown day")
    paid_on = Date("label; day on which all was paid; null: not paid", nullable=True)
    outcome_on = Date("label; day on which is_late became known", nullable=True)
    split = Text(
        "train: issued and its outcome known before the first day of validation; validation: issued from then on; gap: "
        "its outcome was not known by then; null: no day of validation is set, or is_late is not known", nullable=True,
    )  # fmt: skip


_COPIED = [name for name, column in InvoiceTotal.columns.items() if type(column) is Int]


@dataset(
    LatePaymentFeatures,
    layer="gold",
    grain="one row per invoice that was issued by as-of",
    by="account_id",
    keyed={
        "outcomes": [],
        "balances": ["invoice_id", "day", "due_on", "change_cents"],
        "customers": ["joining_date"],
    },
    key="invoice_id",
    partition_by="issued_month",
    partition_setting="partition_by",
    checks=[
        not_null("account_age_days", action="warn"),
        one_of("split", [TRAIN, VALIDATION, GAP], action="fail"),
        conserves("item_count", source="outcomes"),
    ],
)
def late_payment_features(
    outcomes: pl.LazyFrame, balances: pl.LazyFrame, customers: pl.LazyFrame, settings: dict[str, Any]
) -> pl.LazyFrame:
    """What was known of an invoice and its account on the day of issue, and whether it was paid late."""
    day = pl.col("issued_on")
    history = known_before(outcomes.select("account_id", "issued_on").unique(), _spans(outcomes, balances))
    rank = pl.struct("issued_on", "invoice_id").rank("ordinal").over("account_id").cast(pl.Int64)
    return (
        outcomes.join(history, on=["account_id", "issued_on"], how="left", validate="m:1")
        .join(customers, on="account_id", how="left", validate="m:1")
        .select(
            "invoice_id", "account_id", "issued_on", "due_on", *_COPIED, "is_late", "invoice_class", "paid_on",
            "outcome_on", "invoices_120d", "open_invoices", "overdue_invoices",
            day.dt.strftime("%Y-%m").alias("issued_month"),
            day.dt.year().cast(pl.Int64).alias("issued_year"),
            _whole_units("total_cents").alias("invoice_total"),
            _days(day - pl.col("joining_date")).alias("account_age_days"),
            _days(pl.col("due_on") - day).alias("days_until_due"),
            _days(pl.col("paid_on") - day).alias("days_to_pay"),
            day.dt.weekday().cast(pl.Int64).alias("day_of_week"),
            (day == day.dt.month_end()).alias("is_month_end"),
            rank.alias("invoices_to_date"),
            *(column for suffix in WINDOWS for column in _prior(suffix)),
            _whole_units("open_cents").alias("open_total"),
            _whole_units("overdue_cents").alias("overdue_total"),
            _to_mean().alias("total_to_mean"),
            _split(settings["validation_from"]).alias("split"),
        )
    )  # fmt: skip


def _spans(outcomes: pl.LazyFrame, balances: pl.LazyFrame) -> list[Span]:
    """What prior invoices add to the features of later ones, from the day after which it is known.

    An invoice is late from its due day on where it was not paid by then. Whether and when it is paid later changes
    nothing of that, so that a payment after d cannot change a feature of day d.
    """
    issued, due, paid = pl.col("issued_on"), pl.col("due_on"), pl.col("paid_on")
    total, change = (pl.col(name).cast(pl.Int128) for name in ("total_cents", "change_cents"))  # sums cannot wrap
    has_total = total.is_not_null()
    due_or_known = pl.when(has_total).then(due).otherwise(paid)
    decided, overdue, closed = (
        pl.max_horizontal(issued, day) for day in (pl.min_horizontal(due_or_known, paid), due_or_known, paid)
    )
    closed = pl.when(paid.is_not_null()).then(closed)
    judged, with_total = outcomes.filter(has_total | paid.is_not_null()), outcomes.filter(has_total)
    late = judged.filter(paid.is_null() | (paid > due))
    one, due_number = pl.lit(1, pl.Int64), due.to_physical().cast(pl.Int64)
    spans = [
        Span(with_total, issued, None, {"prior_cents": total, "prior_totals": one}),
        Span(outcomes, issued, issued + pl.duration(days=120), {"invoices_120d": one}),
        Span(with_total, issued, closed, {"open_invoices": one}),
        Span(late, overdue, closed, {"overdue_invoices": one}),
        Span(balances, pl.col("day"), None, {"open_cents": change}),
        Span(balances, pl.max_horizontal("day", "due_on"), None, {"overdue_cents": change}),
    ]  # fmt: skip
    for suffix, days in WINDOWS.items():
        end = issued + pl.duration(days=days) if days else None
        running_end = pl.min_horizontal(closed, end) if days else closed
        fixed = pl.when(paid.is_not_null()).then((paid - due).dt.total_days())
        spans += [
            Span(judged, decided, end, {f"prior_known{suffix}": one}),
            Span(late, overdue, end, {f"prior_late{suffix}": one}),
            Span(late, overdue, running_end, {f"running{suffix}": one, f"running_due{suffix}": due_number}),
            Span(late.filter(paid.is_not_null()), closed, end, {f"days_late{suffix}": fixed}),
        ]
    return spans


def _prior(suffix: str) -> list[pl.Expr]:
    """The features of prior invoices of one window. Days late of open invoices run until d."""
    known, late = pl.col(f"prior_known{suffix}"), pl.col(f"prior_late{suffix}")
    day = pl.col("issued_on").to_physical().cast(pl.Int64)
    days = pl.col(f"days_late{suffix}") + pl.col(f"running{suffix}") * day - pl.col(f"running_due{suffix}")
    some = pl.when(known > 0)
    return [
        known, late, some.then(late / known).alias(f"prior_late_rate{suffix}"),
        some.then(days / known).alias(f"prior_mean_days_late{suffix}"),
    ]  # fmt: skip


def _to_mean() -> pl.Expr:
    """Total against the mean of prior totals, with one division: the product of whole numbers is exact below 2^53."""
    total, count, cents = pl.col("total_cents"), pl.col("prior_totals"), pl.col("prior_cents")
    return pl.when(cents > 0).then((total.cast(pl.Int128) * count) / cents)


def _split(first: str) -> pl.Expr:
    """Which part of a split by time an invoice with a known outcome belongs to. ``first``: ISO day; empty: no split."""
    if not first:
        return pl.lit(None, pl.String)
    day = pl.lit(dt.date.fromisoformat(first), pl.Date)
    earlier = pl.when(pl.col("outcome_on") < day).then(pl.lit(TRAIN)).otherwise(pl.lit(GAP))
    part = pl.when(pl.col("issued_on") >= day).then(pl.lit(VALIDATION)).otherwise(earlier)
    return pl.when(pl.col("is_late").is_not_null()).then(part)


def _days(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_days()


def _whole_units(cents: str) -> pl.Expr:
    """Whole cents as a decimal number of whole units; exact."""
    kind = pl.Decimal(38, 2)
    return pl.col(cents).cast(kind) * pl.lit("0.01").cast(kind)
