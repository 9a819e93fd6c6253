"""Finds the records of a chunk by the compiled library, and has them confirmed by the scanner.

The library takes everything that the record contract allows (contract: records): quoted fields with delimiters, doubled
quotes and line ends, and quotes inside unquoted fields. Lines that are no good record are odd lines.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.native.arrow import to_series
from pipeline.native.library import load
from pipeline.reading import scanner
from pipeline.reading.header import Header
from pipeline.reading.single_record import (
    BAD_QUOTE,
    RECORD_TOO_LONG,
    UNCLOSED_QUOTE,
    WRONG_FIELD_COUNT,
    byte_fault,
)
from pipeline.reading.text_parser import NO_REJECTED, Positions, TextColumns, no_columns, rejected_frame
from pipeline.timing import stage

Numbers = NDArray[np.int32]
_P, _I = ctypes.c_void_p, ctypes.c_int64

_REASONS = ("", WRONG_FIELD_COUNT, BAD_QUOTE, UNCLOSED_QUOTE, RECORD_TOO_LONG, "")
_BLANK, _NO_TEXT = 0, 5
"""Kinds of odd lines, in the order of api.h; behind them the records whose bytes are no text."""

_CERTIFIED, _HIGH, _NUL = 1, 2, 4
"""Verdicts of ``certify`` in scanner.c."""

_DECODED_BYTES = 16 * 1024
"""Bytes that are decoded at a time where some are no UTF-8."""

_SAMPLED_RECORDS = 8
"""Records of a chunk that are kept for a comparison with other code."""

_MOST_ODD = 50_000
"""Most odd lines of a chunk, because each may become a Python object. The careful parser takes a chunk with more."""


class _Chunk(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_char_p),
        *((name, _I) for name in ("size", "limit", "delimiter", "fields", "max_record", "whole")),
    ]


class _Found(ctypes.Structure):
    _fields_ = [
        ("separators", _P),
        ("room", _I),
        ("records", _I),
        *((name, _P) for name in ("odd_start", "odd_stop", "odd_kind")),
        *((name, _I) for name in ("odd_room", "odd", "consumed", "quotes")),
    ]


@dataclass(frozen=True)
class OddLines:
    """Lines that are no good record, and records whose bytes are no text, in their order.

    =========  ========================================================================
    ``start``  int32, first byte
    ``stop``   int32, the LF at the end
    ``kind``   uint8, what it is
    =========  ========================================================================
    """

    start: Numbers
    stop: Numbers
    kind: NDArray[np.uint8]


@dataclass(frozen=True)
class FoundRecords:
    """Records and odd lines that tile the first ``length`` bytes of ``data``.

    ==============  ======================================================================================
    ``data``        the chunk
    ``separators``  int32, a row for each good record: where its fields end, the last one at a line end
    ``odd``         everything else
    ``length``      bytes of both; 0 if the first record's end may lie behind the chunk
    ``lines``       physical lines, as the scanner counts them
    ``quotes``      whether the chunk has quotes
    ==============  ======================================================================================
    """

    data: bytes
    separators: Numbers
    odd: OddLines
    length: int
    lines: int
    quotes: bool

    @property
    def tally(self) -> scanner.Tally:
        """The counts of these bytes."""
        blank = int(np.count_nonzero(self.odd.kind == _BLANK))
        return scanner.Tally(len(self.separators) + len(self.odd.kind) - blank, blank, self.lines, self.length)

    def starts(self, records: NDArray[Any]) -> Numbers:
        """The first bytes of good records, given by their numbers."""
        before: Numbers = np.where(records > 0, self.separators[records - 1, -1] + 1, 0).astype(np.int32)
        if not len(self.odd.start) or not len(records):
            return before
        passed = np.searchsorted(self.odd.start, self.separators[records, -1])
        behind = np.where(passed > 0, self.odd.stop[passed - 1] + 1, 0).astype(np.int32)
        return np.maximum(before, behind)

    def stops(self, records: NDArray[Any], starts: Numbers) -> Numbers:
        """Where the good records end, without their line ends."""
        return _without_cr(self.data, starts, self.separators[records, -1])

    def lines_at(self, starts: NDArray[Any]) -> Positions:
        """The physical lines, from 0, on which the records at ``starts`` begin."""
        if self.lines == len(self.separators) + len(self.odd.start):
            ends: NDArray[Any] = np.sort(np.concatenate((self.separators[:, -1], self.odd.stop)))
        else:
            ends = np.flatnonzero(np.frombuffer(self.data, np.uint8, self.length) == scanner.LF)
        return np.searchsorted(ends, starts)

    def rejected(self, max_record: int) -> pl.DataFrame:
        """The odd lines that are no blank lines, as ``REJECTED``; ``max_record``: bytes of each that are kept."""
        wanted = self.odd.kind != _BLANK
        if not np.any(wanted):
            return NO_REJECTED
        starts, kinds = self.odd.start[wanted], self.odd.kind[wanted]
        stops = _without_cr(self.data, starts, self.odd.stop[wanted])
        reasons = [
            RECORD_TOO_LONG
            if _REASONS[kind] == RECORD_TOO_LONG
            else byte_fault(self.data[start:stop]) or _REASONS[kind]
            for start, stop, kind in zip(starts.tolist(), stops.tolist(), kinds.tolist(), strict=True)
        ]
        kept = np.minimum(stops, starts + max_record).astype(np.int64)
        return rejected_frame(self.data, self.lines_at(starts), starts.astype(np.int64), kept, pl.Series(reasons))


def _without_cr(data: bytes, starts: Numbers, ends: Numbers) -> Numbers:
    """The ends of lines that end with LF at ``ends``, without a CR before it."""
    array = np.frombuffer(data, np.uint8)
    returned = (array[np.maximum(ends - 1, 0)] == scanner.CR) & (ends > starts)
    stops: Numbers = (ends - returned).astype(np.int32)
    return stops


class RecordFinder:
    """Finds the records of one file's chunks."""

    def __init__(self, library: Path, header: Header, max_record: int) -> None:
        self._path, self.library = library, load(library)
        self.header, self.max_record = header, max_record
        self._nothing = no_columns(header)
        self._separators = np.empty(0, np.int32)
        self._odd = OddLines(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint8))

    def with_header(self, header: Header) -> "RecordFinder":
        """A finder of the records that stand under another ``header``."""
        return RecordFinder(self._path, header, self.max_record)

    def find(self, data: bytes, limit: int, size: int, *, whole: bool) -> FoundRecords | None:
        """Find the records that begin in the first ``limit`` bytes of ``data``.

        The first ``size`` bytes of ``data`` end with LF. ``whole``: whether they reach to the file's end, or
        ``max_record + 2`` bytes beyond ``limit``; otherwise a record whose end they do not hold is left out. Returns
        None where the chunk has too little order to be found quickly, or the scanner does not confirm what was found.
        """
        chunk = _Chunk(data, size, limit, ord(self.header.delimiter), self.header.fields, self.max_record, whole)
        found = self._search(chunk)
        if found is None or found.consumed == 0:
            return None if found is None else self._as_records(data, found, 0)
        with stage("verify", found.consumed):
            lines = ctypes.c_int64()
            verdict = self.library.certify(ctypes.byref(chunk), ctypes.byref(found), ctypes.byref(lines))
            if not verdict & _CERTIFIED:
                return None
            records = self._as_records(data, found, lines.value)
            if verdict & _NUL or (verdict & _HIGH and not scanner.is_utf8(data[: found.consumed])):
                return _without_no_text(records)
        return records

    def _search(self, chunk: _Chunk) -> _Found | None:
        """What the library finds, in arrays that the next call writes again; None where the library gives up."""
        if len(self._separators) < chunk.size + 128:  # memory that nothing is written to is not taken
            self._separators = np.empty(chunk.size + 128, np.int32)
            room = min(chunk.size // 8 + 64, _MOST_ODD)
            self._odd = OddLines(np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.uint8))
        found = _Found(
            separators=self._separators.ctypes.data,
            room=len(self._separators),
            odd_start=self._odd.start.ctypes.data,
            odd_stop=self._odd.stop.ctypes.data,
            odd_kind=self._odd.kind.ctypes.data,
            odd_room=len(self._odd.start),
        )
        return found if self.library.find_records(ctypes.byref(chunk), ctypes.byref(found)) else None

    def _as_records(self, data: bytes, found: _Found, lines: int) -> FoundRecords:
        fields, odd = self.header.fields, found.odd
        separators = self._separators[: found.records * fields].reshape(-1, fields)
        lists = OddLines(self._odd.start[:odd], self._odd.stop[:odd], self._odd.kind[:odd])
        return FoundRecords(data, separators, lists, found.consumed, lines, bool(found.quotes))

    def pointers(self, found: FoundRecords) -> tuple[_Chunk, _Found]:
        """``found`` as the library's functions take it; valid as long as ``found`` is kept."""
        chunk = _Chunk(
            found.data,
            found.length,
            found.length,
            ord(self.header.delimiter),
            self.header.fields,
            self.max_record,
            True,
        )
        odd = found.odd
        return chunk, _Found(
            separators=found.separators.ctypes.data,
            records=len(found.separators),
            odd_start=odd.start.ctypes.data,
            odd_stop=odd.stop.ctypes.data,
            odd_kind=odd.kind.ctypes.data,
            odd=len(odd.start),
            consumed=found.length,
            quotes=found.quotes,
        )

    def texts(self, found: FoundRecords, records: Numbers) -> TextColumns:
        """The columns of good records as text, and the rejected lines of the chunk."""
        if not len(records):
            return (
                replace(self._nothing, rejected=found.rejected(self.max_record))
                if len(found.odd.kind)
                else self._nothing
            )
        starts = found.starts(records)
        stops = found.stops(records, starts)
        chunk, pointers = self.pointers(found)
        texts = {}
        for role, column in self.header.columns.items():
            ends = found.separators[records, column]
            begins = found.separators[records, column - 1] + 1 if column else starts
            out = np.empty(int((ends - begins).sum()), np.uint8)
            bounds = np.zeros(len(records) + 1, np.int64)
            self.library.copy_texts(
                ctypes.byref(chunk),
                ctypes.byref(pointers),
                column,
                records.ctypes.data,
                starts.ctypes.data,
                len(records),
                out.ctypes.data,
                bounds[1:].ctypes.data,
            )
            array = pa.LargeStringArray.from_buffers(len(records), pa.py_buffer(bounds), pa.py_buffer(out))
            texts[role] = to_series(array)
        lines = found.lines_at(starts)
        bounds_of_records = starts.astype(np.int64), stops.astype(np.int64)
        return TextColumns(texts, *bounds_of_records, lines, found.rejected(self.max_record))


def choose_sample(found: FoundRecords) -> NDArray[np.int64]:
    """The numbers of some good records, spread over the chunk."""
    last = len(found.separators) - 1
    spread = {number * last // (_SAMPLED_RECORDS - 1) for number in range(_SAMPLED_RECORDS)} if last >= 0 else ()
    return np.array(sorted(spread), np.int64)


def copied_rightly(found: FoundRecords, columns: TextColumns, header: Header) -> bool:
    """Whether the texts of a sample are what other code finds in the bytes; ``columns``: of all good records."""
    sample = choose_sample(found)
    expected = read_texts(found, list(header.columns.values()), sample, found.starts(sample))
    copied = zip(*(columns.texts[role].gather(sample).to_list() for role in header.columns), strict=True)
    return [tuple(record) for record in expected] == list(copied)


def read_texts(found: FoundRecords, columns: Sequence[int], records: NDArray[Any], starts: Numbers) -> list[list[str]]:
    """The texts of some columns of good records, which begin at ``starts``, without any code of the library: for the
    comparison with it."""
    stops = found.stops(records, starts)
    lines = []
    for start, stop, ends in zip(starts.tolist(), stops.tolist(), found.separators[records].tolist(), strict=True):
        ends[-1] = stop
        values = [found.data[ends[index - 1] + 1 if index else start : ends[index]] for index in columns]
        lines.append(
            [(value[1:-1].replace(b'""', b'"') if value.startswith(b'"') else value).decode() for value in values]
        )
    return lines


def _without_no_text(found: FoundRecords) -> FoundRecords:
    """``found`` with the records that have NULs or bytes that are no UTF-8 among the odd lines."""
    everything = np.arange(len(found.separators))
    starts, ends = found.starts(everything), found.separators[:, -1]
    array = np.frombuffer(found.data, np.uint8, found.length)
    faults = np.concatenate((np.flatnonzero(array == 0), _find_not_utf8(found.data, found.length)))
    record = np.searchsorted(ends, faults)
    inside = record < len(ends)
    inside[inside] = starts[record[inside]] <= faults[inside]
    bad = np.unique(record[inside])
    odd = found.odd
    start, stop = np.concatenate((odd.start, starts[bad])), np.concatenate((odd.stop, ends[bad]))
    kind = np.concatenate((odd.kind, np.full(len(bad), _NO_TEXT, np.uint8)))
    order = np.argsort(start)
    good = np.ascontiguousarray(np.delete(found.separators, bad, axis=0))
    odd = OddLines(start[order], stop[order], kind[order])
    return replace(found, separators=good, odd=odd)


def _find_not_utf8(data: bytes, size: int) -> Positions:
    """A byte of each line that is not UTF-8, in the first ``size`` bytes, which are whole lines.

    The lines are decoded some at a time, up to the next fault.
    """
    at, found = 0, []
    while at < size:
        stop = data.rfind(b"\n", at, min(at + _DECODED_BYTES, size)) + 1 or data.find(b"\n", at, size) + 1
        try:
            data[at:stop].decode()
            at = stop
        except UnicodeDecodeError as fault:
            found.append(at + fault.start)
            at = data.find(b"\n", at + fault.start, size) + 1
    return np.array(found, np.int64)
