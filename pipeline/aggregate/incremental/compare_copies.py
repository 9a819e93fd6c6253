"""Finds the affected ids whose copies differ; only their rows are read from old splits.

Copies are compared by id_hi and 64 bits of id_lo and content (``exchange.row_files.content_marks``). Where all copies
of an id agree, its event is the same before and now, or it is that of any one copy.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.incremental.affected_ids import check_rows, prefixes_of, rows_with_prefixes, save_prefixes
from pipeline.aggregate.incremental.tasks import CompareCopiesTask, ComparedCopies, FetchMarksTask
from pipeline.dedupe import Keys, in_range
from pipeline.engines import Advance
from pipeline.exchange.bucket_rows import read_columns
from pipeline.exchange.id_index import FINE_MASK
from pipeline.exchange.workspace import save_array, split_file
from pipeline.timing import in_stage


@in_stage("merge")
def fetch_marks(context: AggregateContext, task: FetchMarksTask, advance: Advance) -> None:
    """Write id_hi and the content mark of the affected rows of each split (delta/marks-*, two rows of uint64).

    ``advance`` gets rows. Raises BalanceError where the index and the rows of a split disagree.
    """
    for split, wanted in prefixes_of(context, "affected", task.ranges, list(task.by_split)):
        ids, content_marks = read_columns(
            context.workspace.path("rows", split_file(split)), ("id_hi", "content"), context.library
        )
        (positions,) = rows_with_prefixes(context, [ids], wanted)
        check_rows(split, len(positions), task.by_split[split])
        pairs = np.stack([ids[positions], content_marks[positions]])
        save_array(context.workspace.path("delta", f"marks-{split_file(split, 'npy')}"), pairs)
        advance(len(positions))


@in_stage("merge")
def compare_copies(context: AggregateContext, task: CompareCopiesTask, advance: Advance) -> ComparedCopies:
    """Compare the copies of each id. Writes prefixes of rows by split (``affected_ids.save_prefixes``):

    =============  ===============================================================================
    ``excluded``   rows of changed splits that neither add nor subtract an event by themselves
    ``ambiguous``  rows of ids whose copies differ, which must be fetched
    =============  ===============================================================================

    ``advance`` gets rows.
    """
    ids, content_marks, splits = _gather(context, task)
    prefixes = ids & ~FINE_MASK
    first = np.flatnonzero(np.append(True, prefixes[1:] != prefixes[:-1]))
    sizes = np.diff(np.append(first, len(ids)))
    leader = np.repeat(first, sizes)
    same = (ids == ids[leader]) & (content_marks == content_marks[leader])
    same[1:] &= (splits[1:] != splits[:-1]) | (prefixes[1:] != prefixes[:-1])  # Phase 1 left one row of each content
    alike = np.logical_and.reduceat(same, first)
    before, now = ~np.isin(splits, list(task.added)), ~np.isin(splits, list(task.removed))
    rows_before, rows_now = np.add.reduceat(before, first), np.add.reduceat(now, first)
    duplicates = np.maximum(rows_now - 1, 0) - np.maximum(rows_before - 1, 0)
    moves = np.zeros(len(ids), bool)  # an id that comes or goes does so with its first row
    moves[first[alike & ((rows_before == 0) | (rows_now == 0))]] = True
    excluded = ~(before & now) & ~moves
    save_prefixes(context, "excluded", task.number, splits[excluded], prefixes[excluded])
    ambiguous = np.repeat(~alike, sizes)
    save_prefixes(context, "ambiguous", task.number, splits[ambiguous], prefixes[ambiguous])
    advance(len(ids))
    return ComparedCopies(int(duplicates[alike].sum()), dict(Counter(splits[ambiguous].tolist())))


def _gather(context: AggregateContext, task: CompareCopiesTask) -> tuple[Keys, Keys, NDArray[np.int64]]:
    """(ids, content marks, splits) of all copies of the range's ids, in order of prefix and split."""
    pairs, splits = [], []
    for number in task.splits:
        of_split = np.load(context.workspace.path("delta", f"marks-{split_file(number, 'npy')}"))
        pairs.append(of_split[:, in_range(of_split[0], task.number, task.ranges)])
        splits.append(np.full(pairs[-1].shape[1], number, np.int64))
    ids, content_marks = np.concatenate(pairs, axis=1)
    order = np.argsort(ids & ~FINE_MASK, kind="stable")  # the splits are in order already
    return ids[order], content_marks[order], np.concatenate(splits)[order]
