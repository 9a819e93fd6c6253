"""The output: versions beside the link ``OUTPUT_DIR``, written aside and published by one rename."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.arrow import to_arrow, to_numpy
from pipeline.bucket_totals import read_totals, sum_exactly
from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.faults import point
from pipeline.intermediate import bucket_file, is_run_folder, make_own, sync
from pipeline.job import Job
from pipeline.stages import count

MICRO = 1_000_000
SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("total_watch_time_min", pa.float64()),
        pa.field("event_count", pa.int64()),
    ]
)
_ESCAPED = set("\"#%'*/:=?\\{}[]^|<>\x7f") | {chr(code) for code in range(32)}


@dataclass(frozen=True)
class RegionFile:
    """One output file: ``slices`` of the buckets' totals, (bucket, first row, rows), all of one region."""

    region: str
    number: int
    slices: tuple[tuple[int, int, int], ...]

    @property
    def rows(self) -> int:
        """Rows of all slices."""
        return sum(rows for _, _, rows in self.slices)


@dataclass(frozen=True)
class WriteTask:
    """Write output files below ``folder``; those of small regions together, so that each bucket is opened once."""

    folder: str
    files: tuple[RegionFile, ...]

    @property
    def slices(self) -> list[tuple[int, int, int]]:
        """What the files have of each bucket, from the first of its rows to the last."""
        bounds: dict[int, tuple[int, int]] = {}
        for bucket, at, rows in (part for file in self.files for part in file.slices):
            first, stop = bounds.get(bucket, (at, at))
            bounds[bucket] = min(first, at), max(stop, at + rows)
        return [(bucket, first, stop - first) for bucket, (first, stop) in bounds.items()]


def partition_folder(region: str) -> str:
    """Folder name of a region; characters that are special in paths are escaped as Hive and Spark do (%2F)."""
    safe = "".join(f"%{ord(char):02X}" if char in _ESCAPED else char for char in region)
    return f"geo_region={safe}"


def write_files(job: Job, task: WriteTask, report: Callable[[int], None]) -> tuple[int, int, int]:
    """Write output files; (rows, events, micro-minutes) as they were written. A sum over users may pass int64."""
    paths = {bucket: job.workspace.path("totals", bucket_file(bucket)) for bucket, _, _ in task.slices}
    parts = {bucket: (first, read_totals(paths[bucket], first, rows)) for bucket, first, rows in task.slices}
    written = events = micro = 0
    for file in task.files:
        slices = [parts[bucket][1].slice(at - parts[bucket][0], rows) for bucket, at, rows in file.slices]
        totals = pa.concat_tables(slices)
        _write_file(job, Path(task.folder), file, totals)
        report(len(totals))
        count(len(totals))
        written += len(totals)
        events += sum_exactly(totals["event_count"])
        micro += sum_exactly(totals["micro_minutes"])
    return written, events, micro


def _write_file(job: Job, folder: Path, file: RegionFile, totals: pa.Table) -> None:
    folder = folder / partition_folder(file.region)
    folder.mkdir(parents=True, exist_ok=True)
    # Divided by NumPy: Polars multiplies by the reciprocal, which is off by one unit in the last place now and then.
    minutes = [to_arrow(to_numpy(chunk) / MICRO) for chunk in totals["micro_minutes"].chunks]
    columns = [totals["user_id"], pa.chunked_array(minutes), totals["event_count"]]
    path = folder / f"part-{file.number:04d}-{job.version}.parquet"
    point("output.write")
    codec = None if job.compression == "none" else job.compression
    # Hardly a value occurs twice: dictionaries would take three times as long, and more room.
    table = pa.Table.from_arrays(columns, schema=SCHEMA)
    pq.write_table(table, path, compression=codec, row_group_size=1 << 18, use_dictionary=False)
    sync(path)


class Output:
    """The published versions of one ``OUTPUT_DIR``."""

    def __init__(self, output_dir: str) -> None:
        self.link = Path(os.path.abspath(output_dir))
        self.versions = self.link.with_name(self.link.name + ".versions")

    def check(self) -> None:
        """Raise early where publication could not work: what stands at OUTPUT_DIR, and whether links are possible."""
        self.check_place()
        try:
            make_own(self.versions, "--output")
            probe = self.versions / f".probe-{os.getpid()}"
            probe.unlink(missing_ok=True)
            probe.symlink_to("nowhere")
            probe.unlink()
        except OSError as fault:
            raise EnvironmentFault(
                f"cannot write symbolic links in {str(self.versions)!r}: {fault.strerror or fault}. "
                "Choose an --output on a file system that has them and where you may write."
            ) from fault

    def check_place(self) -> None:
        """Raise ConfigError where OUTPUT_DIR is neither free nor a link of ours; changes nothing."""
        if self.link.is_symlink():
            target = Path(os.path.abspath(self.link.parent / os.readlink(self.link)))
            if not target.is_relative_to(self.versions):
                raise ConfigError(
                    f"OUTPUT_DIR {str(self.link)!r} is a link to {str(target)!r}, which Logmill did not make. "
                    "Remove the link, or choose another --output."
                )
        elif self.link.is_mount() or self.link.exists():
            kind = "a mount point" if self.link.is_mount() else "a file or folder that Logmill did not make"
            raise ConfigError(
                f"OUTPUT_DIR {str(self.link)!r} is {kind}; it must be free, because it becomes a link to the current "
                "version. Choose another --output, or move it away (in Docker: mount its parent folder)."
            )

    def current(self) -> str | None:
        """The version that the link shows; None where nothing is published."""
        if not self.link.is_symlink():
            return None
        shown = (self.link.parent / os.readlink(self.link)).parent
        return shown.name if is_run_folder(shown) else None

    def version_names(self) -> list[str]:
        """The versions that are kept, in the order in which they were published."""
        folders = [path for path in self.versions.iterdir() if is_run_folder(path)] if self.versions.is_dir() else []
        folders.sort(key=lambda path: path.stat().st_mtime_ns)  # ids of one second are in no order
        return [path.name for path in folders]

    def remove(self, version: str) -> None:
        """Remove a version that the link does not show."""
        shutil.rmtree(self.versions / version, ignore_errors=True)

    def begin(self, version: str) -> Path:
        """A hidden folder for the new version, with its ``data`` folder."""
        folder = self.versions / f".new-{version}"
        (folder / "data").mkdir(parents=True)
        return folder

    def discard(self) -> None:
        """Remove the folders of versions that were begun and not published."""
        for leftover in self.versions.iterdir():
            if is_run_folder(leftover, ".new-"):
                shutil.rmtree(leftover, ignore_errors=True)

    def publish(self, folder: Path, version: str, keep: int) -> None:
        """Make the finished ``folder`` the current version at one instant, and drop the oldest versions beyond
        ``keep``, last of all the one that was current until now: after a rollback that may be the oldest."""
        shown = self.current()
        (folder / "data" / "_SUCCESS").touch()
        self._make_latest(folder)
        for place, _, files in os.walk(folder):
            for name in files:
                point("publish.sync")
                sync(Path(place) / name)
            sync(Path(place))
        point("publish.rename")
        folder.rename(self.versions / version)
        sync(self.versions)
        self.show(version)
        others = sorted((name for name in self.version_names() if name != version), key=lambda name: name == shown)
        for name in others[: len(others) - (keep - 1)]:
            point("publish.remove")
            self.remove(name)

    def _make_latest(self, folder: Path) -> None:
        """Versions are in order of their folders' times, also where the clock was set back since the last one."""
        latest = max((path.stat().st_mtime_ns for path in self.versions.iterdir() if is_run_folder(path)), default=0)
        if folder.stat().st_mtime_ns <= latest:
            os.utime(folder, ns=(latest + 1, latest + 1))

    def show(self, version: str) -> None:
        """Let the link show a version that is there, at one instant."""
        fresh = self.versions / ".link"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path(self.versions.name) / version / "data")
        point("publish.link")
        fresh.replace(self.link)
        point("publish.link.done")
        sync(self.link.parent)
