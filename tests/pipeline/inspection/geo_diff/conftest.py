"""Two small geo tables, and the table of their pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline.geo.ranges import CountryRanges, save_ranges
from pipeline.geo.table import GeoSource, GeoTable, table_digest
from pipeline.inspection.geo_diff.pairs import pair_tables

Starts = Sequence[tuple[int, str]]
"""(first address, label of the database): the ranges of an address space."""


def make_table(path: Path, regions: dict[str, str], v4: Starts, v6: Starts = ((0, ""),)) -> GeoTable:
    """A table that is compiled at ``path``; the first range of each space begins at 0."""
    labels = ("", *sorted({label for _, label in (*v4, *v6)} - {""}))
    ranges = CountryRanges(
        v4_start=np.array([start for start, _ in v4], np.uint32),
        v4_code=np.array([labels.index(label) for _, label in v4], np.uint16),
        v6_hi=np.array([start >> 64 for start, _ in v6], np.uint64),
        v6_lo=np.array([start & 2**64 - 1 for start, _ in v6], np.uint64),
        v6_code=np.array([labels.index(label) for _, label in v6], np.uint16),
        labels=labels,
        build=path.stem,
        attribution="",
        database_hash=path.stem,
    )
    save_ranges(ranges, path)
    pairs = tuple(sorted(regions.items()))
    return GeoSource(str(path), "region", pairs, False, table_digest(path.stem, "region", pairs, False)).load()


@dataclass(frozen=True)
class Tables:
    """Two tables and their pairs."""

    old: GeoTable
    new: GeoTable
    pairs: GeoTable


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """1/8 moves from Asia to Europe, 2/8 from Europe to Africa, 3/8 stays in Asia, 4/8 is in the new table only."""
    folder = tmp_path_factory.mktemp("geo")
    step = 1 << 24
    old = make_table(
        folder / "old.npz",
        {"CN": "Asia", "FR": "Europe"},
        [(0, ""), (step, "CN"), (2 * step, "FR"), (3 * step, "CN"), (4 * step, "")],
    )
    new = make_table(
        folder / "new.npz",
        {"CN": "Asia", "FR": "Europe", "EG": "Africa"},
        [(0, ""), (step, "FR"), (2 * step, "EG"), (3 * step, "CN"), (5 * step, "")],
    )
    return Tables(old, new, pair_tables(old, new, folder / "pairs.npz"))


OLD_REGIONS = {"1": "Asia", "2": "Europe", "3": "Asia", "10": "PRIVATE"}
NEW_REGIONS = {"1": "Europe", "2": "Africa", "3": "Asia", "4": "Asia", "10": "PRIVATE"}
"""The regions of ``tables`` by the first octet; other addresses are UNKNOWN."""
