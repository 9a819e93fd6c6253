"""The rows of one bucket in portions that fit into memory, each with all copies of the ids that it decides.

Ids alone tell which rows can have copies: those are brought together, whatever splits they are from, and all others
pass by, split after split. So even a bucket that holds a third of the input is read once, and its ids once more
(docs/decisions/017).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.aggregate.context import AggregateContext
from pipeline.dedupe import Keys, in_range, repeated_keys, rows_with_keys
from pipeline.exchange.bucket_rows import read_rows
from pipeline.exchange.id_index import FINE_MASK
from pipeline.exchange.workspace import split_file
from pipeline.native.arrow import column, to_arrow
from pipeline.native.copies import find_keys
from pipeline.timing import stage

Places = NDArray[np.int64]
_IDS_FOR_A_ROW = 4
"""So many ids (with what finds their copies) take about as much memory as one row."""


@dataclass(frozen=True)
class Portion:
    """Some rows of a bucket: ``parts`` are (split, rows).

    ``compare``: the places, counted through all parts, of rows that may have copies, all of which are here;
    ``left``: of rows that another portion has, too, and decides.
    """

    parts: list[tuple[int, pa.Table]]
    compare: Places
    left: Places


def portions(
    context: AggregateContext, bucket: int, splits: tuple[int, ...], rows: int, cross_bucket: Keys
) -> Iterator[Portion]:
    """The ``rows`` rows of a bucket. ``cross_bucket``: sorted id prefixes, rows of which are compared in any case."""
    if rows <= context.bucket_rows:
        parts = list(_read(context, bucket, splits))
        ids = np.concatenate([_ids(part) for _, part in parts]) if parts else np.empty(0, np.uint64)
        with stage("dedupe", len(ids)):
            compare = _may_have_copies(context, ids, cross_bucket)
        yield Portion(parts, compare, _NONE)
        return
    with stage("dedupe"):
        places, ids = _search(context, bucket, splits, rows, cross_bucket)
    rounds = 1 << (len(places) // context.bucket_rows).bit_length()
    for number in range(rounds):
        mine = in_range(ids.view(np.int64), number, rounds)
        gathered, first = [], 0
        for split, part in _read(context, bucket, splits):
            here = slice(*np.searchsorted(places, [first, first + len(part)]))
            if number == 0:
                yield Portion([(split, part)], _NONE, places[here] - first)
            gathered.append((split, part.take(to_arrow(places[here][mine[here]] - first)).combine_chunks()))
            first += len(part)
        yield Portion(gathered, np.arange(mine.sum()), _NONE)


_NONE: Places = np.empty(0, np.int64)


def _search(
    context: AggregateContext, bucket: int, splits: tuple[int, ...], rows: int, cross_bucket: Keys
) -> tuple[Places, Keys]:
    """(places, ids) of the rows that may have copies, in order of place; some ids at a time."""
    ranges = 1 << (rows // (_IDS_FOR_A_ROW * context.bucket_rows)).bit_length()
    found = []
    for number in range(ranges):
        ids, places, first = [], [], 0
        for _, part in _read(context, bucket, splits, ["id_hi"]):
            mine = np.flatnonzero(in_range(column(part, "id_hi"), number, ranges))
            ids.append(_ids(part)[mine])
            places.append(mine + first)
            first += len(part)
        these, where = np.concatenate(ids), np.concatenate(places)
        compare = _may_have_copies(context, these, cross_bucket)
        found.append((where[compare], these[compare]))
    where = np.concatenate([places for places, _ in found])
    order = np.argsort(where)
    return where[order], np.concatenate([ids for _, ids in found])[order]


def _may_have_copies(context: AggregateContext, ids: Keys, cross_bucket: Keys) -> Places:
    repeated = repeated_keys(np.sort(ids))
    found = find_keys(context.library, [ids], repeated)[0] if context.library else rows_with_keys(ids, repeated)
    return np.union1d(found, rows_with_keys(ids & ~FINE_MASK, cross_bucket)) if len(cross_bucket) else found


def _ids(part: pa.Table) -> Keys:
    return column(part, "id_hi").view(np.uint64)


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
