"""Rows of texts become rows of a contract; the others are rejected, each with its column and reason."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from pipeline.sources.columns import Column, Date, Float, Int, Money, Time
from pipeline.sources.contract import Contract

REJECTS = {
    "table": pl.String(),
    "file": pl.String(),
    "line": pl.Int64(),
    "check": pl.String(),
    "column": pl.String(),
    "value": pl.String(),
    "key": pl.String(),
    "raw": pl.Binary(),
}
"""The columns of rejected rows: which table or source, file and line of a source, the check or reason, the column and
its value as text, the key of the row of a table, the bytes of the record of a source."""


_REPEATED = 4
"""How often texts occur, on average, from which on it is faster to find the different ones first."""
_SAMPLE = 10_000
"""Of more texts, so many are looked at before that."""


@dataclass(frozen=True)
class Rejected:
    """Rejected rows: ``rows`` numbers them in their frame, ``reasons`` has their check, column and value, and ``typed``
    what of them fits the contract."""

    rows: Sequence[int]
    reasons: pl.DataFrame
    typed: pl.DataFrame


def type_rows(texts: pl.DataFrame, contract: type[Contract]) -> tuple[pl.DataFrame, Rejected | None]:
    """Type a frame whose columns are the contract's, as texts or as what Parquet had.

    Returns the good rows, and the others with the first reason of each: ``missing``, or ``not <what is expected>``.
    """
    typed = texts.lazy().select(_typed(name, column, texts.schema[name]) for name, column in contract.columns.items())
    rows = typed.collect()
    bad = [name for name, column in contract.columns.items() if _may_be_bad(texts[name], rows[name], column)]
    if not bad:
        return rows, None
    reasons = pl.DataFrame({name: _reasons(texts[name], rows[name], contract.columns[name]) for name in bad})
    first = pl.coalesce(pl.when(pl.col(name).is_not_null()).then(pl.lit(name)) for name in bad)
    found = reasons.select(
        first.alias("column"), pl.coalesce(pl.col(bad)).alias("check"), pl.int_range(pl.len()).alias("row")
    ).filter(pl.col("column").is_not_null())
    if not len(found):
        return rows, None
    values = [texts[row, name] for row, name in zip(found["row"], found["column"], strict=True)]
    told = found.with_columns(pl.Series("value", [None if v is None else str(v) for v in values], pl.String))
    good = rows.filter(~pl.int_range(pl.len()).is_in(found["row"].implode()))
    return good, Rejected(found["row"].to_list(), told.select("check", "column", "value"), rows[found["row"]])


def _typed(name: str, column: Column, found: pl.DataType) -> pl.Expr:
    value = pl.col(name)
    if found == pl.String():
        return _parsed(value, column).alias(name)
    if isinstance(found, pl.Datetime) and isinstance(column, Date):
        return pl.when(value == value.dt.truncate("1d")).then(value.cast(pl.Date)).alias(name)
    if isinstance(found, pl.Datetime) and isinstance(column, Time):
        return column.to_utc(value, found.time_zone).cast(column.dtype).alias(name)
    if isinstance(column, Float) or (column.casts(found) and not isinstance(column, Money)):
        return (value.cast(column.dtype, strict=False).fill_nan(None) if found.is_numeric() else value).alias(name)
    if isinstance(column, Int) and not isinstance(column, Money) and found.is_float():
        return pl.when(value == value.round()).then(value.cast(pl.Int64, strict=False)).alias(name)
    return column.parse(value.cast(pl.String)).alias(name)  # amounts are in whole units, as they are in text


def _parsed(text: pl.Expr, column: Column) -> pl.Expr:
    """Values of texts; where few of the texts differ, and parsing is slow, each different one is parsed once."""
    if not isinstance(column, Money | Date | Time):
        return column.parse(text)

    def parse_all(texts: pl.Series) -> pl.Series:
        return texts.to_frame("text").select(column.parse(pl.col("text"))).to_series()

    def parse(texts: pl.Series) -> pl.Series:
        sample = texts.head(_SAMPLE)
        if sample.n_unique() * _REPEATED > len(sample):
            return parse_all(texts)
        different = texts.unique()
        if len(different) * _REPEATED > len(texts):
            return parse_all(texts)
        return texts.replace_strict(different, parse_all(different), return_dtype=column.dtype)

    return text.map_batches(parse, return_dtype=column.dtype)


def _may_be_bad(text: pl.Series, value: pl.Series, column: Column) -> bool:
    return value.null_count() > text.null_count() or (not column.may_be_null and value.null_count() > 0)


def _reasons(text: pl.Series, value: pl.Series, column: Column) -> pl.Series:
    """The reason for each row, or null."""
    pair = pl.DataFrame({"text": text.is_null(), "value": value.is_null()})
    missing = pl.lit("missing") if not column.may_be_null else pl.lit(None, pl.String)
    chosen = pl.when(pl.col("text")).then(missing).when(pl.col("value")).then(pl.lit(f"not {column.expected}"))
    return pair.select(chosen.alias("reason"))["reason"]
