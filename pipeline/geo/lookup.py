"""Finds the region code of address numbers by binary search: one table for IPv4, one for IPv6.

The compiled library searches the same arrays (geo.h), by their names.
"""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.geo.ranges import U16, U32, U64, first_of_runs
from pipeline.geo.special import Interval

_LOW_HALF = (1 << 64) - 1
Positions = npt.NDArray[np.intp]
"""Positions of ranges in the arrays of a table."""


@dataclass(frozen=True)
class IPv4Lookup:
    """IPv4 address → code. The ranges tile the address space, and neighbours have different codes.

    ============  =====================================================================================================
    ``v4_start``  first address of each range, ascending from 0
    ``v4_code``   code of each range
    ``v4_index``  65,537 entries: entry h is the range of the first address whose upper half is h, the last one that of
                  the last address
    ============  =====================================================================================================
    """

    v4_start: U32
    v4_code: U16
    v4_index: U32

    @classmethod
    def build(cls, start: U32, code: U16, private: list[Interval], private_code: int) -> "IPv4Lookup":
        """Make the table of ranges (``start``, ``code``), with ``private_code`` for the ``private`` intervals.

        ``start`` ascends from 0, so that the ranges tile the address space. ``private``: (first, last) address of each
        interval; intervals do not overlap.
        """
        edges = sorted({edge for first, last in private for edge in (first, last + 1) if edge < 1 << 32})
        before = np.searchsorted(start, np.array(edges, np.uint32), side="right") - 1
        missing = start[before] != edges
        at = before[missing] + 1
        start = np.insert(start, at, np.array(edges, np.uint32)[missing])
        code = np.insert(code, at, code[before[missing]])
        for first, last in private:
            begin, end = np.searchsorted(start, np.array([first, last], np.uint32), side="right")
            code[begin - 1 : end] = private_code
        keep = first_of_runs(code)
        leading = np.arange((1 << 16) + 1, dtype=np.uint64) << np.uint64(16)
        index = (np.searchsorted(start[keep], leading, side="right") - 1).astype(np.uint32)
        return cls(start[keep], code[keep], index)

    def find(self, address: U32) -> U16:
        """Find the code of each address."""
        codes: U16 = self.v4_code[np.searchsorted(self.v4_start, address, side="right") - 1]
        return codes


@dataclass(frozen=True)
class IPv6Lookup:
    """IPv6 address, as two halves → code. The ranges tile the address space, and neighbours have different codes.

    An address is searched by its upper half, and by its lower half only where ranges begin within its /64.

    ===========  ======================================================================
    ``half``     distinct upper halves of the ranges' first addresses, ascending from 0
    ``first``    for each half, the first range that begins in its /64
    ``last``     for each half, the last range that begins in its /64
    ``low``      for each range, the lower half of its first address
    ``v6_code``  for each range, its code
    ===========  ======================================================================
    """

    half: U64
    first: Positions
    last: Positions
    low: U64
    v6_code: U16

    @classmethod
    def build(cls, hi: U64, lo: U64, code: U16, private: list[Interval], private_code: int) -> "IPv6Lookup":
        """Make the table of ranges (``hi``, ``lo``, ``code``), with ``private_code`` for the ``private`` intervals.

        The first addresses, with upper halves ``hi`` and lower halves ``lo``, ascend from 0. ``private``: as for
        ``IPv4Lookup.build``.
        """
        edges = sorted({edge for first, last in private for edge in (first, last + 1) if edge < 1 << 128})
        at = np.array([_find_range(hi, lo, edge) for edge in edges], np.intp)
        missing = np.array([_address(hi, lo, int(i)) != edge for i, edge in zip(at, edges, strict=True)], np.bool_)
        new = [edge for edge, absent in zip(edges, missing, strict=True) if absent]
        code = np.insert(code, at[missing], code[at[missing] - 1])
        hi = np.insert(hi, at[missing], np.array([edge >> 64 for edge in new], np.uint64))
        lo = np.insert(lo, at[missing], np.array([edge & _LOW_HALF for edge in new], np.uint64))
        for first, last in private:
            code[_find_range(hi, lo, first) : _find_range(hi, lo, last + 1)] = private_code
        keep = first_of_runs(code)
        hi = hi[keep]
        starts = np.flatnonzero(np.append(True, hi[1:] != hi[:-1]))
        return cls(hi[starts], starts, np.append(starts[1:], len(hi)) - 1, lo[keep], code[keep])

    def find(self, hi: U64, lo: U64) -> U16:
        """Find the code of each address, which has upper half ``hi`` and lower half ``lo``."""
        group = np.searchsorted(self.half, hi, side="right") - 1
        found = self.last[group]
        inside = np.flatnonzero((self.half[group] == hi) & (self.low[found] > lo))
        if len(inside):
            found[inside] = self._search_low(self.first[group[inside]] - 1, found[inside], lo[inside])
        codes: U16 = self.v6_code[found]
        return codes

    def _search_low(self, low: Positions, high: Positions, lo: U64) -> Positions:
        """Find the last range that begins at or before the lower half ``lo``, for each address.

        ``low`` is a range that begins at or before the address, ``high`` one that begins behind it.
        """
        while (wide := high - low > 1).any():
            middle = (low + high) >> 1
            before = self.low[middle] <= lo
            low, high = np.where(wide & before, middle, low), np.where(wide & ~before, middle, high)
        return low


def _address(hi: U64, lo: U64, position: int) -> int:
    """First address of a range, or of what is behind the address space."""
    return int(hi[position]) << 64 | int(lo[position]) if position < len(hi) else 1 << 128


def _find_range(hi: U64, lo: U64, address: int) -> int:
    """The first range that begins at ``address`` or behind it."""
    return bisect_left(range(len(hi)), address, key=lambda position: _address(hi, lo, position))
