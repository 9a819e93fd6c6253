"""Files of rows: one for each split, with a row group for each bucket that has rows."""

import io
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.exchange.parquet_footer import MAGIC, Encoded, Struct, footer_of, with_row_groups
from pipeline.exchange.row_memory import batch_rows
from pipeline.exchange.split_rows import NO_TIMESTAMP, SplitRows
from pipeline.faults import point
from pipeline.machine import writing
from pipeline.native.arrow import column, take_texts, text_bounds, to_arrow, to_frame, to_numpy, to_series
from pipeline.native.pages import Group, encode_groups
from pipeline.staging import staged

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
"""The columns of a rows file.

=================  =========================================================================================
``id_hi``          high half of xxh3_128 of log_id, signed: Spark would read unsigned numbers as slow decimals
``id_lo``          low half
``user_id``        text, UTF-8
``region``         code in the geo table
``micro_minutes``  watch time
``offset``         first byte of the record, counted from the start of the split
``content``        ``content_marks``; only ``aggregate.incremental.compare_copies`` reads it
=================  =========================================================================================
"""
TIMESTAMP_SCHEMA = ROW_SCHEMA.append(pa.field("timestamp", pa.int64()))
"""Where DEDUPE_KEEP is first or last, there is a ``timestamp``, too: of ``reading.timestamps``, or null."""
BUCKETS_KEY = b"logmill.buckets"
"""Key of a rows file's metadata. Its value is JSON: [number of buckets, [the bucket of each row group]]."""
GROUPS_KEY = b"logmill.groups"
"""Key of the metadata of a file that compiled code wrote (``native.pages``). Its value is JSON: the ``Group`` of each
row group, column by column."""
_SCHEMA_KEY = b"ARROW:schema"
"""Key under which PyArrow finds the exact types of the columns."""
PLACE_UNIT = 2**32
"""A record's place among all records: the number of its split times this unit, plus its offset in the split."""
_PAGE_BYTES = 1 << 22
"""Most bytes of a page."""
_GROUP_TEXT_BYTES = 1 << 23
"""Most bytes of user_ids in a row group, unless one row has more."""
_REGION_BITS = 14
"""Bits of a region's code: there are 7 continents and some 250 countries."""


def write_rows(path: Path, rows: SplitRows, bucket_rows: NDArray[np.int64], library: Path | None = None) -> None:
    """Write ``rows``, which are in order of bucket, in one row group for each bucket that has rows, or in several where
    its texts are long.

    ``bucket_rows``: number of rows of every bucket. The file has its name only when it is whole. Compiled code writes
    numbers in whole bytes and nothing compressed, because that is read and written in half the time; without it the
    file is a quarter smaller (docs/decisions/027).
    """
    groups = _row_groups(rows, bucket_rows)
    bounds = [(first, stop) for _, first, stop in groups]
    buckets = {BUCKETS_KEY: json.dumps([len(bucket_rows), [bucket for bucket, _, _ in groups]]).encode()}
    schema = TIMESTAMP_SCHEMA if "timestamp" in rows.columns else ROW_SCHEMA
    path = staged(path)
    partial = path.with_suffix(".partial")
    with writing(partial):
        if library:
            _write_compiled(library, partial, rows, bounds, schema, buckets)
        else:
            _write_with_pyarrow(partial, rows, bounds, schema.with_metadata(buckets))
    point("intermediate.rename")
    partial.replace(path)


def _write_with_pyarrow(path: Path, rows: SplitRows, bounds: Sequence[tuple[int, int]], schema: pa.Schema) -> None:
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
    with rows_writer(path, schema, rows.text_bytes // max(1, rows.count)) as writer:
        for first, stop in bounds:
            writer.write_table(table.slice(first, stop - first), row_group_size=stop - first)
            point("rows.write")


def _write_compiled(
    library: Path,
    path: Path,
    rows: SplitRows,
    bounds: Sequence[tuple[int, int]],
    schema: pa.Schema,
    metadata: Mapping[bytes, bytes],
) -> None:
    groups: list[Group] = []
    entries: list[Encoded] = []
    with path.open("wb") as stream:
        stream.write(MAGIC)
        for group, pages, entry in encode_groups(library, rows.sorted_columns(), bounds, len(MAGIC)):
            stream.write(pages)
            groups.append(group)
            entries.append(Encoded(entry))
            point("rows.write")
        metadata = {**metadata, GROUPS_KEY: json.dumps(list(zip(*groups, strict=True))).encode()}
        # Where it has its own schema in the file, PyArrow takes the metadata from there.
        with_schema = metadata | {_SCHEMA_KEY: b64encode(schema.with_metadata(metadata).serialize())}
        stream.write(with_row_groups(_footer(schema), entries, rows.count, with_schema))


@lru_cache(maxsize=2)
def _footer(schema: pa.Schema) -> Struct:
    """The footer of a file without rows. It is made once, because there may be very many small files."""
    empty = io.BytesIO()
    rows_writer(empty, schema).close()
    return footer_of(empty.getvalue())


def _row_groups(rows: SplitRows, bucket_rows: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(Bucket, first row, row behind the last one) of each row group: none has much more text than _GROUP_TEXT_BYTES.

    A row group is read at once.
    """
    stops = np.cumsum(bucket_rows)
    groups = []
    for bucket in np.flatnonzero(bucket_rows).tolist():
        first, stop = int(stops[bucket] - bucket_rows[bucket]), int(stops[bucket])
        begin = int(rows["user_end"][first - 1]) if first else 0
        length = int(rows["user_end"][stop - 1]) - begin
        inner = begin + np.arange(_GROUP_TEXT_BYTES, length, _GROUP_TEXT_BYTES)
        cuts = np.unique(np.searchsorted(rows["user_end"][first:stop], inner, "left") + 1 + first)
        bounds = [first, *cuts[cuts < stop].tolist(), stop]
        groups += [(bucket, *pair) for pair in pairwise(bounds)]
    return groups


def content_marks(rows: SplitRows) -> NDArray[np.int64]:
    """64 bits of the id_lo, user, region and watch time of each row.

    Copies of an id that agree have equal marks; conflicting ones, and ids with an equal id_hi, have different marks
    (docs/decisions/019). Marks of one user and id differ wherever the contents differ, because a watch time has 50 bits
    and a region 14. Marks of two users are equal for one pair in 2^64.
    """
    content: NDArray[np.int64] = rows["micro_minutes"] << _REGION_BITS
    content += rows["region"]
    content += rows["id_lo"].view(np.int64)
    content += rows["user_hash"].view(np.int64)
    return content


def rows_writer(target: Path | BinaryIO, schema: pa.Schema, user_bytes: int = 0) -> pq.ParquetWriter:
    """Open pyarrow's writer of rows in columns of ``schema``, whose user_ids have about ``user_bytes`` bytes.

    Only texts are compressed, by LZ4: hashes, and numbers that are encoded as differences, do not compress further
    (docs/decisions/002).
    """
    return pq.ParquetWriter(
        target,
        schema,
        compression={name: "lz4" if name == "user_id" else "none" for name in schema.names},
        use_dictionary=False,
        column_encoding=dict.fromkeys(("region", "micro_minutes", "offset"), "DELTA_BINARY_PACKED"),
        write_statistics=False,
        store_schema=True,
        data_page_size=_PAGE_BYTES,
        max_rows_per_page=_PAGE_BYTES,
        write_batch_size=batch_rows(user_bytes),
    )


def mean_text_bytes(file: pq.ParquetFile) -> int:
    """Mean bytes of the user_ids in a file, from its footer."""
    metadata, index = file.metadata, file.schema_arrow.get_field_index("user_id")
    groups = (metadata.row_group(number).column(index) for number in range(metadata.num_row_groups))
    return sum(int(group.total_uncompressed_size) for group in groups) // max(1, int(metadata.num_rows))


def take_rows(rows: pa.Table, positions: NDArray[np.int64]) -> pl.DataFrame:
    """The rows at ``positions`` of a table whose columns are in one chunk, as a frame of the same columns."""
    columns: dict[str, pl.Series] = {}
    for name in rows.column_names:
        values = rows[name].chunk(0)
        if name == "user_id":
            _, _, texts = values.buffers()
            columns[name] = to_series(take_texts(text_bounds(values), np.frombuffer(texts or b"", np.uint8), positions))
        elif name == "timestamp":
            columns[name] = to_series(values).gather(positions)
        else:
            columns[name] = pl.Series(to_numpy(values)[positions])
    return pl.DataFrame(columns)


def placed_rows(rows: pa.Table, split: int) -> pl.DataFrame:
    """Rows of ``split`` as a frame, with one more column, ``place`` (Int64)."""
    return to_frame(rows).with_columns(place=split * PLACE_UNIT + pl.col("offset").cast(pl.Int64))


def with_places(rows: pa.Table, split: int) -> pa.Table:
    """Rows of ``split`` with the column ``place`` (int64) instead of ``offset``."""
    places = to_arrow(column(rows, "offset").astype(np.int64) + split * PLACE_UNIT)
    number = rows.schema.get_field_index("offset")
    return rows.set_column(number, pa.field("place", pa.int64(), nullable=False), places)


def coarser(bucket_rows: Sequence[int], buckets: int) -> NDArray[np.int64]:
    """Numbers of rows of ``buckets`` buckets, from those of as many or more; both are powers of two."""
    counts: NDArray[np.int64] = np.array(bucket_rows, np.int64).reshape(buckets, -1).sum(axis=1)
    return counts
