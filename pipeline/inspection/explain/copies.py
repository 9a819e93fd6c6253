"""Rows of the store by id or by user: the id index leads to the row groups that hold them."""

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
"""How many keys of an index a merge passes in the time of one binary search (measured: 75 ns against 2)."""


def id_halves(log_id: str) -> tuple[int, int]:
    """id_hi and id_lo (as int64) of a log_id."""
    whole = xxhash.xxh3_128_intdigest(log_id.encode())
    return _signed(whole >> 64), _signed(whole & (2**64 - 1))


def prefixes_of(rows: pl.DataFrame) -> Keys:
    """The leading 54 bits of each row's id, as the index has them."""
    return rows["id_hi"].to_numpy().view(np.uint64) & ~FINE_MASK


def fine_bucket(user: str) -> int:
    """Where the index says that a user's rows are."""
    return xxhash.xxh3_64_intdigest(user.encode()) >> (64 - FINE_BUCKET_BITS)


def rows_of_ids(
    store: Workspace, splits: Iterable[KnownSplit], prefixes: Keys, besides: int | None = None
) -> pl.DataFrame:
    """Rows whose id begins with one of ``prefixes`` (54 bits, sorted, distinct): the row schema with ``place``.

    Those that lie in one bucket with the fine bucket ``besides`` are left out.
    """
    frames = []
    for part in splits:
        written = _written_buckets(part)  # none as yet of a split that a run is reading, whatever lies there
        path = store.path("index", split_file(part.number, "npy"))
        if not len(prefixes) or not written or not path.exists():
            continue
        index: Keys = np.load(path, mmap_mode="r")
        fine = (keys_with_prefixes(index, prefixes_in_index(index, prefixes)) & FINE_MASK).astype(np.int64)
        shift = FINE_BUCKET_BITS - (written.bit_length() - 1)
        buckets = {*(fine >> shift).tolist()} - (set() if besides is None else {besides >> shift})
        for bucket in sorted(buckets):
            rows = _read_bucket(store, part, bucket)
            frames.append(rows[rows_with_keys(prefixes_of(rows), prefixes)])
    return pl.concat(frames) if frames else NO_ROWS


def prefixes_in_index(index: Keys, prefixes: Keys) -> Keys:
    """Those of ``prefixes`` that a sorted id index has; all of them where they are so few that a search costs less."""
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
    """All rows of a user's buckets, with ``place``: pass ``number`` of ``passes`` (a power of two) by leading bits of
    the id."""
    frames = [NO_ROWS]
    fine = fine_bucket(user)
    for part in splits:
        written = _written_buckets(part)
        if written:
            rows = _read_bucket(store, part, fine * written >> FINE_BUCKET_BITS)
            frames.append(rows.filter(pl.Series(in_range(rows["id_hi"].to_numpy(), number, passes))))
    return pl.concat([frame for frame in frames if len(frame)] or [NO_ROWS])


def most_rows_of_user(splits: Iterable[KnownSplit], user: str) -> int:
    """How many rows a user's buckets have, its own among them."""
    fine = fine_bucket(user)
    filled = (json.loads(part.result or "{}")["bucket_rows"] for part in splits if _written_buckets(part))
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
"""Stands for no rows; others may have ``timestamp`` besides."""


def _written_buckets(part: KnownSplit) -> int:
    """In how many buckets the rows of a split were written; 0 where it has none."""
    counts = json.loads(part.result or "{}")
    return len(counts["bucket_rows"]) if counts.get("handed_over") else 0


def _read_bucket(store: Workspace, part: KnownSplit, bucket: int) -> pl.DataFrame:
    table = read_rows(store.path("rows", split_file(part.number)), bucket, _written_buckets(part))
    return NO_ROWS if table is None else placed_rows(table, part.number)


def _signed(half: int) -> int:
    return half - 2**64 if half >= 2**63 else half
