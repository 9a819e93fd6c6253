"""Rows in order of their bucket: every column is read once, front to back, and written to all buckets at once."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled.library import load
from pipeline.rows import SplitRows


def arrange(library: Path, rows: SplitRows, bucket: NDArray[np.uint16], bucket_rows: NDArray[np.int64]) -> SplitRows:
    """As ``SplitRows.arranged``: the rows in order of ``bucket``, without those from ``len(bucket_rows)`` on.

    Takes the columns out of ``rows``, whose memory serves the next one: never is more than one there twice.
    """
    kernel, buckets = load(library), len(bucket_rows)
    total, first = int(bucket_rows.sum()), np.cumsum(bucket_rows) - bucket_rows
    text_bytes = np.zeros(buckets + 1, np.int64)
    ends = rows["user_end"]
    kernel.count_text_bytes(ends.ctypes.data, bucket.ctypes.data, rows.count, text_bytes.ctypes.data)
    text_bytes = text_bytes[:buckets]
    arranged = {}
    for name in rows.columns.keys() - {"user_end"}:
        column, at = rows.columns.pop(name), first.copy()
        out = arranged[name] = np.empty(total, column.dtype)
        kernel.arrange_column(
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
    kernel.arrange_texts(
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
