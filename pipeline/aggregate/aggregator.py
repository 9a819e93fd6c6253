"""The kernels of Phase 2: buckets of rows become totals per user; ids with copies in several buckets are decided.

    join_indexes            id indexes of some of very many splits       -> one index
    find_cross_bucket_ids   id indexes of all splits, one range of ids   -> ids that occur in more than one bucket
    aggregate               one bucket                                   -> totals per user and region, conflict losers
    decide_cross_bucket     the cross-bucket ids of one range            -> winners that lose after all
    correct                 one bucket                                   -> its totals without those winners

A bucket decides each of its ids as if it had all copies. Where it has not, the winner is pending: it is compared with
those of the other buckets in ``decide_cross_bucket``, and ``correct`` subtracts the losers. Sums of integers make this
exact.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.aggregate.bucket_portions import Portion, portions
from pipeline.aggregate.bucket_totals import BucketTotals
from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.portion_decision import decide_portion, resolve_rows
from pipeline.aggregate.tasks import BucketResult, BucketTask, CorrectTask, DecideTask, FindRepeatedTask, JoinTask
from pipeline.dedupe import Keys, Positions, distinct
from pipeline.engines import Advance
from pipeline.exchange.bucket_totals import read_all_in_pieces
from pipeline.exchange.id_index import FINE_BUCKET_BITS, FINE_MASK, key_ranges, read_key_range, write_joined
from pipeline.exchange.loser_places import NO_PLACES, write_places
from pipeline.exchange.workspace import (
    bucket_file,
    read_between,
    read_id_range,
    save_array,
    split_file,
    write_frame,
    write_ordered,
)
from pipeline.native.copies import sort_keys
from pipeline.staging import at_once
from pipeline.timing import count, in_stage, stage

_SORTED_KEYS = 1 << 16
"""So many keys are sorted at a time, about: they stay in the processor's cache."""

_ARRAY_KEYS = 16
"""An array takes as much memory as so many keys, beside its own."""


@in_stage("merge")
def join_indexes(context: AggregateContext, task: JoinTask, advance: Advance) -> None:
    """Write the keys of several splits as one sorted index, joined/, which ``find_repeated_ids`` reads in their place.

    ``advance`` gets keys.
    """

    def pieces() -> Iterator[Keys]:
        for low, high in key_ranges(task.pieces):
            keys = np.concatenate(list(at_once(partial(_read_index, context, "index", low, high), task.splits)))
            sort_keys(context.library, keys)
            advance(len(keys))
            yield keys

    write_joined(context.workspace.path("joined", split_file(task.number, "npy")), pieces())


@in_stage("merge")
def find_repeated_ids(context: AggregateContext, task: FindRepeatedTask, advance: Advance) -> tuple[int, int]:
    """Write the keys of ids that occur more than once, one uint64 a key, its bucket before its prefix, sorted:

    =========  ==============================================================
    merge/     of ids that occur in more than one fine bucket (cross-bucket)
    repeated/  of those that occur again in one fine bucket alone
    =========  ==============================================================

    Returns how many cross-bucket ids, and how many other ones, they are; there is no file of none. ``advance`` gets
    keys.
    """
    kind, numbers = ("joined", context.joined) if context.joined else ("index", context.splits)
    read = partial(_read_index, context, kind, task.low, task.high)
    indexes = list(_join_small(context, at_once(read, numbers)))
    total = sum(map(len, indexes))
    if not total:
        return 0, 0
    pieces = total // _SORTED_KEYS + 1
    width = (task.high - task.low) // pieces + 1
    bounds = np.array([task.low + width * piece for piece in range(1, pieces)], np.uint64) & ~FINE_MASK
    cuts = [[0, *np.searchsorted(keys, bounds).tolist(), len(keys)] for keys in indexes]
    crossing, repeated = [], []
    for piece in range(pieces):
        keys = np.concatenate([index[cut[piece] : cut[piece + 1]] for index, cut in zip(indexes, cuts, strict=True)])
        sort_keys(context.library, keys)
        found = distinct(keys[_in_groups(keys)])
        crosses = _in_groups(found)
        crossing.append(found[crosses])
        repeated.append(found[~crosses])
    advance(total)
    count(total)
    return (
        _write_turned(context.workspace.path("merge", split_file(task.number, "npy")), crossing),
        _write_turned(context.workspace.path("repeated", split_file(task.number, "npy")), repeated),
    )


def _in_groups(ordered: Keys) -> NDArray[np.bool_]:
    """Whether a sorted key has the prefix of one of its neighbours; the two differ in the fine bucket at most."""
    alike = ordered[1:] ^ ordered[:-1] <= FINE_MASK
    grouped = np.zeros(len(ordered), bool)
    grouped[1:] = alike
    grouped[:-1] |= alike
    return grouped


def _write_turned(path: Path, found: Sequence[Keys]) -> int:
    """Write keys in order of bucket, if there are any; returns how many prefixes they have. ``found``: in order."""
    keys = np.concatenate([np.empty(0, np.uint64), *found])
    if len(keys):
        save_array(path, np.sort(_turned(keys)))
    return len(distinct(keys & ~FINE_MASK))


def _turned(keys: Keys) -> Keys:
    """Keys with the bits of the fine bucket before those of the prefix."""
    return (keys << np.uint64(64 - FINE_BUCKET_BITS)) | (keys >> np.uint64(FINE_BUCKET_BITS))


def _read_index(context: AggregateContext, kind: str, low: int, high: int, number: int) -> Keys:
    return read_key_range(context.workspace.path(kind, split_file(number, "npy")), low, high + 1)


def _join_small(context: AggregateContext, indexes: Iterable[Keys]) -> Iterator[Keys]:
    """The sorted keys of ``indexes``, those of small ones together: there may be very many of one key."""
    small: list[Keys] = []
    waiting = 0
    for index in indexes:
        if len(index) >= _SORTED_KEYS:
            yield index
            continue
        small.append(index)
        waiting += len(index) + _ARRAY_KEYS
        if waiting >= _SORTED_KEYS:
            yield sort_keys(context.library, np.concatenate(small))
            small, waiting = [], 0
    if small:
        yield sort_keys(context.library, np.concatenate(small))


@in_stage("group")
def aggregate(context: AggregateContext, task: BucketTask, advance: Advance) -> BucketResult:
    """Deduplicate a bucket and add it up, in portions where it has more than ``context.bucket_rows`` rows.

    Writes, by bucket (``exchange.workspace.bucket_file``):

    ============  ======================================================================================
    totals/       user_id, region, micro_minutes, event_count; in order of region
    conflicts/    places of losers (``exchange.loser_places``); no file where there are none
    pending/      winners of cross-bucket ids: CONTENT, place, timestamp if it decides; no file where there are none
    losers/       losers in the same columns, if the context keeps them; no file where there are none
    ============  ======================================================================================

    ``advance`` gets rows. Raises BalanceError where a sum passes int64.
    """
    cross_bucket = _keys_of_bucket(context, task.bucket, "merge", context.cross_bucket)
    others = _keys_of_bucket(context, task.bucket, "repeated", context.repeated)
    repeated = distinct(np.sort(np.concatenate([cross_bucket, others])))
    places = [NO_PLACES]
    losers: list[pl.DataFrame] = []
    pending: list[pl.DataFrame] = []
    rows = kept = duplicates = 0
    with BucketTotals(context, task.bucket) as totals:
        splits = tuple(context.splits) if task.splits is None else task.splits
        for portion in portions(context, task.bucket, splits, task.rows, repeated):
            with stage("dedupe"):
                decided = decide_portion(context, portion, cross_bucket)
            own_rows = portion.size - len(portion.elsewhere)
            rows += own_rows
            kept += own_rows - decided.duplicates - len(decided.places)
            duplicates += decided.duplicates
            places.append(decided.places)
            losers += [decided.losers] if decided.losers is not None else []
            pending.append(decided.pending)
            if decided.instead is not None:
                totals.add_frame(decided.instead)
            _add_others(totals, portion, (decided.skipped, portion.elsewhere))
            del portion, decided  # their memory serves the totals that are written
        regions, users = totals.write()
    conflicts = write_places(_places_file(context, task.bucket), np.concatenate(places))
    _write_if_any(context, "losers", task.bucket, losers)
    pending_count = _write_if_any(context, "pending", task.bucket, pending)
    advance(rows)
    count(rows)
    return BucketResult(task.bucket, rows, kept, duplicates, conflicts, pending_count, users, regions)


@in_stage("merge")
def decide_cross_bucket(context: AggregateContext, task: DecideTask, advance: Advance) -> int:
    """Decide pending winners between buckets; returns how many of them lose.

    Writes their rows, with ``bucket`` (Int32), to corrections/, by the number of the range; no file where none loses.
    ``advance`` gets pending winners.
    """
    pending = []
    for bucket in task.buckets:
        frame = read_id_range(context.workspace.path("pending", bucket_file(bucket)), task.number, task.ranges)
        pending.append(frame.with_columns(pl.lit(bucket).alias("bucket")))
    rows = pl.concat(pending)
    losers = resolve_rows(context, rows).losers
    if len(losers):
        if "bucket" not in losers.columns:
            losers = losers.join(rows.select("place", "bucket"), on="place", how="left")
        write_ordered(context.workspace.path("corrections", split_file(task.number)), losers, "bucket")
    advance(len(rows))
    return len(losers)


@in_stage("merge")
def correct(context: AggregateContext, task: CorrectTask, advance: Advance) -> BucketResult:
    """Subtract from a bucket's totals what ``decide_cross_bucket`` found to lose; write these losers to conflicts/.

    Returns the bucket's counts after it; ``pending`` stays. ``advance`` gets losers.
    """
    before = task.before
    paths = [context.workspace.path("corrections", split_file(number)) for number in task.corrections]
    losers = pl.concat([read_between(path, "bucket", before.bucket, before.bucket) for path in paths])
    minus = losers.select(
        "user_id", "region", -pl.col("micro_minutes"), pl.lit(-1, dtype=pl.Int64).alias("event_count")
    )
    path = context.workspace.path("totals", bucket_file(before.bucket))
    with BucketTotals(context, before.bucket) as totals:
        for piece in read_all_in_pieces(path):
            totals.add_totals(piece)
        totals.add_totals(minus.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()))
        regions, users = totals.write()
    if len(losers):
        write_places(_places_file(context, before.bucket, "settled-"), losers["place"])
        if context.keep_losers:
            path = context.workspace.path("losers", f"settled-{bucket_file(before.bucket)}")
            write_frame(path, losers.drop("bucket"))
    advance(len(losers))
    return replace(
        before,
        kept=before.kept - len(losers),
        conflicts=before.conflicts + len(losers),
        users=users,
        regions=regions,
    )


def _add_others(totals: BucketTotals, portion: Portion, decided: Sequence[Positions]) -> None:
    """Add the rows that are in none of ``decided``."""
    skipped = np.zeros(portion.size, bool)
    for positions in decided:
        skipped[positions] = True
    first = 0
    for table in portion.tables:
        totals.add(table, skipped[first : first + len(table)])
        first += len(table)


def _keys_of_bucket(context: AggregateContext, bucket: int, kind: str, ranges: Sequence[int]) -> Keys:
    """The prefixes in this bucket that ``find_repeated_ids`` wrote to the files ``kind`` of id ranges, sorted."""
    fine = bucket << context.bucket_shift, (bucket + 1) << context.bucket_shift
    found = [np.empty(0, np.uint64)]
    for number in ranges:
        path = context.workspace.path(kind, split_file(number, "npy"))
        keys = read_key_range(path, *(part << (64 - FINE_BUCKET_BITS) for part in fine))
        found.append(distinct(np.sort(keys << np.uint64(FINE_BUCKET_BITS))))
    return np.concatenate(found)  # sorted, because the ranges are


def _places_file(context: AggregateContext, bucket: int, before: str = "") -> Path:
    return context.workspace.path("conflicts", f"{before}{bucket_file(bucket, 'npy')}")


def _write_if_any(context: AggregateContext, kind: str, bucket: int, frames: list[pl.DataFrame]) -> int:
    """Write the rows of all ``frames`` if there are any; returns how many."""
    filled = [frame for frame in frames if len(frame)]
    frame = pl.concat(filled) if filled else pl.DataFrame()
    if len(frame):
        write_ordered(context.workspace.path(kind, bucket_file(bucket)), frame, "id_hi")
    return len(frame)
