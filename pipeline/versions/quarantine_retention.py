"""Removes what has been kept too long: quarantines, and the texts of rejected records. Both hold personal data."""

import calendar
import os
import shutil
import time
from pathlib import Path
from typing import BinaryIO

from pipeline.machine import sync, writing
from pipeline.versions.folders import is_run_folder

_DAY = 24 * 60 * 60
_TEXTS = ("value", "raw")
"""Columns of the quarantine with text of a record. The others say where the record stands and what is wrong with it."""


def oldest_kept(days: int, now: float) -> float:
    """The time ``days`` before ``now`` (both in epoch seconds): what was read earlier is too old."""
    return now - days * _DAY


def remove_expired(versions: Path, days: int, now: float) -> list[str]:
    """Remove the quarantines of versions that were made more than ``days`` before ``now`` (epoch seconds).

    Returns the names of these versions, whose results stay. The name of a version tells when it was made, even after it
    was copied. Raises OSError where a quarantine cannot be removed.
    """
    removed = find_expired(versions, days, now)
    for version in removed:
        age = version.stat()
        shutil.rmtree(version / "quarantine")
        os.utime(version, ns=(age.st_atime_ns, age.st_mtime_ns))  # versions are in the order of these times
    return [version.name for version in removed]


def find_expired(versions: Path, days: int, now: float) -> list[Path]:
    """The versions whose quarantines ``remove_expired`` removes."""
    expired = []
    for version in sorted(path for path in versions.iterdir() if is_run_folder(path)):
        made = calendar.timegm(time.strptime(version.name.partition("-")[0], "%Y%m%dT%H%M%SZ"))
        quarantine = version / "quarantine"
        if made < oldest_kept(days, now) and quarantine.is_dir() and not quarantine.is_symlink():
            expired.append(version)
    return expired


def forget_texts(path: Path) -> bool:
    """Clear the columns value and raw in a file of rejected records of the store. Returns whether any row had a text.

    The other columns stay, because the ledger counts the records. Raises OSError where the file cannot be replaced.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not has_texts(path):
        return False
    source = pq.ParquetFile(path)
    partial = path.with_suffix(".partial")
    with writing(partial), pq.ParquetWriter(partial, source.schema_arrow, compression="zstd") as writer:
        for group in range(source.num_row_groups):
            rows = source.read_row_group(group)
            for name in _TEXTS:
                field = rows.schema.field(name)
                rows = rows.set_column(rows.schema.get_field_index(name), field, pa.nulls(len(rows), field.type))
            writer.write_table(rows)
    sync(partial)
    partial.replace(path)
    return True


def has_texts(source: Path | BinaryIO) -> bool:
    """Whether a row of such a file has a text, by the footer alone: every run asks for every old split."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(source)
    indices = [metadata.schema.names.index(name) for name in _TEXTS]
    columns = (metadata.row_group(group).column(index) for group in range(metadata.num_row_groups) for index in indices)
    return any(not column.is_stats_set or column.statistics.null_count < column.num_values for column in columns)
