"""Which affected ids have one content in all their copies: these need no row of the history.

Copies are compared by id_hi and 64 bits of id_lo and content (``intermediate.content_marks``). Where all agree,
the id's event is the same before and now, or it is that of any one copy. Only of the others are the rows fetched.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.incremental.affected_ids import check_rows, prefixes_of, rows_with_prefixes, save_prefixes
from pipeline.aggregate.incremental.tasks import CompareCopiesTask, ComparedCopies, FetchMarksTask
from pipeline.dedupe import Keys, in_range
from pipeline.engines import Advance
from pipeline.exchange.id_index import FINE_MASK
from pipeline.exchange.row_files import read_plain
from pipeline.exchange.workspace import save_array, split_file
from pipeline.timing import in_stage


@in_stage("merge")
def fetch_marks(context: AggregateContext, task: FetchMarksTask, advance: Advance) -> None:
    """Write id_hi and content of the affected rows of each split (delta/)."""
    for split, wanted in prefixes_of(context, "affected", task.ranges, list(task.by_split)):
        ids, contents = read_plain(context.workspace.path("rows", split_file(split)), ("id_hi", "content"))
        (places,) = rows_with_prefixes(context, [ids], wanted)
        check_rows(split, len(places), task.by_split[split])
        marks = np.stack([ids[places], contents[places]])
        save_array(context.workspace.path("delta", f"marks-{split_file(split, 'npy')}"), marks)
        advance(len(places))


@in_stage("merge")
def compare_copies(context: AggregateContext, task: CompareCopiesTask, advance: Advance) -> ComparedCopies:
    """Write the ids of rows of changed splits that neither add nor subtract an event by themselves ("excluded"), and of
    the rows that must be fetched ("ambiguous")."""
    ids, contents, splits = _gather(context, task)
    prefixes = ids & ~FINE_MASK
    first = np.flatnonzero(np.append(True, prefixes[1:] != prefixes[:-1]))
    sizes = np.diff(np.append(first, len(ids)))
    leader = np.repeat(first, sizes)
    same = (ids == ids[leader]) & (contents == contents[leader])
    same[1:] &= (splits[1:] != splits[:-1]) | (prefixes[1:] != prefixes[:-1])  # Phase 1 left one row of each content
    alike = np.logical_and.reduceat(same, first)
    before, now = ~_among(splits, task.added), ~_among(splits, task.removed)
    had, has = np.add.reduceat(before, first), np.add.reduceat(now, first)
    duplicates = np.maximum(has - 1, 0) - np.maximum(had - 1, 0)
    alone = np.zeros(len(ids), bool)  # an id that comes or goes does so with its first row
    alone[first[alike & ((had == 0) | (has == 0))]] = True
    excluded = ~(before & now) & ~alone
    save_prefixes(context, "excluded", task.number, splits[excluded], prefixes[excluded])
    ambiguous = np.repeat(~alike, sizes)
    save_prefixes(context, "ambiguous", task.number, splits[ambiguous], prefixes[ambiguous])
    advance(len(ids))
    return ComparedCopies(int(duplicates[alike].sum()), dict(Counter(splits[ambiguous].tolist())))


def _gather(context: AggregateContext, task: CompareCopiesTask) -> tuple[Keys, Keys, NDArray[np.int64]]:
    """ids, contents and splits of all copies, in order of id and split."""
    marks, splits = [], []
    for number in task.splits:
        found = np.load(context.workspace.path("delta", f"marks-{split_file(number, 'npy')}"))
        marks.append(found[:, in_range(found[0], task.number, task.ranges)])
        splits.append(np.full(marks[-1].shape[1], number, np.int64))
    ids, contents = np.concatenate(marks, axis=1)
    order = np.argsort(ids & ~FINE_MASK, kind="stable")  # the splits are in order already
    return ids[order], contents[order], np.concatenate(splits)[order]


def _among(splits: NDArray[np.int64], some: frozenset[int]) -> NDArray[np.bool_]:
    return np.isin(splits, np.array(sorted(some), np.int64))
