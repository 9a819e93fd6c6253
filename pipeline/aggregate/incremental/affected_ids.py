"""Finds the ids that a change affects, which are those of changed splits that occur again anywhere, and their rows.

The kernels go over the whole history, which grows, so they read as little of it as they can: eight bytes of an id, in
order, and only the wanted rows. An id is known here by its prefix, the leading 54 bits of id_hi.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.incremental.tasks import FindAffectedTask, PickTask
from pipeline.dedupe import Keys, Positions, distinct, repeated_keys, rows_with_keys
from pipeline.engines import Advance
from pipeline.errors import BalanceError
from pipeline.exchange.bucket_rows import damage_explained, read_columns
from pipeline.exchange.id_index import FINE_MASK, cut_index, read_keys
from pipeline.exchange.row_files import PLACE_UNIT, take_rows
from pipeline.exchange.workspace import save_array, split_file, write_ordered
from pipeline.native.copies import find_keys
from pipeline.timing import in_stage

_KEYS_AT_ONCE = 1 << 22
"""Most keys of all indexes together that a task has in memory."""
_SPARE_BITS = 6, 10
"""False positives of the search for keys: at most 1 in 64 other keys, 1 in 1,024 where the table is small."""
_TABLE_BITS = 21
"""Bits of the largest table that still fits into the processor's cache."""
_NO_KEYS: Keys = np.empty(0, np.uint64)


@in_stage("merge")
def find_affected_ids(context: AggregateContext, task: FindAffectedTask, advance: Advance) -> dict[int, int]:
    """Write the prefixes of the affected ids of a range by split ("affected", ``save_prefixes``).

    Returns the number of rows of affected ids by split. ``advance`` gets these rows.
    """
    paths = [context.workspace.path("index", split_file(split, "npy")) for split in task.splits]
    share = (task.high - task.low + 1) / 2**64  # of all keys, which are uniform
    pieces = 1 << int(sum(path.stat().st_size // 8 for path in paths) * share / _KEYS_AT_ONCE).bit_length()
    width = (task.high - task.low) // pieces + 1
    lows = [task.low + width * piece for piece in range(pieces)]
    leading = 64 - (width - 1).bit_length()
    splits = np.array(task.splits)
    changed = np.isin(splits, list(task.changed))
    found = []
    for slices in _read_pieces(paths, lows, task.high):
        affected = _affected_keys(context, slices, changed, leading)
        found.append((np.repeat(splits, [len(prefixes) for prefixes in affected]), np.concatenate(affected)))
    split_of_key, keys = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    if len(keys):
        save_prefixes(context, "affected", task.number, split_of_key, keys)
    advance(len(keys))
    return dict(Counter(split_of_key.tolist()))


@in_stage("merge")
def pick_rows(context: AggregateContext, task: PickTask, advance: Advance) -> None:
    """Write the ambiguous rows of a split (delta/ambiguous-*), with ``place`` and the flags ``before`` and ``now``.

    ``advance`` gets rows. Raises BalanceError where the index and the rows disagree.
    """
    ((_, wanted),) = prefixes_of(context, "ambiguous", task.ranges, [task.split])
    path = context.workspace.path("rows", split_file(task.split))
    (positions,) = rows_with_prefixes(context, read_columns(path, ["id_hi"], context.library), wanted)
    check_rows(task.split, len(positions), task.rows)
    file = pq.ParquetFile(path, pre_buffer=False)
    found, first = [], 0
    for group in range(file.num_row_groups):
        stop = first + file.metadata.row_group(group).num_rows
        in_group = slice(*np.searchsorted(positions, [first, stop]))
        if in_group.start < in_group.stop:
            with damage_explained(path):
                rows = file.read_row_group(group, use_threads=False).combine_chunks()
            found.append(take_rows(rows, positions[in_group] - first))
        first = stop
    rows = pl.concat(found)
    place = task.split * PLACE_UNIT + pl.col("offset").cast(pl.Int64)
    rows = rows.with_columns(place=place, before=task.before, now=task.now).drop("offset", "content")
    write_ordered(context.workspace.path("delta", f"ambiguous-{split_file(task.split)}"), rows, "id_hi")
    advance(len(rows))


def check_rows(split: int, found: int, expected: int) -> None:
    """Raise BalanceError where a split has not as many rows as its index has affected ids."""
    if found != expected:
        raise BalanceError(
            f"split {split} has {found} rows of affected ids, its index {expected}. Nothing was published. Run again "
            "with --full-refresh, and please report it."
        )


def rows_with_prefixes(
    context: AggregateContext, ids: Sequence[Keys], prefixes: Keys, leading: int = 0
) -> list[Positions]:
    """Find, in each array of ``ids``, the positions of the ids that have one of ``prefixes`` (sorted, distinct).

    The ids are id_hi or keys of an index. All have the same ``leading`` bits; the bits that follow are uniform.
    """
    if context.library is None or not len(prefixes):
        shift = np.uint64(leading)
        return [rows_with_keys((array & ~FINE_MASK) << shift, prefixes << shift) for array in ids]
    spare = min(max(_TABLE_BITS - len(prefixes).bit_length(), _SPARE_BITS[0]), _SPARE_BITS[1])
    return find_keys(context.library, ids, prefixes, mask=int(~FINE_MASK), leading=leading, spare_bits=spare)


def save_prefixes(
    context: AggregateContext, kind: str, number: int, splits: NDArray[np.integer[Any]], keys: Keys
) -> None:
    """Write the prefixes of ``keys`` in order of ``splits``; both arrays have one entry for each row.

    The file is delta/``kind``-*, by ``number`` of the id range. It has two rows of uint64: the splits and the prefixes.
    """
    order = np.argsort(splits, kind="stable")
    pairs = np.stack([splits[order].astype(np.uint64), keys[order] & ~FINE_MASK])
    save_array(context.workspace.path("delta", f"{kind}-{split_file(number, 'npy')}"), pairs)


def prefixes_of(
    context: AggregateContext, kind: str, ranges: Sequence[int], splits: Sequence[int]
) -> Iterator[tuple[int, Keys]]:
    """Read what ``save_prefixes`` wrote in ``ranges``: each of ``splits`` with its prefixes, sorted."""
    saved = [np.load(context.workspace.path("delta", f"{kind}-{split_file(n, 'npy')}"), mmap_mode="r") for n in ranges]
    for split in splits:
        found = [_NO_KEYS]
        for split_of_prefix, prefixes in saved:
            first, last = np.searchsorted(split_of_prefix, np.array([split, split + 1], np.uint64))
            found.append(prefixes[first:last])
        yield split, np.sort(np.concatenate(found))


def _read_pieces(paths: Sequence[Path], lows: Sequence[int], high: int) -> Iterator[list[Keys]]:
    """For each range that begins with one of ``lows``, the keys of every index; the last range ends with ``high``.

    Files are read, not mapped: a process may map at most 65,530 files, and mapped pages count as its memory.
    """
    cuts = [cut_index(path, [*lows, high + 1]) for path in paths]
    for piece in range(len(lows)):
        yield [read_keys(path, *cut[piece : piece + 2]) for path, cut in zip(paths, cuts, strict=True)]


def _affected_keys(
    context: AggregateContext, indexes: list[Keys], changed: NDArray[np.bool_], leading: int
) -> list[Keys]:
    """The prefixes of the affected ids in each index; ``changed``: whether the index is of a changed split."""
    of_changed, of_stayed = list(compress(indexes, changed)), list(compress(indexes, ~changed))
    wanted = np.sort(np.concatenate([_NO_KEYS, *of_changed]) & ~FINE_MASK)
    in_stayed = _prefixes_in(context, of_stayed, wanted, leading)
    # The positions in each index are of sorted keys, and keys of one prefix may be in several.
    affected = distinct(np.sort(np.concatenate([repeated_keys(wanted), *in_stayed])))
    in_changed = _prefixes_in(context, of_changed, affected, leading)
    changed_ones, stayed_ones = iter(in_changed), iter(in_stayed)
    return [next(changed_ones if is_changed else stayed_ones) for is_changed in changed]


def _prefixes_in(context: AggregateContext, indexes: list[Keys], wanted: Keys, leading: int) -> list[Keys]:
    found = rows_with_prefixes(context, indexes, wanted, leading)
    return [keys[positions] & ~FINE_MASK for keys, positions in zip(indexes, found, strict=True)]
