"""What was known before a day: sums over spans of time, for every account and day at once.

Something that counts from one day to another is added after the first day and taken away after the second. What was
known before a day is then a running sum, so that the work grows with the rows, and not with pairs of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import polars as pl


@dataclass(frozen=True)
class Span:
    """For each row of ``rows`` its ``values`` (by name; Int64, or Int128 where sums may be larger) count for days d
    with ``begin`` < d <= ``end``.

    ``rows`` have ``account_id``. ``begin`` and ``end`` are days; no end, or a null one: for ever. A span that ends
    before or when it begins counts for nothing.
    """

    rows: pl.LazyFrame
    begin: pl.Expr
    end: pl.Expr | None
    values: Mapping[str, pl.Expr]


def known_before(days: pl.LazyFrame, spans: Sequence[Span]) -> pl.LazyFrame:
    """The sum of each value over the spans that count on each of some days.

    ``days``: ``account_id`` and ``issued_on``, without repetition. Returns them with a column for each value, 0 where
    nothing counts.
    """
    return reduce(_add, spans, days)


def _add(days: pl.LazyFrame, span: Span) -> pl.LazyFrame:
    names = list(span.values)
    found = days.sort("issued_on").join_asof(
        _running(span, names).sort("_day"),
        left_on="issued_on", right_on="_day", by="account_id", strategy="backward", allow_exact_matches=False,
        check_sortedness=False,
    )  # fmt: skip
    return found.drop("_day").with_columns(pl.col(names).fill_null(0))


def _running(span: Span, names: list[str]) -> pl.LazyFrame:
    """The sums after each day on which they change: ``account_id``, ``_day`` and the values."""
    end = pl.lit(None, pl.Date) if span.end is None else span.end
    rows = span.rows.select("account_id", span.begin.alias("_begin"), end.alias("_end"), **span.values)
    if span.end is None:
        changes = rows.select("account_id", pl.col("_begin").alias("_day"), *names)
    else:
        lasting = rows.filter(pl.col("_end").is_null() | (pl.col("_end") > pl.col("_begin")))
        begins = lasting.select("account_id", pl.col("_begin").alias("_day"), *names)
        less = [(0 - pl.col(name)).alias(name) for name in names]
        ends = lasting.drop_nulls("_end").select("account_id", pl.col("_end").alias("_day"), *less)
        changes = pl.concat([begins, ends])
    sums = changes.group_by("account_id", "_day").agg(pl.col(names).sum()).sort("account_id", "_day")
    return sums.with_columns(pl.col(names).cum_sum().over("account_id"))
