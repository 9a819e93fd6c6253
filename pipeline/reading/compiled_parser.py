"""Parses plain chunks by the compiled library: bytes → verified field ends → rows, and a few doubtful lines as text.

A chunk is plain if every line has the right number of fields and every quote opens or closes a whole field. A line is
doubtful if the library cannot read one of its values; ``judge_values`` then judges the line.
"""

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
from pipeline.reading.value_formats import PER_MINUTE, USUAL_FORMATS, ValueFormats
from pipeline.timing import stage

_SAMPLED_LINES = 8
"""Lines of a chunk that are kept for a comparison with other code."""

_MOST_DOUBTS = 1 / 8
"""Largest share of doubtful lines: Polars is faster for a chunk with more of them."""

_ADDRESS_FORMATS = ("plain", "endpoint", "forwarded")
"""In the order of api.h."""

_P, _I = ctypes.c_void_p, ctypes.c_int64

Separators = NDArray[np.int32]
"""Offsets of the delimiters and line ends behind all fields of a chunk, line by line."""


class _Columns(ctypes.Structure):
    _fields_ = [
        *((name, _I) for name in ("fields", "log_id", "user_id", "ip_address", "watch_time", "timestamp")),
        ("header", ctypes.c_char_p),
        ("header_length", _I),
        ("point", _I),
        ("per_minute", _I),
        ("addresses", _I),
        ("proxies", _I),
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


@dataclass(frozen=True)
class PlainChunk:
    """A plain chunk after its rows were added: number of ``lines``, and the ``doubtful`` ones, which became no rows."""

    lines: int
    doubtful: TextColumns


class PlainParser:
    """Parses the plain chunks of one split.

    ``rows`` gets the rows of every chunk. A sample of each chunk's lines is kept for a comparison with other code.
    """

    def __init__(
        self,
        library: Path,
        header: Header,
        geo: GeoTable,
        rows: SplitRows,
        max_record: int,
        formats: ValueFormats = USUAL_FORMATS,
    ) -> None:
        self._path, self._library = library, load(library)
        self._header, self._rows, self._max_record = header, rows, max_record
        self._geo_arrays = geo.arrays  # kept alive as long as the library points into them
        arrays = {
            name: value.ctypes.data if isinstance(value, np.ndarray) else value
            for name, value in self._geo_arrays.items()
        }
        self._geo = _Geo(**arrays)
        name = header.names[header.columns["log_id"]].encode()
        fields = {"timestamp": -1, **header.columns}
        self._columns = _Columns(
            fields=header.fields,
            header=name,
            header_length=len(name),
            point=ord("," if formats.watch_time == "decimal_comma" else "."),
            per_minute=PER_MINUTE[formats.unit],
            addresses=_ADDRESS_FORMATS.index(formats.addresses),
            proxies=formats.proxies,
            **{role: fields[role] for role in ("log_id", "user_id", "ip_address", "watch_time", "timestamp")},
        )
        self._separators: Separators = np.empty(0, np.int32)
        self._samples: list[tuple[list[list[str]], NDArray[np.int64], NDArray[np.int64]]] = []

    def parse(self, data: bytes, size: int, base: int) -> PlainChunk | None:
        """Parse the chunk in the first ``size`` bytes of ``data``, which end with LF, and add its rows to ``rows``.

        ``base``: first byte of the chunk, counted from the split's start. Returns None, and adds no row, if the chunk
        is not plain or has too many doubtful lines.
        """
        separators = self._find_separators(data, size)
        if separators is None:
            return None
        header = self._header
        with stage("verify", size):
            delimiter = ord(header.delimiter)
            certified = certify(self._path, data, size, delimiter, header.fields, separators, self._max_record)
        if not certified:
            return None
        lines = len(separators) // header.fields
        doubtful = self._add_rows(data, size, separators, lines, base)
        if len(doubtful) > lines * _MOST_DOUBTS + 8:
            return None
        self._take_sample(data, separators, doubtful, base)
        self._rows.count += lines - len(doubtful)
        return PlainChunk(lines, self._read_texts(data, separators, doubtful))

    def sample(self) -> tuple[list[list[str]], NDArray[np.int64], NDArray[np.int64]]:
        """A sample of the lines that became rows.

        Returns (texts of each line in the order of ``Header.columns``, first byte of each line counted from the split's
        start, number of each line's row).
        """
        chunks, offsets, positions = zip(*self._samples, strict=True) if self._samples else ((), (), ())
        none = np.empty(0, np.int64)
        lines = [line for chunk in chunks for line in chunk]
        return lines, np.concatenate([none, *offsets]), np.concatenate([none, *positions])

    def _find_separators(self, data: bytes, size: int) -> Separators | None:
        if len(self._separators) < size // 4 + 128:
            self._separators = np.empty(size // 4 + 128, np.int32)
        room = self._separators
        found = self._library.find_separators(data, size, ord(self._header.delimiter), room.ctypes.data, len(room))
        return room[:found] if found >= 0 else None

    def _add_rows(self, data: bytes, size: int, separators: Separators, lines: int, base: int) -> NDArray[np.int32]:
        """Write the values of all lines behind the rows that count; returns the numbers of the doubtful lines.

        The new rows do not count yet.
        """
        rows = self._rows
        rows.reserve(lines, size)
        doubtful = np.empty(lines, np.int32)
        pointers = {name: column.ctypes.data for name, column in rows.columns.items()}
        target = _Rows(users=rows.users.ctypes.data, **pointers)
        written = self._library.read_rows(
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
        sample = np.unique(np.arange(_SAMPLED_LINES) * (lines - 1) // (_SAMPLED_LINES - 1))
        sample = sample[~np.isin(sample, doubtful)]
        texts, starts, _ = self._read_lines(data, separators, sample)
        positions = self._rows.count + sample - np.searchsorted(doubtful, sample)
        self._samples.append((texts, np.array(starts, np.int64) + base, positions))

    def _read_texts(self, data: bytes, separators: Separators, lines: NDArray[Any]) -> TextColumns:
        """The columns of the ``lines`` (numbers in the chunk) as text."""
        if not len(lines):
            return no_columns(self._header)
        texts, starts, stops = self._read_lines(data, separators, lines)
        columns = as_columns(self._header, texts)
        return TextColumns(columns, np.array(starts, np.int64), np.array(stops, np.int64), lines.astype(np.int64))

    def _read_lines(
        self, data: bytes, separators: Separators, lines: NDArray[Any]
    ) -> tuple[list[list[str]], list[int], list[int]]:
        """(texts in the order of ``Header.columns``, first byte, end without the line end) of each of the ``lines``."""
        ends = separators.reshape(-1, self._header.fields)
        starts = np.where(lines > 0, ends[lines - 1, -1] + 1, 0).tolist()
        texts, stops = [], []
        for start, field_ends in zip(starts, ends[lines].tolist(), strict=True):
            if data[field_ends[-1] - 1 : field_ends[-1]] == b"\r" and field_ends[-1] > start:
                field_ends[-1] -= 1
            stops.append(field_ends[-1])
            values = [
                data[field_ends[index - 1] + 1 if index else start : field_ends[index]]
                for index in self._header.columns.values()
            ]
            texts.append([(value[1:-1] if value.startswith(b'"') else value).decode() for value in values])
        return texts, starts, stops


def as_columns(header: Header, lines: Sequence[Sequence[str]]) -> dict[str, pl.Series]:
    """Role → String column of lines whose texts are in the order of ``header.columns``."""
    return {
        role: pl.Series([line[index] for line in lines], dtype=pl.String) for index, role in enumerate(header.columns)
    }


_CERTIFIED, _IF_UTF8, _QUOTED = 1, 2, 3
"""Verdicts of ``certify`` in scanner.c."""


def certify(
    library: Path, data: bytes, size: int, delimiter: int, fields: int, separators: NDArray[np.int32], max_record: int
) -> bool:
    """Whether ``scanner.confirm`` confirms the ``separators`` of the first ``size`` bytes of ``data``.

    scanner.c decides chunks without quotes, several times as fast. Python decides the other chunks, and whether bytes
    beyond ASCII are UTF-8.
    """
    ends = np.ascontiguousarray(separators)
    verdict = load(library).certify(data, size, delimiter, fields, ends.ctypes.data, len(ends), max_record)
    if verdict == _QUOTED:
        return scanner.confirm(data[:size], delimiter, fields, separators, max_record)
    return verdict == _CERTIFIED or (verdict == _IF_UTF8 and scanner.is_utf8(data[:size]))
