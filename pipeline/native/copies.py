"""Sorts and finds keys, and compares the rows that have the same id, by the compiled library."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.native.library import load

_COPY, _LOSES = 1, 2
"""Verdicts in copies.c."""
_KEEP = {"longest": 0, "first": 1, "last": 2}


@dataclass(frozen=True)
class Part:
    """Rows to compare, as contiguous columns; ids are 64 bits, signed or not."""

    id_hi: NDArray[Any]
    id_lo: NDArray[Any]
    user_id: pa.LargeStringArray
    region: NDArray[np.uint16]
    micro_minutes: NDArray[np.int64]


@dataclass(frozen=True)
class Decision:
    """What ``decide_copies`` found, by positions among its rows.

    ===============  ==================================================================================
    ``copies``       whether a row repeats the content of an earlier row
    ``losers``       whether a row is the first of a content that lost
    ``timestamps``   of the first row of each content that which decides over all its copies; None if none does
    ===============  ==================================================================================
    """

    copies: NDArray[np.bool_]
    losers: NDArray[np.bool_]
    timestamps: NDArray[np.int64] | None

    @property
    def stand(self) -> NDArray[np.bool_]:
        """Whether a row is the first of a content that did not lose."""
        return ~(self.copies | self.losers)


class _Part(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("id_hi", "id_lo", "bounds", "texts", "region", "micro_minutes")]


def sort_keys(library: Path | None, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sort an array of keys, which is used up; without a library NumPy does so."""
    if library is None:
        keys.sort()
    else:
        room = np.empty_like(keys)  # it must have a name: an address alone does not keep it
        load(library).sort_keys(keys.ctypes.data, len(keys), room.ctypes.data)
    return keys


def find_keys(
    library: Path,
    parts: Sequence[NDArray[np.uint64]],
    wanted: NDArray[np.uint64],
    *,
    mask: int = 2**64 - 1,
    leading: int = 0,
    spare_bits: int = 5,
) -> list[NDArray[np.int64]]:
    """Find the keys that, masked with ``mask``, are wanted: their positions, ascending, for each of ``parts``.

    ==============  ===================================================================================
    ``parts``       arrays of keys, each contiguous
    ``wanted``      masked keys, sorted
    ``leading``     number of first bits that all keys have in common; the bits behind them are uniform
    ``spare_bits``  false positives of the bitmap: at most 1 in 2^spare_bits keys is compared in vain
    ==============  ===================================================================================
    """
    if not len(wanted):
        return [np.empty(0, np.int64) for _ in parts]
    bin_bits = len(wanted).bit_length()
    bits = bin_bits + spare_bits
    bitmap, starts = np.zeros(1 << (bits - 3), np.uint8), np.zeros((1 << bin_bits) + 1, np.uint32)
    tables = (leading, bits, bitmap.ctypes.data, bin_bits, starts.ctypes.data)
    compiled, address = load(library), wanted.ctypes.data
    compiled.mark_keys(address, len(wanted), *tables)
    positions = np.empty(max(map(len, parts), default=0) + 1, np.int64)
    # There may be thousands of small parts, so the attributes that they share are looked up once.
    find, into = compiled.find_keys, positions.ctypes.data
    found = []
    for keys in parts:
        assert keys.flags.c_contiguous, "the library reads the bytes of one key after the other"
        count = find(keys.ctypes.data, len(keys), address, mask, *tables, into)
        found.append(positions[:count].copy())
    return found


def decide_copies(
    library: Path,
    parts: Sequence[Part],
    rows: NDArray[np.int64],
    keep: str,
    region_ranks: NDArray[np.uint16] | None,
    timestamps: NDArray[np.int64] | None = None,
) -> Decision:
    """Decide the ids of rows by the rule of ``dedupe.resolve``.

    ================  =======================================================================================
    ``rows``          positions of the rows, ascending and counted through all ``parts``
    ``keep``          longest, first or last (DEDUPE_KEEP)
    ``region_ranks``  order of the regions' names, by code (``dedupe.region_ranks``); None where only copies are
                      looked for, and no content loses
    ``timestamps``    of the rows, the least int64 where one is missing; None where the longest counts
    ================  =======================================================================================

    Raises MemoryError.
    """
    positions, verdict = _positions(parts, rows), np.zeros(len(rows), np.uint8)
    columns = (_Part * len(parts))(*map(_addresses, parts))
    times = None if timestamps is None else timestamps.copy()
    ranks, moments = (None if array is None else array.ctypes.data for array in (region_ranks, times))
    decide = load(library).decide_copies
    if not decide(columns, positions.ctypes.data, len(rows), _KEEP[keep], ranks, moments, verdict.ctypes.data):
        raise MemoryError
    return Decision(verdict == _COPY, verdict == _LOSES, times)


def _positions(parts: Sequence[Part], rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """(Number of the part, row in the part) of each of ``rows``."""
    positions = np.empty((len(rows), 2), np.int32)
    first = 0
    for number, part in enumerate(parts):
        stop = first + len(part.region)
        of_part = slice(*np.searchsorted(rows, [first, stop]))
        positions[of_part, 0], positions[of_part, 1] = number, rows[of_part] - first
        first = stop
    return positions


def _addresses(part: Part) -> _Part:
    _, bounds, texts = part.user_id.buffers()
    return _Part(
        id_hi=part.id_hi.ctypes.data,
        id_lo=part.id_lo.ctypes.data,
        bounds=bounds.address + 8 * part.user_id.offset if bounds else None,
        texts=texts.address if texts else None,
        region=part.region.ctypes.data,
        micro_minutes=part.micro_minutes.ctypes.data,
    )
