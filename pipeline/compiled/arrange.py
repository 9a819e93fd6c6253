"""Rows in order of their bucket: every column is read once, front to back, and written to all buckets at once."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled.library import load
from pipeline.rows import SplitRows


def arrange(library: Path, rows: SplitRows, bucket: NDArray[np.uint16], bucket_rows: NDArray[np.int64]) -> SplitRows:
    """As ``SplitRows.arranged``: the rows in order of ``bucket``, without those from ``len(bucket_rows)`` on."""
    kernel, buckets = load(library), len(bucket_rows)
    first = np.cumsum(bucket_rows) - bucket_rows
    text_bytes = np.zeros(buckets + 1, np.int64)
    ends = rows["user_end"]
    kernel.count_text_bytes(ends.ctypes.data, bucket.ctypes.data, rows.count, text_bytes.ctypes.data)
    text_bytes = text_bytes[:buckets]
    arranged = SplitRows(timestamps="timestamp" in rows.columns)
    arranged.reserve(int(bucket_rows.sum()), int(text_bytes.sum()))
    for name, column in rows.columns.items():
        if name == "user_end":
            continue
        at, out = first.copy(), arranged.columns[name]
        kernel.arrange_column(
            column.ctypes.data,
            column.itemsize,
            bucket.ctypes.data,
            rows.count,
            buckets,
            at.ctypes.data,
            out.ctypes.data,
        )
    at, text_at = first.copy(), np.cumsum(text_bytes) - text_bytes
    kernel.arrange_texts(
        rows.users.ctypes.data,
        ends.ctypes.data,
        bucket.ctypes.data,
        rows.count,
        buckets,
        at.ctypes.data,
        text_at.ctypes.data,
        arranged.users.ctypes.data,
        arranged.columns["user_end"].ctypes.data,
    )
    arranged.count = int(bucket_rows.sum())
    return arranged
