"""Helpers for transforms: keys, history, dates and shares of money. Each is a pure function of columns or frames."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Literal

import polars as pl
import polars_hash  # noqa: F401 - adds ``nchash`` to expressions

UNKNOWN = -1
"""The surrogate key of a member that is missing or was never seen."""
NOT_APPLICABLE = -2
"""The surrogate key where a row has no such member by its nature."""
_KEY_BITS = 2**63 - 1


def surrogate_key(*columns: str) -> pl.Expr:
    """A key of 63 bits (Int64, never negative) for the values of ``columns``; null where all of them are null.

    It is xxh64 over the values as text, each after its length, so that ("ab", "c") and ("a", "bc") differ. Dates and
    times go in as whole numbers of days or microseconds; floats have no place in a key. Two members may collide by
    chance (10^6 members: 5e-8): declare the key as ``unique`` in the dimension, so that it is checked.
    """
    parts = [part for name in columns for part in length_and_value(name)]
    hashed = hash_text(pl.concat_str(parts))
    present = pl.any_horizontal(pl.col(name).is_not_null() for name in columns)
    return pl.when(present).then((hashed & pl.lit(_KEY_BITS, pl.UInt64)).cast(pl.Int64))


def hash_text(text: pl.Expr) -> pl.Expr:
    """xxh64 of text (UInt64), which is the same on all machines and versions."""
    hashed: pl.Expr = text.nchash.xxhash64()  # type: ignore[attr-defined]
    return hashed


def length_and_value(name: str) -> tuple[pl.Expr, pl.Expr]:
    """The length of a value as text, and the text; ``-`` and nothing for null."""
    text = pl.col(name).map_batches(_as_text, return_dtype=pl.String)
    return text.str.len_bytes().cast(pl.String).fill_null("-") + ":", text.fill_null("")


def _as_text(values: pl.Series) -> pl.Series:
    return values.to_physical().cast(pl.String) if values.dtype.is_temporal() else values.cast(pl.String)


def history(
    snapshots: pl.LazyFrame,
    *,
    key: str | Sequence[str],
    tracked: Sequence[str],
    valid_from: str,
    moments: pl.LazyFrame | None = None,
) -> pl.LazyFrame:
    """Slowly changing dimension (type 2): the versions of each key over all snapshots.

    ``valid_from`` names the column (day or moment) since when a row of a snapshot holds. Returns ``key``, ``tracked``,
    ``valid_from``, ``valid_to`` (exclusive; null: until now) and ``is_current``: half-open, without gap or overlap, at
    most one current version a key. Nulls are equal; a row that changes nothing makes no version; of rows of one key and
    moment the greatest by ``tracked``, in that order, counts.

    ``moments``: where each snapshot has all keys, a frame with the moments of all snapshots in the column
    ``valid_from``. A key that one of them lacks is deleted then; where it returns, it has a new version. A whole input
    has these, as keyed ones show the moments of their own keys alone.
    """
    keys = [key] if isinstance(key, str) else list(key)
    values = list(tracked)
    rows = (
        snapshots.select(*keys, pl.col(valid_from).alias("valid_from"), *values)
        .sort([*keys, "valid_from", *values], nulls_last=False)
        .unique([*keys, "valid_from"], keep="last", maintain_order=True)
    )
    if moments is None:
        rows = rows.with_columns(pl.lit(None, rows.collect_schema()["valid_from"]).alias("_absent"))
    else:
        known = moments.select(pl.col(valid_from).alias("_absent")).unique().sort("_absent")
        rows = (
            rows.sort("valid_from")
            .join_asof(known, left_on="valid_from", right_on="_absent", strategy="forward", allow_exact_matches=False)
            .sort([*keys, "valid_from"])
        )
    row = pl.int_range(pl.len())
    follows = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in keys) & (row > 0)
    same = pl.all_horizontal([pl.lit(True), *(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in values)])
    back = pl.col("_absent").shift(1) < pl.col("valid_from")
    marked = rows.with_columns((~follows | ~same | back.fill_null(False)).alias("_begins"), follows.alias("_follows"))
    next_from = pl.when(pl.col("_follows").shift(-1)).then(pl.col("valid_from").shift(-1))
    until = pl.when(next_from.is_null() | (pl.col("_absent") < next_from)).then(pl.col("_absent")).otherwise(next_from)
    return (
        marked.with_columns(until.alias("valid_to"), pl.col("_begins").cum_sum().alias("_version"))
        .group_by("_version", maintain_order=True)
        .agg(*(pl.col(name).first() for name in (*keys, *values, "valid_from")), pl.col("valid_to").last())
        .select(*keys, *values, "valid_from", "valid_to", pl.col("valid_to").is_null().alias("is_current"))
    )


def latest(
    rows: pl.LazyFrame,
    *,
    key: Sequence[str],
    order: Sequence[str],
    keep: Literal["last", "first"] = "last",
) -> pl.LazyFrame:
    """One row for each key: the last (or first) by ``order``, then by all other columns; nulls come first.

    Only rows whose key may occur again are sorted: a hash tells the others, of which there are most.
    """
    others = [name for name in rows.collect_schema() if name not in (*key, *order)]
    marked = rows.with_columns(may_occur_again(key).alias("_again"))
    again = marked.filter("_again").sort([*key, *order, *others], nulls_last=False)
    once = again.unique(key, keep=keep, maintain_order=True)
    return pl.concat([marked.filter(~pl.col("_again")), once]).drop("_again")


def may_occur_again(key: Sequence[str]) -> pl.Expr:
    """Whether another row has the same hash of its key; it has where the keys are equal."""
    return pl.struct(key).hash().map_batches(_is_repeated, return_dtype=pl.Boolean)


def _is_repeated(numbers: pl.Series) -> pl.Series:
    """``is_duplicated`` of numbers that are never null, in half the time: sorted, equal ones lie side by side, and few
    are."""
    ordered = numbers.sort()
    return numbers.is_in(ordered.filter(ordered == ordered.shift(1)).implode())


def as_of_join(
    facts: pl.LazyFrame, versions: pl.LazyFrame, *, on: str | Sequence[str], at: str, early: bool = False
) -> pl.LazyFrame:
    """Each fact with the columns of the version of ``on`` that held at the fact's time ``at``; null where none did.

    ``versions``: what ``history`` returns; its ``valid_from``, ``valid_to`` and ``is_current`` are left out. ``early``:
    a fact before the first version of its key gets that version. Never more rows than facts; their order is free.
    """
    keys = [on] if isinstance(on, str) else list(on)
    if not early:
        return _search_versions(facts, versions, keys, at, early)
    # A key with one version that still holds has it at any time: a plain join, which is much faster.
    marked = versions.with_columns(((pl.len().over(keys) > 1) | pl.col("valid_to").is_not_null()).alias("_several"))
    known = marked.collect().lazy()
    single = known.filter(~pl.col("_several")).drop("_several", "valid_from", "valid_to", "is_current", strict=False)
    several = known.filter("_several").drop("_several")
    dated = several.select(keys).unique()
    if not dated.head(1).collect().height:
        return facts.join(single, on=keys, how="left", validate="m:1")
    rest = facts.join(dated, on=keys, how="anti").join(single, on=keys, how="left", validate="m:1")
    searched = _search_versions(facts.join(dated, on=keys, how="semi"), several, keys, at, early)
    return pl.concat([rest, searched.select(rest.collect_schema().names())])


def _search_versions(
    facts: pl.LazyFrame, versions: pl.LazyFrame, keys: list[str], at: str, early: bool
) -> pl.LazyFrame:
    """``as_of_join`` by the times of all versions."""
    added = [name for name in versions.collect_schema() if name not in (*keys, "valid_to", "is_current")]
    right = versions.select(*keys, *added, "valid_to").sort("valid_from")
    there = [name for name in added if name != "valid_from"]
    left = facts.with_columns(pl.col(at).alias("_at"))
    zero = left.with_columns(pl.col("_at").cast(versions.collect_schema()["valid_from"]))
    sorted_left = zero.sort("_at")
    found = sorted_left.join_asof(
        right, left_on="_at", right_on="valid_from", by=keys, strategy="backward", check_sortedness=False
    )
    holds = pl.col("valid_to").is_null() | (pl.col("_at") < pl.col("valid_to"))
    known = found.with_columns(pl.when(pl.col("valid_from").is_not_null() & holds).then(pl.col(name)) for name in there)
    if early:
        first = right.unique(keys, keep="first", maintain_order=True).select(
            *keys, *(pl.col(name).alias(f"_first_{name}") for name in there)
        )
        missing = pl.col("valid_from").is_null()
        known = (
            known.join(first, on=keys, how="left", validate="m:1")
            .with_columns(
                pl.when(missing).then(pl.col(f"_first_{name}")).otherwise(pl.col(name)).alias(name) for name in there
            )
            .drop(f"_first_{name}" for name in there)
        )
    return known.drop("_at", "valid_from", "valid_to")


def calendar(
    first: dt.date, last: dt.date, *, fiscal_start: int = 1, holidays: Mapping[dt.date, str] | None = None
) -> pl.LazyFrame:
    """Every day of the whole fiscal years from that of ``first`` to that of ``last``, without gaps.

    ``fiscal_start``: the month (1 to 12) in which a fiscal year begins; the year is named by the calendar year in which
    it ends. Columns: ``date_key`` (Int64, 20261130), ``day``, ``year``, ``quarter``, ``month``, ``day_of_month``,
    ``day_of_week`` (ISO: Monday is 1), ``iso_year``, ``iso_week``, ``day_of_year``, ``is_weekend``, ``is_month_end``,
    ``fiscal_year``, ``fiscal_quarter``, ``holiday`` (name or null); whole numbers are Int64.
    """
    begin = dt.date(first.year - (first.month < fiscal_start), fiscal_start, 1)
    end_year = last.year + (last.month >= fiscal_start)
    days = pl.date_range(begin, dt.date(end_year, fiscal_start, 1), "1d", closed="left", eager=True).alias("day")
    day = pl.col("day").dt
    since = (day.month().cast(pl.Int64) - fiscal_start) % 12
    names = pl.DataFrame(
        {"day": list(holidays or {}), "holiday": list((holidays or {}).values())},
        schema={"day": pl.Date, "holiday": pl.String},
    )
    whole = {
        "year": day.year(), "quarter": day.quarter(), "month": day.month(), "day_of_month": day.day(),
        "day_of_week": day.weekday(), "iso_year": day.iso_year(), "iso_week": day.week(),
        "day_of_year": day.ordinal_day(),
    }  # fmt: skip
    ends_next = pl.lit(fiscal_start > 1) & (day.month() >= fiscal_start)
    return (
        days.to_frame()
        .lazy()
        .select(
            date_key("day").alias("date_key"), "day",
            *(value.cast(pl.Int64).alias(name) for name, value in whole.items()),
            (day.weekday() >= 6).alias("is_weekend"), (pl.col("day") == day.month_end()).alias("is_month_end"),
            (day.year().cast(pl.Int64) + ends_next.cast(pl.Int64)).alias("fiscal_year"),
            (since // 3 + 1).alias("fiscal_quarter"),
        )
        .join(names.lazy(), on="day", how="left", validate="1:1", maintain_order="left")
    )  # fmt: skip


def date_key(day: str) -> pl.Expr:
    """A day as a number (Int64), such as 20261130: the key of ``calendar``."""
    parts = pl.col(day).dt
    return parts.year().cast(pl.Int64) * 10_000 + parts.month().cast(pl.Int64) * 100 + parts.day()


def basis_points(cents: str, points: int | str) -> pl.Expr:
    """``points`` ten-thousandths of a column of whole cents (Int64), rounded half up (away from zero).

    ``points``: a number, or the column that has it. A result beyond 64 bits stops the run and is told.
    """
    product = _as_int128(cents) * _as_int128(points if isinstance(points, str) else pl.lit(points))
    return (product.sign() * ((product.abs() + 5_000) // 10_000)).cast(pl.Int64)


def exact_sum(value: str | pl.Expr) -> pl.Expr:
    """The sum of whole numbers, Int64. A sum beyond 64 bits stops the run and is told; a plain one wraps silently."""
    return _as_int128(value).sum().cast(pl.Int64)


def exact_difference(first: str | pl.Expr, second: str | pl.Expr) -> pl.Expr:
    """The difference of two whole numbers, Int64. One beyond 64 bits stops the run and is told."""
    return (_as_int128(first) - _as_int128(second)).cast(pl.Int64)


def exact_product(first: str | pl.Expr, second: str | pl.Expr) -> pl.Expr:
    """The product of two whole numbers, Int64. One beyond 64 bits stops the run and is told; a plain one wraps
    silently. A check with ``product_fits`` rejects such rows before."""
    return (_as_int128(first) * _as_int128(second)).cast(pl.Int64)


def product_fits(first: str | pl.Expr, second: str | pl.Expr) -> pl.Expr:
    """Whether the product of two whole numbers fits into 64 bits, for ``expression``; true where one is null."""
    product = _as_int128(first) * _as_int128(second)
    return product.is_null() | product.cast(pl.Int64, strict=False).is_not_null()


def _as_int128(value: str | pl.Expr) -> pl.Expr:
    return (pl.col(value) if isinstance(value, str) else value).cast(pl.Int128)


def allocate(cents: str, weight: str, *, over: str | Sequence[str], order: str | Sequence[str]) -> pl.Expr:
    """Divide the amount ``cents`` of a group among its rows by ``weight``, so that the parts add up to it exactly.

    ``cents``: a column of Int64 that has the group's amount in each of its rows. ``weight``: Int64, at least 0; where
    all of a group are 0, its rows are alike. ``over``: columns of the group. ``order``: columns that order its rows:
    what is left by rounding down goes, one minor unit each, to the rows with the largest remainder, and among equal
    ones to the first.
    """
    groups = [over] if isinstance(over, str) else list(over)
    ties = [order] if isinstance(order, str) else list(order)
    named = [pl.col(name).alias(f"_group{at}") for at, name in enumerate(groups)]
    amounts = pl.col(cents).cast(pl.Int128).alias("_amount"), pl.col(weight).cast(pl.Int128).alias("_weight")
    order_of = [pl.col(name).alias(f"_order{at}") for at, name in enumerate(ties)]
    return pl.struct(*named, *amounts, *order_of).map_batches(_allocated, return_dtype=pl.Int64)


def _allocated(rows: pl.Series) -> pl.Series:
    """``allocate`` of whole columns, step by step: in one expression each of many groups would take its own steps."""
    frame = rows.struct.unnest().with_row_index("_row")
    groups, ties = ([name for name in frame.columns if name.startswith(part)] for part in ("_group", "_order"))
    total = pl.col("_weight").sum().over(groups)
    shared = frame.with_columns(
        total.alias("_total"), pl.len().over(groups).cast(pl.Int128).alias("_rows")
    ).with_columns(
        pl.when(pl.col("_total") > 0).then(pl.col("_weight")).otherwise(pl.lit(1, pl.Int128)).alias("_share"),
        pl.when(pl.col("_total") > 0).then(pl.col("_total")).otherwise(pl.col("_rows")).alias("_whole"),
    )
    product = pl.col("_amount").abs() * pl.col("_share")
    cut = shared.with_columns(
        (product // pl.col("_whole")).alias("_floor"), (0 - product % pl.col("_whole")).alias("_remainder")
    )
    left = pl.col("_amount").abs() - pl.col("_floor").sum().over(groups)
    placed = cut.with_columns(left.alias("_left")).sort(*groups, "_remainder", *ties, nulls_last=False)
    numbered = placed.with_columns(pl.int_range(pl.len()).alias("_number"))
    place = pl.col("_number") - pl.col("_number").min().over(groups)
    part = pl.col("_floor") + (place < pl.col("_left")).cast(pl.Int128)
    return numbered.with_columns((pl.col("_amount").sign() * part).cast(pl.Int64).alias("_part")).sort("_row")["_part"]
