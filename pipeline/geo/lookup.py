"""Address numbers → region codes: the two search structures, built when a table is loaded."""

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from pipeline.geo.ranges import U16, U32, U64, first_of_runs
from pipeline.geo.special import Interval

_LOW_HALF = (1 << 64) - 1


class IPv4Lookup:
    """uint32 address → code: binary search.

    ``start`` (ascending, the first one 0) and ``code`` tile the address space; ``private`` stretches get
    ``private_code`` instead.
    """

    def __init__(self, start: U32, code: U16, private: list[Interval], private_code: int) -> None:
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
        self._start, self._code = start[keep], code[keep]

    def find(self, address: U32) -> U16:
        """The code of each address."""
        codes: U16 = self._code[np.searchsorted(self._start, address, side="right") - 1]
        return codes

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """What the compiled kernel searches, by its names."""
        leading = np.arange((1 << 16) + 1, dtype=np.uint64) << np.uint64(16)
        index = (np.searchsorted(self._start, leading, side="right") - 1).astype(np.uint32)
        return {"v4_start": self._start, "v4_code": self._code, "v4_index": index}


class IPv6Lookup:
    """Address halves (uint64) → code: binary search by the high half, then by the low half where a /64 is split.

    ``hi``/``lo`` (ascending, the first one 0) and ``code`` tile the address space; ``private`` stretches get
    ``private_code`` instead.
    """

    def __init__(self, hi: U64, lo: U64, code: U16, private: list[Interval], private_code: int) -> None:
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
        self._lo, self._code = lo[keep], code[keep]
        self._index_halves(hi[keep])

    def _index_halves(self, hi: U64) -> None:
        self._first = np.flatnonzero(np.append(True, hi[1:] != hi[:-1]))
        self._half = hi[self._first]
        self._last = np.append(self._first[1:], len(hi)) - 1

    def find(self, hi: U64, lo: U64) -> U16:
        """The code of each address."""
        group = np.searchsorted(self._half, hi, side="right") - 1
        found = self._last[group]
        inside = np.flatnonzero((self._half[group] == hi) & (self._lo[found] > lo))
        if len(inside):
            found[inside] = self._search_low(self._first[group[inside]] - 1, found[inside], lo[inside])
        codes: U16 = self._code[found]
        return codes

    def arrays(self) -> dict[str, npt.NDArray[np.generic] | int]:
        """What the compiled kernel searches, by its names."""
        return {
            "half": self._half,
            "first": self._first,
            "last": self._last,
            "halves": len(self._half),
            "low": self._lo,
            "v6_code": self._code,
        }

    def _search_low(self, low: npt.NDArray[np.intp], high: npt.NDArray[np.intp], lo: U64) -> npt.NDArray[np.intp]:
        """The last range at or before ``lo``, of the ranges ``low`` (known to start before it) to ``high`` (known to
        start after it).
        """
        while (wide := high - low > 1).any():
            middle = (low + high) >> 1
            before = self._lo[middle] <= lo
            low, high = np.where(wide & before, middle, low), np.where(wide & ~before, middle, high)
        return low


def _address(hi: U64, lo: U64, place: int) -> int:
    return int(hi[place]) << 64 | int(lo[place]) if place < len(hi) else 1 << 128


def _position(hi: U64, lo: U64, address: int) -> int:
    """The first range that starts at ``address`` or after it."""
    return bisect_left(range(len(hi)), address, key=lambda place: _address(hi, lo, place))
