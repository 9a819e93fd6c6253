"""Reads published versions: the one that OUTPUT_DIR shows, all that are kept, and their records."""

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, program_name
from pipeline.storage.urls import is_url, join_url
from pipeline.versions.folders import GEO_RECORD, RUN_RECORD, begin_of, is_run_folder
from pipeline.versions.ledger_entries import read_record, unreadable_record
from pipeline.versions.output_link import Output
from pipeline.versions.outputs import open_output


@dataclass(frozen=True)
class Version:
    """One published version: its folder, and the content of its ``run.json``."""

    folder: Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """The id of the run that made it."""
        return self.folder.name

    @property
    def started(self) -> datetime:
        """When that run began: UTC, without a time zone."""
        return begin_of(self.name)

    @property
    def has_geo(self) -> bool:
        """Whether it has a ``geo.json``. Versions of early releases have none."""
        return (self.folder / GEO_RECORD).exists()

    @property
    def geo(self) -> dict[str, Any]:
        """The content of ``geo.json``: ``names`` of the regions by code, ``source`` of the geo table.

        Raises InputError where there is none, or it cannot be read.
        """
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
        """The folder with rejected records, conflicts and refused files. It may have been deleted."""
        return self.folder / "quarantine"

    @property
    def quarantine_files(self) -> list[Path]:
        """The Parquet files of the quarantine; none where they were deleted or this user may not read them."""
        return sorted(self.quarantine.glob("*.parquet")) if self.may_read_quarantine else []

    @property
    def may_read_quarantine(self) -> bool:
        """Whether this user may read the quarantine, which belongs to the user who ran Logmill."""
        return not self.quarantine.exists() or os.access(self.quarantine, os.R_OK | os.X_OK)


def current_version(output_dir: str) -> Version:
    """The version that ``output_dir`` shows now. A run may publish another one meanwhile.

    Raises InputError where nothing is published there, or its record cannot be read.
    """
    output = open_output(output_dir)
    while True:
        before, folder = output.shown()
        version = read_version(folder) if folder and is_run_folder(folder) else None
        if version or before == output.shown()[0]:
            break  # otherwise a run has published, and may have removed the version that was shown
    if version is None:
        raise _nothing_published(output_dir)
    return version


def find_version(output_dir: str, name: str) -> Version:
    """The kept version of this name. Raises InputError where there is none, or its record cannot be read."""
    folder = _version_folder(output_dir, name)
    version = read_version(folder)
    if version is None:
        raise InputError(f"version {name} was removed while it was read. Ask again.")
    return version


def data_folder(output_dir: str, name: str | None = None) -> Path:
    """The folder with the data of one version, as an absolute path without links: nothing in it ever changes.

    ``name``: a kept version; None: the one that ``output_dir`` shows now. Raises InputError where there is none.
    """
    if name is not None:
        return _version_folder(output_dir, name) / "data"
    output = open_output(output_dir)
    while True:
        before, folder = output.shown()
        if folder and is_run_folder(folder):
            return folder / "data"
        if before == output.shown()[0]:
            raise _nothing_published(output_dir)


def data_place(output_dir: str, name: str | None = None) -> tuple[str, str]:
    """(name of a version, where its data lie): ``data_folder`` as text, or a URL.

    Raises InputError where there is none, StorageFault.
    """
    if not is_url(output_dir):
        folder = data_folder(output_dir, name)
        return folder.parent.name, str(folder)
    output = open_output(output_dir)
    shown = output.current() if name is None else _check_kept(output, output_dir, name)
    if shown is None:
        raise _nothing_published(output_dir)
    return shown, join_url(output.place_of(shown), "data")


def _version_folder(output_dir: str, name: str) -> Path:
    output = open_output(output_dir)
    return output.folder_of(_check_kept(output, output_dir, name)).resolve()


def _check_kept(output: Output, output_dir: str, name: str) -> str:
    names = output.version_names()
    if name not in names:
        kept = ", ".join(names) or "none"
        raise InputError(f"there is no version {name!r} of {output_dir!r}. Kept: {kept} (KEEP_VERSIONS).")
    return name


def _nothing_published(output_dir: str) -> InputError:
    return InputError(
        f"nothing is published at {output_dir!r}: expected the link that a run of Logmill makes. Run "
        f"`{program_name()} run` first, or name the right place (OUTPUT_DIR)."
    )


def kept_versions(output_dir: str) -> list[Version]:
    """All versions that are kept, the oldest first. A version that a run removes meanwhile is left out.

    Raises InputError where a record cannot be read.
    """
    output = open_output(output_dir)
    found = (_read_if_there(output, name) for name in sorted(output.version_names()))
    return [version for version in found if version]


def _read_if_there(output: Output, name: str) -> Version | None:
    try:
        return read_version(output.folder_of(name, records_only=True))
    except InputError:
        if name in output.version_names():
            raise
        return None  # it was removed just now


def read_version(folder: Path) -> Version | None:
    """The version in ``folder``; None where it has no record. Raises InputError where the record cannot be read."""
    record = _read_record(folder, RUN_RECORD)
    return None if record is None else Version(folder, record)


def _read_record(folder: Path, name: str) -> dict[str, Any] | None:
    """The content of ``run.json`` or ``geo.json``; None where there is no such file."""
    path = folder / name
    try:
        record = read_record(path) if name == RUN_RECORD else json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as fault:
        raise unreadable_record(path, fault) from fault
    if not isinstance(record, dict):
        raise InputError(f"{str(path)!r} is no record of a run: expected a JSON object. Remove {str(folder)!r}.")
    return record


_OF_THE_RUN = {
    "run_id", "version", "seconds", "prepare_seconds", "start_seconds", "peak_memory_bytes",
    "throughput_bytes_per_second", "new", "plan", "profile", "notes", "engine_note", "publication", "report",
    "quarantine",
}  # fmt: skip
"""Keys of ``run.json`` that describe the run and not its result."""


def repeats(folder: Path, before: Path) -> bool:
    """Whether the version in ``folder`` says the same as the one in ``before``: counts, settings, input files, regions.

    False where a data file or the quarantine of the version in ``before`` is damaged, so that it is replaced.
    """
    try:
        old, new = read_version(before), read_version(folder)
        return old is not None and new is not None and _result(old) == _result(new)
    except (InputError, OSError, ValueError):
        return False  # a damaged Parquet file raises ArrowInvalid, which is a ValueError


def _result(version: Version) -> dict[str, Any]:
    import pyarrow.parquet as pq  # commands that only look at a version need not load it

    rows: dict[str, int] = {}
    for path in version.data_files:
        rows[path.parent.name] = rows.get(path.parent.name, 0) + pq.read_metadata(path).num_rows
    quarantine = [path.name for path in version.quarantine_files]
    record = {name: value for name, value in version.record.items() if name not in _OF_THE_RUN}
    return record | {"rows": rows, "quarantine": quarantine, "geo": _without_paths(version.geo)}


def _without_paths(geo: dict[str, Any]) -> dict[str, Any]:
    """``geo.json`` without the paths of the table's files: the same table, by its digest, may lie elsewhere now."""
    source = {name: value for name, value in geo.get("source", {}).items() if name not in ("compiled", "prepared")}
    return geo | {"source": source}
