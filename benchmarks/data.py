"""The job's input: generated logs without any trouble in them, and the geo table as peers can join it."""

import ipaddress
import shutil
from pathlib import Path

import numpy as np
import polars as pl

from data_generator.generator import generate
from data_generator.settings import DataSetSettings
from data_generator.truth import load_truth
from pipeline.geo.ranges import load_ranges
from pipeline.geo.special import private_intervals
from pipeline.geo.table import SHIPPED_TABLE, load_geo_table
from utils.units import format_size

FILES = 4
WORK_SHARE = 1.5
"""Most that a run writes, intermediate files or spill and result, for each byte of input."""


def job_settings(size: int) -> DataSetSettings:
    """Only what every peer can read: no conflicts, malformed records, quotes, IPv6 or special addresses."""
    return DataSetSettings(
        files=FILES,
        size_bytes=size,
        users=1_000_000,
        duplicates=0.05,
        cross_file_duplicates=0.015,
        conflicts=0,
        malformed=0,
        ipv6=0,
        quoted=0,
        special_addresses=0,
    )


def prepare_logs(folder: Path, size: int, workers: int) -> Path:
    """The folder of CSV files of about ``size`` bytes in all, made unless it is there already."""
    settings = job_settings(size)
    logs = folder / f"logs-{size}"
    truth = load_truth(logs)
    if truth is None or truth.settings != settings or not truth.describes(logs.glob("*.csv")):
        print(f"generating {format_size(size)} in {logs} (once) ...", flush=True)
        generate(settings, logs, workers=workers)
    return logs


def make_room(folder: Path, size: int) -> None:
    """Remove logs of other sizes where the disk would not hold those of ``size`` and what a run over them writes."""
    wanted = folder / f"logs-{size}"
    need = WORK_SHARE * size + (0 if wanted.exists() else size)
    for other in sorted(folder.glob("logs-*")):
        if shutil.disk_usage(folder).free >= need:
            return
        if other != wanted and load_truth(other) is not None:
            print(f"removing {other} to make room", flush=True)
            shutil.rmtree(other)


def export_geo(folder: Path) -> Path:
    """Write ``geo.parquet``: a (UInt32, first address of a range) and region (String), as Logmill's own table decides.

    The ranges tile the IPv4 space: gaps are UNKNOWN, special addresses PRIVATE, equal neighbours one range.
    """
    path = folder / "geo.parquet"
    edges = [edge for first, last in private_intervals(4) for edge in (first, last + 1) if edge < 2**32]
    starts = np.union1d(load_ranges(SHIPPED_TABLE).v4_start, np.array(edges, np.uint32))
    table = load_geo_table(None, "region", None, folder)
    codes = table.lookup(pl.Series([str(ipaddress.IPv4Address(start)) for start in starts.tolist()]))
    first = np.append(True, codes[1:] != codes[:-1])
    regions = [table.names[code] for code in codes[first]]
    pl.DataFrame({"a": starts[first].astype(np.uint32), "region": regions}).write_parquet(path)
    return path
