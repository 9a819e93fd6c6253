"""The searches find what a walk over all ranges and private intervals finds."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.geo.lookup import IPv4Lookup, IPv6Lookup

PRIVATE = 9
Ranges = list[tuple[int, int]]
"""(first address, code) of each range."""


def tilings(bits: int) -> st.SearchStrategy[Ranges]:
    """Ranges that tile the addresses of so many bits; many begin close to each other or in one /64."""
    near = st.tuples(st.sampled_from([0, 1 << bits - 1, 7 << bits - 16, (1 << bits) - 40]), st.integers(0, 39))
    starts = st.lists(st.integers(1, (1 << bits) - 1) | near.map(sum).filter(bool), max_size=12, unique=True)
    return st.tuples(starts.map(sorted), st.lists(st.integers(0, 3), min_size=13, max_size=13)).map(
        lambda drawn: list(zip([0, *drawn[0]], drawn[1], strict=False))
    )


def intervals(bits: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """(first, last) of intervals that neither overlap nor touch, the first and the last address among them."""
    near = st.tuples(st.sampled_from([0, 1 << bits - 1, (1 << bits) - 40]), st.integers(0, 39)).map(sum)
    edges = st.lists(near | st.integers(0, (1 << bits) - 1), max_size=8, unique=True).map(sorted)
    return edges.map(lambda found: [(a, b) for a, b in zip(found[::2], found[1::2], strict=False)]).map(
        lambda found: [one for number, one in enumerate(found) if not number or found[number - 1][1] + 1 < one[0]]
    )


def expected(address: int, ranges: Ranges, private: list[tuple[int, int]]) -> int:
    if any(first <= address <= last for first, last in private):
        return PRIVATE
    return [code for first, code in ranges if first <= address][-1]


def edges(ranges: Ranges, private: list[tuple[int, int]], bits: int) -> list[int]:
    """All addresses at which the code may change, and their neighbours."""
    bounds = [first for first, _ in ranges] + [edge for interval in private for edge in interval]
    near = {bound + step for bound in bounds for step in (-1, 0, 1)} | {0, (1 << bits) - 1}
    return sorted(address for address in near if 0 <= address < 1 << bits)


def columns(ranges: Ranges) -> tuple[list[int], np.ndarray]:
    return [first for first, _ in ranges], np.array([code for _, code in ranges], np.uint16)


def halves(addresses: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([address >> 64 for address in addresses], np.uint64),
        np.array([address & (1 << 64) - 1 for address in addresses], np.uint64),
    )


@given(tilings(32), intervals(32))
@example([(0, 1)], [(0, (1 << 32) - 1)])
def test_ipv4(ranges: Ranges, private: list[tuple[int, int]]) -> None:
    starts, codes = columns(ranges)
    table = IPv4Lookup.build(np.array(starts, np.uint32), codes, private, PRIVATE)
    addresses = edges(ranges, private, 32)
    found = table.find(np.array(addresses, np.uint32)).tolist()
    assert found == [expected(address, ranges, private) for address in addresses]
    assert table.v4_start[0] == 0
    assert all(one != other for one, other in pairwise(table.v4_code.tolist())), "equal neighbours are merged"


@given(tilings(32))
def test_the_index_names_the_range_of_the_first_address_of_every_16(ranges: Ranges) -> None:
    starts, codes = columns(ranges)
    table = IPv4Lookup.build(np.array(starts, np.uint32), codes, [], PRIVATE)
    assert len(table.v4_index) == 65_537
    bounds = [*table.v4_start.tolist(), 1 << 32]
    for upper in (0, 1, 7, 255, 32_767, 32_768, 65_534, 65_535, *(first >> 16 for first in starts)):
        number = int(table.v4_index[upper])
        assert bounds[number] <= upper << 16 < bounds[number + 1]
    assert table.v4_index[-1] == len(table.v4_start) - 1


@given(tilings(128), intervals(128))
@example([(0, 1), (5, 2), (9, 1), (1 << 64, 3), ((1 << 64) + 1, 1)], [(6, 7)])
@example([(0, 1)], [(0, (1 << 128) - 1)])
def test_ipv6(ranges: Ranges, private: list[tuple[int, int]]) -> None:
    starts, codes = columns(ranges)
    table = IPv6Lookup.build(*halves(starts), codes, private, PRIVATE)
    addresses = edges(ranges, private, 128)
    found = table.find(*halves(addresses)).tolist()
    assert found == [expected(address, ranges, private) for address in addresses]
    assert table.half.tolist() == sorted(set(table.half.tolist()))
    assert all(one != other for one, other in pairwise(table.v6_code.tolist())), "equal neighbours are merged"


@pytest.mark.parametrize("count", [0, 1])
def test_few_addresses(count: int) -> None:
    four = IPv4Lookup.build(np.zeros(1, np.uint32), np.array([3], np.uint16), [], PRIVATE)
    six = IPv6Lookup.build(*halves([0]), np.array([3], np.uint16), [], PRIVATE)
    assert four.find(np.zeros(count, np.uint32)).tolist() == [3] * count
    assert six.find(*halves([0] * count)).tolist() == [3] * count
