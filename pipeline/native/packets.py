"""Reads rows of MySQL's text protocol by compiled code."""

import ctypes
from enum import IntEnum
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.native.arrow import to_frame
from pipeline.native.library import load

_HEADER_BYTES = 4


class _Texts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("ends", "texts", "valid")]


class Stop(IntEnum):
    """Why packets of rows end: the bytes end; the next packet is the end, is an error of the server, or is one of
    several of a row."""

    CUT = 0
    END = 1
    FAULT = 2
    TOO_LARGE = 3


class Walk:
    """Goes over the whole packets of rows in ``block`` as it fills; ``at``: the byte behind them."""

    def __init__(self, library: Path, block: NDArray[np.uint8], at: int = 0) -> None:
        self._walk, self._block, self._place = load(library).walk_packets, block, np.array([at], np.int64)
        self._addresses = block.ctypes.data, self._place.ctypes.data  # once: it is called for every few kB

    @property
    def at(self) -> int:
        """The byte behind the packets."""
        return int(self._place[0])

    def on(self, filled: int) -> Stop:
        """Go on over the packets in the first ``filled`` bytes; returns why they end."""
        data, place = self._addresses
        return Stop(self._walk(data, filled, place))

    def restart(self) -> None:
        """Begin at the first byte."""
        self._place[0] = 0


def read_packets(library: Path, data: NDArray[np.uint8], columns: int) -> pl.DataFrame:
    """The rows of packets that a walk went over, as texts. Raises ValueError where a packet is no row."""
    room = len(data) // (columns + _HEADER_BYTES) + 1
    ends = [np.empty(room + 1, np.int64) for _ in range(columns)]
    texts = [np.empty(len(data), np.uint8) for _ in range(columns)]  # memory that is not written is not taken
    valid = [np.zeros(room // 8 + 1, np.uint8) for _ in range(columns)]
    parts = list(zip(ends, texts, valid, strict=True))
    targets = (_Texts * columns)(*(_Texts(*(array.ctypes.data for array in arrays)) for arrays in parts))
    rows = load(library).read_packets(data.ctypes.data, len(data), columns, ctypes.addressof(targets))
    if rows < 0:
        raise ValueError("a packet is no row of these columns")
    found = [pa.LargeStringArray.from_buffers(rows, *map(pa.py_buffer, (one, text, bits))) for one, text, bits in parts]
    return to_frame(pa.Table.from_arrays(found, [str(at) for at in range(columns)]))
