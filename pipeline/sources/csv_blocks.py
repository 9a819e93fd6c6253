"""Cuts CSV text into blocks of whole records and reads each: fast by PyArrow, and record by record where that may err.

PyArrow reads quotes as RFC 4180 does, but takes more for good than the record contract: text behind a closing quote, a
lone carriage return as a line end, and a quote that never closes. A block with any of these, with a record of another
number of fields, or with bytes that are no UTF-8, is read by ``csv_records``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv

from pipeline.sources.csv_records import MAX_RECORD_BYTES, Record, find_records

_Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Header:
    """The header of a file: ``names`` of all columns, the ``delimiter``, and where the records ``begin``."""

    names: tuple[str, ...]
    delimiter: str
    begin: int


@dataclass(frozen=True)
class Block:
    """Records of a file as texts: ``rows`` has the wanted columns, ``rejected`` what is no record.

    ``begin``: where the block begins, from which its records count their places. ``end``: where the next one does.
    ``lines``: line ends in the block.
    """

    rows: pl.DataFrame
    rejected: Sequence[Record]
    begin: int
    end: int
    lines: int


def find_end(text: bytes, begin: int, size: int) -> int:
    """Where a block of about ``size`` bytes ends: behind a line end outside quotes, by the count of quotes."""
    if begin + size >= len(text):
        return len(text)
    block = text[begin : begin + size]  # of a file that is mapped into memory only parts are bytes
    end = block.rfind(b"\n") + 1
    odd = block.count(b'"', 0, end) % 2 == 1
    while odd and end > 1:
        before = block.rfind(b"\n", 0, end - 1) + 1
        odd ^= block.count(b'"', before, end) % 2 == 1
        end = before
    return begin + (end or size)


def read_block(text: bytes, begin: int, end: int, header: Header, wanted: Sequence[str]) -> Block:
    """Read the records that begin in ``begin``:``end``. ``wanted``: names of columns in the header."""
    block = text[begin:end]
    whole = block.endswith(b"\n") or end == len(text)  # no record is longer than a block, unless quotes are astray
    if whole and not _is_odd(block, header.delimiter):
        rows = _read_fast(block, header, wanted)
        if rows is not None:
            return Block(rows, (), begin, end, block.count(b"\n"))
    return _read_carefully(text, begin, end, header, wanted)


def good_records(text: bytes, begin: int, end: int, header: Header) -> Iterator[Record]:
    """The good records of a block in order, to tell the lines and bytes of some; their places count from ``begin``."""
    whole = text[begin : end + MAX_RECORD_BYTES]
    records = find_records(whole, 0, end - begin, header.delimiter, len(header.names))
    return (record for record in records if not record.reason)


def _is_odd(block: bytes, delimiter: str) -> bool:
    if b"\0" in block:
        return True
    found = np.frombuffer(block, np.uint8)
    if b"\r" in block and _has_lone_return(found):
        return True
    return b'"' in block and _has_stray_quote(found, delimiter)


def _has_lone_return(block: _Bytes) -> bool:
    """Whether a carriage return is not followed by a line feed."""
    places = np.flatnonzero(block == ord("\r"))
    return bool(places[-1] == len(block) - 1 or (block[places + 1] != ord("\n")).any())


def _has_stray_quote(block: _Bytes, delimiter: str) -> bool:
    """Whether quotes are of an odd number, or one stands between bytes that are no delimiter, line end or quote."""
    places = np.flatnonzero(block == ord('"'))
    inner = places[(places > 0) & (places < len(block) - 1)]
    ends = np.zeros(256, np.bool_)
    ends[list(b'"\r\n' + delimiter.encode())] = True
    return bool(len(places) % 2 or (~ends[block[inner - 1]] & ~ends[block[inner + 1]]).any())


def _read_fast(block: bytes, header: Header, wanted: Sequence[str]) -> pl.DataFrame | None:
    """The rows of a block; None where it has to be read record by record."""
    odd: list[int | None] = []

    def note(row: arrow_csv.InvalidRow) -> str:
        odd.append(row.number)
        return "error"

    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(block),
            read_options=arrow_csv.ReadOptions(
                column_names=list(header.names), block_size=4 * 2**20, use_threads=False  # blocks are on threads
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=header.delimiter, newlines_in_values=b'"' in block, invalid_row_handler=note
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.large_string()), include_columns=list(dict.fromkeys(wanted)),
                null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid:
        return None
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _read_carefully(text: bytes, begin: int, end: int, header: Header, wanted: Sequence[str]) -> Block:
    whole = text[begin : end + MAX_RECORD_BYTES]
    records = list(find_records(whole, 0, end - begin, header.delimiter, len(header.names)))
    good = [record for record in records if not record.reason]
    places = {name: header.names.index(name) for name in wanted}
    rows = pl.DataFrame(
        {name: [record.fields[place] for record in good] for name, place in places.items()},
        schema=dict.fromkeys(places, pl.String()),
    )
    reached = max([end - begin, *(record.end for record in records[-1:])])
    rejected = [record for record in records if record.reason]
    return Block(rows, rejected, begin, begin + reached, whole.count(b"\n", 0, reached))
