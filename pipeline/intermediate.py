"""The exchange between the phases: where its files lie, and how rows and id indexes are written and read.

A split becomes one Parquet file with a row group for each bucket that has rows, and one id index. A bucket is the
leading bits of a 64-bit hash of user_id, so that it holds all rows of its users and a finer number refines a coarser.
"""

import errno
import json
import os
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray

from pipeline.arrow import take_texts, text_bounds, to_arrow, to_frame, to_numpy, to_series
from pipeline.errors import ConfigError
from pipeline.faults import point
from pipeline.rows import NO_TIMESTAMP, SplitRows

FINE_BUCKET_BITS = 10
"""The index names buckets this finely, whatever number of buckets a run uses (at most 2^10)."""
FINE_MASK = np.uint64((1 << FINE_BUCKET_BITS) - 1)

ROW_SCHEMA = pa.schema(
    [
        pa.field("id_hi", pa.int64(), nullable=False),
        pa.field("id_lo", pa.int64(), nullable=False),
        pa.field("user_id", pa.large_string(), nullable=False),
        pa.field("region", pa.uint16(), nullable=False),
        pa.field("micro_minutes", pa.int64(), nullable=False),
        pa.field("offset", pa.uint32(), nullable=False),
        pa.field("content", pa.int64(), nullable=False),
    ]
)
"""id_hi, id_lo: xxh3_128 of log_id as two int64 (Spark would read unsigned ones as slow decimals); region: code in the
geo table; offset: the record's first byte, counted from the split's start; content: ``content_marks``, for
``contents`` alone."""
TIMESTAMP_FIELD = pa.field("timestamp", pa.int64())
"""Microseconds since 1970 UTC, or null; only where DEDUPE_KEEP is first or last."""

BUCKETS_KEY = b"logmill.buckets"
"""In a rows file's metadata, as JSON: in how many buckets it was written, and the bucket of each row group."""
PLACE_UNIT = 2**32
"""A record's place among all: its split's number times this, plus its offset in the split."""

_PAGE_BYTES = 1 << 22
"""A column of a row group is one page, as a rule: its values can then be found without reading those before."""
_REGION_BITS = 14
"""Bits of a region's code: there are 7 continents and some 250 countries."""

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


def new_run_id() -> str:
    """When the run began, and what tells it from others of that second."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:6]}"


def is_run_folder(path: Path, prefix: str = "") -> bool:
    """Whether ``path`` is a folder that a run made: named ``prefix`` and the run's id, and no link."""
    named = path.name.startswith(prefix) and _RUN_ID.fullmatch(path.name.removeprefix(prefix))
    return bool(named) and path.is_dir() and not path.is_symlink()


def make_own(folder: Path, option: str, mode: int = 0o777) -> None:
    """Make a folder below the one that ``option`` names. Raises ConfigError where a link stands there: it may lead out
    of that folder."""
    if folder.is_symlink():
        raise ConfigError(
            f"{str(folder)!r} is a link, and Logmill writes only where it was told to. Remove the link, or name the "
            f"place that it leads to with {option}."
        )
    folder.mkdir(parents=True, exist_ok=True, mode=mode)


SPLIT_KINDS = {"rows": "parquet", "index": "npy", "rejects": "parquet", "lines": "npy"}
"""Folders of what Phase 1 makes of a split, and its files' endings there: later runs use it again."""
_RUN_KINDS = ("totals", "contested", "corrections", "conflicts", "merge", "delta", "quarantine", "spool")


@dataclass(frozen=True)
class Workspace:
    """The files of one run below the intermediate folder: its own in ``root``, those of splits in ``store``, if any."""

    root: str
    store: str = ""

    def path(self, kind: str, name: str) -> Path:
        """Path of one file; ``kind`` is its folder (rows, index, rejects, totals, contested, corrections, ...)."""
        place = self.store if self.store and kind in SPLIT_KINDS else self.root
        return Path(place) / kind / name

    def create(self) -> None:
        """Make the folders; only the owner may enter, because rows hold personal data."""
        for kind in (*_RUN_KINDS, *(() if self.store else SPLIT_KINDS)):
            (Path(self.root) / kind).mkdir(parents=True, exist_ok=True, mode=0o700)


def split_file(number: int, suffix: str = "parquet") -> str:
    """Name of a split's file in each folder of the workspace."""
    return f"split-{number:06d}.{suffix}"


def bucket_file(bucket: int) -> str:
    """Name of a bucket's file in each folder of the workspace."""
    return f"bucket-{bucket:04d}.parquet"


def write_rows(path: Path, rows: SplitRows, bucket_rows: NDArray[np.int64]) -> None:
    """Write ``rows``, which are in order of bucket, as one row group per bucket that has any.

    ``bucket_rows`` counts the rows of every bucket.
    """
    schema = ROW_SCHEMA.append(TIMESTAMP_FIELD) if "timestamp" in rows.columns else ROW_SCHEMA
    used = np.flatnonzero(bucket_rows).tolist()
    arrays = {
        "id_hi": to_arrow(rows["id_hi"].view(np.int64)),
        "id_lo": to_arrow(rows["id_lo"].view(np.int64)),
        "user_id": rows.user_ids(),
        **{name: to_arrow(rows[name]) for name in ("region", "micro_minutes", "offset")},
        "content": to_arrow(content_marks(rows)),
    }
    if "timestamp" in rows.columns:
        arrays["timestamp"] = to_arrow(rows["timestamp"], rows["timestamp"] == NO_TIMESTAMP)
    table = pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)
    partial = path.with_suffix(".partial")
    described = schema.with_metadata({BUCKETS_KEY: json.dumps([len(bucket_rows), used]).encode()})
    with rows_writer(partial, described) as writer:
        first = 0
        for bucket in used:
            count = int(bucket_rows[bucket])
            writer.write_table(table.slice(first, count), row_group_size=count)
            point("rows.write")
            first += count
    point("intermediate.rename")
    partial.replace(path)


def content_marks(rows: SplitRows) -> NDArray[np.int64]:
    """64 bits of each row's id_lo and content, by which copies of an id are told from conflicts, and ids of equal id_hi
    from one another (docs/decisions/019). They take the place of user_hash.

    Contents of one user and id differ here wherever they differ: a watch time has 50 bits, a region 14. Those of two
    users differ but for one pair in 2^64.
    """
    marks = rows.columns.pop("user_hash")[: rows.count].view(np.int64)
    marks += rows["micro_minutes"] << _REGION_BITS
    marks += rows["region"]
    marks += rows["id_lo"].view(np.int64)
    return marks


def rows_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Writes files of rows. LZ4 for texts alone: hashes, and numbers that are encoded as differences, do not compress
    further (docs/decisions/002)."""
    return pq.ParquetWriter(
        path,
        schema,
        compression={name: "lz4" if name == "user_id" else "none" for name in schema.names},
        use_dictionary=False,
        column_encoding=dict.fromkeys(("region", "micro_minutes", "offset"), "DELTA_BINARY_PACKED"),
        write_statistics=False,
        store_schema=True,
        data_page_size=_PAGE_BYTES,
        max_rows_per_page=_PAGE_BYTES,
    )


def take_rows(rows: pa.Table, places: NDArray[np.int64]) -> pl.DataFrame:
    """Some rows, of a table whose columns are in one chunk, as a frame."""
    columns: dict[str, pl.Series] = {}
    for name in rows.column_names:
        values = rows[name].chunk(0)
        if name == "user_id":
            _, _, texts = values.buffers()
            columns[name] = to_series(take_texts(text_bounds(values), np.frombuffer(texts or b"", np.uint8), places))
        elif name == "timestamp":
            columns[name] = to_series(values).gather(places)
        else:
            columns[name] = pl.Series(to_numpy(values)[places])
    return pl.DataFrame(columns)


def placed_rows(rows: pa.Table, split: int) -> pl.DataFrame:
    """Rows of ``split`` as a frame, with ``place`` (Int64)."""
    return to_frame(rows).with_columns(place=split * PLACE_UNIT + pl.col("offset").cast(pl.Int64))


def coarser(bucket_rows: Sequence[int], buckets: int) -> list[int]:
    """Rows of each of ``buckets`` buckets, from those of as many or more."""
    step = len(bucket_rows) // buckets
    return [sum(bucket_rows[first : first + step]) for first in range(0, len(bucket_rows), step)]


def write_index(path: Path, ordered: NDArray[np.uint64]) -> None:
    """Write a sorted id index: the leading 54 bits of id_hi, then the 10 bits of the fine bucket, one uint64 an id."""
    partial = path.with_suffix(".partial")
    save_array(partial, ordered)
    point("intermediate.rename")
    partial.replace(path)


def save_array(path: Path, array: NDArray[Any]) -> None:
    """What ``np.save`` writes; but a full disk is told as such, where that says how many items were written."""
    with path.open("wb") as stream:
        ordered = np.ascontiguousarray(array)
        write_array_header_1_0(stream, header_data_from_array_1_0(ordered))
        stream.write(ordered.reshape(-1).view(np.uint8).data)


def cut_index(path: Path, bounds: Sequence[int]) -> list[int]:
    """Where in the file of a sorted id index those keys begin that are not less than each of ``bounds`` (to 2^64)."""
    index = np.load(path, mmap_mode="r")
    inner = np.array([bound for bound in bounds if bound < 2**64], np.uint64)
    places = [*np.searchsorted(index, inner).tolist(), *[len(index)] * (len(bounds) - len(inner))]
    return [index.offset + index.itemsize * place for place in places]


def read_keys(path: Path, begin: int, stop: int) -> NDArray[np.uint64]:
    """The keys in some bytes of the file of an index."""
    keys = np.empty((stop - begin) // 8, np.uint64)
    with path.open("rb", buffering=0) as stream:
        stream.seek(begin)
        if stream.readinto(keys.data) < keys.nbytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
    return keys


def keys_with_prefixes(index: NDArray[np.uint64], prefixes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The keys of a sorted id index that begin with one of ``prefixes`` (54 bits, sorted, distinct), sorted."""
    first = np.searchsorted(index, prefixes, side="left")
    counts = np.searchsorted(index, prefixes | FINE_MASK, side="right") - first
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.array(index[np.repeat(first, counts) + offsets])


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write a small frame of a later step under its final name only when it is whole."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:  # a full disk is then an OSError, which Polars alone would not raise
        frame.write_parquet(stream, compression="lz4", statistics=False)
    point("intermediate.rename")
    partial.replace(path)


def read_frame(path: Path) -> pl.DataFrame:
    """Read what ``write_frame`` wrote; the path is literal, whatever brackets it has."""
    return pl.read_parquet(path, glob=False)


def count_rows(path: Path) -> int:
    """How many rows the frame has that ``write_frame`` wrote; none where there is none."""
    return int(pq.read_metadata(path).num_rows) if path.exists() else 0


def sync(path: Path) -> None:
    """Bring a file's bytes (or a folder's entries) to the disk; folders cannot be opened so on Windows."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
