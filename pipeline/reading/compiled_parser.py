"""Plain chunks through the compiled kernel: bytes → verified field ends → rows, and the few lines left to others."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.exchange.split_rows import SplitRows
from pipeline.geo.table import GeoTable
from pipeline.native.library import load
from pipeline.reading import scanner
from pipeline.reading.header import Header
from pipeline.reading.text_parser import TextColumns, no_columns
from pipeline.timing import stage

_SAMPLE = 8
_MOST_DOUBTS = 1 / 8
"""A chunk with a larger share of doubtful lines is faster read by Polars."""


_P, _I = ctypes.c_void_p, ctypes.c_int64


Separators = NDArray[np.int32]


class _Columns(ctypes.Structure):
    _fields_ = [
        *((name, _I) for name in ("fields", "log_id", "user_id", "ip_address", "watch_time", "timestamp")),
        ("header", ctypes.c_char_p),
        ("header_length", _I),
    ]


class _Geo(ctypes.Structure):
    _fields_ = [
        *((name, _P) for name in ("v4_start", "v4_code", "v4_index", "half", "first", "last")),
        ("halves", _I),
        *((name, _P) for name in ("low", "v6_code")),
        ("invalid", _I),
    ]


_ROW_COLUMNS = ("id_hi", "id_lo", "user_hash", "user_end", "users", "region", "micro_minutes", "offset", "timestamp")


class _Rows(ctypes.Structure):
    _fields_ = [(name, _P) for name in _ROW_COLUMNS]


@dataclass
class PlainChunk:
    """What a plain chunk held: its lines, of which ``doubtful`` (with their lines and offsets) were left out."""

    lines: int
    doubtful: TextColumns


class PlainParser:
    """Parses the plain chunks of one split into ``rows``; keeps a sample of each for a comparison with other code."""

    def __init__(self, library: Path, header: Header, geo: GeoTable, rows: SplitRows, max_record: int) -> None:
        self._library, self._kernel = library, load(library)
        self._header, self._rows, self._max_record = header, rows, max_record
        self._geo_arrays = geo.arrays  # kept alive as long as the kernel points into them
        arrays = {
            name: value.ctypes.data if isinstance(value, np.ndarray) else value
            for name, value in self._geo_arrays.items()
        }
        self._geo = _Geo(**arrays)
        name = header.names[header.columns["log_id"]].encode()
        places = {"timestamp": -1, **header.columns}
        self._columns = _Columns(
            fields=header.fields,
            header=name,
            header_length=len(name),
            **{role: places[role] for role in ("log_id", "user_id", "ip_address", "watch_time", "timestamp")},
        )
        self._separators: Separators = np.empty(0, np.int32)
        self._samples: list[tuple[list[list[str]], NDArray[np.int64], NDArray[np.int64]]] = []

    def parse(self, data: bytes, size: int, base: int) -> PlainChunk | None:
        """Add the rows of a chunk, the first ``size`` bytes of ``data``, which end with LF, to ``rows``; None, with
        nothing added, where it is not plain.

        ``base``: offset of the chunk from the split's start.
        """
        separators = self._find_separators(data, size)
        if separators is None:
            return None
        header = self._header
        with stage("verify", size):
            place = self._library, data, size, ord(header.delimiter), header.fields
            certified = certify(*place, separators, self._max_record)
        if not certified:
            return None
        lines = len(separators) // header.fields
        doubtful = self._add_rows(data, size, separators, lines, base)
        if len(doubtful) > lines * _MOST_DOUBTS + 8:
            return None
        self._take_sample(data, separators, doubtful, base)
        self._rows.count += lines - len(doubtful)
        return PlainChunk(lines, self._texts(data, separators, doubtful))

    def sample(self) -> tuple[list[list[str]], NDArray[np.int64], NDArray[np.int64]]:
        """(texts of the columns, offset in the split, place in the rows) of some lines of every chunk."""
        fields, offsets, places = zip(*self._samples, strict=True) if self._samples else ((), (), ())
        none = np.empty(0, np.int64)
        lines = [line for some in fields for line in some]
        return lines, np.concatenate([none, *offsets]), np.concatenate([none, *places])

    def _find_separators(self, data: bytes, size: int) -> Separators | None:
        if len(self._separators) < size // 4 + 128:
            self._separators = np.empty(size // 4 + 128, np.int32)
        room = self._separators
        found = self._kernel.find_separators(data, size, ord(self._header.delimiter), room.ctypes.data, len(room))
        return room[:found] if found >= 0 else None

    def _add_rows(self, data: bytes, size: int, separators: Separators, lines: int, base: int) -> NDArray[np.int32]:
        """Write the rows behind those that count; returns the doubtful lines."""
        rows = self._rows
        rows.reserve(lines, size)
        doubtful = np.empty(lines, np.int32)
        pointers = {name: column.ctypes.data for name, column in rows.columns.items()}
        target = _Rows(users=rows.users.ctypes.data, **pointers)
        written = self._kernel.read_rows(
            data,
            separators.ctypes.data,
            lines,
            ctypes.byref(self._columns),
            ctypes.byref(self._geo),
            ctypes.byref(target),
            rows.count,
            rows.text_bytes,
            base,
            doubtful.ctypes.data,
        )
        return doubtful[: lines - written]

    def _take_sample(self, data: bytes, separators: Separators, doubtful: NDArray[np.int32], base: int) -> None:
        lines = len(separators) // self._header.fields
        sample = np.unique(np.arange(_SAMPLE) * (lines - 1) // (_SAMPLE - 1))
        sample = sample[~np.isin(sample, doubtful)]
        fields, starts, _ = self._fields(data, separators, sample)
        places = self._rows.count + sample - np.searchsorted(doubtful, sample)
        self._samples.append((fields, np.array(starts, np.int64) + base, places))

    def _texts(self, data: bytes, separators: Separators, lines: NDArray[Any]) -> TextColumns:
        """The columns of some lines as text."""
        if not len(lines):
            return no_columns(self._header)
        fields, starts, last = self._fields(data, separators, lines)
        columns = as_columns(self._header, fields)
        return TextColumns(columns, np.array(starts, np.int64), np.array(last, np.int64), lines.astype(np.int64))

    def _fields(
        self, data: bytes, separators: Separators, lines: NDArray[Any]
    ) -> tuple[list[list[str]], list[int], list[int]]:
        """(the columns' texts of every line, where the lines begin, where they end) of some lines."""
        ends = separators.reshape(-1, self._header.fields)
        starts = np.where(lines > 0, ends[lines - 1, -1] + 1, 0).tolist()
        fields, last = [], []
        for start, stops in zip(starts, ends[lines].tolist(), strict=True):
            if data[stops[-1] - 1 : stops[-1]] == b"\r" and stops[-1] > start:
                stops[-1] -= 1
            last.append(stops[-1])
            values = [data[stops[at - 1] + 1 if at else start : stops[at]] for at in self._header.columns.values()]
            fields.append([(value[1:-1] if value.startswith(b'"') else value).decode() for value in values])
        return fields, starts, last


def as_columns(header: Header, lines: Sequence[Sequence[str]]) -> dict[str, pl.Series]:
    """Columns by role of lines that have their texts in the order of ``header.columns``."""
    return {
        role: pl.Series([line[place] for line in lines], dtype=pl.String) for place, role in enumerate(header.columns)
    }


_CERTIFIED, _IF_UTF8, _QUOTED = 1, 2, 3


def certify(
    library: Path, data: bytes, size: int, delimiter: int, fields: int, separators: NDArray[np.int32], max_record: int
) -> bool:
    """What ``scanner.confirm`` says of the first ``size`` bytes of ``data``; without quotes scanner.c says the same,
    several times as fast."""
    ends = np.ascontiguousarray(separators)
    verdict = load(library).certify(data, size, delimiter, fields, ends.ctypes.data, len(ends), max_record)
    if verdict == _QUOTED:
        return scanner.confirm(data[:size], delimiter, fields, separators, max_record)
    return verdict == _CERTIFIED or (verdict == _IF_UTF8 and scanner.is_utf8(data[:size]))
