"""The files of a version: the totals of every region as Parquet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import Advance, Engine, run_all
from pipeline.errors import BalanceError
from pipeline.exchange.bucket_totals import read_totals, sum_exactly
from pipeline.exchange.workspace import bucket_file
from pipeline.faults import point
from pipeline.machine import sync
from pipeline.native.arrow import to_arrow, to_numpy
from pipeline.publish.context import PublishContext
from pipeline.publish.tasks import RegionFile, RegionTotal, WriteTask
from pipeline.quality import MICRO
from pipeline.timing import count, in_stage

SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("total_watch_time_min", pa.float64()),
        pa.field("event_count", pa.int64()),
    ]
)


_ESCAPED = set("\"#%'*/:=?\\{}[]^|<>\x7f") | {chr(code) for code in range(32)}


def partition_folder(region: str) -> str:
    """Folder name of a region; characters that are special in paths are escaped as Hive and Spark do (%2F)."""
    safe = "".join(f"%{ord(char):02X}" if char in _ESCAPED else char for char in region)
    return f"geo_region={safe}"


@in_stage("publish")
def write_files(context: PublishContext, task: WriteTask, advance: Advance) -> tuple[int, int, int]:
    """Write output files; (rows, events, micro-minutes) as they were written. A sum over users may pass int64."""
    paths = {bucket: context.workspace.path("totals", bucket_file(bucket)) for bucket, _, _ in task.slices}
    parts = {bucket: (first, read_totals(paths[bucket], first, rows)) for bucket, first, rows in task.slices}
    written = events = micro = 0
    for file in task.files:
        slices = [parts[bucket][1].slice(at - parts[bucket][0], rows) for bucket, at, rows in file.slices]
        totals = pa.concat_tables(slices)
        _write_file(context, Path(task.folder), file, totals)
        advance(len(totals))
        count(len(totals))
        written += len(totals)
        events += sum_exactly(totals["event_count"])
        micro += sum_exactly(totals["micro_minutes"])
    return written, events, micro


def _write_file(context: PublishContext, folder: Path, file: RegionFile, totals: pa.Table) -> None:
    folder = folder / partition_folder(file.region)
    folder.mkdir(parents=True, exist_ok=True)
    # Divided by NumPy: Polars multiplies by the reciprocal, which is off by one unit in the last place now and then.
    minutes = [to_arrow(to_numpy(chunk) / MICRO) for chunk in totals["micro_minutes"].chunks]
    columns = [totals["user_id"], pa.chunked_array(minutes), totals["event_count"]]
    path = folder / f"part-{file.number:04d}-{context.version}.parquet"
    point("output.write")
    codec = None if context.compression == "none" else context.compression
    # Hardly a value occurs twice: dictionaries would take three times as long, and more room.
    table = pa.Table.from_arrays(columns, schema=SCHEMA)
    pq.write_table(table, path, compression=codec, row_group_size=1 << 18, use_dictionary=False)
    sync(path)


_WRITE_TASKS = 16
"""Enough that workers end at about the same time."""


@dataclass(frozen=True)
class Written:
    """What the output files of a version hold."""

    rows: int
    micro_minutes: int
    regions: tuple[RegionTotal, ...]


NOTHING_WRITTEN = Written(0, 0, ())
"""Of a run that publishes nothing."""


def write_output(
    engine: Engine,
    context: PublishContext,
    folder: Path,
    totals: Phase2Result,
    advance: Advance,
) -> Written:
    """Write the files of every region below ``folder``; raises BalanceError where they do not hold what was kept."""
    tasks = _write_tasks(str(folder / "data"), _region_files(context, totals), context.file_rows)
    written = run_all(engine, write_files, context, tasks, advance)
    events = sum(events for _, events, _ in written)
    micro = sum(micro for _, _, micro in written)
    expected = sum(region[2] for bucket in totals.buckets for region in bucket.regions.values())
    if events != totals.kept or micro != expected:
        raise BalanceError(
            f"the output files hold {events} events and {micro} micro-minutes, expected {totals.kept} and {expected}. "
            "Nothing was published. This is a fault in the program; please report it."
        )
    return Written(sum(rows for rows, _, _ in written), micro, _region_totals(totals, context.region_names))


def _region_files(context: PublishContext, totals: Phase2Result) -> list[RegionFile]:
    """Output files in order of region: as few for each as ``context.file_rows`` allows, of nearly equal size."""
    slices: dict[int, list[tuple[int, int, int]]] = {}
    for bucket in totals.buckets:
        first = 0
        for region, (rows, _, _) in bucket.regions.items():
            slices.setdefault(region, []).append((bucket.bucket, first, rows))
            first += rows
    found: list[RegionFile] = []
    for region, parts in sorted(slices.items()):
        files = -(-sum(rows for _, _, rows in parts) // context.file_rows)
        size = -(-sum(rows for _, _, rows in parts) // files)
        groups: list[list[tuple[int, int, int]]] = [[]]
        filled = 0
        for part in parts:
            if filled >= size:
                groups.append([])
                filled = 0
            groups[-1].append(part)
            filled += part[2]
        found += [RegionFile(context.region_names[region], number, tuple(group)) for number, group in enumerate(groups)]
    return found


def _write_tasks(folder: str, files: Sequence[RegionFile], file_rows: int) -> list[WriteTask]:
    """The files of a few neighbouring regions for each task, the largest first."""
    most = min(file_rows, sum(file.rows for file in files) // _WRITE_TASKS)
    groups: list[list[RegionFile]] = []
    filled = 0
    for file in files:
        if not groups or filled + file.rows > most:
            groups.append([])
            filled = 0
        groups[-1].append(file)
        filled += file.rows
    groups.sort(key=lambda group: -sum(file.rows for file in group))
    return [WriteTask(folder, tuple(group)) for group in groups]


def _region_totals(totals: Phase2Result, names: Sequence[str]) -> tuple[RegionTotal, ...]:
    """Users, events and minutes of every region, the most watched first."""
    sums: dict[int, list[int]] = {}
    for bucket in totals.buckets:
        for region, counts in bucket.regions.items():
            sums[region] = [a + b for a, b in zip(sums.get(region, [0, 0, 0]), counts, strict=True)]
    ordered = sorted(sums.items(), key=lambda item: (-item[1][2], names[item[0]]))
    return tuple(RegionTotal(names[r], users, events, micro / MICRO) for r, (users, events, micro) in ordered)
