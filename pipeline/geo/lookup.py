"""Address numbers → region codes: the two search structures, whose fields the compiled kernel searches, too."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.geo.ranges import U16, U32, U64, first_of_runs
from pipeline.geo.special import Interval

_LOW_HALF = (1 << 64) - 1
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class IPv4Lookup:
    """uint32 address → code: binary search.

    ``v4_start`` (ascending, the first one 0) and ``v4_code`` tile the address space; ``v4_index``: the range of the
    first address of every /16, and of the one after the last.
    """

    v4_start: U32
    v4_code: U16
    v4_index: U32

    @classmethod
    def build(cls, start: U32, code: U16, private: list[Interval], private_code: int) -> "IPv4Lookup":
        """``start`` and ``code`` tile the address space; ``private`` stretches get ``private_code`` instead."""
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
        """The code of each address."""
        codes: U16 = self.v4_code[np.searchsorted(self.v4_start, address, side="right") - 1]
        return codes


@dataclass(frozen=True)
class IPv6Lookup:
    """Address halves (uint64) → code: binary search by the high half, then by the low half where a /64 is split.

    ``half``: distinct high halves, ascending, the first one 0; their ranges are ``first`` to ``last``, with low halves
    ``low`` and codes ``v6_code``.
    """

    half: U64
    first: Places
    last: Places
    low: U64
    v6_code: U16

    @classmethod
    def build(cls, hi: U64, lo: U64, code: U16, private: list[Interval], private_code: int) -> "IPv6Lookup":
        """``hi``/``lo`` (ascending, the first one 0) and ``code`` tile the address space; ``private`` stretches get
        ``private_code`` instead."""
        edges = sorted({edge for first, last in private for edge in (first, last + 1) if edge < 1 << 128})
        at = np.array([_position(hi, lo, edge) for edge in edges], np.intp)
        missing = np.array(
            [_address(hi, lo, int(place)) != edge for place, edge in zip(at, edges, strict=True)], np.bool_
        )
        new = [edge for edge, absent in zip(edges, missing, strict=True) if absent]
        code = np.insert(code, at[missing], code[at[missing] - 1])
        hi = np.insert(hi, at[missing], np.array([edge >> 64 for edge in new], np.uint64))
        lo = np.insert(lo, at[missing], np.array([edge & _LOW_HALF for edge in new], np.uint64))
        for first, last in private:
            code[_position(hi, lo, first) : _position(hi, lo, last + 1)] = private_code
        keep = first_of_runs(code)
        hi = hi[keep]
        starts = np.flatnonzero(np.append(True, hi[1:] != hi[:-1]))
        return cls(hi[starts], starts, np.append(starts[1:], len(hi)) - 1, lo[keep], code[keep])

    def find(self, hi: U64, lo: U64) -> U16:
        """The code of each address."""
        group = np.searchsorted(self.half, hi, side="right") - 1
        found = self.last[group]
        inside = np.flatnonzero((self.half[group] == hi) & (self.low[found] > lo))
        if len(inside):
            found[inside] = self._search_low(self.first[group[inside]] - 1, found[inside], lo[inside])
        codes: U16 = self.v6_code[found]
        return codes

    def _search_low(self, low: Places, high: Places, lo: U64) -> Places:
        """The last range at or before ``lo``, of the ranges ``low`` (known to start before it) to ``high`` (known to
        start after it).
        """
        while (wide := high - low > 1).any():
            middle = (low + high) >> 1
            before = self.low[middle] <= lo
            low, high = np.where(wide & before, middle, low), np.where(wide & ~before, middle, high)
        return low


def _address(hi: U64, lo: U64, place: int) -> int:
    return int(hi[place]) << 64 | int(lo[place]) if place < len(hi) else 1 << 128


def _position(hi: U64, lo: U64, address: int) -> int:
    """The first range that starts at ``address`` or after it."""
    return bisect_left(range(len(hi)), address, key=lambda place: _address(hi, lo, place))
