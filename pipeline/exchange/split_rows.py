"""The rows of one split before they are written, in columns that grow."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.native.arrow import take_texts, text_bounds, texts_at, to_arrow, to_series
from pipeline.native.library import load

NO_TIMESTAMP = np.iinfo(np.int64).min
"""Stands for a missing timestamp, which a file has as null."""
_DTYPES: dict[str, type[np.generic]] = {
    "id_hi": np.uint64,
    "id_lo": np.uint64,
    "user_hash": np.uint64,
    "user_end": np.int64,
    "region": np.uint16,
    "micro_minutes": np.int64,
    "offset": np.uint32,
}
ROW_BYTES = sum(np.dtype(dtype).itemsize for dtype in _DTYPES.values())
"""Bytes of a row without its user_id and its timestamp."""


class SplitRows:
    """Enriched rows in arrays with room to spare, of which the first ``count`` entries are rows.

    =================  =======  =========================================================================
    ``id_hi``          uint64   high half of xxh3_128 of log_id
    ``id_lo``          uint64   low half
    ``user_hash``      uint64   xxh3_64 of user_id
    ``user_end``       int64    end of the user_id in ``users``, which are UTF-8, one after the other
    ``region``         uint16   code in the geo table
    ``micro_minutes``  int64    watch time
    ``offset``         uint32   first byte of the record, counted from the start of the split
    ``timestamp``      int64    ``reading.timestamps.moments`` or NO_TIMESTAMP; only where ``timestamps``
    =================  =======  =========================================================================
    """

    def __init__(self, *, timestamps: bool) -> None:
        dtypes = {**_DTYPES, **({"timestamp": np.int64} if timestamps else {})}
        self.columns: dict[str, NDArray[Any]] = {name: np.empty(0, dtype) for name, dtype in dtypes.items()}
        self.users = np.empty(0, np.uint8)
        self.count = 0
        self._bounds = np.zeros(1, np.int64)  # 0 and user_end, as Arrow wants them

    @classmethod
    def of(cls, columns: dict[str, NDArray[Any]], bounds: NDArray[np.int64], users: NDArray[np.uint8]) -> "SplitRows":
        """Make rows of whole arrays. ``bounds``: 0, then user_end, which ``columns`` lack."""
        rows = cls(timestamps=False)
        rows.columns, rows._bounds = {**columns, "user_end": bounds[1:]}, bounds
        rows.users, rows.count = users, len(bounds) - 1
        return rows

    @property
    def text_bytes(self) -> int:
        """Bytes of all user_ids."""
        return int(self.columns["user_end"][self.count - 1]) if self.count else 0

    @property
    def held_bytes(self) -> int:
        """Bytes of the rows, without the room to spare."""
        return self.count * sum(column.itemsize for column in self.columns.values()) + self.text_bytes

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The entries of one column that are rows; a view."""
        return self.columns[name][: self.count]

    def reserve(self, rows: int, text_bytes: int) -> None:
        """Make room for ``rows`` more rows, whose user_ids have ``text_bytes`` bytes in all."""
        if self.count + rows > len(self.columns["id_hi"]):
            room = max(self.count + rows, 2 * self.count)  # memory that nothing is written to is not taken
            for name in self.columns.keys() - {"user_end"}:
                self.columns[name] = _enlarged(self.columns[name], self.count, room)
            self._bounds = _enlarged(self._bounds, self.count + 1, room + 1)
            self.columns["user_end"] = self._bounds[1:]
        used = self.text_bytes
        if used + text_bytes > len(self.users):
            self.users = _enlarged(self.users, used, max(used + text_bytes, 2 * used))

    def append(self, frame: pl.DataFrame) -> None:
        """Add the rows that ``enrich`` makes: the columns above, but user_id (String) for user_end, and null for a
        missing timestamp."""
        users = frame["user_id"].to_arrow(compat_level=pl.CompatLevel.oldest())
        ends = text_bounds(users)
        texts = (
            np.frombuffer(users.buffers()[2], np.uint8)[ends[0] : ends[-1]] if ends[-1] > ends[0] else self.users[:0]
        )
        columns = {name: frame[name] for name in self.columns.keys() - {"user_end"}}
        if "timestamp" in columns:
            columns["timestamp"] = columns["timestamp"].fill_null(NO_TIMESTAMP)
        self._add(texts, ends - ends[0], {name: values.to_numpy() for name, values in columns.items()})

    def extend(self, others: "SplitRows", positions: NDArray[np.int64]) -> None:
        """Add the rows at ``positions`` of others, which have the same columns."""
        bounds, texts = texts_at(others._bounds, others.users, positions)
        columns = {name: others[name][positions] for name in self.columns.keys() - {"user_end"}}
        self._add(texts, bounds, columns)

    def _add(self, texts: NDArray[np.uint8], bounds: NDArray[np.int64], columns: dict[str, NDArray[Any]]) -> None:
        rows = len(bounds) - 1
        self.reserve(rows, len(texts))
        used, stop = self.text_bytes, self.count + rows
        self.users[used : used + len(texts)] = texts
        self.columns["user_end"][self.count : stop] = bounds[1:] + used
        for name, values in columns.items():
            self.columns[name][self.count : stop] = values
        self.count = stop

    def frame(self, positions: NDArray[np.int64]) -> pl.DataFrame:
        """The rows at ``positions`` as a frame: id_hi, id_lo, region, micro_minutes, offset, user_id (String), place
        and, if the rows have timestamps, timestamp (null where missing).

        ``place`` is the row's position, which orders the rows of one split as their places among all records do.
        """
        columns: dict[str, object] = {
            name: self[name][positions] for name in ("id_hi", "id_lo", "region", "micro_minutes", "offset")
        }
        users = to_series(take_texts(self._bounds, self.users, positions))
        frame = pl.DataFrame({**columns, "user_id": users, "place": positions})
        if "timestamp" in self.columns:
            moments = pl.Series("timestamp", self["timestamp"][positions])
            frame = frame.with_columns(moments.replace(NO_TIMESTAMP, None))
        return frame

    def arranged(self, bucket: NDArray[np.uint16], bucket_rows: NDArray[np.int64]) -> "SplitRows":
        """Copies of the rows in order of ``bucket``, those of one bucket as they came.

        ``bucket``: of each row. ``bucket_rows``: the number of rows of each bucket that is wanted, from 0 on.
        """
        positions = np.argsort(bucket, kind="stable")[: bucket_rows.sum()]
        users = self.user_ids().take(to_arrow(positions))
        columns = {name: column[positions] for name, column in self.columns.items() if name != "user_end"}
        bounds = np.frombuffer(users.buffers()[1], np.int64)
        return SplitRows.of(columns, bounds, np.frombuffer(users.buffers()[2] or b"", np.uint8))

    def user_ids(self) -> pa.LargeStringArray:
        """All user_ids, without copying them."""
        bounds = pa.py_buffer(self._bounds[: self.count + 1])
        return pa.LargeStringArray.from_buffers(self.count, bounds, pa.py_buffer(self.users))

    def sorted_columns(self) -> dict[str, NDArray[Any]]:
        """The columns as ``native.pages`` takes them."""
        columns = {name: self[name] for name in self.columns.keys() - {"user_end"}}
        return {**columns, "bounds": self._bounds[: self.count + 1], "texts": self.users}


def _enlarged(column: NDArray[Any], used: int, room: int) -> NDArray[Any]:
    larger = np.empty(room, column.dtype)
    larger[:used] = column[:used]
    return larger


def arrange(library: Path, rows: SplitRows, bucket: NDArray[np.uint16], bucket_rows: NDArray[np.int64]) -> SplitRows:
    """Move the rows, by compiled code, into the order that ``SplitRows.arranged`` describes.

    ``rows`` is used up: each column is freed as soon as it is arranged, so that only one of them is in memory twice.
    """
    functions, buckets = load(library), len(bucket_rows)
    total, first = int(bucket_rows.sum()), np.cumsum(bucket_rows) - bucket_rows
    text_bytes = np.zeros(buckets + 1, np.int64)
    ends = rows["user_end"]
    functions.count_text_bytes(ends.ctypes.data, bucket.ctypes.data, rows.count, text_bytes.ctypes.data)
    text_bytes = text_bytes[:buckets]
    arranged = {}
    for name in rows.columns.keys() - {"user_end"}:
        column, at = rows.columns.pop(name), first.copy()
        out = arranged[name] = np.empty(total, column.dtype)
        functions.arrange_column(
            column.ctypes.data,
            column.itemsize,
            bucket.ctypes.data,
            rows.count,
            buckets,
            at.ctypes.data,
            out.ctypes.data,
        )
        del column
    at, text_at = first.copy(), np.cumsum(text_bytes) - text_bytes
    bounds, users = np.zeros(total + 1, np.int64), np.empty(text_bytes.sum(), np.uint8)
    functions.arrange_texts(
        rows.users.ctypes.data,
        ends.ctypes.data,
        bucket.ctypes.data,
        rows.count,
        buckets,
        at.ctypes.data,
        text_at.ctypes.data,
        users.ctypes.data,
        bounds[1:].ctypes.data,
    )
    return SplitRows.of(arranged, bounds, users)
