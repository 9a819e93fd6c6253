"""Rows in columns that grow: what went in comes out, in any order of buckets, by either way."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange.split_rows import NO_TIMESTAMP, ROW_BYTES, SplitRows, arrange
from tests.examples import tries
from tests.harness import library

WORD = st.integers(0, 2**64 - 1)
ROW = st.fixed_dictionaries(
    {
        "id_hi": WORD,
        "id_lo": WORD,
        "user_hash": WORD,
        "user_id": st.sampled_from(("", "u", "user 1", "\u00e9\u00e9")),
        "region": st.integers(0, 65535),
        "micro_minutes": st.integers(0, 10**15),
        "offset": st.integers(0, 2**32 - 1),
        "timestamp": st.none() | st.integers(-(2**62), 2**62),
    }
)
SCHEMA = {
    "id_hi": pl.UInt64, "id_lo": pl.UInt64, "user_hash": pl.UInt64, "user_id": pl.String, "region": pl.UInt16,
    "micro_minutes": pl.Int64, "offset": pl.UInt32, "timestamp": pl.Int64,
}  # fmt: skip
batches = st.lists(st.lists(ROW, max_size=8), max_size=4)
Record = dict[str, Any]


def make(batches: list[list[Record]], *, timestamps: bool = True) -> SplitRows:
    rows = SplitRows(timestamps=timestamps)
    for batch in batches:
        frame = pl.DataFrame(batch, SCHEMA, orient="row")
        rows.append(frame if timestamps else frame.drop("timestamp"))
    return rows


def records(rows: SplitRows) -> list[Record]:
    """All rows, with user_hash, which a frame lacks."""
    frame = rows.frame(np.arange(rows.count))
    assert frame["place"].to_list() == list(range(rows.count))
    return frame.drop("place").with_columns(user_hash=rows["user_hash"]).select(list(SCHEMA)).to_dicts()


@given(batches, st.data())
def test_what_is_appended_comes_out_and_sizes_count_it_alone(batches: list[list[Record]], data: st.DataObject) -> None:
    rows = make(batches)
    every = [record for batch in batches for record in batch]
    assert records(rows) == every
    texts = b"".join(record["user_id"].encode() for record in every)
    assert rows.text_bytes == len(texts)
    assert rows.held_bytes == len(every) * (ROW_BYTES + 8) + len(texts)
    assert rows.user_ids().to_pylist() == [record["user_id"] for record in every]
    assert [stamp for stamp in rows["timestamp"].tolist() if stamp != NO_TIMESTAMP] == [
        record["timestamp"] for record in every if record["timestamp"] is not None
    ]
    positions = data.draw(st.lists(st.integers(0, len(every) - 1))) if every else []
    copied = make([every[:1]])
    copied.extend(rows, np.array(positions, np.int64))
    assert records(copied) == every[:1] + [every[position] for position in positions]


def test_rows_without_timestamps_have_no_such_column() -> None:
    record = dict.fromkeys(SCHEMA, 1) | {"user_id": "u"}
    rows = make([[record]], timestamps=False)
    assert "timestamp" not in rows.frame(np.arange(1)).columns
    assert rows.held_bytes == ROW_BYTES + 1


@given(st.integers(0, 50), st.integers(0, 500))
def test_room_that_is_reserved_needs_no_copy(count: int, text_bytes: int) -> None:
    rows = SplitRows(timestamps=False)
    rows.reserve(count, text_bytes)
    assert (rows.count, rows.text_bytes, rows.held_bytes) == (0, 0, 0)
    assert min(len(column) for column in rows.columns.values()) >= count
    assert len(rows.users) >= text_bytes


@tries(60)
@given(batches, st.sampled_from((1, 2, 16)), st.data())
def test_both_ways_arrange_rows_by_bucket_as_they_came(
    batches: list[list[Record]], buckets: int, data: st.DataObject
) -> None:
    every = [record for batch in batches for record in batch]
    bucket = data.draw(st.lists(st.integers(0, buckets), min_size=len(every), max_size=len(every)))
    counts = np.array([bucket.count(number) for number in range(buckets)])
    numbers = np.array(bucket, np.uint16)
    expected = [record for number in range(buckets) for record, of in zip(every, bucket, strict=True) if of == number]
    by_numpy = make(batches).arranged(numbers, counts)
    by_library = arrange(Path(library()), make(batches), numbers, counts)
    assert records(by_numpy) == expected
    assert records(by_library) == expected
