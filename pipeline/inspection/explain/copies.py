"""Reads rows of the store by id or by user: the id index tells which row groups to read."""

import json
from collections.abc import Iterable

import numpy as np
import polars as pl
import xxhash

from pipeline.dedupe import Keys, in_range, rows_with_keys
from pipeline.exchange.bucket_rows import read_rows
from pipeline.exchange.id_index import FINE_BUCKET_BITS, FINE_MASK, keys_with_prefixes
from pipeline.exchange.row_files import placed_rows
from pipeline.exchange.workspace import Workspace, split_file
from pipeline.history.known_files import KnownSplit

_SEARCH_COSTS = 40
"""Keys of an index that a merge passes in the time of one binary search (measured: 75 ns against 2)."""


def id_halves(log_id: str) -> tuple[int, int]:
    """id_hi and id_lo of a log_id: its XXH3-128 hash as two int64."""
    whole = xxhash.xxh3_128_intdigest(log_id.encode())
    return _signed(whole >> 64), _signed(whole & (2**64 - 1))


def prefixes_of(rows: pl.DataFrame) -> Keys:
    """The leading 54 bits of each row's id (uint64, the other bits 0), as the index has them."""
    return rows["id_hi"].to_numpy().view(np.uint64) & ~FINE_MASK


def fine_bucket(user: str) -> int:
    """The fine bucket that the index names for a user's rows: the leading bits of the XXH3-64 hash of the user."""
    return xxhash.xxh3_64_intdigest(user.encode()) >> (64 - FINE_BUCKET_BITS)


def rows_of_ids(
    store: Workspace, splits: Iterable[KnownSplit], prefixes: Keys, besides: int | None = None
) -> pl.DataFrame:
    """Read the rows whose id begins with one of the prefixes, as a frame like ``NO_ROWS``.

    Args:
        store: the folder of the rows and of the index.
        splits: the splits to search.
        prefixes: leading 54 bits of ids (uint64), sorted and distinct.
        besides: a fine bucket; rows of the buckets that hold it are left out.
    """
    frames = []
    for split in splits:
        written = _written_buckets(split)  # 0 while a run is reading the split, even if it has files already
        path = store.path("index", split_file(split.number, "npy"))
        if not len(prefixes) or not written or not path.exists():
            continue
        index: Keys = np.load(path, mmap_mode="r")
        fine = (keys_with_prefixes(index, prefixes_in_index(index, prefixes)) & FINE_MASK).astype(np.int64)
        shift = FINE_BUCKET_BITS - (written.bit_length() - 1)
        buckets = {*(fine >> shift).tolist()} - (set() if besides is None else {besides >> shift})
        for bucket in sorted(buckets):
            rows = _read_bucket(store, split, bucket)
            frames.append(rows[rows_with_keys(prefixes_of(rows), prefixes)])
    return pl.concat(frames) if frames else NO_ROWS


def prefixes_in_index(index: Keys, prefixes: Keys) -> Keys:
    """The prefixes that a sorted id index has.

    Where the prefixes are few, all of them are returned, because the caller's binary search for each costs less than a
    merge with the whole index.
    """
    if len(prefixes) * _SEARCH_COSTS < len(index):
        return prefixes
    keys = pl.DataFrame({"key": pl.Series(np.asarray(index)).set_sorted()})
    wanted = pl.DataFrame({"prefix": pl.Series(prefixes).set_sorted()})
    # Both are in order, so that one pass over them finds the key from which on a prefix may begin.
    near = wanted.join_asof(
        keys, left_on="prefix", right_on="key", strategy="forward", coalesce=False, check_sortedness=False
    )
    present: Keys = near.filter(pl.col("key") - pl.col("prefix") <= int(FINE_MASK))["prefix"].to_numpy()
    return present


def rows_beside_user(
    store: Workspace, splits: Iterable[KnownSplit], user: str, passes: int, number: int
) -> pl.DataFrame:
    """Read all rows of a user's buckets, of this user and of others, as a frame like ``NO_ROWS``.

    Only the rows of pass ``number`` of ``passes`` (a power of two) are returned: those whose ids begin with its bits.
    """
    frames = [NO_ROWS]
    fine = fine_bucket(user)
    for split in splits:
        written = _written_buckets(split)
        if written:
            rows = _read_bucket(store, split, fine * written >> FINE_BUCKET_BITS)
            frames.append(rows.filter(pl.Series(in_range(rows["id_hi"].to_numpy(), number, passes))))
    return pl.concat([frame for frame in frames if len(frame)] or [NO_ROWS])


def count_rows_beside_user(splits: Iterable[KnownSplit], user: str) -> int:
    """How many rows a user's buckets have in all, of this user and of others."""
    fine = fine_bucket(user)
    filled = (json.loads(split.result or "{}")["bucket_rows"] for split in splits if _written_buckets(split))
    return sum(rows[fine * len(rows) >> FINE_BUCKET_BITS] for rows in filled)


NO_ROWS = pl.DataFrame(
    schema={
        "id_hi": pl.Int64,
        "id_lo": pl.Int64,
        "user_id": pl.String,
        "region": pl.UInt16,
        "micro_minutes": pl.Int64,
        "offset": pl.UInt32,
        "place": pl.Int64,
    }
)
"""No rows: the schema of all frames of rows, which have ``timestamp`` besides unless DEDUPE_KEEP is longest."""


def _written_buckets(split: KnownSplit) -> int:
    """In how many buckets the rows of a split were written; 0 for a split without rows."""
    counts = json.loads(split.result or "{}")
    return len(counts["bucket_rows"]) if counts.get("handed_over") else 0


def _read_bucket(store: Workspace, split: KnownSplit, bucket: int) -> pl.DataFrame:
    table = read_rows(store.path("rows", split_file(split.number)), bucket, _written_buckets(split))
    return NO_ROWS if table is None else placed_rows(table, split.number)


def _signed(half: int) -> int:
    return half - 2**64 if half >= 2**63 else half
