"""Finds rows by their keys, and compares the rows that have the same id, by the compiled library."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.native.library import load

_COPY, _AMBIGUOUS = 1, 2
"""Verdicts of judge_copies in copies.c."""


@dataclass(frozen=True)
class Part:
    """Rows to compare, as contiguous columns; ids are 64 bits, signed or not."""

    id_hi: NDArray[Any]
    id_lo: NDArray[Any]
    user_id: pa.LargeStringArray
    region: NDArray[np.uint16]
    micro_minutes: NDArray[np.int64]


@dataclass(frozen=True)
class Copies:
    """The verdict about candidates, by their positions among the candidates, ascending.

    =============  ====================================================================
    ``copies``     later candidates of an id whose candidates all have the same content
    ``ambiguous``  all candidates of an id whose candidates have several contents
    =============  ====================================================================

    Every other candidate stands for its id.
    """

    copies: NDArray[np.int64]
    ambiguous: NDArray[np.int64]


class _Part(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("id_hi", "id_lo", "bounds", "texts", "region", "micro_minutes")]


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


def judge_copies(library: Path, parts: Sequence[Part], rows: NDArray[np.int64]) -> Copies:
    """Compare candidates that have the same id with each other.

    ``rows``: positions of the candidates, ascending and counted through all ``parts``. Raises MemoryError.
    """
    bounds = np.cumsum([0, *(len(part.region) for part in parts)])
    number = np.searchsorted(bounds, rows, side="right") - 1
    positions = np.stack([number, rows - bounds[number]], axis=1).astype(np.int32)
    verdict = np.zeros(len(rows), np.uint8)
    columns = (_Part * len(parts))(*map(_addresses, parts))
    if not load(library).judge_copies(columns, positions.ctypes.data, len(rows), verdict.ctypes.data):
        raise MemoryError
    return Copies(np.flatnonzero(verdict == _COPY), np.flatnonzero(verdict == _AMBIGUOUS))


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
