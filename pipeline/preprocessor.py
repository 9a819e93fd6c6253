"""The Phase 1 kernel: one split of a CSV becomes one Parquet file in buckets, an id index, and counts that balance."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import polars as pl
import polars_hash as plh
from numpy.typing import NDArray

from pipeline.csv_reader import SplitReader
from pipeline.dedupe import distinct_contents, repeated_keys, rows_with_keys
from pipeline.errors import FileRefused
from pipeline.geo import GeoTable
from pipeline.intermediate import FINE_BUCKET_BITS, FINE_MASK, split_file, write_index, write_rows
from pipeline.job import Job
from pipeline.quarantine import RejectWriter
from pipeline.splits import Split

_WORD = pl.lit(1 << 64, dtype=pl.UInt128)


@dataclass(frozen=True)
class SplitResult:
    """Counts of one split; ``records`` is the scanner's. ``start`` and ``stop``: the bytes that its records cover."""

    split: Split
    start: int
    stop: int
    records: int
    blank_lines: int
    lines: int
    duplicates: int
    handed_over: int
    bucket_rows: tuple[int, ...]
    rejected_by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """Records in the quarantine."""
        return sum(self.rejected_by_reason.values())

    def balances(self) -> bool:
        """Whether every record that the scanner counted is accounted for."""
        return self.records == self.rejected + self.duplicates + self.handed_over


def preprocess(job: Job, split: Split, report: Callable[[int], None]) -> SplitResult:
    """Read, verify, enrich, deduplicate and write one split; ``report`` is told the bytes as they are done.

    Raises FileRefused where the file cannot be read, or not to the contract.
    """
    geo = job.geo()
    parts: list[pl.DataFrame] = []
    records = blank_lines = lines = 0
    marks: list[tuple[int, int]] = []
    name = split_file(split.number)
    with _open(split.source) as stream, RejectWriter(job.workspace.path("rejects", name)) as rejects:
        reader = SplitReader(split, stream, job.chunk_bytes, job.max_record)
        for batch in reader:
            marks.append((reader.stop - batch.length - reader.start, lines))
            records += batch.records
            blank_lines += batch.blank_lines
            lines += batch.lines
            rejects.add(batch.rejected)
            parts.append(enrich(batch.rows, geo))
            report(batch.length)
    np.save(job.workspace.path("lines", split_file(split.number, "npy")), np.array(marks, np.int64).reshape(-1, 2))
    duplicates = 0
    bucket_rows = np.zeros(job.buckets, np.int64)
    if sum(map(len, parts)):
        rows = pl.concat(parts, rechunk=True)
        parts.clear()
        duplicates, index, rows = drop_duplicates(rows, job.keep)
        rows, bucket_rows = sort_by_bucket(rows, job)
        write_index(job.workspace.path("index", split_file(split.number, "npy")), index)
        write_rows(job.workspace.path("rows", name), rows, bucket_rows)
    return SplitResult(
        split=split,
        start=reader.start,
        stop=reader.stop,
        records=records,
        blank_lines=blank_lines,
        lines=lines,
        duplicates=duplicates,
        handed_over=int(bucket_rows.sum()),
        bucket_rows=tuple(bucket_rows.tolist()),
        rejected_by_reason=rejects.counts,
    )


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as fault:
        raise FileRefused(f"cannot be read: {fault.strerror}. Check that it exists and its permissions.") from fault


def enrich(rows: pl.DataFrame, geo: GeoTable) -> pl.DataFrame:
    """Hash ids and users and resolve addresses.

    In: the rows of a ``Batch``. Out: id_hi, id_lo, user_hash (UInt64), user_id, region (UInt16), micro_minutes, offset
    and, where given, timestamp.
    """
    hashes = (
        rows.lazy()
        .select(
            id=plh.col("log_id").nchash.xxh3_128(),
            user_hash=plh.col("user_id").nchash.xxh3_64(),
        )
        .select(
            id_hi=(pl.col("id") // _WORD).cast(pl.UInt64),
            id_lo=pl.col("id").cast(pl.UInt64, wrap_numerical=True),
            user_hash="user_hash",
        )
        .collect()
    )
    region = pl.Series("region", geo.lookup(rows["ip_address"]), dtype=pl.UInt16)
    return hashes.with_columns(rows.drop("log_id", "ip_address").get_columns()).with_columns(region)


def drop_duplicates(rows: pl.DataFrame, keep: str) -> tuple[int, NDArray[np.uint64], pl.DataFrame]:
    """(duplicates dropped, sorted id index of the rest, the rest).

    Only copies of equal content go, because a conflict is decided where all copies of its id meet. A copy that stays
    carries the timestamp that decides over all its copies.
    """
    fine = rows["user_hash"].to_numpy() >> np.uint64(64 - FINE_BUCKET_BITS)
    keys = (rows["id_hi"].to_numpy() & ~FINE_MASK) | fine
    index = np.sort(keys)
    candidates = rows_with_keys(keys, repeated_keys(index))
    if not len(candidates):
        return 0, index, rows
    some = rows[candidates].with_columns(pl.Series("place", candidates))
    contents = distinct_contents(some, keep)
    dropped = np.setdiff1d(candidates, contents["place"].to_numpy(), assume_unique=True)
    kept = np.ones(len(rows), bool)
    kept[dropped] = False
    if "timestamp" in rows.columns:
        decided = rows["timestamp"].scatter(contents["place"], contents["timestamp"])
        rows = rows.with_columns(decided)
    return len(dropped), _without(index, np.sort(keys[dropped])), rows.filter(pl.Series(kept))


def _without(ordered: NDArray[np.uint64], removed: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A sorted array less one element for each element of ``removed`` (sorted)."""
    first = np.searchsorted(ordered, removed)
    rank = np.arange(len(removed)) - np.searchsorted(removed, removed)
    return np.delete(ordered, first + rank)


def sort_by_bucket(rows: pl.DataFrame, job: Job) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """The rows in order of bucket (and of offset within it), without the user's hash; and each bucket's count."""
    shift = np.uint64(64 - FINE_BUCKET_BITS + job.bucket_shift)
    bucket = (rows["user_hash"].to_numpy() >> shift).astype(np.uint16)
    order = np.argsort(bucket, kind="stable")
    counts = np.bincount(bucket, minlength=job.buckets)
    columns = rows.select(
        pl.col("id_hi", "id_lo").cast(pl.Int64, wrap_numerical=True),
        "user_id",
        "region",
        "micro_minutes",
        "offset",
        *(["timestamp"] if "timestamp" in rows.columns else []),
    )
    return columns[order], counts
