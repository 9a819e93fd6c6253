"""A table of pairs looks up what both tables look up, each alone."""

import os
from bisect import bisect_right
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.geo.table import GeoTable
from pipeline.inspection.geo_diff.pairs import UNREAD, pair_tables, split_pair
from tests.pipeline.inspection.geo_diff.conftest import NEW_REGIONS, OLD_REGIONS, Starts, Tables, make_table

OLD = {"CN": "Asia", "FR": "Europe"}
NEW = {"CN": "APAC", "FR": "Europe", "EG": "Africa"}
LABELS = st.sampled_from(["", "CN", "FR", "EG", "US"])
V6 = 0x2A00 << 112
"""The test's addresses are in 1.0.0.0/8 and 2a00::/16, where no address is private."""


def names_of(table: GeoTable, addresses: list[str]) -> list[str]:
    return [table.names[code] for code in table.lookup(pl.Series(addresses, dtype=pl.String))]


def region(starts: Starts, regions: dict[str, str], address: int) -> str:
    return regions.get(starts[bisect_right([start for start, _ in starts], address) - 1][1], "UNKNOWN")


def spaces(first: int) -> st.SearchStrategy[Starts]:
    offsets = st.dictionaries(st.integers(0, 40), LABELS, max_size=8)
    return offsets.map(lambda ranges: ((0, ""), *((first + n, ranges[n]) for n in sorted(ranges))))


@settings(
    max_examples=30, phases=[Phase.explicit, Phase.generate]
)  # each example writes files: shrinking takes minutes
@given(old4=spaces(1 << 24), new4=spaces(1 << 24), old6=spaces(V6), new6=spaces(V6))
def test_a_pair_is_what_each_table_says(
    tmp_path_factory: pytest.TempPathFactory, old4: Starts, new4: Starts, old6: Starts, new6: Starts
) -> None:
    folder = tmp_path_factory.mktemp("pairs")
    old, new = make_table(folder / "old.npz", OLD, old4, old6), make_table(folder / "new.npz", NEW, new4, new6)
    pairs = pair_tables(old, new, folder / "pairs.npz")
    numbers = [(1 << 24) + n for n in range(44)], [V6 - 1 + n for n in range(44)]
    addresses = [*(str(IPv4Address(n)) for n in numbers[0]), *(str(IPv6Address(n)) for n in numbers[1])]
    expected = [
        *((region(old4, OLD, n), region(new4, NEW, n)) for n in numbers[0]),
        *((region(old6, OLD, n), region(new6, NEW, n)) for n in numbers[1]),
    ]
    assert [split_pair(name) for name in names_of(pairs, addresses)] == expected


def test_reserved_regions_are_the_same_in_both(tables: Tables) -> None:
    addresses = ["10.0.0.1", "no address", "9.9.9.9"]
    assert names_of(tables.pairs, addresses) == ["PRIVATE", "INVALID", "UNKNOWN"]
    assert [split_pair(name) for name in ("PRIVATE", "a\tb")] == [("PRIVATE", "PRIVATE"), ("a", "b")]


def test_names_are_in_order_of_the_old_region_and_each_old_region_can_be_unread(tables: Tables) -> None:
    names = tables.pairs.names[3:]  # behind the reserved ones
    assert list(names) == sorted(names)
    assert [split_pair(name)[0] for name in names] == sorted(split_pair(name)[0] for name in names)
    assert {split_pair(name)[0] for name in names if split_pair(name)[1] == UNREAD} == set(tables.old.names)
    for first, old in OLD_REGIONS.items():
        (name,) = names_of(tables.pairs, [f"{first}.1.1.1"])
        assert split_pair(name) == (old, NEW_REGIONS[first])


def test_another_process_loads_the_same_table(tables: Tables, tmp_path: Path) -> None:
    target = tmp_path / "pairs.npz"
    pairs = pair_tables(tables.old, tables.new, target)
    loaded = pairs.source.load()
    assert (loaded.names, loaded.digest) == (pairs.names, pairs.digest) == (tables.pairs.names, tables.pairs.digest)
    assert os.listdir(tmp_path) == ["pairs.npz"]
