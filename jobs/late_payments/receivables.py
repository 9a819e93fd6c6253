"""What is owed, month by month: by how long it is overdue, and how many days of sales it stands for.

    days sales outstanding (DSO)     receivables at the end × days of the month / sales of the month
    best possible DSO                receivables not yet due × days of the month / sales of the month
    average days delinquent (ADD)    DSO − best possible DSO

The metrics are those of the Credit Research Foundation (crfonline.org, National Summary of Domestic Trade
Receivables), for months instead of quarters. Sales are all invoiced amounts. What each invoice counts for:

    regular                       sales and receivables
    disputed                      sales and receivables, in the ageing a class of their own
    cancelled                     nothing
    paid on an unknown day        sales alone, as nothing of it is owed; counted in paid_some_day_invoices
    total not known (any class)   no amount; unless cancelled, counted in unknown_total_invoices

Status has no day: an invoice that is cancelled or called paid now is left out of all months.
"""

import datetime as dt

import polars as pl

from pipeline.datasets import Contract, Date, Float, Int, Money, Text, conserves, dataset, exact_sum, expression

from .silver import CANCELLED, DISPUTED, PAID_SOME_DAY

_AGES = {
    "current_cents": (None, 0), "days_1_30_cents": (1, 30), "days_31_60_cents": (31, 60),
    "days_61_90_cents": (61, 90), "days_over_90_cents": (91, None),
}  # fmt: skip
"""Days overdue, from and to, by column."""
_PARTS = (*_AGES, "disputed_cents")
_COUNTED = ("unknown_total_invoices", "paid_some_day_invoices")


class Ageing(Contract):
    """What an account owes at the end of a month."""

    account_id = Text("who has to pay")
    month = Text("the month, such as 2026-11")
    measured_on = Date("last day of the month; as-of in the month that still runs")
    current_cents = Money("not yet due: the due day is measured_on or later", unit="cents")
    days_1_30_cents = Money("1 to 30 days overdue", unit="cents")
    days_31_60_cents = Money("31 to 60 days overdue", unit="cents")
    days_61_90_cents = Money("61 to 90 days overdue", unit="cents")
    days_over_90_cents = Money("more than 90 days overdue", unit="cents")
    disputed_cents = Money("of disputed invoices, whenever they are due", unit="cents")
    open_cents = Money("all of these together", unit="cents")
    sales_cents = Money("totals of the invoices issued in the month", unit="cents")
    unknown_total_invoices = Int("invoices issued in the month whose total is not known: in none of the amounts")
    paid_some_day_invoices = Int("invoices issued in the month and paid on an unknown day: in sales_cents alone")


@dataset(
    Ageing,
    layer="gold",
    grain="one row per account and month in which it was invoiced or owed something at the end",
    by="account_id",
    keyed={"outcomes": ["invoice_id", "issued_on", "invoice_class", "total_cents"],
           "balances": ["invoice_id", "day", "due_on", "open_cents"]},
    key=("account_id", "month"),
    partition_by="month",
    checks=[expression("open_is_its_parts", pl.sum_horizontal(_PARTS) == pl.col("open_cents"), action="fail")],
)  # fmt: skip
def ageing(outcomes: pl.LazyFrame, balances: pl.LazyFrame, as_of: dt.datetime) -> pl.LazyFrame:
    """What each account owes at the end of each month, by how long it is overdue, and what it was invoiced."""
    today = as_of.date()
    counted = outcomes.filter(pl.col("invoice_class") != CANCELLED)
    paid_some_day = pl.col("invoice_class") == PAID_SOME_DAY
    owing = counted.filter(~paid_some_day).select("invoice_id", "invoice_class")
    owed = _at_ends(_while_open(balances), today).join(owing, on="invoice_id", how="inner", validate="m:1")
    parts = owed.select("account_id", "month", "measured_on", *_by_age())
    sales = counted.select(
        "account_id", *_month("issued_on", today), pl.col("total_cents").alias("sales_cents"),
        pl.col("total_cents").is_null().cast(pl.Int64).alias("unknown_total_invoices"),
        paid_some_day.cast(pl.Int64).alias("paid_some_day_invoices"),
    )  # fmt: skip
    sums = (exact_sum(name) for name in (*_PARTS, "sales_cents", *_COUNTED))
    by_month = pl.concat([parts, sales], how="diagonal").group_by("account_id", "month", "measured_on").agg(*sums)
    return by_month.with_columns(pl.sum_horizontal(pl.col(_PARTS).cast(pl.Int128)).alias("open_cents"))


def _while_open(balances: pl.LazyFrame) -> pl.LazyFrame:
    """Balances with the day ``until`` which they hold (exclusive; null: still), without those of nothing."""
    ordered = balances.sort("invoice_id", "day")
    return ordered.with_columns(pl.col("day").shift(-1).over("invoice_id").alias("until")).filter(
        pl.col("open_cents") > 0
    )


def _at_ends(spans: pl.LazyFrame, today: dt.date) -> pl.LazyFrame:
    """A row for each end of a month at which a balance holds."""
    now = pl.lit(today, pl.Date)
    first, last = pl.col("day").dt.month_start(), pl.min_horizontal("until", now).fill_null(now).dt.month_start()
    months = pl.date_ranges(first, last, "1mo").alias("_month")
    return (
        spans.filter(pl.col("day") <= now)
        .with_columns(months)
        .explode("_month")
        .with_columns(*_month("_month", today))
        .filter(pl.col("day") <= pl.col("measured_on"))
        .filter(pl.col("until").is_null() | (pl.col("until") > pl.col("measured_on")))
        .drop("_month")
    )


def _month(day: str, today: dt.date) -> list[pl.Expr]:
    end = pl.min_horizontal(pl.col(day).dt.month_end(), pl.lit(today, pl.Date))
    return [pl.col(day).dt.strftime("%Y-%m").alias("month"), end.alias("measured_on")]


def _by_age() -> list[pl.Expr]:
    """What is open in the column of its age, 0 in the others."""
    days = (pl.col("measured_on") - pl.col("due_on")).dt.total_days()
    disputed = pl.col("invoice_class") == DISPUTED
    holds = {name: ~disputed & _between(days, low, high) for name, (low, high) in _AGES.items()}
    holds["disputed_cents"] = disputed
    return [pl.when(where).then("open_cents").otherwise(0).alias(name) for name, where in holds.items()]


def _between(days: pl.Expr, low: int | None, high: int | None) -> pl.Expr:
    least = pl.lit(True) if low is None else days >= low
    return least & (pl.lit(True) if high is None else days <= high)


class Dso(Contract):
    """How fast a month's sales are paid."""

    month = Text("the month, such as 2026-11")
    days = Int("of the month; until as-of in the month that still runs", unit="days")
    sales_cents = Money("totals of the invoices issued in the month", unit="cents")
    open_cents = Money("receivables at its end", unit="cents")
    current_cents = Money("of these, not yet due and not disputed", unit="cents")
    unknown_total_invoices = Ageing.unknown_total_invoices
    paid_some_day_invoices = Ageing.paid_some_day_invoices
    dso_days = Float("days sales outstanding; null: nothing was sold", unit="days", nullable=True)
    best_possible_days = Float("best possible days sales outstanding", unit="days", nullable=True)
    average_days_delinquent = Float("days sales outstanding beyond the best possible", unit="days", nullable=True)


@dataset(
    Dso,
    layer="gold",
    grain="one row per month in which anything was invoiced or owed at the end",
    by="month",
    keyed={"ageing": ["measured_on", "sales_cents", "open_cents", "current_cents", *_COUNTED]},
    key="month",
    checks=[conserves("open_cents", source="ageing"), conserves("sales_cents", source="ageing")],
)
def dso(ageing: pl.LazyFrame) -> pl.LazyFrame:
    """Days sales outstanding of each month, the best possible, and average days delinquent."""
    sales, owed, current = (pl.col(name).cast(pl.Int128) for name in ("sales_cents", "open_cents", "current_cents"))
    days = pl.col("measured_on").max().dt.day().cast(pl.Int64).alias("days")
    amounts = (exact_sum(name) for name in ("sales_cents", "open_cents", "current_cents", *_COUNTED))
    sums = ageing.group_by("month").agg(days, *amounts)
    per_sale = {"dso_days": owed, "best_possible_days": current, "average_days_delinquent": owed - current}
    return sums.with_columns(
        pl.when(sales > 0).then((cents * pl.col("days")) / sales).alias(name) for name, cents in per_sale.items()
    )
