"""Conflict losers whose source file is no longer at hand: from the quarantine of the version before, or what is known.

A file may have been rotated away, replaced or compressed since it was read. Its record then comes from the earlier
quarantine, or else as the content that lost (user_id, region, minutes) in ``value``, without line and raw bytes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.intermediate import split_file
from pipeline.job import Job

CONTENT_COLUMN = "user_id, region, minutes"
_MICRO = 1_000_000


def recall_conflicts(
    job: Job, split: int, file: str, start: int, offsets: Sequence[int], previous: str, reason: str
) -> list[tuple[Any, ...]]:
    """Rows of the quarantine for the records at ``offsets`` of a split whose records begin at byte ``start``.

    ``previous``: folder of the quarantine of the version before, or empty.
    """
    earlier = _read_earlier(previous, file, reason)
    contents = _read_contents(job, split, offsets)
    rows = []
    for offset in offsets:
        place = start + offset
        if place in earlier:
            line, column, value, raw = earlier[place]
            rows.append((file, line, place, reason, column, value, raw if job.keep_raw else None))
        else:
            rows.append((file, None, place, reason, CONTENT_COLUMN, contents[offset], None))
    return rows


def _read_earlier(previous: str, file: str, reason: str) -> dict[int, tuple[Any, ...]]:
    path = Path(previous) / "conflicts.parquet"
    if not previous or not path.exists():
        return {}
    found = pl.scan_parquet(path, glob=False).filter((pl.col("file") == file) & (pl.col("reason") == reason))
    rows = found.select("byte_offset", "line", "column", "value", "raw").collect().rows()
    return {place: tuple(rest) for place, *rest in rows}


def _read_contents(job: Job, split: int, offsets: Sequence[int]) -> dict[int, str]:
    names = job.geo().names
    rows = pl.scan_parquet(job.workspace.path("rows", split_file(split)), glob=False)
    found = rows.filter(pl.col("offset").is_in(list(offsets)))
    return {
        offset: json.dumps([user, names[region], micro / _MICRO], ensure_ascii=False)
        for offset, user, region, micro in found.select("offset", "user_id", "region", "micro_minutes")
        .collect()
        .iter_rows()
    }
