"""Parts of a quarantine: Parquet files that kernels write, and that are put together without being decoded.

A file of the quarantine says in its metadata which splits the rows of each row group come from. So the next version
takes the row groups in which nothing changed as they are, however many there are.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Generic, NamedTuple, Protocol, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.exchange.parquet_footer import read_footer
from pipeline.exchange.row_group_copies import bytes_of_groups, key_values_of, rows_of_groups, same_columns
from pipeline.machine import writing
from pipeline.preprocess.reject_writer import GROUP_ROWS, SCHEMA
from pipeline.staging import staged

GROUPS_KEY = b"logmill.splits"
"""Key of the metadata. Its value is JSON: for each row group, a list of [number of a split, rows, mark of the split].

The mark (``tasks.QuarantineSource``) tells whether rows of the split would be the same now."""
_GROUP_BYTES = 16 * 2**20
"""Most bytes of a row group, about: a reader has one in memory."""
SMALL_ROWS, SMALL_BYTES = 4096, 2**18
"""A row group with fewer rows and bytes is small: many of them are written together."""
_MOST_SMALL = 64
DICTIONARIES = ["file", "reason", "column"]
"""Columns of few different texts."""
_STATISTICS = ["file", "line", "byte_offset", "reason", "column"]
"""Not of value and raw: their least and greatest would stand in the footer."""


class Piece(NamedTuple):
    """``rows`` rows of a split in a row group."""

    split: int
    rows: int
    mark: str


Group = tuple[Piece, ...]
"""What a row group holds, in its order."""


@dataclass(frozen=True)
class QuarantinePart:
    """A file that a kernel wrote, and what its row groups hold."""

    path: Path
    groups: tuple[Group, ...]

    @property
    def rows(self) -> int:
        """Rows of all row groups."""
        return sum(piece.rows for group in self.groups for piece in group)


class Rows(Protocol):
    """Rows of the quarantine; ``nbytes``: their bytes in memory."""

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def slice(self, offset: int, length: int) -> Self: ...


_Rows = TypeVar("_Rows", bound=Rows)


class GroupWriter(ABC, Generic[_Rows]):
    """Writes rows of the quarantine in bounded memory; makes no file where there are none."""

    def __init__(self, path: Path) -> None:
        self.groups: list[Group] = []
        self._final, self._path = path, staged(path)
        self._pieces: list[Piece] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.end_group()
        with writing(self._path):
            self._close()
        if kind:
            self._path.unlink(missing_ok=True)

    def add(self, split: int, mark: str, rows: _Rows) -> None:
        """Add rows of a split; a row group ends where it has ``GROUP_ROWS`` rows or much text."""
        for first in range(0, len(rows), GROUP_ROWS):
            piece = rows.slice(first, GROUP_ROWS)
            if self._rows + len(piece) > GROUP_ROWS:
                self.end_group()
            self._hold(piece)
            self._pieces.append(Piece(split, len(piece), mark))
            self._rows += len(piece)
            self._bytes += piece.nbytes
            if self._bytes > _GROUP_BYTES:
                self.end_group()

    def end_group(self) -> None:
        """Write the rows that wait as a row group; the next rows begin another one."""
        if not self._rows:
            return
        with writing(self._path):
            self._write()
        self.groups.append(_merged(self._pieces))
        self._pieces, self._rows, self._bytes = [], 0, 0

    def part(self) -> QuarantinePart | None:
        """What was written; None where there were no rows."""
        return QuarantinePart(self._final, tuple(self.groups)) if self.groups else None

    @abstractmethod
    def _hold(self, rows: _Rows) -> None:
        """Keep rows for the next row group."""

    @abstractmethod
    def _write(self) -> None:
        """Write the rows that wait; the first ones make the file."""

    @abstractmethod
    def _close(self) -> None:
        """End the file, if there is one."""


class TableWriter(GroupWriter[pa.Table]):
    """Writes tables by PyArrow. All have one schema, as for ``open_writer``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._waiting: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None

    def _hold(self, rows: pa.Table) -> None:
        self._waiting.append(rows)

    def _write(self) -> None:
        if self._writer is None:
            self._writer = open_writer(self._path, self._waiting[0].schema)
        self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=self._rows)
        self._waiting = []

    def _close(self) -> None:
        if self._writer:
            self._writer.close()


def open_writer(path: Path | BinaryIO, schema: pa.Schema = SCHEMA) -> pq.ParquetWriter:
    """Open a writer of a part, or of an empty file of the quarantine.

    ``schema``: SCHEMA, or the same with dictionaries for repeated texts, which are written faster; the file is the
    same.
    """
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=DICTIONARIES,
        column_encoding=dict.fromkeys(("line", "byte_offset"), "DELTA_BINARY_PACKED"),
        write_statistics=_STATISTICS,
        write_batch_size=8192,  # of the usual 1024, texts of records take a tenth longer
        store_schema=False,  # it would let readers make dictionaries again
    )


def _merged(pieces: Sequence[Piece]) -> Group:
    """The pieces, neighbours of one split as one."""
    merged: list[Piece] = []
    for piece in pieces:
        if merged and merged[-1].split == piece.split:
            merged[-1] = piece._replace(rows=merged[-1].rows + piece.rows)
        else:
            merged.append(piece)
    return tuple(merged)


def describe_groups(groups: Sequence[Group]) -> dict[bytes, bytes]:
    """The metadata of a file with these row groups."""
    return {GROUPS_KEY: json.dumps(groups, separators=(",", ":")).encode()}


@dataclass(frozen=True)
class EarlierTable:
    """A file of the quarantine of the version before.

    ==========  ================================
    ``path``    its path
    ``groups``  what its row groups hold
    ``sizes``   bytes on disk of each row group
    ==========  ================================
    """

    path: Path
    groups: tuple[Group, ...]
    sizes: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows of all row groups."""
        return sum(piece.rows for group in self.groups for piece in group)

    def keep_groups(self, marks: Mapping[int, str]) -> list[int]:
        """The row groups whose rows all come from splits that have the same mark in ``marks`` (by split) still.

        Very small row groups are kept while they are few: otherwise their rows are to be written together.
        """
        small = [number for number in range(len(self.groups)) if self._is_small(number)]
        merged = set(small) if len(small) > _MOST_SMALL else set()
        return [
            number
            for number, group in enumerate(self.groups)
            if number not in merged and all(marks.get(piece.split) == piece.mark for piece in group)
        ]

    def _is_small(self, number: int) -> bool:
        rows = sum(piece.rows for piece in self.groups[number])
        return rows < SMALL_ROWS and self.sizes[number] < SMALL_BYTES


def read_earlier_table(path: Path, model: Path) -> EarlierTable | None:
    """What the row groups of an earlier quarantine's file hold.

    None where it is not there, damaged, of an earlier release, or has other columns than the file ``model``.
    """
    try:
        footer = read_footer(path)
        groups = tuple(
            tuple(Piece(*piece) for piece in group) for group in json.loads(key_values_of(footer)[GROUPS_KEY])
        )
        rows = [sum(piece.rows for piece in group) for group in groups]
        if rows_of_groups(footer) != rows or not same_columns(footer, read_footer(model)):
            return None
        return EarlierTable(path, groups, tuple(bytes_of_groups(footer)))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
