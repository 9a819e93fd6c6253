"""Two geo tables as one: what an address is by the old and by the new, so that one reading tells both."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.geo.ranges import U16, U64, CountryRanges, load_ranges, save_ranges
from pipeline.geo.table import GeoSource, GeoTable, label_codes, prepare, table_digest

NOT_EXAMINED = "\U0010ffff"
"""Stands for the new region of an address that could not be looked up; comes last as text."""
_TAB = "\t"
Places = npt.NDArray[np.intp]


def pair_tables(old: GeoTable, new: GeoTable, target: Path) -> GeoTable:
    """A table whose regions are pairs (``split_pair``), saved as ``target``, where other processes load it.

    As text, pairs are in order of the old region. For each old region there is a pair with ``NOT_EXAMINED``.
    """
    before, after = load_ranges(Path(old.source.compiled)), load_ranges(Path(new.source.compiled))
    zeros = [np.zeros(len(ranges.v4_start), np.uint64) for ranges in (before, after)]
    _, v4_start, *v4_places = _tile(
        (zeros[0], before.v4_start.astype(np.uint64)), (zeros[1], after.v4_start.astype(np.uint64))
    )
    v6_hi, v6_lo, *v6_places = _tile((before.v6_hi, before.v6_lo), (after.v6_hi, after.v6_lo))
    sides = _regions(before, old.source), _regions(after, new.source)
    v4 = sides[0][before.v4_code[v4_places[0]]], sides[1][after.v4_code[v4_places[1]]]
    v6 = sides[0][before.v6_code[v6_places[0]]], sides[1][after.v6_code[v6_places[1]]]
    pairs = {("UNKNOWN", "UNKNOWN"): 0}
    v4_code, v6_code = _number(*v4, pairs), _number(*v6, pairs)
    for name in old.names:
        pairs.setdefault((name, NOT_EXAMINED), len(pairs))
    labels = ("", *(_TAB.join(pair) for pair in list(pairs)[1:]))
    ranges = CountryRanges(
        v4_start=v4_start.astype(np.uint32),
        v4_code=v4_code,
        v6_hi=v6_hi,
        v6_lo=v6_lo,
        v6_code=v6_code,
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
    """(old region, new region) of a region of a table of pairs; reserved ones are the same in both."""
    old, tab, new = name.partition(_TAB)
    return (old, new) if tab else (name, name)


def _regions(ranges: CountryRanges, source: GeoSource) -> npt.NDArray[np.object_]:
    """The region of every label."""
    label_of = label_codes(ranges.labels, source)
    return np.array([label_of.get(label, "UNKNOWN") for label in ranges.labels], dtype=object)


def _tile(before: tuple[U64, U64], after: tuple[U64, U64]) -> tuple[U64, U64, Places, Places]:
    """(first addresses of all ranges of both as halves, the range of each that it lies in)."""
    hi, lo = (np.concatenate([before[half], after[half]]) for half in (0, 1))
    ours = np.arange(len(hi)) < len(before[0])
    order = np.lexsort((lo, hi))
    hi, lo, ours = hi[order], lo[order], ours[order]
    last = np.append((hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1]), True)
    return hi[last], lo[last], (np.cumsum(ours) - 1)[last], (np.cumsum(~ours) - 1)[last]


def _number(old: npt.NDArray[np.object_], new: npt.NDArray[np.object_], pairs: dict[tuple[str, str], int]) -> U16:
    """The number of each pair; new ones join ``pairs``."""
    return np.array([pairs.setdefault(pair, len(pairs)) for pair in zip(old, new, strict=True)], np.uint16)
