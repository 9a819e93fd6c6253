"""Cuts the rows of one bucket into portions that fit into memory, each with all copies of the ids that it decides.

The ids alone show which rows can have copies. Those rows are brought together from all splits; all other rows pass by,
split after split. So even a bucket that has a third of the input is read once, and its ids once more
(docs/decisions/017).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.aggregate.context import AggregateContext
from pipeline.dedupe import Keys, Positions, in_range, rows_with_keys
from pipeline.exchange.bucket_rows import read_pieces, read_together
from pipeline.exchange.id_index import FINE_MASK
from pipeline.exchange.row_files import with_places
from pipeline.exchange.row_memory import memory_of
from pipeline.exchange.workspace import split_file
from pipeline.native.arrow import column, to_arrow
from pipeline.native.copies import find_keys
from pipeline.timing import stage

_GROUP_ROWS = 1_000
_GROUP_MEMORY = 8_000_000
"""Most rows of the small tables that pass by together, and the most memory that these take."""
_NONE: Positions = np.empty(0, np.int64)


@dataclass(frozen=True)
class Portion:
    """Rows of a bucket that are in memory together. Positions count through all tables.

    =============  =============================================================================
    ``tables``     rows in columns of ``exchange.row_files.ROW_SCHEMA``, with ``place`` instead of offset
    ``compare``    positions of the rows that may have copies; all their copies are here
    ``elsewhere``  positions of the rows that another portion has, too, and decides
    =============  =============================================================================
    """

    tables: list[pa.Table]
    compare: Positions
    elsewhere: Positions

    @property
    def size(self) -> int:
        """Number of rows in the tables."""
        return sum(map(len, self.tables))


def portions(
    context: AggregateContext, bucket: int, splits: tuple[int, ...], rows: int, repeated: Keys
) -> Iterator[Portion]:
    """Cut the ``rows`` rows of a bucket, which lie in ``splits``: one portion if they fit into memory together.

    ``repeated``: the sorted prefixes of ids that may have copies. A larger bucket passes by piece after piece, and the
    rows that may have copies are gathered in portions by ranges of ids.
    """
    tables = _read_together(context, bucket, splits) if rows <= context.bucket_rows else None
    if tables is not None:
        ids = np.concatenate([_ids(table) for table in tables]) if tables else np.empty(0, np.uint64)
        with stage("dedupe", len(ids)):
            compare = _may_have_copies(context, ids, repeated)
        yield Portion(tables, compare, _NONE)
        return
    with stage("dedupe"):
        positions, ids = _search(context, bucket, splits, repeated)
    gathered = _Gathered(context)
    first = 0
    for group in _group_small(_read(context, bucket, splits), min(_GROUP_ROWS, context.bucket_rows)):
        begin = first
        for table in group:
            found = positions[slice(*np.searchsorted(positions, [first, first + len(table)]))] - first
            if len(found):
                gathered.add(table, found)
            first += len(table)
        yield Portion(group, _NONE, positions[slice(*np.searchsorted(positions, [begin, first]))] - begin)
    if gathered.fits:
        yield gathered.portion()
        return
    needed = max(len(positions) // context.bucket_rows, gathered.memory // max(1, context.bucket_bytes))
    rounds = 1 << min(needed, len(positions)).bit_length()
    for number in range(rounds):
        yield _gather(context, bucket, splits, positions, in_range(ids.view(np.int64), number, rounds))


def _group_small(tables: Iterator[pa.Table], most: int) -> Iterator[list[pa.Table]]:
    """The tables in groups, because a portion takes some time even of one row."""
    group: list[pa.Table] = []
    rows = memory = 0
    for table in tables:
        if group and (rows + len(table) > most or memory + memory_of(table) > _GROUP_MEMORY):
            yield group
            group, rows, memory = [], 0, 0
        group.append(table)
        rows += len(table)
        memory += memory_of(table)
    if group:
        yield group


class _Gathered:
    """Rows that may have copies, as long as they fit into memory together; ``memory``: what all of them would take."""

    def __init__(self, context: AggregateContext) -> None:
        self.memory = 0
        self._context = context
        self._rows = 0
        self._tables: list[pa.Table] = []

    @property
    def fits(self) -> bool:
        return self._rows <= self._context.bucket_rows and self.memory <= self._context.bucket_bytes

    def add(self, table: pa.Table, positions: Positions) -> None:
        taken = table.take(to_arrow(positions)).combine_chunks()
        self._rows += len(taken)
        self.memory += memory_of(taken)
        if self.fits:
            self._tables.append(taken)
        else:
            self._tables.clear()

    def portion(self) -> Portion:
        return Portion(self._tables, np.arange(self._rows), _NONE)


def _gather(
    context: AggregateContext,
    bucket: int,
    splits: tuple[int, ...],
    positions: Positions,
    wanted: NDArray[np.bool_],
) -> Portion:
    """The rows at those of ``positions`` that are ``wanted``."""
    gathered, first = [], 0
    for table in _read(context, bucket, splits):
        found = slice(*np.searchsorted(positions, [first, first + len(table)]))
        of_table = positions[found][wanted[found]] - first
        if len(of_table):
            gathered.append(table.take(to_arrow(of_table)).combine_chunks())
        first += len(table)
    return Portion(gathered, np.arange(wanted.sum()), _NONE)


def _read_together(context: AggregateContext, bucket: int, splits: tuple[int, ...]) -> list[pa.Table] | None:
    """The rows of the bucket; None where they take more memory than they may."""
    files = ((split, _path(context, split)) for split in splits)
    with stage("load") as load:
        tables = read_together(files, bucket, context.buckets, context.bucket_bytes, context.library)
        load.amount = sum(map(len, tables or ()))
    return tables


def _search(context: AggregateContext, bucket: int, splits: tuple[int, ...], repeated: Keys) -> tuple[Positions, Keys]:
    """(Positions, ids) of the rows that may have copies, in order of position."""
    found, found_ids = [_NONE], [np.empty(0, np.uint64)]
    first = 0
    # What finds the repeated ids takes as long to make as so many rows to compare.
    for ids in _ids_together(context, bucket, splits, max(context.bucket_rows, len(repeated))):
        rows = _may_have_copies(context, ids, repeated)
        found.append(rows + first)
        found_ids.append(ids[rows])
        first += len(ids)
    return np.concatenate(found), np.concatenate(found_ids)


def _ids_together(context: AggregateContext, bucket: int, splits: tuple[int, ...], least: int) -> Iterator[Keys]:
    """The ids of the bucket's rows in order, at least ``least`` at a time, but for the last ones."""
    waiting: list[Keys] = []
    count = 0
    for table in _read_pieces(context, bucket, splits, ["id_hi"]):
        waiting.append(_ids(table))
        count += len(table)
        if count >= least:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _may_have_copies(context: AggregateContext, ids: Keys, repeated: Keys) -> Positions:
    if context.library is None:
        return rows_with_keys(ids & ~FINE_MASK, repeated)
    return find_keys(context.library, [ids], repeated, mask=int(~FINE_MASK))[0]


def _ids(table: pa.Table) -> Keys:
    return column(table, "id_hi").view(np.uint64)


def _path(context: AggregateContext, split: int) -> Path:
    return context.workspace.path("rows", split_file(split))


def _read(context: AggregateContext, bucket: int, splits: tuple[int, ...]) -> Iterator[pa.Table]:
    """The rows of the bucket, all of a split together, or in pieces where they take much memory."""
    for split in splits:
        for rows in _read_pieces(context, bucket, (split,)):
            yield with_places(rows, split)


def _read_pieces(
    context: AggregateContext, bucket: int, splits: tuple[int, ...], columns: list[str] | None = None
) -> Iterator[pa.Table]:
    for split in splits:
        pieces = read_pieces(_path(context, split), bucket, 1, context.buckets, columns, context.library)
        while True:
            with stage("load") as load:
                rows, _ = next(pieces, (None, None))
                load.amount = len(rows) if rows is not None else 0
            if rows is None:
                break
            yield rows
