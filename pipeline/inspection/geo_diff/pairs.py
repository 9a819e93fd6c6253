"""Joins two geo tables into one whose regions are pairs (old region, new region): one lookup gives both."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.geo.ranges import U64, CountryRanges, load_ranges, save_ranges
from pipeline.geo.table import GeoSource, GeoTable, label_codes, prepare, table_digest

UNREAD = "\U0010ffff"
"""Stands for the new region of an address that could not be read again; it is the last of all texts."""

_TAB = "\t"

RangeNumbers = npt.NDArray[np.intp]


def pair_tables(old: GeoTable, new: GeoTable, target: Path) -> GeoTable:
    """Make a table whose regions are names of pairs (``split_pair``), and save it to ``target`` for other processes.

    As text, the names of pairs sort by the old region first. Each old region has a pair with ``UNREAD``.
    """
    before, after = load_ranges(Path(old.source.compiled)), load_ranges(Path(new.source.compiled))
    zeros = [np.zeros(len(ranges.v4_start), np.uint64) for ranges in (before, after)]
    _, v4_start, *v4_ranges = _intersect(
        (zeros[0], before.v4_start.astype(np.uint64)), (zeros[1], after.v4_start.astype(np.uint64))
    )
    v6_hi, v6_lo, *v6_ranges = _intersect((before.v6_hi, before.v6_lo), (after.v6_hi, after.v6_lo))
    sides = _regions(before, old.source), _regions(after, new.source)
    v4 = _pairs(sides[0][before.v4_code[v4_ranges[0]]], sides[1][after.v4_code[v4_ranges[1]]])
    v6 = _pairs(sides[0][before.v6_code[v6_ranges[0]]], sides[1][after.v6_code[v6_ranges[1]]])
    unread = [(name, UNREAD) for name in old.names]
    codes = {pair: code for code, pair in enumerate(dict.fromkeys([("UNKNOWN", "UNKNOWN"), *v4, *v6, *unread]))}
    labels = ("", *(_TAB.join(pair) for pair in list(codes)[1:]))
    ranges = CountryRanges(
        v4_start=v4_start.astype(np.uint32),
        v4_code=np.array([codes[pair] for pair in v4], np.uint16),
        v6_hi=v6_hi,
        v6_lo=v6_lo,
        v6_code=np.array([codes[pair] for pair in v6], np.uint16),
        labels=labels,
        build="",
        attribution="",
        database_hash=f"{old.digest} {new.digest}",
    )
    save_ranges(ranges, target)
    regions = tuple((label, label) for label in labels[1:])
    digest = table_digest(ranges.database_hash, "region", regions, False)
    source = GeoSource(str(target), "region", regions, False, digest)
    return GeoTable(prepare(ranges, source), source)


def split_pair(name: str) -> tuple[str, str]:
    """(old region, new region) of the name of a pair. A reserved region, such as PRIVATE, is the same in both."""
    old, tab, new = name.partition(_TAB)
    return (old, new) if tab else (name, name)


def _regions(ranges: CountryRanges, source: GeoSource) -> npt.NDArray[np.object_]:
    """The region of each label."""
    label_of = label_codes(ranges.labels, source)
    return np.array([label_of.get(label, "UNKNOWN") for label in ranges.labels], dtype=object)


def _intersect(before: tuple[U64, U64], after: tuple[U64, U64]) -> tuple[U64, U64, RangeNumbers, RangeNumbers]:
    """Cut the ranges of two tables at the starts of both.

    ``before``, ``after``: the first addresses of each table's ranges as halves (high, low), in order.

    Returns:
        the first addresses of the cut ranges as halves, and for each the number of the range of either table in which
        it lies.
    """
    hi, lo = (np.concatenate([before[half], after[half]]) for half in (0, 1))
    is_before = np.arange(len(hi)) < len(before[0])
    order = np.lexsort((lo, hi))
    hi, lo, is_before = hi[order], lo[order], is_before[order]
    last = np.append((hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1]), True)
    return hi[last], lo[last], (np.cumsum(is_before) - 1)[last], (np.cumsum(~is_before) - 1)[last]


def _pairs(old: npt.NDArray[np.object_], new: npt.NDArray[np.object_]) -> list[tuple[str, str]]:
    return list(zip(old, new, strict=True))
