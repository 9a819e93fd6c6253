"""Whether a version that is about to be published says nothing but what the published one says already."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.catalog import Version, read_version
from pipeline.errors import InputError

_OF_THE_RUN = {
    "run_id", "version", "seconds", "peak_memory_bytes", "throughput_bytes_per_second", "new", "plan", "profile",
    "notes", "engine_note",
}  # fmt: skip
"""What ``run.json`` says of the run and not of its result."""


def repeats(folder: Path, before: Path) -> bool:
    """Whether the version in ``folder`` has every count, setting, input file and region of the one in ``before``, and
    that still has all its rows and its quarantine: what is damaged is replaced."""
    try:
        old, new = read_version(before), read_version(folder)
        return bool(old and new) and _result(old) == _result(new)
    except (InputError, OSError, ValueError):
        return False  # of Parquet: ArrowInvalid, a ValueError


def _result(version: Version | None) -> dict[str, Any]:
    assert version, "both are there"
    rows: dict[str, int] = {}
    for path in version.data_files:
        rows[path.parent.name] = rows.get(path.parent.name, 0) + pq.read_metadata(path).num_rows
    quarantine = [path.name for path in version.quarantine_files]
    record = {name: value for name, value in version.record.items() if name not in _OF_THE_RUN}
    return record | {"rows": rows, "quarantine": quarantine, "geo": version.geo}
