"""The generator's logs without any trouble in them, room for logs, and the geo table as peers can join it."""

import ipaddress
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data_generator.generator import generate
from data_generator.settings import DataSetSettings
from data_generator.truth import load_truth
from pipeline.geo.mmdb import compile_mmdb
from pipeline.geo.ranges import load_ranges
from pipeline.geo.special import private_intervals
from pipeline.geo.table import SHIPPED_TABLE, GeoLevel, load_geo_table
from utils.units import format_size

FILES = 4
DUPLICATES, CROSS_FILE_DUPLICATES = 0.05, 0.015
"""Shares of the records that repeat one of their own file, or of another file."""
MADE = "made.json"
"""In a folder of logs that the generator did not write: what was asked for, and the bytes of each file."""
WORK_SHARE = 1.5
"""Most that a run writes, intermediate files or spill and result, for each byte of input."""


def job_settings(size: int) -> DataSetSettings:
    """Only what every peer can read: no conflicts, malformed records, quotes, IPv6 or special addresses."""
    return DataSetSettings(
        files=FILES,
        size_bytes=size,
        users=1_000_000,
        duplicates=DUPLICATES,
        cross_file_duplicates=CROSS_FILE_DUPLICATES,
        conflicts=0,
        malformed=0,
        ipv6=0,
        quoted=0,
        special_addresses=0,
    )


def place(folder: Path, data_set: str, size: int) -> Path:
    """Where the logs of a data set lie, or will lie."""
    return folder / f"{data_set}-{size}"


def prepare_logs(folder: Path, size: int, workers: int) -> Path:
    """The folder of CSV files of about ``size`` bytes in all, made unless it is there already."""
    settings = job_settings(size)
    logs = place(folder, "generator", size)
    truth = load_truth(logs)
    if truth is None or truth.settings != settings or not truth.describes(logs.glob("*.csv")):
        print(f"generating {format_size(size)} in {logs} (once) ...", flush=True)
        generate(settings, logs, workers=workers, force=True)
    return logs


def is_noted(logs: Path, wanted: dict[str, Any]) -> bool:
    """Whether ``note_made`` said of the files that are there that they are what is wanted."""
    try:
        made = json.loads((logs / MADE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return bool(made == {"wanted": wanted, "files": _sizes(logs)})


def note_made(logs: Path, wanted: dict[str, Any]) -> None:
    """Write down that the files that are there are what is wanted."""
    (logs / MADE).write_text(json.dumps({"wanted": wanted, "files": _sizes(logs)}) + "\n", encoding="utf-8")


def _sizes(logs: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(logs.glob("*.csv"))}


def make_room(folder: Path, wanted: Path, size: int) -> None:
    """Remove other logs of ``folder`` where the disk would not hold ``wanted``, of ``size`` bytes, and what a run over
    them writes."""
    need = WORK_SHARE * size + (0 if wanted.exists() else size)
    for other in sorted(path for path in folder.glob("*-*") if path.is_dir()):
        if shutil.disk_usage(folder).free >= need:
            return
        if other != wanted and ((other / MADE).exists() or load_truth(other) is not None):
            print(f"removing {other} to make room", flush=True)
            shutil.rmtree(other)


def export_geo(folder: Path, level: GeoLevel = "region", database: Path | None = None) -> Path:
    """Write a table of ranges for the peers: a (UInt32, first address) and region (String: of ``level``), as Logmill's
    own table decides, of ``database`` (MMDB) or the shipped one.

    The ranges tile the IPv4 space: gaps are UNKNOWN, special addresses PRIVATE, equal neighbours one range.
    """
    path = folder / f"geo-{level}.parquet"
    edges = [edge for first, last in private_intervals(4) for edge in (first, last + 1) if edge < 2**32]
    ranges = load_ranges(SHIPPED_TABLE) if database is None else compile_mmdb(database)
    starts = np.union1d(ranges.v4_start, np.array(edges, np.uint32))
    table = load_geo_table(database, level, None, folder)
    codes = table.lookup(pl.Series([str(ipaddress.IPv4Address(start)) for start in starts.tolist()]))
    first = np.append(True, codes[1:] != codes[:-1])
    regions = [table.names[code] for code in codes[first]]
    pl.DataFrame({"a": starts[first].astype(np.uint32), "region": regions}).write_parquet(path)
    return path
