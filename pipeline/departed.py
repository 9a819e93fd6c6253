"""Conflict losers that need not or cannot be read from their source again.

What the quarantine of the version before has is taken from there. A file may have been rotated away, replaced or
compressed since it was read: a record of it that loses only now is kept as the content that lost (user_id, region,
minutes) in ``value``, without line and raw bytes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.intermediate import split_file
from pipeline.job import Job
from pipeline.masking import mask_addresses

CONTENT_COLUMN = "user_id, region, minutes"
_MICRO = 1_000_000
_COLUMNS = ("line", "byte_offset", "reason", "column", "value", "raw")


def read_earlier(previous: str, file: str, reason: str) -> dict[int, tuple[Any, ...]]:
    """Records of a file in the quarantine ``previous`` (a folder, or empty) by byte offset, without the file's name."""
    path = Path(previous) / "conflicts.parquet"
    if not previous or not file or not path.exists():
        return {}
    found = pl.scan_parquet(path, glob=False).filter((pl.col("file") == file) & (pl.col("reason") == reason))
    return {row[1]: row for row in found.select(_COLUMNS).collect().rows()}


def recall_contents(
    job: Job, split: int, file: str, start: int, offsets: Sequence[int], reason: str
) -> list[tuple[Any, ...]]:
    """Rows of the quarantine for the records at ``offsets`` of a split whose records begin at byte ``start``."""
    names = job.geo().names
    rows = pl.scan_parquet(job.workspace.path("rows", split_file(split)), glob=False)
    found = rows.filter(pl.col("offset").is_in(list(offsets))).sort("offset")
    contents = found.select("offset", "user_id", "region", "micro_minutes").collect().rows()
    return [
        (file, None, start + offset, reason, CONTENT_COLUMN, _as_text(user, names[region], micro), None)
        for offset, user, region, micro in contents
    ]


def _as_text(user: str, region: str, micro: int) -> str:
    return mask_addresses(json.dumps([user, region, micro / _MICRO], ensure_ascii=False))
