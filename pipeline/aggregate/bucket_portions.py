"""Cuts the rows of one bucket into portions that fit into memory, each with all copies of the ids that it decides.

The ids alone show which rows can have copies. Those rows are brought together from all splits; all other rows pass by,
split after split. So even a bucket that has a third of the input is read once, and its ids once more
(docs/decisions/017).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.aggregate.context import AggregateContext
from pipeline.dedupe import Keys, Positions, in_range, repeated_keys, rows_with_keys
from pipeline.exchange.bucket_rows import read_rows
from pipeline.exchange.id_index import FINE_MASK
from pipeline.exchange.workspace import split_file
from pipeline.native.arrow import column, to_arrow
from pipeline.native.copies import find_keys
from pipeline.timing import stage

_IDS_FOR_A_ROW = 4
"""So many ids (with what finds their copies) take about as much memory as one row."""
_NONE: Positions = np.empty(0, np.int64)


@dataclass(frozen=True)
class Portion:
    """Rows of a bucket that are in memory together. Positions count through all tables.

    =============  =============================================================================
    ``tables``     (split, its rows), in columns of ``exchange.row_files.ROW_SCHEMA``
    ``compare``    positions of the rows that may have copies; all their copies are here
    ``elsewhere``  positions of the rows that another portion has, too, and decides
    =============  =============================================================================
    """

    tables: list[tuple[int, pa.Table]]
    compare: Positions
    elsewhere: Positions

    @property
    def size(self) -> int:
        """Number of rows in the tables."""
        return sum(len(rows) for _, rows in self.tables)


def portions(
    context: AggregateContext, bucket: int, splits: tuple[int, ...], rows: int, cross_bucket: Keys
) -> Iterator[Portion]:
    """Cut the ``rows`` rows of a bucket, which lie in ``splits``: one portion if they fit into memory together.

    ``cross_bucket``: sorted id prefixes; rows of these ids are compared in any case. Of a larger bucket each split is a
    portion, and the rows that may have copies are gathered in portions by ranges of ids.
    """
    if rows <= context.bucket_rows:
        tables = list(_read(context, bucket, splits))
        ids = np.concatenate([_ids(table) for _, table in tables]) if tables else np.empty(0, np.uint64)
        with stage("dedupe", len(ids)):
            compare = _may_have_copies(context, ids, cross_bucket)
        yield Portion(tables, compare, _NONE)
        return
    with stage("dedupe"):
        positions, ids = _search(context, bucket, splits, rows, cross_bucket)
    rounds = 1 << (len(positions) // context.bucket_rows).bit_length()
    for number in range(rounds):
        in_round = in_range(ids.view(np.int64), number, rounds)
        gathered, first = [], 0
        for split, table in _read(context, bucket, splits):
            found = slice(*np.searchsorted(positions, [first, first + len(table)]))
            if number == 0:
                yield Portion([(split, table)], _NONE, positions[found] - first)
            wanted = positions[found][in_round[found]] - first
            gathered.append((split, table.take(to_arrow(wanted)).combine_chunks()))
            first += len(table)
        yield Portion(gathered, np.arange(in_round.sum()), _NONE)


def _search(
    context: AggregateContext, bucket: int, splits: tuple[int, ...], rows: int, cross_bucket: Keys
) -> tuple[Positions, Keys]:
    """(Positions, ids) of the rows that may have copies, in order of position; one range of ids at a time."""
    ranges = 1 << (rows // (_IDS_FOR_A_ROW * context.bucket_rows)).bit_length()
    found = []
    for number in range(ranges):
        ids, positions, first = [], [], 0
        for _, table in _read(context, bucket, splits, ["id_hi"]):
            wanted = np.flatnonzero(in_range(column(table, "id_hi"), number, ranges))
            ids.append(_ids(table)[wanted])
            positions.append(wanted + first)
            first += len(table)
        range_ids, range_positions = np.concatenate(ids), np.concatenate(positions)
        compare = _may_have_copies(context, range_ids, cross_bucket)
        found.append((range_positions[compare], range_ids[compare]))
    all_positions = np.concatenate([range_positions for range_positions, _ in found])
    order = np.argsort(all_positions)
    return all_positions[order], np.concatenate([range_ids for _, range_ids in found])[order]


def _may_have_copies(context: AggregateContext, ids: Keys, cross_bucket: Keys) -> Positions:
    repeated = repeated_keys(np.sort(ids))
    found = find_keys(context.library, [ids], repeated)[0] if context.library else rows_with_keys(ids, repeated)
    if not len(cross_bucket):
        return found
    compare = np.zeros(len(ids), bool)
    compare[found] = compare[rows_with_keys(ids & ~FINE_MASK, cross_bucket)] = True
    return np.flatnonzero(compare)


def _ids(table: pa.Table) -> Keys:
    return column(table, "id_hi").view(np.uint64)


def _read(
    context: AggregateContext, bucket: int, splits: tuple[int, ...], columns: list[str] | None = None
) -> Iterator[tuple[int, pa.Table]]:
    for split in splits:
        with stage("load") as load:
            path = context.workspace.path("rows", split_file(split))
            rows = read_rows(path, bucket, context.buckets, columns, library=context.library)
            load.amount = len(rows) if rows is not None else 0
        if rows is not None:
            yield split, rows
