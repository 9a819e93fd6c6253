"""The output files of a version: the totals of every region as Parquet.

They lie in ``geo_region=<region>/part-<number>-<version>.parquet``, a layout that Hive, Spark, Polars, PyArrow and
DuckDB read.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import Advance, Engine, run_all
from pipeline.errors import BalanceError
from pipeline.exchange.bucket_totals import read_totals, read_totals_in_pieces, sum_exactly
from pipeline.exchange.row_memory import batch_rows
from pipeline.exchange.workspace import bucket_file
from pipeline.faults import point
from pipeline.machine import sync, writing
from pipeline.native.arrow import to_arrow, to_numpy
from pipeline.publish.context import PublishContext
from pipeline.publish.tasks import RegionFile, RegionTotal, WriteTask
from pipeline.quality import MICRO
from pipeline.staging import ATTEMPTS, staged
from pipeline.timing import count, in_stage

SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("total_watch_time_min", pa.float64()),
        pa.field("event_count", pa.int64()),
    ]
)
"""Columns of an output file: a row for each user, watch time in minutes."""
_ESCAPED = set("\"#%'*/:=?\\{}[]^|<>\x7f") | {chr(code) for code in range(32)}
"""As in Hive's FileUtils.escapePathName and Spark's ExternalCatalogUtils."""
_REGION_OF_NOTHING = "UNKNOWN"
"""The region in whose folder the one file of a result without rows lies. Every reader gets the columns from that file,
``geo_region`` as text, and no row. Hive's own name of a null would not do: PyArrow finds no type in it, and Spark the
type void."""
_GROUP_ROWS = 1 << 18
_TEXT_COPIES = 4
"""How often a total is in memory while it is read, joined and written."""
_WRITE_TASKS = 16
"""Enough tasks that all workers end at about the same time."""


def partition_folder(region: str) -> str:
    """Folder name of a region; characters that are special in paths are percent-encoded, as by Hive and Spark."""
    safe = "".join(f"%{ord(char):02X}" if char in _ESCAPED else char for char in region)
    return f"geo_region={safe}"


@in_stage("publish")
def write_files(context: PublishContext, task: WriteTask, advance: Advance) -> tuple[int, int, int]:
    """Write output files; returns (rows, events, micro-minutes) of what was written, summed without overflow."""
    totals = _load_totals(context, task)
    written = events = micro = 0
    for file in task.files:
        with _OutputFile(context, Path(task.folder), file.region, file.number) as output:
            for piece in totals(file):
                output.write(piece)
                written += len(piece)
                events += sum_exactly(piece["event_count"])
                micro += sum_exactly(piece["micro_minutes"])
        advance(file.rows)
        count(file.rows)
    return written, events, micro


def _load_totals(context: PublishContext, task: WriteTask) -> Callable[[RegionFile], Iterator[pa.Table]]:
    """What gives the totals of each file: as one table of what is read together here, or piece after piece where that
    takes too much memory."""
    paths = {bucket: context.workspace.path("totals", bucket_file(bucket)) for bucket, _, _ in task.slices}
    wanted = [(paths[bucket], first, rows) for bucket, first, rows in task.slices]
    tables = read_totals(wanted, context.held_bytes // _TEXT_COPIES)
    if tables is None:
        return lambda file: (
            piece for bucket, first, rows in file.slices for piece in read_totals_in_pieces(paths[bucket], first, rows)
        )
    loaded = {bucket: (first, table) for (bucket, first, _), table in zip(task.slices, tables, strict=True)}

    def take(file: RegionFile) -> Iterator[pa.Table]:
        pieces = [loaded[bucket][1].slice(begin - loaded[bucket][0], rows) for bucket, begin, rows in file.slices]
        yield pa.concat_tables(pieces).combine_chunks()  # a small region has a piece of a few rows of every bucket

    return take


class _OutputFile:
    """One output file, written piece by piece: ``with _OutputFile(...) as output: output.write(totals)``."""

    def __init__(self, context: PublishContext, folder: Path, region: str, number: int) -> None:
        folder = folder / partition_folder(region)
        path = folder / f"part-{number:04d}-{context.version}.parquet"
        self._path = staged(path, beside=folder.parents[1])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._codec = context.compression
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        point("output.write")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer:
            with writing(self._path):
                self._writer.close()
        if kind is None:
            sync(self._path)

    def write(self, totals: pa.Table) -> None:
        """Write totals, in columns of ``exchange.bucket_totals.SCHEMA``."""
        # NumPy divides; Polars multiplies by the reciprocal, which is at times wrong by one unit in the last place.
        minutes = [to_arrow(to_numpy(chunk) / MICRO) for chunk in totals["micro_minutes"].chunks]
        columns = [totals["user_id"], pa.chunked_array(minutes), totals["event_count"]]
        self.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))

    def write_table(self, table: pa.Table) -> None:
        """Write rows in columns of SCHEMA."""
        with writing(self._path):
            if self._writer is None:
                # Almost every value is unique: dictionaries would take three times as long to write, and more room.
                self._writer = pq.ParquetWriter(
                    self._path,
                    SCHEMA,
                    compression=self._codec,
                    use_dictionary=False,
                    write_batch_size=batch_rows(table.nbytes // max(1, len(table))),
                )
            self._writer.write_table(table, row_group_size=_GROUP_ROWS)


@dataclass(frozen=True)
class Written:
    """What the output files of a version hold: rows, watch time, and ``regions``, the most watched first."""

    rows: int
    micro_minutes: int
    regions: tuple[RegionTotal, ...]


NOTHING_WRITTEN = Written(0, 0, ())


def write_output(
    engine: Engine,
    context: PublishContext,
    folder: Path,
    phase2: Phase2Result,
    advance: Advance,
) -> Written:
    """Write the files of every region into ``folder/data``; one file without rows where there is no total.

    Raises BalanceError where their events or watch time are not those of Phase 2.
    """
    files = list_region_files(phase2, context.region_names, context.file_rows)
    tasks = group_files(str(folder / "data"), files, context.file_rows)
    written = run_all(engine, write_files, context, tasks, advance)
    if not files:
        with _OutputFile(context, folder / "data", _REGION_OF_NOTHING, 0) as output:
            output.write_table(SCHEMA.empty_table())
    shutil.rmtree(folder / ATTEMPTS, ignore_errors=True)  # of lost executors
    events = sum(events for _, events, _ in written)
    micro = sum(micro for _, _, micro in written)
    expected = sum(region[2] for bucket in phase2.buckets for region in bucket.regions.values())
    if events != phase2.kept or micro != expected:
        raise BalanceError(
            f"the output files hold {events} events and {micro} micro-minutes, expected {phase2.kept} and {expected}. "
            "Nothing was published. This is a fault in the program; please report it."
        )
    return Written(sum(rows for rows, _, _ in written), micro, sum_regions(phase2, context.region_names))


def list_region_files(phase2: Phase2Result, region_names: Sequence[str], file_rows: int) -> list[RegionFile]:
    """The output files of all regions, in order of the regions' codes.

    A region gets as few files as ``file_rows`` allows, of nearly equal size. What one bucket has of a region stays in
    one file, which may therefore be longer. ``region_names``: by code.
    """
    slices: dict[int, list[tuple[int, int, int]]] = {}
    for bucket in phase2.buckets:
        first = 0
        for region, (rows, _, _) in bucket.regions.items():
            slices.setdefault(region, []).append((bucket.bucket, first, rows))
            first += rows
    return [
        RegionFile(region_names[region], number, tuple(group))
        for region, of_region in sorted(slices.items())
        for number, group in enumerate(_divide(of_region, file_rows))
    ]


def _divide(slices: Sequence[tuple[int, int, int]], file_rows: int) -> list[list[tuple[int, int, int]]]:
    """The slices in groups of nearly equal size."""
    total = sum(rows for _, _, rows in slices)
    files = -(-total // file_rows)
    size = -(-total // files)
    groups: list[list[tuple[int, int, int]]] = [[]]
    filled = 0
    for piece in slices:
        if filled >= size:
            groups.append([])
            filled = 0
        groups[-1].append(piece)
        filled += piece[2]
    return groups


def group_files(folder: str, files: Sequence[RegionFile], file_rows: int) -> list[WriteTask]:
    """Tasks that write ``files`` below ``folder``: each those of a few neighbouring regions; the largest task first."""
    task_rows = min(file_rows, sum(file.rows for file in files) // _WRITE_TASKS)
    groups: list[list[RegionFile]] = []
    filled = 0
    for file in files:
        if not groups or filled + file.rows > task_rows:
            groups.append([])
            filled = 0
        groups[-1].append(file)
        filled += file.rows
    groups.sort(key=lambda group: -sum(file.rows for file in group))
    return [WriteTask(folder, tuple(group)) for group in groups]


def sum_regions(phase2: Phase2Result, region_names: Sequence[str]) -> tuple[RegionTotal, ...]:
    """Users, events and minutes of every region, the most watched first. ``region_names``: by code."""
    sums: dict[int, list[int]] = {}
    for bucket in phase2.buckets:
        for region, counts in bucket.regions.items():
            sums[region] = [a + b for a, b in zip(sums.get(region, [0, 0, 0]), counts, strict=True)]
    ordered = sorted(sums.items(), key=lambda item: (-item[1][2], region_names[item[0]]))
    return tuple(RegionTotal(region_names[r], users, events, micro / MICRO) for r, (users, events, micro) in ordered)
