"""The rejected records of the published version as a CSV that can be corrected and replayed."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config import Config
from pipeline.errors import ConfigError, InputError
from pipeline.history.replays import FOLDER
from pipeline.inspection.views import refusal_of
from pipeline.machine import display_name, writing
from pipeline.reading.column_names import DELIMITERS
from pipeline.reading.header_changes import DIRECTIVE, REPEATED_HEADER, UNUSABLE_HEADER
from pipeline.versions.catalog import Version, current_version

NO_RECORDS = REPEATED_HEADER, UNUSABLE_HEADER, DIRECTIVE
"""Reasons of lines that are no records: nobody can correct them."""

Columns = tuple[str, ...]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        version: the version whose rejected records these are.
        records: records in the file; records of equal bytes are one.
        headers: header lines in the file, one for each layout of columns.
        without_text: rejected records whose bytes are no longer kept, or never were.
        replayed: files of corrected records that count in the version.
    """

    version: str
    records: int
    headers: int
    without_text: int
    replayed: int


def export_rejected(config: Config, path: Path) -> Exported:
    """Write the rejected records of the current version, under the headers of their files, to a new file at ``path``.

    Records keep their bytes. Those of files with other columns stand below a header of their own, which ``replay``
    reads as one. Only the owner may read the file.

    Raises:
        ConfigError: there is a file at ``path``, or none can be written there.
        InputError: nothing is published, there is nothing to write, or the quarantine is another user's.
    """
    version = current_version(config.OUTPUT_DIR)
    if not version.may_read_quarantine:
        raise InputError(f"{refusal_of(version)}.")
    groups, without_text = _read_groups(version)
    records = sum(map(len, groups.values()))
    if not records:
        kept = f"; of {without_text:,} the bytes are not kept (QUARANTINE_RAW)" if without_text else ""
        raise InputError(f"version {version.name} has no rejected records that could be corrected{kept}.")
    try:
        with writing(path), open(path, "xb", opener=lambda name, how: os.open(name, how, 0o600)) as file:
            for columns, raws in groups.items():
                file.write(_header_line(columns, raws))
                file.writelines(raw + b"\n" for raw in raws)
    except FileExistsError:
        shown = display_name(str(path))
        raise ConfigError(f"--output: {shown!r} is there already: expected the name of a new file.") from None
    except OSError as fault:
        raise ConfigError(
            f"--output: cannot write {display_name(str(path))!r}: {fault.strerror}. Name a new file in a folder "
            "that is there and has room."
        ) from None
    return Exported(version.name, records, len(groups), without_text, _count_replayed(version))


def _count_replayed(version: Version) -> int:
    folder = f"{version.folder.parent.name}/{FOLDER}/"
    return sum(folder in entry["file"] for entry in version.record.get("ledger", []))


def _read_groups(version: Version) -> tuple[dict[Columns, list[bytes]], int]:
    """(columns of a header → the records below it, how many records have no bytes)."""
    columns_of = {entry["file"]: tuple(entry.get("columns", ())) for entry in version.record.get("ledger", [])}
    groups: dict[Columns, dict[bytes, None]] = {}
    without_text = 0
    for file, raw in _rejected(version):
        columns = columns_of.get(file, ())
        if raw is None or not columns:
            without_text += 1
        else:
            groups.setdefault(columns, {})[raw] = None
    return {columns: list(raws) for columns, raws in groups.items()}, without_text


def _rejected(version: Version) -> Iterator[tuple[str, bytes | None]]:
    """(file, bytes) of each rejected record, by file and line."""
    import pyarrow.parquet as pq

    path = version.quarantine / "rejected.parquet"
    if not path.exists():
        return
    table = pq.read_table(path, columns=["file", "line", "reason", "raw"])
    for row in table.sort_by([("file", "ascending"), ("line", "ascending")]).to_pylist():
        if row["reason"] not in NO_RECORDS:
            yield row["file"], row["raw"]


def _header_line(columns: Columns, raws: Sequence[bytes]) -> bytes:
    """The names of the columns, divided as most of the records are."""

    def fitting(delimiter: str) -> tuple[int, int]:
        counts = [_count_fields(raw, delimiter) for raw in raws]
        return counts.count(len(columns)), sum(counts)

    delimiter = max(DELIMITERS, key=fitting)
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(columns)
    return line.getvalue().encode()


def _count_fields(raw: bytes, delimiter: str) -> int:
    try:
        return len(next(csv.reader([raw.decode("latin-1")], delimiter=delimiter), []))
    except csv.Error:  # a record may be anything
        return 0
