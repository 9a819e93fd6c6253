"""The ids that a change touches: those of changed splits that occur again anywhere, and where they occur.

Both kernels go over all that counts, which grows with the history, so they read as little of it as they can: eight
bytes of an id, in order; of the rows, only those that are wanted.
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
from pipeline.dedupe import Keys, Positions, repeated_keys, rows_with_keys
from pipeline.engines import Advance
from pipeline.errors import BalanceError
from pipeline.exchange.id_index import FINE_MASK, cut_index, read_keys
from pipeline.exchange.row_files import PLACE_UNIT, read_plain, take_rows
from pipeline.exchange.workspace import save_array, split_file, write_frame
from pipeline.native.copies import find_keys
from pipeline.timing import in_stage

_KEYS_AT_ONCE = 1 << 22
"""Of all indexes together: what one task holds of them."""
_SPARE_BITS = 6, 10
"""Of 64 rows that are not wanted one at most is looked at twice, of 1,024 where the table is small."""
_TABLE_BITS = 21


@in_stage("merge")
def find_affected_ids(context: AggregateContext, task: FindAffectedTask, advance: Advance) -> dict[int, int]:
    """Write where affected ids occur (``save_prefixes``); returns how many there are by split."""
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
        found.append((np.repeat(splits, [len(part) for part in affected]), np.concatenate(affected)))
    where, keys = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if len(keys):
        save_prefixes(context, "affected", task.number, where, keys)
    advance(len(where))
    return dict(Counter(where.tolist()))


@in_stage("merge")
def pick_rows(context: AggregateContext, task: PickTask, advance: Advance) -> None:
    """Write the ambiguous rows of a split (delta/), with ``before`` and ``now``."""
    ((_, wanted),) = prefixes_of(context, "ambiguous", task.ranges, [task.split])
    path = context.workspace.path("rows", split_file(task.split))
    (places,) = rows_with_prefixes(context, read_plain(path, ["id_hi"]), wanted)
    check_rows(task.split, len(places), task.rows)
    file = pq.ParquetFile(path, pre_buffer=False)
    found, first = [], 0
    for group in range(file.num_row_groups):
        stop = first + file.metadata.row_group(group).num_rows
        here = slice(*np.searchsorted(places, [first, stop]))
        if here.start < here.stop:
            rows = file.read_row_group(group, use_threads=False).combine_chunks()
            found.append(take_rows(rows, places[here] - first))
        first = stop
    rows = pl.concat(found)
    place = task.split * PLACE_UNIT + pl.col("offset").cast(pl.Int64)
    rows = rows.with_columns(place=place, before=task.before, now=task.now).drop("offset", "content")
    write_frame(context.workspace.path("delta", f"ambiguous-{split_file(task.split)}"), rows)
    advance(len(rows))


def check_rows(split: int, found: int, expected: int) -> None:
    """Raise BalanceError where a split has not as many rows as its index has affected ids."""
    if found != expected:
        raise BalanceError(
            f"split {split} has {found} rows of affected ids, its index {expected}. Nothing was published. Run again "
            "with --full-refresh, and please report it."
        )


def rows_with_prefixes(
    context: AggregateContext, parts: Sequence[Keys], prefixes: Keys, leading: int = 0
) -> list[Positions]:
    """Of each of ``parts`` the places of the ids that begin with one of ``prefixes`` (54 bits, sorted). All have the
    same ``leading`` bits; of these, what follows is uniform."""
    if context.library is None or not len(prefixes):
        shift = np.uint64(leading)
        return [rows_with_keys((ids & ~FINE_MASK) << shift, prefixes << shift) for ids in parts]
    spare = min(max(_TABLE_BITS - len(prefixes).bit_length(), _SPARE_BITS[0]), _SPARE_BITS[1])
    return find_keys(context.library, parts, prefixes, mask=int(~FINE_MASK), leading=leading, spare_bits=spare)


def save_prefixes(
    context: AggregateContext, kind: str, number: int, splits: NDArray[np.integer[Any]], keys: Keys
) -> None:
    """Write prefixes of ids of range ``number`` by their splits, for ``prefixes_of`` (delta/)."""
    order = np.argsort(splits, kind="stable")
    pairs = np.stack([splits[order].astype(np.uint64), keys[order] & ~FINE_MASK])
    save_array(context.workspace.path("delta", f"{kind}-{split_file(number, 'npy')}"), pairs)


def prefixes_of(
    context: AggregateContext, kind: str, ranges: Sequence[int], splits: Sequence[int]
) -> Iterator[tuple[int, Keys]]:
    """Each of ``splits`` and the id prefixes that were saved for it in ``ranges``, sorted; one split's at a time."""
    saved = [np.load(context.workspace.path("delta", f"{kind}-{split_file(n, 'npy')}"), mmap_mode="r") for n in ranges]
    for split in splits:
        mine = [_NO_KEYS]
        for where, keys in saved:
            first, last = np.searchsorted(where, np.array([split, split + 1], np.uint64))
            mine.append(keys[first:last])
        yield split, np.sort(np.concatenate(mine))


_NO_KEYS: Keys = np.empty(0, np.uint64)


def _read_pieces(paths: Sequence[Path], lows: Sequence[int], high: int) -> Iterator[list[Keys]]:
    """The keys of all indexes, for each of the ranges that begin with ``lows``; the last one ends with ``high``.

    They are read, not mapped: a process may not map more than 65,530 files, and pages that are mapped count as its own.
    """
    cuts = [cut_index(path, [*lows, high + 1]) for path in paths]
    for piece in range(len(lows)):
        yield [read_keys(path, *cut[piece : piece + 2]) for path, cut in zip(paths, cuts, strict=True)]


def _affected_keys(
    context: AggregateContext, parts: list[Keys], changed: NDArray[np.bool_], leading: int
) -> list[Keys]:
    """The prefixes of affected ids in each of ``parts``, of which some ``changed``."""
    ours, theirs = list(compress(parts, changed)), list(compress(parts, ~changed))
    wanted = np.sort(np.concatenate([_NO_KEYS, *ours]) & ~FINE_MASK)
    met = _prefixes_in(context, theirs, wanted, leading)
    own = _prefixes_in(context, ours, np.union1d(repeated_keys(wanted), np.concatenate([_NO_KEYS, *met])), leading)
    found = iter(own), iter(met)
    return [next(found[0] if mine else found[1]) for mine in changed]


def _prefixes_in(context: AggregateContext, parts: list[Keys], wanted: Keys, leading: int) -> list[Keys]:
    found = rows_with_prefixes(context, parts, wanted, leading)
    return [ids[rows] & ~FINE_MASK for ids, rows in zip(parts, found, strict=True)]
