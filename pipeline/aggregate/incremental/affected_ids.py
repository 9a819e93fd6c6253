"""Finds the ids that a change affects, which are those of changed splits that occur again anywhere, and their rows.

The kernels go over the whole history, which grows, so they read as little of it as they can: eight bytes of an id, in
order, and only the wanted rows. An id is known here by its prefix, the leading 54 bits of id_hi.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.incremental.tasks import FindAffectedTask, PickTask
from pipeline.dedupe import Keys, Positions, distinct, repeated_keys, rows_with_keys
from pipeline.engines import Advance
from pipeline.errors import BalanceError
from pipeline.exchange.bucket_rows import read_columns
from pipeline.exchange.id_index import FINE_MASK, read_key_range
from pipeline.exchange.row_files import PLACE_UNIT, take_rows
from pipeline.exchange.row_groups import damage_explained
from pipeline.exchange.workspace import save_array, split_file, write_ordered
from pipeline.native.copies import find_keys
from pipeline.timing import in_stage

_KEYS_AT_ONCE = 1 << 22
"""Most keys of all indexes together that a task has in memory."""
_SPARE_BITS = 6, 10
"""False positives of the search for keys: at most 1 in 64 other keys, 1 in 1,024 where the table is small."""
_TABLE_BITS = 21
"""Bits of the largest table that still fits into the processor's cache."""
_BLOCK_KEYS = 1 << 16
"""So many keys of small indexes are compared together, about."""
_ARRAY_KEYS = 16
"""An array takes as much memory as so many keys, beside its own."""
_NO_KEYS: Keys = np.empty(0, np.uint64)
_NO_SPLITS = np.empty(0, np.int64)


@in_stage("merge")
def find_affected_ids(context: AggregateContext, task: FindAffectedTask, advance: Advance) -> dict[int, int]:
    """Write the prefixes of the affected ids of a range by split ("affected", ``save_prefixes``).

    Returns the number of rows of affected ids by split. ``advance`` gets these rows.
    """
    sizes = (_index_file(context, split).stat().st_size // 8 for split in task.splits)
    share = (task.high - task.low + 1) / 2**64  # of all keys, which are uniform
    pieces = 1 << int(sum(sizes) * share / _KEYS_AT_ONCE).bit_length()
    width = (task.high - task.low) // pieces + 1
    leading = 64 - (width - 1).bit_length()
    found = [
        _affected_keys(context, list(_read_blocks(context, task, low, min(low + width, task.high + 1))), leading)
        for low in (task.low + width * piece for piece in range(pieces))
    ]
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


class _Block(NamedTuple):
    """Keys of indexes that are compared together, of changed splits or of others.

    ``splits``: the split of each key. The keys of a split are in order and follow each other.
    """

    keys: Keys
    splits: NDArray[np.int64]
    changed: bool


def _read_blocks(context: AggregateContext, task: FindAffectedTask, low: int, stop: int) -> Iterator[_Block]:
    """The keys from ``low`` to below ``stop`` of all indexes, those of small ones together: there may be very many.

    Files are read, not mapped: a process may map at most 65,530 files, and mapped pages count as its memory.
    """
    for changed in (False, True):
        small: list[tuple[int, Keys]] = []
        waiting = 0
        for split in task.splits:
            if (split in task.changed) != changed:
                continue
            small.append((split, read_key_range(_index_file(context, split), low, stop)))
            waiting += len(small[-1][1]) + _ARRAY_KEYS
            if waiting >= _BLOCK_KEYS:
                yield _join(small, changed)
                small, waiting = [], 0
        if small:
            yield _join(small, changed)


def _join(indexes: Sequence[tuple[int, Keys]], changed: bool) -> _Block:
    if len(indexes) == 1:
        ((split, keys),) = indexes
        return _Block(keys, np.broadcast_to(np.int64(split), keys.shape), changed)
    lengths = [len(keys) for _, keys in indexes]
    splits = np.repeat(np.array([split for split, _ in indexes], np.int64), lengths)
    return _Block(np.concatenate([keys for _, keys in indexes]), splits, changed)


def _index_file(context: AggregateContext, split: int) -> Path:
    return context.workspace.path("index", split_file(split, "npy"))


def _affected_keys(context: AggregateContext, blocks: list[_Block], leading: int) -> tuple[NDArray[np.int64], Keys]:
    """(Split, prefix) of each affected key."""
    of_changed, of_stayed = ([block for block in blocks if block.changed == changed] for changed in (True, False))
    wanted = np.sort(np.concatenate([_NO_KEYS, *(block.keys for block in of_changed)]) & ~FINE_MASK)
    in_stayed = _with_prefixes(context, of_stayed, wanted, leading)
    # The positions in each index are of sorted keys, and keys of one prefix may be in several.
    affected = distinct(np.sort(np.concatenate([repeated_keys(wanted), *(prefixes for _, prefixes in in_stayed)])))
    found = [*in_stayed, *_with_prefixes(context, of_changed, affected, leading)]
    splits, prefixes = ([_NO_SPLITS], [_NO_KEYS])
    for of_block, keys in found:
        splits.append(of_block)
        prefixes.append(keys)
    return np.concatenate(splits), np.concatenate(prefixes)


def _with_prefixes(
    context: AggregateContext, blocks: list[_Block], wanted: Keys, leading: int
) -> list[tuple[NDArray[np.int64], Keys]]:
    """(Split, prefix) of each key of the blocks that has one of the prefixes ``wanted``."""
    found = rows_with_prefixes(context, [block.keys for block in blocks], wanted, leading)
    return [
        (block.splits[positions], block.keys[positions] & ~FINE_MASK)
        for block, positions in zip(blocks, found, strict=True)
    ]
