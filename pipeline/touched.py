"""The ids that a change touches: those of changed splits that occur again anywhere, and where they occur.

Both kernels go over all that counts, which grows with the history, so they read as little of it as they can: eight
bytes of an id, in order; of the rows, only those that are wanted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.compiled import find_candidates
from pipeline.dedupe import repeated_keys, rows_with_keys
from pipeline.errors import BalanceError
from pipeline.intermediate import (
    FINE_MASK,
    PLACE_UNIT,
    keys_with_prefixes,
    open_index,
    save_array,
    split_file,
    write_frame,
)
from pipeline.job import Job

Keys = NDArray[np.uint64]
_KEYS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class TouchTask:
    """Find touched ids among those whose key is in ``low <= key <= high``; ``splits``: all that counted or count."""

    number: int
    low: int
    high: int
    splits: tuple[int, ...]
    changed: frozenset[int]


@dataclass(frozen=True)
class PickTask:
    """Pick the touched rows, of which there are ``rows``, of a split that did not change; ``ranges``: numbers of those
    with touched ids."""

    split: int
    rows: int
    ranges: tuple[int, ...]


def find_touched(job: Job, task: TouchTask, report: Callable[[int], None]) -> dict[int, int]:
    """Write where touched ids occur (merge/: a row for each, [split, key]); returns how many there are by split."""
    parts = {
        split: open_index(job.workspace.path("index", split_file(split, "npy")), task.low, task.high)
        for split in task.splits
    }
    changed = np.concatenate([_NO_KEYS, *(part & ~FINE_MASK for split, part in parts.items() if split in task.changed)])
    changed.sort()
    # What occurs in changed splits is a small part of all: the rest need not be sorted.
    near = {split: _keys_of(job, part, changed) for split, part in parts.items()}
    touched = repeated_keys(np.sort(np.concatenate(list(near.values())) & ~FINE_MASK))
    found = {split: keys_with_prefixes(part, touched) for split, part in near.items()}
    places = [np.column_stack([np.full(len(keys), split, np.uint64), keys]) for split, keys in found.items()]
    if len(touched):
        save_array(job.workspace.path("merge", split_file(task.number, "npy")), np.concatenate(places))
    report(sum(map(len, parts.values())))
    return {split: len(keys) for split, keys in found.items() if len(keys)}


def pick_rows(job: Job, task: PickTask, report: Callable[[int], None]) -> None:
    """Write the touched rows of an unchanged split (delta/), which counted before and count now."""
    wanted = touched_prefixes(job, task.ranges, [task.split])[task.split]
    prefix = pl.col("id_hi") & pl.lit((~FINE_MASK).view(np.int64), pl.Int64)
    # Polars reads the ids, and makes values of the other columns for these rows alone.
    rows = (
        pl.scan_parquet(job.workspace.path("rows", split_file(task.split)), glob=False, parallel="prefiltered")
        .filter(prefix.is_in(pl.Series(wanted.view(np.int64)).implode()))
        .collect()
    )
    if len(rows) != task.rows:
        raise BalanceError(
            f"split {task.split} has {len(rows)} rows of touched ids, its index {task.rows}. Nothing was published. "
            "Run again with --full-refresh, and please report it."
        )
    place = task.split * PLACE_UNIT + pl.col("offset").cast(pl.Int64)
    rows = rows.with_columns(place=place, before=True, now=True).drop("offset")
    write_frame(job.workspace.path("delta", f"aside-{split_file(task.split)}"), rows)
    report(1)


def touched_prefixes(job: Job, ranges: Sequence[int], splits: Sequence[int]) -> dict[int, Keys]:
    """For each of ``splits`` the touched id prefixes that it has, sorted and distinct."""
    found = [np.empty((0, 2), np.uint64)]
    for number in ranges:
        places = np.load(job.workspace.path("merge", split_file(number, "npy")), mmap_mode="r")
        found.append(places[np.isin(places[:, 0], np.array(splits, np.uint64))])
    places = np.concatenate(found)
    return {split: np.unique(places[places[:, 0] == split, 1] & ~FINE_MASK) for split in splits}


_NO_KEYS: Keys = np.empty(0, np.uint64)


def _keys_of(job: Job, index: Keys, wanted: Keys) -> Keys:
    """The keys of a sorted index whose prefix is one of ``wanted`` (sorted), in order."""
    if not len(wanted):
        return _NO_KEYS
    found = [_NO_KEYS]
    for first in range(0, len(index), _KEYS_AT_ONCE):
        keys = index[first : first + _KEYS_AT_ONCE]
        if job.library:
            keys = keys[find_candidates(job.library, keys, wanted)]
        found.append(keys[rows_with_keys(keys & ~FINE_MASK, wanted)])
    return np.concatenate(found)
