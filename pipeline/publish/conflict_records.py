"""Records that lost a conflict, as they were cut out of a log, and the compiled code that writes them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.exchange.parquet_footer import MAGIC, Encoded, footer_of, with_row_groups
from pipeline.exchange.parquet_pages import (
    BYTE_ARRAY,
    DIFFERENCES,
    FRONTS,
    INT64,
    PLAIN,
    Column,
    Page,
    data_page,
    levels,
    missing_column,
    repeated_texts,
    row_group,
)
from pipeline.native.pages import encode_fronts, encode_numbers
from pipeline.preprocess.reject_writer import GROUP_ROWS, SCHEMA
from pipeline.publish.quarantine_parts import GroupWriter, open_writer

CONFLICT = "conflict"
"""The reason of a conflict loser in the quarantine."""
_CODEC = "snappy"
"""Of the records: it takes half the time of zstd, and eight tenths more room (docs/decisions/029)."""
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class ConflictRecords:
    """Losers of one log in the order of their places.

    ===========  ===========================================================================
    ``file``     name of the log, as it is shown
    ``lines``    the line on which each begins, from 1
    ``offsets``  the byte of the log at which each begins
    ``begins``   the byte of ``text`` at which each begins; None where no bytes are kept
    ``stops``    the byte of ``text`` behind each
    ``text``     what holds the records
    ===========  ===========================================================================
    """

    file: str
    lines: Numbers
    offsets: Numbers
    begins: Numbers | None
    stops: Numbers
    text: bytes

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of the records, and of what is told of them."""
        return 24 * len(self) + (0 if self.begins is None else int((self.stops - self.begins).sum()))

    def slice(self, offset: int, length: int) -> "ConflictRecords":
        """Some of the records."""
        some = slice(offset, offset + length)
        begins = None if self.begins is None else self.begins[some]
        return ConflictRecords(self.file, self.lines[some], self.offsets[some], begins, self.stops[some], self.text)


class RecordWriter(GroupWriter[ConflictRecords]):
    """Writes losers by compiled code, in columns that read as those of ``quarantine_parts.open_writer``."""

    def __init__(self, path: Path, library: Path) -> None:
        super().__init__(path)
        self._library = library
        self._stream: BinaryIO | None = None
        self._entries: list[Encoded] = []
        self._size = 0
        self._waiting: list[tuple[ConflictRecords, Page]] = []

    def add(self, split: int, mark: str, rows: ConflictRecords) -> None:
        """Add losers of a split; a row group is filled up, because each takes the readers and writers of footers a
        millisecond."""
        first = 0
        while first < len(rows):
            room = GROUP_ROWS - self._rows % GROUP_ROWS
            super().add(split, mark, rows.slice(first, room))
            first += room

    def _hold(self, rows: ConflictRecords) -> None:
        page = _raw_page(self._library, rows)
        self._waiting.append((replace(rows, begins=None, text=b""), page))

    def _write(self) -> None:
        if self._stream is None:
            self._stream = self._path.open("wb")
            self._size = self._stream.write(MAGIC)
        entry, parts = row_group(_columns(self._library, self._waiting), self._rows, self._size)
        self._size += sum(map(self._stream.write, parts))
        self._entries.append(entry)
        self._waiting = []

    def _close(self) -> None:
        if self._stream is None:
            return
        with self._stream:
            empty = pa.BufferOutputStream()
            open_writer(empty).close()
            rows = sum(piece.rows for group in self.groups for piece in group)
            self._stream.write(with_row_groups(footer_of(empty.getvalue().to_pybytes()), self._entries, rows))


def _columns(library: Path, waiting: Sequence[tuple[ConflictRecords, Page]]) -> list[Column]:
    """The columns of a row group, in the order of SCHEMA."""
    pieces, raws = zip(*waiting, strict=True)
    rows = sum(map(len, pieces))
    columns = [
        repeated_texts("file", [(piece.file.encode(), len(piece)) for piece in pieces]),
        _numbers(library, "line", np.concatenate([piece.lines for piece in pieces])),
        _numbers(library, "byte_offset", np.concatenate([piece.offsets for piece in pieces])),
        repeated_texts("reason", [(CONFLICT.encode(), rows)]),
        missing_column("column", BYTE_ARRAY, rows, told=True),
        missing_column("value", BYTE_ARRAY, rows, told=False),
        Column("raw", BYTE_ARRAY, raws, codec=_CODEC),
    ]
    assert [column.name for column in columns] == SCHEMA.names
    return columns


def _numbers(library: Path, name: str, numbers: Numbers) -> Column:
    least, greatest = (int(number).to_bytes(8, "little", signed=True) for number in (numbers.min(), numbers.max()))
    body = levels(len(numbers)) + encode_numbers(library, numbers)
    return Column(name, INT64, (data_page(len(numbers), DIFFERENCES, body),), (least, greatest), 0)


def _raw_page(library: Path, records: ConflictRecords) -> Page:
    if records.begins is None:
        return data_page(len(records), PLAIN, levels(len(records), False), _CODEC)
    before = levels(len(records))
    text = np.frombuffer(records.text, np.uint8)
    body = encode_fronts(library, text, records.begins, records.stops, len(before))
    body[: len(before)] = before
    return data_page(len(records), FRONTS, body, _CODEC)
