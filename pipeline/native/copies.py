"""Which rows repeat another: candidates compared with each other in a hash table of their ids."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.native.library import load

_COPY, _DISPUTED = 1, 2


@dataclass(frozen=True)
class Part:
    """Rows in columns: id_hi, id_lo (64 bits, any sign), user_id, region (uint16) and micro_minutes (int64)."""

    id_hi: NDArray[Any]
    id_lo: NDArray[Any]
    user_id: pa.LargeStringArray
    region: NDArray[np.uint16]
    micro_minutes: NDArray[np.int64]


@dataclass(frozen=True)
class Copies:
    """Positions among the candidates: of ``copies``, whose content an earlier row with their id has, and of
    ``ambiguous`` ones, whose id has several contents. The others stand for themselves and their copies."""

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
    """Of each of ``parts`` the places of the keys that, as far as ``mask`` goes, are one of ``wanted`` (sorted).

    Parts are contiguous. All keys have the same ``leading`` bits, and those that follow are uniform. Of
    2^``spare_bits`` other keys one at most is looked at twice.
    """
    if not len(wanted):
        return [np.empty(0, np.int64) for _ in parts]
    bin_bits = len(wanted).bit_length()
    bits = bin_bits + spare_bits
    bitmap, starts = np.zeros(1 << (bits - 3), np.uint8), np.zeros((1 << bin_bits) + 1, np.uint32)
    tables = (leading, bits, bitmap.ctypes.data, bin_bits, starts.ctypes.data)
    kernel, address = load(library), wanted.ctypes.data
    kernel.mark_keys(address, len(wanted), *tables)
    places = np.empty(max(map(len, parts), default=0) + 1, np.int64)
    # Parts may be thousands of small ones: what they share is looked up once.
    find, into = kernel.find_keys, places.ctypes.data
    found = []
    for keys in parts:
        assert keys.flags.c_contiguous, "their bytes are read one key after the other"
        count = find(keys.ctypes.data, len(keys), address, mask, *tables, into)
        found.append(places[:count].copy())
    return found


def judge_copies(library: Path, parts: Sequence[Part], rows: NDArray[np.int64]) -> Copies:
    """Compare the rows at the places ``rows``, ascending and counted through all ``parts``, each with all others."""
    bounds = np.cumsum([0, *(len(part.region) for part in parts)])
    number = np.searchsorted(bounds, rows, side="right") - 1
    places = np.stack([number, rows - bounds[number]], axis=1).astype(np.int32)
    verdict = np.zeros(len(rows), np.uint8)
    columns = (_Part * len(parts))(*map(_addresses, parts))
    if not load(library).judge_copies(columns, places.ctypes.data, len(rows), verdict.ctypes.data):
        raise MemoryError
    return Copies(np.flatnonzero(verdict == _COPY), np.flatnonzero(verdict == _DISPUTED))


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
