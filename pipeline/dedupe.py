"""Which records share a log_id, and which of them counts: one rule for both phases (contract: deduplication).

Rows have the columns of ``intermediate.ROW_SCHEMA``; an id is the pair (id_hi, id_lo), and a record's *content* is
(user_id, region, micro_minutes). Sorting 64-bit keys finds candidates; only those are compared exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

ID = ["id_hi", "id_lo"]


CONTENT = [*ID, "user_id", "region", "micro_minutes"]


Keys = NDArray[np.uint64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Resolution:
    """What became of the candidates: one winner for each id, the contents that lost, and how many copies went."""

    winners: pl.DataFrame
    losers: pl.DataFrame
    duplicates: int


def repeated_keys(ordered: Keys) -> Keys:
    """The distinct keys that occur more than once in a sorted array."""
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    distinct: Keys = again[np.append(again[1:] != again[:-1], True)] if len(again) else again
    return distinct


def rows_with_keys(keys: Keys, wanted: Keys) -> Rows:
    """Positions of the rows whose key is one of ``wanted`` (sorted, distinct); keys are uniform in their high bits."""
    if not len(wanted):
        return np.empty(0, np.int64)
    bits = min(24, len(wanted).bit_length() + 5)  # a table that passes few others and fits a cache
    shift = np.uint64(64 - bits)
    seen = np.zeros(1 << bits, bool)
    seen[wanted >> shift] = True
    maybe = np.flatnonzero(seen[keys >> shift])
    place = np.minimum(np.searchsorted(wanted, keys[maybe]), len(wanted) - 1)
    found: Rows = maybe[wanted[place] == keys[maybe]]
    return found


def in_range(id_hi: NDArray[np.int64], number: int, ranges: int) -> NDArray[np.bool_]:
    """Which ids lie in range ``number`` of ``ranges`` (a power of two), by their leading bits."""
    if ranges == 1:
        return np.ones(len(id_hi), bool)
    leading = id_hi.view(np.uint64) >> np.uint64(64 - (ranges.bit_length() - 1))
    mine: NDArray[np.bool_] = leading == np.uint64(number)
    return mine


def distinct_contents(rows: pl.DataFrame, keep: str) -> pl.DataFrame:
    """One row for each content, with ``copies``: the first copy by place, with the timestamp that decides for it.

    ``rows`` has CONTENT, ``place`` and, for keep = first or last, ``timestamp``.
    """
    aggregates = [pl.len().alias("copies"), pl.col("place").min()]
    if keep == "first":
        aggregates.append(pl.col("timestamp").min())
    elif keep == "last":
        aggregates.append(pl.col("timestamp").max())
    return rows.group_by(CONTENT).agg(aggregates)


def resolve(rows: pl.DataFrame, keep: str, region_names: Sequence[str]) -> Resolution:
    """Decide every id among ``rows``, which hold all its copies.

    longest: the greatest watch time; ties: the smaller user_id, then region, as text. first, last: the content whose
    earliest (latest) timestamp is earliest (latest), missing ones last; ties as for longest.
    """
    contents = distinct_contents(rows, keep)
    ids = contents["id_hi"].to_numpy().view(np.uint64)
    several = np.zeros(len(contents), bool)  # ids with more than one content (or equal halves): few, as a rule
    several[rows_with_keys(ids, repeated_keys(np.sort(ids)))] = True
    duplicates = len(rows) - len(contents)
    if not several.any():
        return Resolution(contents, contents.clear(), duplicates)
    ranked = _rank(contents.filter(pl.Series(several)), keep, region_names)
    first = ranked.select(pl.any_horizontal(pl.col(ID) != pl.col(ID).shift()).fill_null(True)).to_series()
    winners = pl.concat([contents.filter(pl.Series(~several)), ranked.filter(first)])
    return Resolution(winners, ranked.filter(~first), duplicates)


def _rank(contents: pl.DataFrame, keep: str, region_names: Sequence[str]) -> pl.DataFrame:
    """In order of id, and of each id's contents the winner first."""
    text_order = np.argsort(np.argsort(np.array([name.encode() for name in region_names], dtype=object)))
    contents = contents.with_columns(pl.Series("region_order", text_order[contents["region"].to_numpy()]))
    order = [(name, False) for name in ID]
    if keep != "longest":
        order.append(("timestamp", keep == "last"))
    order += [("micro_minutes", True), ("user_id", False), ("region_order", False)]
    by, descending = [name for name, _ in order], [down for _, down in order]
    return contents.sort(by, descending=descending, nulls_last=True).drop("region_order")
