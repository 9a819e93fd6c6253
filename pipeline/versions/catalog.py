"""What has been published: the version that OUTPUT_DIR shows, the versions that are kept, and their records."""

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.versions.folders import GEO_RECORD, RUN_RECORD, is_run_folder
from pipeline.versions.output_link import Output


@dataclass(frozen=True)
class Version:
    """One published version: its folder, and what its ``run.json`` says."""

    folder: Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """The id of the run that made it."""
        return self.folder.name

    @property
    def started(self) -> datetime:
        """When that run began, in UTC."""
        return datetime.strptime(self.name.partition("-")[0], "%Y%m%dT%H%M%SZ")

    @property
    def has_geo(self) -> bool:
        """Whether it says how addresses became regions: those of early releases do not."""
        return (self.folder / GEO_RECORD).exists()

    @property
    def geo(self) -> dict[str, Any]:
        """``names`` of the regions by code, and the ``source`` of the geo table. Raises InputError where it is gone."""
        record = _read_record(self.folder, GEO_RECORD)
        if record is None:
            raise InputError(
                f"version {self.name} does not say how addresses became regions: expected "
                f"{str(self.folder / GEO_RECORD)!r}, found none. Run again to publish a version that does."
            )
        return record

    @property
    def data_files(self) -> list[Path]:
        """The Parquet files of the result."""
        return sorted((self.folder / "data").glob("geo_region=*/*.parquet"))

    @property
    def quarantine(self) -> Path:
        """The folder of rejected records, conflicts and refused files."""
        return self.folder / "quarantine"

    @property
    def quarantine_files(self) -> list[Path]:
        """Rejected records, conflicts, refused files; none where they were deleted or this user may not look."""
        return sorted(self.quarantine.glob("*.parquet")) if self.may_read_quarantine else []

    @property
    def may_read_quarantine(self) -> bool:
        """Whether this user may read the quarantine, which belongs to whoever ran Logmill."""
        return not self.quarantine.exists() or os.access(self.quarantine, os.R_OK | os.X_OK)


def current_version(output_dir: str) -> Version:
    """The version that ``output_dir`` shows now. The link is resolved once: a publication meanwhile disturbs nothing.

    Raises:
        InputError: nothing is published there, or its record cannot be read.
    """
    output = Output(output_dir)
    while True:
        shown = output.current()
        try:
            folder = output.link.resolve(strict=True).parent
        except (OSError, RuntimeError):
            folder = None
        version = read_version(folder) if folder and is_run_folder(folder) else None
        if version or shown == output.current():  # else a run has published, and may have removed what was shown
            break
    if version is None:
        raise InputError(
            f"nothing is published at {output_dir!r}: expected the link that a run of Logmill makes. Run "
            "`python main.py run` first, or name the right place with --output."
        )
    return version


def kept_versions(output_dir: str) -> list[Version]:
    """All versions that are kept, the oldest first; one that is removed meanwhile is left out.

    Raises:
        InputError: a record cannot be read.
    """
    folders = sorted(path for path in Output(output_dir).versions.iterdir() if is_run_folder(path))
    return [version for path in folders if (version := read_version(path))]


def read_version(folder: Path) -> Version | None:
    """The version in ``folder``; None where there is none. Raises InputError where its record cannot be read."""
    record = _read_record(folder, RUN_RECORD)
    return None if record is None else Version(folder, record)


def _read_record(folder: Path, name: str) -> dict[str, Any] | None:
    """What ``run.json`` or ``geo.json`` says, or None where there is none."""
    path = folder / name
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as fault:
        raise InputError(
            f"cannot read {str(path)!r}: expected the JSON record of a run, found {fault}. Run again to publish a new "
            f"version, and remove {str(folder)!r} if it is damaged."
        ) from fault
    if not isinstance(record, dict):
        raise InputError(f"{str(path)!r} is no record of a run: expected a JSON object. Remove {str(folder)!r}.")
    return record


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
    import pyarrow.parquet as pq  # a version is looked at far more often than compared

    assert version, "both are there"
    rows: dict[str, int] = {}
    for path in version.data_files:
        rows[path.parent.name] = rows.get(path.parent.name, 0) + pq.read_metadata(path).num_rows
    quarantine = [path.name for path in version.quarantine_files]
    record = {name: value for name, value in version.record.items() if name not in _OF_THE_RUN}
    return record | {"rows": rows, "quarantine": quarantine, "geo": _without_places(version.geo)}


def _without_places(geo: dict[str, Any]) -> dict[str, Any]:
    """The recipe without where the table lay: a program that has moved makes the same of it, as its digest says."""
    source = {name: value for name, value in geo.get("source", {}).items() if name not in ("compiled", "prepared")}
    return geo | {"source": source}
