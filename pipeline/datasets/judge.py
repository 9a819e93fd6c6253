"""Judges the rows that a transform made: which break a check, and which are rejected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from pipeline.datasets.checks import Check
from pipeline.datasets.dataset import DataSet
from pipeline.datasets.units import key_text
from pipeline.sources.typed_rows import REJECTS

TABLE_REJECTS = {**REJECTS, "by": pl.String()}
"""Columns of rejected rows of a data set; ``by`` are its values of ``by``, to replace the rows by."""


@dataclass(frozen=True)
class Judged:
    """Rows without those that a check removes; these; and how many rows break each check."""

    good: pl.DataFrame
    rejects: pl.DataFrame | None
    broken: dict[str, int]


def required(one: DataSet) -> tuple[Check, ...]:
    """The checks that a contract implies: a column that is not nullable has values."""
    return tuple(
        Check(f"required:{name}", "row", (name,), "fail", None, "completeness", pl.col(name).is_not_null())
        for name, column in one.contract.columns.items()
        if not column.may_be_null
    )


def row_checks(one: DataSet) -> tuple[Check, ...]:
    """All checks of a data set that find single rows. Those that fill leave none to find."""
    return (*required(one), *(check for check in one.checks if check.of_rows and not check.fills))


def fill(rows: pl.DataFrame, one: DataSet) -> tuple[pl.DataFrame, dict[str, int]]:
    """Rows with the values that checks put in the place of nulls, and how many these are by column."""
    values = {check.columns[0]: check.value for check in one.checks if check.fills}
    filled = {name: rows[name].null_count() for name in values if rows[name].null_count()}
    return rows.with_columns(
        pl.col(name).fill_null(pl.lit(values[name]).cast(rows.schema[name])) for name in filled
    ), filled


def judge_rows(rows: pl.DataFrame, one: DataSet, missing: Mapping[str, pl.Series]) -> Judged:
    """Judge rows in the order of the data set: checks that remove no rows see those that others leave. ``missing``: by
    check of a reference, the values that are not there."""
    checks = row_checks(one)
    broken = {check.name: _breaks(check, one, missing) for check in checks if not _holds(check, one, rows)}
    counts = dict.fromkeys((check.name for check in checks), 0) | _count(rows, broken)
    removing = [check for check in checks if check.removes and counts[check.name]]
    if not removing:
        return Judged(rows, None, counts)
    marks = rows.lazy().select(broken[check.name].alias(check.name) for check in removing).collect()
    bad = marks.select(pl.any_horizontal(pl.all()).alias("bad"))["bad"]
    first = pl.coalesce(pl.when(pl.col(check.name)).then(pl.lit(check.name)) for check in removing)
    names = marks.filter(bad).select(first.alias("check"))["check"]
    good = rows.filter(~bad)
    staying = [check.name for check in checks if not check.removes and check.name in broken]
    counts |= _count(good, {name: broken[name] for name in staying})
    return Judged(good, _rejects(rows.filter(bad), names, one, removing), counts)


def _holds(check: Check, one: DataSet, rows: pl.DataFrame) -> bool:
    """Whether values are unique already by their hashes, which takes half the time of comparing them."""
    if check.kind != "unique" or _are_neighbours(check, one):
        return False
    return bool(rows.select(pl.struct(check.columns).hash().n_unique()).item() == len(rows))


def _are_neighbours(check: Check, one: DataSet) -> bool:
    """Whether equal keys are neighbours in the order of the data set."""
    return check.action == "fail" and check.columns == one.order


def count_broken(
    rows: pl.LazyFrame, one: DataSet, checks: Sequence[Check], missing: Mapping[str, pl.Series]
) -> dict[str, int]:
    """How many rows of a whole table break each of some checks."""
    return _count(rows, {check.name: _breaks(check, one, missing, ordered=False) for check in checks})


def _count(rows: pl.DataFrame | pl.LazyFrame, broken: Mapping[str, pl.Expr]) -> dict[str, int]:
    """By check how many rows break it. ``broken``: whether a row does."""
    if not broken:
        return {}
    sums = rows.lazy().select(expr.sum().alias(name) for name, expr in broken.items()).collect()
    return {name: int(count or 0) for name, count in sums.row(0, named=True).items()}


def _breaks(check: Check, one: DataSet, missing: Mapping[str, pl.Series], *, ordered: bool = True) -> pl.Expr:
    """Whether a row breaks a check; never null."""
    if check.kind == "row":
        assert check.holds is not None, "a check of rows has an expression"
        return ~check.holds.fill_null(True)
    if check.kind == "reference":
        value = pl.col(check.columns[0])
        return value.is_not_null() & value.is_in(missing[check.name].implode())
    if ordered and _are_neighbours(check, one):
        same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in check.columns)
        return same & (pl.int_range(pl.len()) > 0)
    columns = check.columns
    return pl.col(columns[0]).is_duplicated() if len(columns) == 1 else pl.struct(columns).is_duplicated()


def _rejects(rows: pl.DataFrame, names: pl.Series, one: DataSet, checks: Sequence[Check]) -> pl.DataFrame:
    column = {check.name: check.columns[0] if check.columns else None for check in checks}
    value = pl.lit(None, pl.String)
    dropped = pl.col("_check").is_in([check.name for check in checks if check.action == "drop"])
    for check in checks:
        if check.columns and check.action == "reject":
            value = pl.when(pl.col("_check") == check.name).then(_shown(check.columns[0])).otherwise(value)
    return rows.with_columns(names.alias("_check")).select(
        pl.lit(one.name).alias("table"), pl.lit(None, pl.String).alias("file"), pl.lit(None, pl.Int64).alias("line"),
        pl.col("_check").alias("check"),
        pl.col("_check").replace_strict(column, return_dtype=pl.String).alias("column"),
        value.alias("value"),
        pl.when(~dropped).then(_key(one)).alias("key"),
        pl.lit(None, pl.Binary).alias("raw"),
        (key_text(one.by) if one.by and set(one.by) <= set(rows.columns) else pl.lit("")).alias("by"),
    )  # fmt: skip


def _key(one: DataSet) -> pl.Expr:
    if not one.key:
        return pl.lit(None, pl.String)
    return pl.concat_str([_shown(name).fill_null("") for name in one.key], separator=",")


def _shown(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String)
