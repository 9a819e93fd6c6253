"""The data path in one process: the real kernels on an engine without a pool, and a geo table of a few lines; and
whole runs for what tests start from."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import xxhash

from config import load_config
from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.driver import aggregate_all
from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import Advance, Kernel, no_advance
from pipeline.engines.local import LocalEngine
from pipeline.engines.task_run import run_task
from pipeline.exchange.split_rows import SplitRows
from pipeline.exchange.workspace import Workspace
from pipeline.geo.ranges import CountryRanges
from pipeline.geo.table import GeoSource, GeoTable, prepare
from pipeline.machine import cache_folder
from pipeline.native.build import compile_library
from pipeline.orchestrator import run
from pipeline.planning import pace
from pipeline.planning.run_options import NO_OPTIONS, RunOptions
from pipeline.preprocess import preprocessor
from pipeline.preprocess.context import ReadContext
from pipeline.preprocess.driver import read_files
from pipeline.preprocess.ledger import Phase1Result
from pipeline.preprocess.reject_writer import reject_file
from pipeline.publish.context import PublishContext
from pipeline.publish.quarantine import write_quarantine
from pipeline.publish.result import RunResult
from pipeline.publish.verify import check_balance
from pipeline.reading.csv_reader import SplitReader
from pipeline.reading.open_inputs import read_headers
from pipeline.reading.splits import Split
from pipeline.timing import Unit
from tests.reference import ROLES

LIBRARY = "LOGMILLTEST_LIBRARY"
"""The environment's variable that names another compiled library (``tests.sanitized``)."""
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Parent of temporary folders with a few small files: on a disk, making and removing them takes longer than the data
path does."""
HEADER = b"log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"


class Silent:
    """A progress that shows nothing."""

    def phase(self, name: str, total: int | None, unit: Unit = "bytes") -> None: ...

    def advance(self, n: int) -> None: ...

    def note(self, message: str) -> None: ...

    def event(self, name: str, level: str = "info", **facts: object) -> None: ...


@dataclass(frozen=True)
class SmallGeoSource(GeoSource):
    """1.0.0.0/8 is Asia, 2.0.0.0/8 is Europe; the rest is in no database."""

    @cache  # noqa: B019 - there is one source
    def load(self) -> GeoTable:
        ranges = CountryRanges(
            v4_start=np.array([0, 1 << 24, 2 << 24, 3 << 24], np.uint32),
            v4_code=np.array([0, 1, 2, 0], np.uint16),
            v6_hi=np.zeros(1, np.uint64),
            v6_lo=np.zeros(1, np.uint64),
            v6_code=np.zeros(1, np.uint16),
            labels=("", "CN", "FR"),
            build="test",
            attribution="",
            database_hash="",
        )
        return GeoTable(prepare(ranges, self), self)


GEO = SmallGeoSource("", "region", (("CN", "Asia"), ("FR", "Europe")), False, "")


def region_of(address: str) -> str:
    """The region of an address by ``SmallGeoSource``, for the reference."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "INVALID"
    if parsed in (ip_address("::1"), ip_address("::")):
        return "PRIVATE"
    return {1: "Asia", 2: "Europe", 10: "PRIVATE"}.get(parsed.packed[0] if parsed.version == 4 else 0, "UNKNOWN")


def enriched(log_id: str, user_id: str, address: str, micro: int, *timestamp: int | None) -> tuple:
    """What the program makes of the values of a good record."""
    return (xxhash.xxh3_128_intdigest(log_id.encode()), user_id, region_of(address), micro, *timestamp)


def accepted_rows(rows: SplitRows, names: Sequence[str]) -> list[tuple[int, tuple]]:
    """(offset in the split, ``enriched``) of every row."""
    found = []
    for row in rows.frame(np.arange(rows.count)).iter_rows(named=True):
        id128 = row["id_hi"] << 64 | row["id_lo"]
        timestamp = [row["timestamp"]] if "timestamp" in row else []
        found.append((row["offset"], (id128, row["user_id"], names[row["region"]], row["micro_minutes"], *timestamp)))
    return found


@cache
def library() -> str:
    """The compiled library, or the one that the environment names (``tests.sanitized``)."""
    if named := os.environ.get(LIBRARY):
        return named
    path, reason = compile_library(cache_folder())
    assert path, reason
    return str(path)


@dataclass
class InProcessEngine:
    """Keeps the contract of ``LocalEngine.map`` in this process, and remembers all rows of each split by its number."""

    rows: dict[int, SplitRows] = field(default_factory=dict)
    name = "polars"

    def map(
        self, kernel: Callable, context: object, tasks: Sequence, advance: Callable[[int], None]
    ) -> Iterator[tuple]:
        find_duplicates, open_split = preprocessor.find_duplicates, preprocessor.SplitReader
        reading: list[int] = []

        def note(split: Split, *more: object) -> SplitReader:
            self.rows.pop(split.number, None)
            reading.append(split.number)
            return open_split(split, *more)

        def spy(rows: SplitRows, context: ReadContext) -> preprocessor.Duplicates:
            self.rows[reading[-1]] = deepcopy(rows)
            return find_duplicates(rows, context)

        assert isinstance(sum(getattr(task, "rows", 1) for task in tasks), int), "Spark adds them up for the progress"
        for task in tasks:
            with mock.patch.multiple(preprocessor, find_duplicates=spy, SplitReader=note):
                result, _ = run_task(kernel, context, task, advance)
            yield task, result


@dataclass
class Found:
    """The totals (as in ``reference.RunTruth``) and counts of a run in one process."""

    totals: dict[tuple[str, str], tuple[int, int]]
    records: int
    kept: int
    duplicates: int
    conflicts: int
    rejected: Counter
    blank_lines: int
    users: int
    conflict_raws: list[bytes]


class Harness:
    """A folder with files, and the data path over them. ``with Harness(files, ...) as run: run.read()``."""

    def __init__(
        self,
        files: Sequence[bytes],
        *,
        chunk_bytes: int = 8 << 20,
        split_bytes: int = 1 << 30,
        max_record: int = 256,
        keep: str = "longest",
        buckets: int = 4,
        bucket_rows: int = 1000,
        workers: int = 2,
        compiled: bool = True,
        held_bytes: int = 1 << 40,
    ) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="logmill-test-", dir=IN_MEMORY))
        self.paths = []
        for number, data in enumerate(files):
            path = self.root / f"f{number}.csv"
            path.write_bytes(data)
            self.paths.append(str(path))
        workspace = Workspace(str(self.root / "work"))
        workspace.create()
        self.split_bytes, self.workers = split_bytes, workers
        self.read_context = ReadContext(
            workspace=workspace,
            chunk_bytes=chunk_bytes,
            max_record=max_record,
            keep=keep,
            buckets=buckets,
            geo_source=GEO,
            held_bytes=held_bytes,
            library_path=library() if compiled else None,
        )
        self.names = self.read_context.geo().names
        self.bucket_rows = bucket_rows
        self.engine = InProcessEngine()

    @property
    def workspace(self) -> Workspace:
        """The files between the phases."""
        return self.read_context.workspace

    @property
    def aggregate_context(self) -> AggregateContext:
        """What Phase 2 needs to know of the same run."""
        read = self.read_context
        return AggregateContext(
            read.workspace, read.keep, read.buckets, self.bucket_rows, self.names, read.library_path
        )

    @property
    def publish_context(self) -> PublishContext:
        """What publication needs to know of the same run."""
        read, names = self.read_context, self.names
        return PublishContext(
            read.workspace, "v", 1000, "zstd", read.max_record, read.keep_raw, names, library_path=read.library_path
        )

    def __enter__(self) -> "Harness":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.root)

    def read(self, columns: tuple[str, ...] = (), **names: tuple[str, ...]) -> Phase1Result:
        """Phase 1 over all files.

        ``columns``: those of files without a header. ``names``: header names of some roles, instead of the usual one.
        """
        wanted = {
            role: (name,) for role, name in ROLES.items() if role != "timestamp" or self.read_context.keep != "longest"
        }
        wanted |= names
        self.read_context = replace(self.read_context, wanted=wanted)
        files, refused = read_headers(self.paths, wanted, self.read_context.max_record, columns=columns)
        return read_files(self.engine, self.read_context, files, self.split_bytes, no_advance).refusing(refused)

    def accepted(self, phase1: Phase1Result) -> list[list[tuple[int, tuple]]]:
        """For each file that counts: (byte offset, ``enriched``) of all its good records, in order."""
        files = []
        for ledger in phase1.ledgers:
            found = []
            for placed in ledger.splits:
                rows = self.engine.rows.get(placed.result.split.number)
                if rows is None:
                    continue
                start = placed.result.start
                found += [(start + offset, values) for offset, values in accepted_rows(rows, self.names)]
            files.append(sorted(found, key=lambda pair: pair[0]))
        return files

    def rejects(self, phase1: Phase1Result) -> list[list[tuple[int, int, str, bytes]]]:
        """For each file that counts: (line, byte offset, reason, raw bytes) of its rejected records, in order."""
        files = []
        for ledger in phase1.ledgers:
            found = []
            for placed in ledger.splits:
                path = reject_file(self.workspace, placed.result.split.number)
                rows = pq.read_table(path).to_pylist() if path.exists() else []
                line, start = placed.first_line, placed.result.start
                found += [(line + r["line"], start + r["byte_offset"], r["reason"], r["raw"]) for r in rows]
            files.append(sorted(found))
        return files

    def run(self) -> Found:
        """Both phases and the quarantine."""
        phase1 = self.read()
        assert not phase1.refused, phase1.refused
        totals = aggregate_all(self.engine, self.aggregate_context, phase1.splits, self.workers, no_advance)
        check_balance(phase1, totals)
        folder = self.root / "version"
        write_quarantine(self.engine, self.publish_context, folder, phase1, totals)
        return self.finish(phase1, totals, folder)

    def finish(self, phase1: Phase1Result, totals: Phase2Result, folder: Path) -> Found:
        """Read the totals and the quarantine that both phases have written."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for bucket in totals.buckets:
            frame = pl.read_parquet(self.workspace.path("totals", f"bucket-{bucket.bucket:04d}.parquet"))
            for user, region, micro, events in frame.select(
                "user_id", "region", "micro_minutes", "event_count"
            ).iter_rows():
                key = (self.names[region], user)
                assert key not in found, "a user's region is in two rows"
                found[key] = (micro, events)
        ledgers = phase1.ledgers
        return Found(
            totals=found,
            records=sum(ledger.records for ledger in ledgers),
            kept=totals.kept,
            duplicates=sum(ledger.duplicates for ledger in ledgers) + totals.duplicates,
            conflicts=totals.conflicts,
            rejected=sum((ledger.rejected_by_reason for ledger in ledgers), Counter()),
            blank_lines=sum(ledger.blank_lines for ledger in ledgers),
            users=totals.users,
            conflict_raws=pq.read_table(folder / "quarantine" / "conflicts.parquet")["raw"].to_pylist(),
        )


@contextmanager
def working_here(engine: type, end: str) -> Iterator[None]:
    """An engine class whose objects start nothing and run their kernels in this process; ``end`` names the method that
    ends what they would have started."""

    def begin(self: Any, *_: object, **__: object) -> None:
        self.spans, self.workers = [], 1

    def run_tasks(
        self: Any, kernel: Kernel[Any, Any, Any], context: object, tasks: Sequence[Any], advance: Advance
    ) -> Iterator[tuple[Any, Any]]:
        for task in tasks:
            result, span = run_task(kernel, context, task, advance)
            self.spans.append(span)
            yield task, result

    replaced: dict[str, Any] = {"__init__": begin, "map": run_tasks, end: lambda *_: None}
    with mock.patch.multiple(engine, **replaced):
        yield


def run_here(folder: Path, source: object = "logs", options: RunOptions = NO_OPTIONS, **settings: object) -> RunResult:
    """What a test starts from: a run over ``source`` in ``folder`` as the command line makes it, but in this process.

    It publishes what a program would, in a sixth of the time, and learns no pace.
    """
    environment = {f"LOGMILL_{name}": str(value) for name, value in settings.items()}
    with (
        chdir(folder),
        working_here(LocalEngine, "close"),
        mock.patch.object(pace, "_FILE", "no-folder/pace.json"),  # neither found nor left
    ):
        config = load_config({"INPUT_DIR": str(source), "ENGINE": "polars"}, environment, None)
        return run(config, Silent(), options)
