"""How long quarantines, and what records held that did not count, are kept: they hold personal data."""

import calendar
import os
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.machine import sync
from pipeline.versions.folders import is_run_folder

_DAY = 24 * 60 * 60
_TEXTS = ("value", "raw")
"""Columns of the quarantine that hold what stood in a record; the others say where it stands and what is wrong."""


def oldest_kept(days: int, now: float) -> float:
    """What was read before this time is older than ``days`` (both times in epoch seconds)."""
    return now - days * _DAY


def remove_expired(versions: Path, days: int, now: float) -> list[str]:
    """Remove the quarantines of versions made more than ``days`` before ``now`` (epoch seconds); returns the versions.

    A version's own name tells when it was made, whoever has copied or touched it since. Its result stays. Raises
    OSError where a quarantine cannot be removed.
    """
    removed = []
    for version in sorted(path for path in versions.iterdir() if is_run_folder(path)):
        made = calendar.timegm(time.strptime(version.name.partition("-")[0], "%Y%m%dT%H%M%SZ"))
        quarantine = version / "quarantine"
        if made < oldest_kept(days, now) and quarantine.is_dir() and not quarantine.is_symlink():
            age = version.stat()
            shutil.rmtree(quarantine)
            os.utime(version, ns=(age.st_atime_ns, age.st_mtime_ns))  # by which the oldest versions go
            removed.append(version.name)
    return removed


def forget_texts(path: Path) -> bool:
    """Clear value and raw in a file of rejected records that outlives its quarantine; returns whether any were there.

    Places and reasons stay, because the ledger counts the records. Raises OSError where the file cannot be replaced.
    """
    source = pq.ParquetFile(path)
    if not _holds_texts(source.metadata):
        return False
    partial = path.with_suffix(".partial")
    with pq.ParquetWriter(partial, source.schema_arrow, compression="zstd") as writer:
        for group in range(source.num_row_groups):
            rows = source.read_row_group(group)
            for name in _TEXTS:
                field = rows.schema.field(name)
                rows = rows.set_column(rows.schema.get_field_index(name), field, pa.nulls(len(rows), field.type))
            writer.write_table(rows)
    sync(partial)
    partial.replace(path)
    return True


def _holds_texts(metadata: pq.FileMetaData) -> bool:
    """By the footer alone: a run asks this of every old split."""
    places = [metadata.schema.names.index(name) for name in _TEXTS]
    columns = (metadata.row_group(group).column(place) for group in range(metadata.num_row_groups) for place in places)
    return any(not column.is_stats_set or column.statistics.null_count < column.num_values for column in columns)
