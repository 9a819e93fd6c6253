"""Finds the header of a CSV file: its delimiter, its columns, and where the records begin."""

import codecs
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pipeline.errors import FileRefused
from pipeline.reading.column_names import (
    HEADER_LINES,
    NO_NAMES,
    Layout,
    Names,
    fit_to_records,
    layout_of,
    layouts_alike,
    match_line,
)
from pipeline.reading.file_access import open_bytes
from pipeline.reading.no_header import explain_no_header

SAMPLES = 5
"""Number of samples of a file, evenly spread from the first record to the end."""

SAMPLE_BYTES = 16 * 1024
"""Bytes of a sample."""

Read = Callable[[int, int], bytes]
"""(byte of the file, number of bytes) → the bytes; fewer only at the file's end."""

NEXT_BYTES = 64 * 1024
"""Bytes behind a header that are looked at for how records end."""


@dataclass(frozen=True, slots=True)
class Header:
    """Where the columns and records of a file are.

    ===================  ==============================================================================================
    ``delimiter``        one of ``DELIMITERS``
    ``names``            names of all fields of a record, in order; a field that records end with has an empty one
    ``columns``          role → index of its column in ``names``, from 0; a role is ``log_id``, ``user_id``,
                         ``ip_address``, ``watch_time``, ``timestamp``, that of a rule's column, or instead of
                         ``log_id`` those of the columns that make the id (``log_ids.ID_PART``); several roles may have
                         one column; empty for a header among the records that lacks columns, so that nothing can be
                         read by it
    ``data_start``       first byte behind the header line, where the records begin
    ``first_line``       physical line on which the records begin, from 1; 0 for a header among the records
    ``row_width``        mean bytes of the lines in the samples, with line ends; 0 without records
    ``preamble_lines``   lines before the header that are no records
    ``early_records``    records before the header, which are rejected
    ===================  ==============================================================================================
    """

    delimiter: str
    names: tuple[str, ...]
    columns: Mapping[str, int]
    data_start: int
    first_line: int
    row_width: float
    preamble_lines: int = 0
    early_records: int = 0

    def __hash__(self) -> int:
        return hash((self.names, self.data_start, self.row_width))

    @property
    def fields(self) -> int:
        """Number of fields of a record."""
        return len(self.names)

    @property
    def usable(self) -> bool:
        """Whether records can be read by it."""
        return bool(self.columns)

    @property
    def layout(self) -> Layout:
        """What decides how records are read."""
        return Layout(self.delimiter, self.names, self.columns)

    @property
    def begin(self) -> tuple[int, int]:
        """(first byte, its line) of what is read of the file: of the preamble, if records are in it."""
        return (0, 1) if self.early_records else (self.data_start, self.first_line)


def read_alike(one: Header, other: Header) -> bool:
    """Whether records are read alike by two headers."""
    return layouts_alike(one.layout, other.layout)


class _Line(NamedTuple):
    """A physical line: its bytes (of a line beyond the limit only the beginning), where it starts, and its length."""

    text: bytes
    start: int
    length: int

    @property
    def stop(self) -> int:
        return self.start + self.length

    @property
    def whole(self) -> bool:
        return self.length == len(self.text)


def read_header(
    path: str | Path, wanted: Names, max_record: int, optional: Names = NO_NAMES, columns: tuple[str, ...] = ()
) -> Header | None:
    """Find the header of ``path``; None for a file without bytes behind its byte-order marks.

    ``wanted`` and ``optional``: role → accepted header names, of the columns that the file must have and may lack. The
    header is the first of the first 20 lines that names all wanted columns under one of the delimiters (contract:
    records). A line of more than ``max_record`` bytes is no header. ``columns``: names of the columns of a file whose
    first line is no header.

    Raises FileRefused where no line is a header, or two columns have accepted names of one role. Raises OSError where
    the file cannot be read.
    """
    with open_bytes(path, stop=0) as stream:  # a storage would send all that follows until it is told to stop
        begin = skip_marks(stream)
        seen: list[_Line] = []
        lines = _read_lines(stream, begin, max_record)
        for line in lines:
            seen.append(line)
            layout = match_line(line.text, wanted, optional) if line.whole else None
            if layout and line.text.startswith(b"#"):
                layout, seen = _prefer_plain(layout, seen, lines, wanted, optional)
            if layout:
                return _make_header(stream, layout, seen[-1].stop, len(seen), max_record)
            if columns and not _is_comment(line.text):
                seen += lines
                return _headless(stream, columns, seen, wanted, optional)
        size = stream.seek(0, os.SEEK_END)
    if not seen:
        return None
    if columns and seen[-1].stop == size:  # nothing but comments
        return Header(*layout_of(columns, [], wanted, optional), seen[-1].stop, len(seen) + 1, 0.0, len(seen))
    raise FileRefused(explain_no_header(path, [line.text for line in seen], wanted, optional, max_record))


def _make_header(stream: BinaryIO, layout: Layout, data_start: int, lines: int, max_record: int) -> Header:
    """The header on the last of so many lines."""

    def read(position: int, size: int) -> bytes:
        stream.seek(position)
        return stream.read(size)

    layout = fit_to_records(layout, read_next_lines(read, data_start, max_record))
    return Header(*layout, data_start, lines + 1, _row_width(stream, data_start), preamble_lines=lines - 1)


def _prefer_plain(
    layout: Layout, seen: list[_Line], lines: Iterator[_Line], wanted: Names, optional: Names
) -> tuple[Layout, list[_Line]]:
    """(layout of the header, lines to the header): the line behind a comment that is a header, if it is one, too.

    ``layout``: that of the comment, which is the last of the lines ``seen``.
    """
    behind = list(seen)
    for line in lines:
        behind.append(line)
        found = match_line(line.text, wanted, optional) if line.whole else None
        if found:
            layout, seen = found, list(behind)
        if not _is_comment(line.text):
            break
    return layout, seen


def _headless(
    stream: BinaryIO, columns: tuple[str, ...], seen: Sequence[_Line], wanted: Names, optional: Names
) -> Header:
    """The header that a file without one is read by. Its first lines are ``seen``; comments may lead them."""
    comments = next(number for number, line in enumerate(seen) if not _is_comment(line.text))
    texts = [line.text for line in seen[comments:]]
    layout = fit_to_records(layout_of(columns, texts, wanted, optional), texts)
    data_start = seen[comments].start
    return Header(*layout, data_start, comments + 1, _row_width(stream, data_start), preamble_lines=comments)


def _is_comment(line: bytes) -> bool:
    """Whether a line is blank or begins with ``#``."""
    return not line.strip(b"\r\n") or line.startswith(b"#")


def skip_marks(stream: BinaryIO) -> int:
    """Go behind all byte-order marks, and return where that is. Raises FileRefused where the file is no UTF-8."""
    start = stream.read(8)
    _refuse_utf16(start)
    position = 0
    while start.startswith(codecs.BOM_UTF8):
        position += len(codecs.BOM_UTF8)
        stream.seek(position)
        start = stream.read(len(codecs.BOM_UTF8))
    stream.seek(position)
    return position


def _read_lines(stream: BinaryIO, position: int, max_record: int) -> Iterator[_Line]:
    """The first lines behind ``position``. The stream may be moved between two of them."""
    for _ in range(HEADER_LINES):
        stream.seek(position)
        line = piece = stream.readline(max_record + 2)
        length = len(line)
        while len(piece) == max_record + 2 and not piece.endswith(b"\n"):
            piece = stream.readline(max_record + 2)
            length += len(piece)
        if not line:
            return
        yield _Line(line, position, length)
        position += length


def read_next_lines(read: Read, position: int, max_record: int) -> list[bytes]:
    """At most the 20 lines at ``position``, by which ``fit_to_records`` fits a header to its records.

    Only whole lines within 64 KiB are taken; if there is none, the first line, if it is no longer than a record may be.
    """
    for size in (NEXT_BYTES, max_record + 2):
        data = read(position, size)
        lines = data.split(b"\n")
        if len(data) == size:
            lines.pop()
        if lines:
            break
    return lines[:HEADER_LINES]


def _refuse_utf16(start: bytes) -> None:
    marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    half_empty = len(start) >= 4 and not (any(start[::2]) and any(start[1::2]))
    if marked or (half_empty and sum(map(bool, start)) >= len(start) / 4):  # fewer: a log that begins with NUL bytes
        raise FileRefused(
            "the file is UTF-16 (or UTF-32); logs must be UTF-8. Convert it, e.g. iconv -f UTF-16 -t UTF-8."
        )


def read_samples(stream: BinaryIO, start: int, size: int = SAMPLE_BYTES) -> list[bytes]:
    """Read ``SAMPLES`` samples of ``size`` bytes, evenly spread from byte ``start`` to the end.

    A stream that has no more bytes than the samples take is one sample.
    """
    last = stream.seek(0, os.SEEK_END) - start - size
    if last <= (SAMPLES - 1) * size:
        stream.seek(start)
        return [stream.read(SAMPLES * size)]
    samples = []
    for number in range(SAMPLES):
        stream.seek(start + last * number // (SAMPLES - 1))
        samples.append(stream.read(size))
    return samples


def _row_width(stream: BinaryIO, start: int) -> float:
    data = b"".join(read_samples(stream, start))
    lines = data.count(b"\n")
    return len(data) / lines if lines else float(len(data))
