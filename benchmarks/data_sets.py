"""The data sets that everybody runs on: the logs, and how Logmill and its peers are told of the same regions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import independent, json_column
from benchmarks.data import (
    CROSS_FILE_DUPLICATES,
    DUPLICATES,
    FILES,
    export_geo,
    is_noted,
    note_made,
    place,
    prepare_logs,
)
from benchmarks.mmdb import write_countries
from pipeline.geo.ranges import load_ranges
from pipeline.geo.table import SHIPPED_TABLE
from utils.units import format_size

VERSION = 1
"""Raise it where a data set has other bytes than before, so that it is made anew."""

Prepare = Callable[[Path, int, int], Path]
"""(folder, bytes, processes) → the folder of CSV files below it, made unless it is there already."""


@dataclass(frozen=True)
class Geography:
    """``table``: the ranges that the peers join (Parquet); ``options``: how Logmill is told of the same ranges."""

    table: Path
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSet:
    """Logs of any size; ``locate`` writes the geography into a folder."""

    name: str
    title: str
    description: str
    prepare: Prepare
    locate: Callable[[Path], Geography]


def _regions(folder: Path) -> Geography:
    return Geography(export_geo(folder))


def _countries(folder: Path) -> Geography:
    """Countries, by an MMDB that is written from the ranges of the shipped table."""
    database = folder / "countries.mmdb"
    ranges = load_ranges(SHIPPED_TABLE)
    write_countries(database, ranges.v4_start, ranges.v4_code, ranges.labels)
    table = export_geo(folder, "country", database)
    return Geography(table, ("--geo-level", "country", "--geo-db", str(database)))


def _once(name: str, write: Callable[[int, Path, int], None]) -> Prepare:
    """What prepares a data set that ``write`` writes: (bytes, folder of the logs, processes)."""

    def prepare(folder: Path, size: int, workers: int) -> Path:
        logs, wanted = place(folder, name, size), {"data": name, "bytes": size, "version": VERSION}
        if is_noted(logs, wanted):
            return logs
        print(f"making {format_size(size)} in {logs} (once) ...", flush=True)
        logs.mkdir(parents=True, exist_ok=True)
        for old in logs.glob("*.csv"):
            old.unlink()
        write(size, logs, workers)
        note_made(logs, wanted)
        return logs

    return prepare


def _write_independent(size: int, logs: Path, workers: int) -> None:
    shape = independent.shape_of(size, FILES, DUPLICATES, CROSS_FILE_DUPLICATES)
    independent.write_logs(shape, logs, workers)


DATA_SETS = {
    each.name: each
    for each in (
        DataSet(
            "generator",
            "generated logs",
            "Logs of the generator of test data: UUIDs, users of Zipf-like activity, in the order of time; regions are "
            "continents, by the shipped table.",
            prepare_logs,
            _regions,
        ),
        DataSet(
            "independent",
            "independent logs",
            "Logs that the generator did not make: ids of 32 hexadecimal digits, rows of 109 bytes in no order; "
            "regions are countries (`--geo-level country`), by an MMDB (`--geo-db`).",
            _once("independent", _write_independent),
            _countries,
        ),
        DataSet(
            "json",
            "logs with JSON",
            "The generator's logs with a further column: a JSON object in every record, its quotes doubled as RFC 4180 "
            "has it; regions are continents.",
            _once("json", json_column.write_logs),
            _regions,
        ),
    )
}
