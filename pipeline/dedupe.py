"""Finds the records that share a log_id and decides which of them counts: one rule for both phases.

Rows have the columns of ``exchange.row_files.ROW_SCHEMA``. An id is the pair (id_hi, id_lo); a record's *content* is
(user_id, region, micro_minutes); its *place* is its position among all records (``exchange.row_files.PLACE_UNIT``).
Sorting 64-bit keys finds candidates, and only candidates are compared exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

ID = ["id_hi", "id_lo"]
CONTENT = [*ID, "user_id", "region", "micro_minutes"]

Keys = NDArray[np.uint64]
Positions = NDArray[np.int64]
"""Numbers of rows, counted from 0 through a table or through several tables in order."""


@dataclass(frozen=True)
class Resolution:
    """The decision about every id of some rows.

    ==============  ==========================================================================================
    ``winners``     one row for each id: the content that counts (CONTENT, copies, place, timestamp if it decides)
    ``losers``      the other contents, with the same columns
    ``duplicates``  rows that repeat a content of their id
    ==============  ==========================================================================================
    """

    winners: pl.DataFrame
    losers: pl.DataFrame
    duplicates: int


def repeated_keys(ordered: Keys) -> Keys:
    """The distinct keys that occur more than once in a sorted array, sorted."""
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    distinct: Keys = again[np.append(again[1:] != again[:-1], True)] if len(again) else again
    return distinct


def distinct(ordered: Keys) -> Keys:
    """The distinct values of a sorted array. (``np.unique`` builds a hash table, which takes twenty times as long.)"""
    different: Keys = ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered
    return different


def rows_with_keys(keys: Keys, wanted: Keys) -> Positions:
    """Find the rows whose key is one of ``wanted`` (sorted, distinct): their positions, ascending.

    The search is fast where the high bits of ``keys`` are uniform, as those of hashes are.
    """
    if not len(wanted):
        return np.empty(0, np.int64)
    bits = min(24, len(wanted).bit_length() + 5)  # a table that passes few other keys and fits a cache
    shift = np.uint64(64 - bits)
    seen = np.zeros(1 << bits, bool)
    seen[wanted >> shift] = True
    candidates = np.flatnonzero(seen[keys >> shift])
    nearest = np.minimum(np.searchsorted(wanted, keys[candidates]), len(wanted) - 1)
    found: Positions = candidates[wanted[nearest] == keys[candidates]]
    return found


def in_range(id_hi: NDArray[np.int64], number: int, ranges: int) -> NDArray[np.bool_]:
    """Whether each id lies in range ``number`` of ``ranges`` (a power of two), by its leading bits."""
    if ranges == 1:
        return np.ones(len(id_hi), bool)
    leading = id_hi.view(np.uint64) >> np.uint64(64 - (ranges.bit_length() - 1))
    inside: NDArray[np.bool_] = leading == np.uint64(number)
    return inside


def distinct_contents(rows: pl.DataFrame, keep: str) -> pl.DataFrame:
    """Group ``rows`` (CONTENT, place, and timestamp if ``keep`` is first or last) by content.

    =============  ===============================================================================
    CONTENT        each combination once, in any order
    ``copies``     number of its rows (UInt32)
    ``place``      the smallest place
    ``timestamp``  the earliest for first, the latest for last, null if no row has one
    =============  ===============================================================================
    """
    aggregates = [pl.len().alias("copies"), pl.col("place").min()]
    if keep == "first":
        aggregates.append(pl.col("timestamp").min())
    elif keep == "last":
        aggregates.append(pl.col("timestamp").max())
    return rows.group_by(CONTENT).agg(aggregates)


def resolve(rows: pl.DataFrame, keep: str, region_names: Sequence[str]) -> Resolution:
    """Decide every id among ``rows``, which hold all its copies (columns as for ``distinct_contents``).

    ``keep`` = longest: the greatest watch time wins; ties go to the smaller user_id, then to the smaller region name.
    ``keep`` = first or last: the earliest (latest) timestamp wins, a missing one loses; ties are broken as for longest.
    Text is compared by its bytes in UTF-8. ``region_names``: by region code. Source of the rule: setting DEDUPE_KEEP.
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


def region_ranks(region_names: Sequence[str]) -> NDArray[np.uint16]:
    """The order of regions by their names, as bytes in UTF-8: a number for each region code."""
    names = np.array([name.encode() for name in region_names], dtype=object)
    return np.argsort(np.argsort(names)).astype(np.uint16)


def _rank(contents: pl.DataFrame, keep: str, region_names: Sequence[str]) -> pl.DataFrame:
    """Sort contents by id, and those of one id so that the winner comes first."""
    ranks = region_ranks(region_names)
    contents = contents.with_columns(pl.Series("region_order", ranks[contents["region"].to_numpy()]))
    order = [(name, False) for name in ID]
    if keep != "longest":
        order.append(("timestamp", keep == "last"))
    order += [("micro_minutes", True), ("user_id", False), ("region_order", False)]
    by, descending = [name for name, _ in order], [down for _, down in order]
    return contents.sort(by, descending=descending, nulls_last=True).drop("region_order")
