"""The data path in one process: the real kernels on an engine without a pool, and a geo table of a few lines."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pipeline import preprocessor, publication
from pipeline.intermediate import Workspace
from pipeline.job import Job
from pipeline.phase1 import Phase1, read_files
from pipeline.phase2 import Totals, aggregate_all
from pipeline.quarantine import reject_file
from pipeline.splits import open_inputs
from tests.reference import ROLES

HEADER = b"log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"


class SmallGeo:
    """A geo table: the region of an address is decided by its last character."""

    names = ("Asia", "Europe", "INVALID")

    def lookup(self, ips: pl.Series) -> np.ndarray:
        return np.array([self.names.index(region_of(text)) for text in ips], np.uint16)


def region_of(address: str) -> str:
    """The same rule for the reference."""
    return {"1": "Asia", "2": "Europe"}.get(address[-1:], "INVALID")


@dataclass(frozen=True)
class SmallGeoSource:
    def load(self) -> SmallGeo:
        return SmallGeo()


@dataclass
class InProcessEngine:
    """Keeps the contract of ``LocalEngine.map`` in this process; remembers the batches that each split ended with."""

    job: Job
    batches: dict[int, list[pl.DataFrame]] = field(default_factory=dict)
    name = "polars"

    def map(self, kernel: Callable, tasks: Sequence, advance: Callable[[int], None]) -> Iterator[tuple]:
        for task in tasks:
            seen: list[pl.DataFrame] = []
            if kernel is preprocessor.preprocess:
                self.batches[task.number] = seen
            enrich = preprocessor.enrich

            def spy(rows: pl.DataFrame, geo: object, seen=seen, enrich=enrich) -> pl.DataFrame:
                seen.append(rows)
                return enrich(rows, geo)

            try:
                with mock.patch.object(preprocessor, "enrich", spy):
                    result = kernel(self.job, task, advance)
            except Exception as fault:
                result = fault
            yield task, result


@dataclass
class Outcome:
    """What a run in one process found: totals as in ``reference.RunTruth``, and counts."""

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
    ) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="logmill-test-"))
        self.paths = []
        for number, data in enumerate(files):
            path = self.root / f"f{number}.csv"
            path.write_bytes(data)
            self.paths.append(str(path))
        workspace = Workspace(str(self.root / "work"))
        workspace.create()
        self.split_bytes, self.workers = split_bytes, workers
        self.job = Job(
            workspace=workspace,
            version="v",
            chunk_bytes=chunk_bytes,
            max_record=max_record,
            keep=keep,
            buckets=buckets,
            bucket_rows=bucket_rows,
            file_rows=1000,
            compression="zstd",
            geo_source=SmallGeoSource(),
        )
        self.engine = InProcessEngine(self.job)

    def __enter__(self) -> "Harness":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.root)

    def read(self) -> Phase1:
        """Phase 1 over all files."""
        wanted = {role: (name,) for role, name in ROLES.items() if role != "timestamp" or self.job.keep != "longest"}
        files, refused = open_inputs(self.paths, wanted, self.job.max_record)
        outcome = read_files(self.engine, files, self.split_bytes, lambda _: None)
        outcome.refused |= refused
        return outcome

    def accepted(self, outcome: Phase1) -> list[list[tuple[int, tuple]]]:
        """For each file that counts: (byte offset, values) of its good records before any is dropped, in order."""
        columns = ["log_id", "user_id", "ip_address", "micro_minutes"]
        if self.job.keep != "longest":
            columns.append("timestamp")
        files = []
        for ledger in outcome.ledgers:
            found = []
            for placed in ledger.splits:
                for rows in self.engine.batches[placed.result.split.number]:
                    for offset, *values in rows.select("offset", *columns).iter_rows():
                        found.append((placed.result.start + offset, tuple(values)))
            files.append(sorted(found))
        return files

    def rejects(self, outcome: Phase1) -> list[list[tuple[int, int, str, bytes]]]:
        """For each file that counts: (line, byte offset, reason, raw bytes) of its rejected records, in order."""
        files = []
        for ledger in outcome.ledgers:
            found = []
            for placed in ledger.splits:
                path = reject_file(self.job, placed.result.split)
                rows = pq.read_table(path).to_pylist() if path.exists() else []
                line, start = placed.first_line, placed.result.start
                found += [(line + r["line"], start + r["byte_offset"], r["reason"], r["raw"]) for r in rows]
            files.append(sorted(found))
        return files

    def run(self) -> Outcome:
        """Both phases and the quarantine."""
        outcome = self.read()
        assert not outcome.refused, outcome.refused
        totals = aggregate_all(self.engine, self.job, outcome.splits, self.workers, lambda _: None)
        publication.check_balance(outcome, totals)
        folder = self.root / "version"
        publication.write_quarantine(self.engine, self.job, folder, outcome, totals)
        return self.finish(outcome, totals, folder)

    def finish(self, outcome: Phase1, totals: Totals, folder: Path) -> Outcome:
        """What was found, once both phases and the quarantine are done."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for bucket in totals.buckets:
            frame = pl.read_parquet(self.job.workspace.path("totals", f"bucket-{bucket.bucket:04d}.parquet"))
            for user, region, micro, events in frame.select(
                "user_id", "region", "micro_minutes", "event_count"
            ).iter_rows():
                key = (SmallGeo.names[region], user)
                assert key not in found, "a user's region is in two rows"
                found[key] = (micro, events)
        ledgers = outcome.ledgers
        return Outcome(
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
