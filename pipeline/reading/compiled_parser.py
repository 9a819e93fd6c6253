"""Parses chunks by the compiled library: bytes → records that the scanner confirms → rows, and doubtful ones as text.

A record is doubtful if the library cannot read one of its values; ``judge_values`` then judges the record.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.exchange.split_rows import SplitRows
from pipeline.geo.table import GeoTable
from pipeline.reading import scanner
from pipeline.reading.header import Header
from pipeline.reading.record_finder import FoundRecords, Numbers, RecordFinder, choose_sample, read_texts
from pipeline.reading.text_parser import TextColumns
from pipeline.reading.value_formats import PER_MINUTE, USUAL_FORMATS, ValueFormats

_ADDRESS_FORMATS = ("plain", "endpoint", "forwarded")
"""In the order of api.h."""

_P, _I = ctypes.c_void_p, ctypes.c_int64


class _Columns(ctypes.Structure):
    _fields_ = [
        *((name, _I) for name in ("log_id", "user_id", "ip_address", "watch_time", "timestamp")),
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
class ParsedChunk:
    """A chunk after its rows were added: its counts, and the ``left`` records, which became no rows: the doubtful ones
    as text and the rejected ones."""

    tally: scanner.Tally
    left: TextColumns

    @property
    def length(self) -> int:
        """Bytes of the chunk that were parsed; 0 if the first record's end may lie behind the chunk."""
        return self.tally.length


@lru_cache(maxsize=2)  # which keeps the table alive as long as the library points into it
def _pointers(geo: GeoTable) -> _Geo:
    arrays = geo.arrays.items()
    return _Geo(**{name: value.ctypes.data if isinstance(value, np.ndarray) else value for name, value in arrays})


class CompiledParser:
    """Parses the chunks of one split.

    ``rows`` gets the rows of every chunk. A sample of each chunk's records is kept for a comparison with other code.
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
        self._finder = RecordFinder(library, header, max_record)
        self._library, self._geo_table, self._max_record, self._formats = library, geo, max_record, formats
        self._header, self._rows = header, rows
        self._geo = _pointers(geo)
        name = header.names[header.columns["log_id"]].encode()
        fields = {"timestamp": -1, **header.columns}
        self._columns = _Columns(
            header=name,
            header_length=len(name),
            point=ord("," if formats.watch_time == "decimal_comma" else "."),
            per_minute=PER_MINUTE[formats.unit],
            addresses=_ADDRESS_FORMATS.index(formats.addresses),
            proxies=formats.proxies,
            **{role: fields[role] for role in ("log_id", "user_id", "ip_address", "watch_time", "timestamp")},
        )
        self._samples: list[tuple[list[list[str]], NDArray[np.int64], NDArray[np.int64]]] = []

    @property
    def header(self) -> Header:
        """The header by which it reads."""
        return self._header

    def with_header(self, header: Header) -> "CompiledParser":
        """A parser that adds to the same rows and reads by another ``header``."""
        return CompiledParser(self._library, header, self._geo_table, self._rows, self._max_record, self._formats)

    def mark(self) -> tuple[int, int]:
        """A mark of what was parsed so far, for ``take_back``."""
        return self._rows.count, len(self._samples)

    def take_back(self, mark: tuple[int, int]) -> None:
        """Remove what was parsed since the ``mark``."""
        self._rows.count = mark[0]
        del self._samples[mark[1] :]

    def parse(self, data: bytes, limit: int, size: int, base: int, *, whole: bool) -> ParsedChunk | None:
        """Parse the records that begin in the first ``limit`` bytes of ``data``, and add their rows to ``rows``.

        ``size`` and ``whole``: as for ``RecordFinder.find``. ``base``: first byte of the chunk, counted from the
        split's start. Returns None, and adds no row, where the records cannot be found quickly or are not confirmed.
        """
        found = self._finder.find(data, limit, size, whole=whole)
        if found is None:
            return None
        doubtful = self._add_rows(found, base)
        self._take_sample(found, doubtful, base)
        self._rows.count += len(found.separators) - len(doubtful)
        return ParsedChunk(found.tally, self._finder.texts(found, doubtful))

    def sample(self) -> tuple[list[list[str]], NDArray[np.int64], NDArray[np.int64]]:
        """A sample of the records that became rows.

        Returns (texts of each record in the order of ``Header.columns``, first byte of each record counted from the
        split's start, number of each record's row).
        """
        chunks, offsets, positions = zip(*self._samples, strict=True) if self._samples else ((), (), ())
        none = np.empty(0, np.int64)
        records = [record for chunk in chunks for record in chunk]
        return records, np.concatenate([none, *offsets]), np.concatenate([none, *positions])

    def _add_rows(self, found: FoundRecords, base: int) -> Numbers:
        """Write the values of all records behind the rows that count; returns the numbers of the doubtful records.

        The new rows do not count yet.
        """
        rows, records = self._rows, len(found.separators)
        rows.reserve(records, found.length)
        doubtful = np.empty(records, np.int32)
        pointers = {name: column.ctypes.data for name, column in rows.columns.items()}
        target = _Rows(users=rows.users.ctypes.data, **pointers)
        chunk, records_of_chunk = self._finder.pointers(found)
        written = self._finder.library.read_rows(
            ctypes.byref(chunk),
            ctypes.byref(records_of_chunk),
            ctypes.byref(self._columns),
            ctypes.byref(self._geo),
            ctypes.byref(target),
            rows.count,
            rows.text_bytes,
            base,
            doubtful.ctypes.data,
        )
        return doubtful[: records - written]

    def _take_sample(self, found: FoundRecords, doubtful: Numbers, base: int) -> None:
        sample = choose_sample(found)
        if len(doubtful):
            sample = sample[~np.isin(sample, doubtful)]
        starts = found.starts(sample)
        texts = read_texts(found, list(self._header.columns.values()), sample, starts)
        positions = self._rows.count + sample - np.searchsorted(doubtful, sample)
        self._samples.append((texts, starts.astype(np.int64) + base, positions))


def as_columns(header: Header, records: Sequence[Sequence[str]]) -> dict[str, pl.Series]:
    """Role → String column of records whose texts are in the order of ``header.columns``."""
    return {
        role: pl.Series([record[index] for record in records], dtype=pl.String)
        for index, role in enumerate(header.columns)
    }
