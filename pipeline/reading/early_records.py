"""Finds records before the header of a file: their columns cannot be known for sure, so that they are rejected.

Lines before the header are no records, with one exception: those that have as many fields as the header and valid
values. Comments, which begin with ``#``, are never records.
"""

from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import polars as pl

from pipeline.errors import FileRefused
from pipeline.reading import scanner, values, watch_times
from pipeline.reading.careful_parser import parse_carefully
from pipeline.reading.header import Header, skip_marks
from pipeline.reading.header_changes import BEFORE_HEADER
from pipeline.reading.log_ids import id_roles
from pipeline.reading.text_parser import NO_REJECTED, TextColumns, rejected_frame
from pipeline.reading.value_formats import USUAL_FORMATS, ValueFormats
from utils.units import format_count


@dataclass(frozen=True)
class EarlyRecords:
    """The records before a header. ``rejected``: as ``REJECTED``, lines and offsets from the start of the file;
    ``lines``: how many physical lines they take."""

    rejected: pl.DataFrame
    lines: int

    @property
    def records(self) -> int:
        """How many there are."""
        return len(self.rejected)


NONE = EarlyRecords(NO_REJECTED, 0)


def note_early_records(
    stream: BinaryIO, header: Header, max_record: int, formats: ValueFormats = USUAL_FORMATS
) -> Header:
    """``header`` with the number of records before it. Raises OSError and FileRefused as ``find_early_records``."""
    if header.first_line < 3:  # no line before it
        return header
    early = find_early_records(stream, header, max_record, formats)
    return replace(header, early_records=early.records, preamble_lines=header.preamble_lines - early.lines)


def find_early_records(
    stream: BinaryIO, header: Header, max_record: int, formats: ValueFormats = USUAL_FORMATS
) -> EarlyRecords:
    """Find the records before the header on line ``header.first_line - 1`` of a file.

    Raises OSError where the file cannot be read, FileRefused where the scanner counts other records than the parser.
    """
    begins, data = _read_lines(stream, header, max_record)
    limit = len(data)
    tally = scanner.tally(data, limit, ord(header.delimiter), header.fields, max_record)
    columns = parse_carefully(data, limit, header, max_record, trust_polars=False)
    if columns is None or columns.records != tally.records:
        found = "nothing" if columns is None else format_count(columns.records, "record")
        raise FileRefused(
            f"it does not balance before its header: the scanner counts {tally.records} records, the parser found "
            f"{found}. A fault in the program; please report it with that part of the file."
        )
    rows = np.array(
        [row for row in _valid_rows(columns, formats) if data[columns.offsets[row] : columns.offsets[row] + 1] != b"#"]
    )
    if not len(rows):
        return NONE
    lines, starts, stops = columns.lines[rows], columns.offsets[rows], columns.stops[rows]
    reasons = pl.repeat(BEFORE_HEADER, len(rows), dtype=pl.String, eager=True)
    rejected = rejected_frame(data, lines, starts, stops, reasons)
    offsets = pl.Series("offset", [begins[line] for line in lines.tolist()], pl.Int64)
    taken = sum(data.count(b"\n", start, stop) + 1 for start, stop in zip(starts.tolist(), stops.tolist(), strict=True))
    return EarlyRecords(rejected.with_columns(offsets), taken)


def _read_lines(stream: BinaryIO, header: Header, max_record: int) -> tuple[list[int], bytes]:
    """(first byte of each line before the header, the lines); of lines that are too long only the beginning."""
    begin = skip_marks(stream)
    begins = [begin]
    pieces: list[bytes] = []
    while len(begins) < header.first_line - 1:
        line = piece = stream.readline(max_record + 2)
        length = len(line)
        while piece and not piece.endswith(b"\n"):
            piece = stream.readline(max_record + 2)
            length += len(piece)
        pieces.append(line if line.endswith(b"\n") else line + b"\n")
        begins.append(begins[-1] + length)
    return begins, b"".join(pieces)


def _valid_rows(columns: TextColumns, formats: ValueFormats) -> list[int]:
    """Numbers of the well-formed records that have valid values."""
    texts = columns.texts
    _, faults = watch_times.micro_minutes(texts["watch_time"], formats)
    blank = {row for role in ("user_id", *id_roles(texts)) for row in values.blank_rows(texts[role])}
    return [row for row in range(len(columns.offsets)) if row not in faults and row not in blank]
