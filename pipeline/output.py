"""The output: versions beside the link ``OUTPUT_DIR``, written aside and published by one rename."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

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
class FileTask:
    """One output file: ``slices`` of the buckets' totals, (bucket, first row, rows), all of one region."""

    region: str
    number: int
    folder: str
    slices: tuple[tuple[int, int, int], ...]


def partition_folder(region: str) -> str:
    """Folder name of a region; characters that are special in paths are escaped as Hive and Spark do (%2F)."""
    safe = "".join(f"%{ord(char):02X}" if char in _ESCAPED else char for char in region)
    return f"geo_region={safe}"


def write_file(job: Job, task: FileTask, report: Callable[[int], None]) -> tuple[int, int, int]:
    """Write one output file; (rows, events, micro-minutes) as they were written. A sum over users may pass int64."""
    folder = Path(task.folder) / partition_folder(task.region)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        pl.scan_parquet(job.workspace.path("totals", bucket_file(bucket)), glob=False).slice(first, rows).collect()
        for bucket, first, rows in task.slices
    ]
    totals = pl.concat(parts)
    # Divided by NumPy: Polars multiplies by the reciprocal, which is off by one unit in the last place now and then.
    minutes = pl.Series("total_watch_time_min", totals["micro_minutes"].to_numpy() / MICRO)
    table = totals.select("user_id", minutes, "event_count").to_arrow(compat_level=pl.CompatLevel.oldest())
    path = folder / f"part-{task.number:04d}-{job.version}.parquet"
    point("output.write")
    codec = None if job.compression == "none" else job.compression
    # Hardly a value occurs twice: dictionaries would take three times as long, and more room.
    pq.write_table(table.cast(SCHEMA), path, compression=codec, row_group_size=1 << 18, use_dictionary=False)
    sync(path)
    report(len(totals))
    count(len(totals))
    micro = totals["micro_minutes"]
    total = (int((micro // 2**32).sum()) << 32) + int((micro % 2**32).sum())
    return len(totals), int(totals["event_count"].sum()), total


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
