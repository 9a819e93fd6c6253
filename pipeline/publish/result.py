"""The result of a run: plain values that pickle and print.

The command line imports this module before anything else, so that it imports nothing heavy.
"""

from dataclasses import asdict, dataclass, field
from typing import Literal

from pipeline.publish.tasks import RegionTotal
from pipeline.quality import MICRO, QualityResult
from pipeline.timing import PhaseSeconds, StageTime


@dataclass(frozen=True)
class RefusedFile:
    """An input file that was refused whole, and the reason."""

    file: str
    reason: str


@dataclass(frozen=True)
class RunDelta:
    """What one run contributed to its version.

    =======================================  ==============================================================
    ``files``, ``bytes_read``                of the files that this run read
    ``records_read``, ``rejected``           in those files
    ``kept``, ``duplicates``, ``conflicts``  differences to the previous version
    ``reused_files``, ``reused_splits``      read by earlier runs, and not again
    ``renamed_files``                        files not read again that have another name now
    ``replaced_files``                       files of which new contents count instead of the old
    ``appended_files``                       files of which only what was appended was read
    ``unsettled_files``                      files that were being appended: what follows their last whole record waits
    ``missing_files``                        files that are no longer there and still counted
    ``pruned_files``                         files that are no longer there and no longer counted
    ``repaired_files``                       files read again because the manifest contradicted itself about them
    ``resumed_splits``                       of the files read, read by a run that was interrupted, and not again
    =======================================  ==============================================================

    Where files were only added, ``records_read = kept + duplicates + conflicts + rejected``.
    """

    files: int = 0
    bytes_read: int = 0
    records_read: int = 0
    kept: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    reused_files: int = 0
    reused_splits: int = 0
    renamed_files: int = 0
    replaced_files: int = 0
    appended_files: int = 0
    unsettled_files: int = 0
    missing_files: int = 0
    pruned_files: int = 0
    repaired_files: int = 0
    resumed_splits: int = 0


@dataclass(frozen=True)
class RunResult:
    """Every count, time and decision of one run that a user can see.

    Every record is counted once: ``records_read = kept + duplicates + conflicts + rejected``. ``plan`` has the fields
    of ``Sizes`` and ``Prediction``; ``new`` is what this run contributed. ``failed_late``: the run failed after it had
    published its result. ``learned``: whether the prediction follows from earlier runs on this machine.
    """

    run_id: str
    status: Literal["ok", "partial", "failed"]
    engine: str | None
    output: str
    error: str | None = None
    engine_note: str | None = None
    files: int = 0
    refused_files: tuple[RefusedFile, ...] = ()
    skipped_files: tuple[str, ...] = ()
    bytes_read: int = 0
    records_read: int = 0
    handed_over: int = 0
    kept: int = 0
    duplicates_phase1: int = 0
    duplicates_phase2: int = 0
    conflicts: int = 0
    rejected: int = 0
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    blank_lines: int = 0
    preamble_lines: int = 0
    unreadable_timestamps: int = 0
    output_rows: int = 0
    users: int = 0
    total_micro_minutes: int = 0
    top_regions: tuple[RegionTotal, ...] = ()
    seconds: PhaseSeconds = field(default_factory=PhaseSeconds)
    peak_memory_bytes: int = 0
    throughput_bytes_per_second: float = 0.0
    version: str = ""
    workers: int = 0
    geo_build: str = ""
    geo_attribution: str = ""
    notes: tuple[str, ...] = ()
    plan: dict[str, float] = field(default_factory=dict)
    report: str | None = None
    quarantine: str | None = None
    quality: tuple[QualityResult, ...] = ()
    new: RunDelta = RunDelta()
    profile: tuple[StageTime, ...] = ()
    failed_late: bool = False
    learned: bool = False

    @property
    def published(self) -> bool:
        """Whether OUTPUT_DIR shows what this run found."""
        return self.status != "failed" or self.failed_late

    @property
    def unchanged(self) -> bool:
        """Whether the run found nothing new, so that an earlier version stays the result."""
        return self.status != "failed" and self.version not in ("", self.run_id)

    @property
    def publication(self) -> Literal["yes", "no", "unchanged"]:
        """Whether OUTPUT_DIR shows a version of this run, or still one that says the same."""
        if not self.published:
            return "no"
        return "unchanged" if self.unchanged else "yes"

    @property
    def stopped_by_gate(self) -> bool:
        """Whether a quality gate kept the result from being published."""
        return any(result.outcome == "fail" for result in self.quality)

    @property
    def duplicates(self) -> int:
        """Duplicates of both phases. Which phase finds one depends on how the input is cut into splits."""
        return self.duplicates_phase1 + self.duplicates_phase2

    @property
    def total_minutes(self) -> float:
        """Watch time of all users in minutes: the exact integer sum, divided once."""
        return self.total_micro_minutes / MICRO

    def to_json(self) -> dict[str, object]:
        """The object that ``--json`` prints: a stable interface with the same keys for every run, also a failed one."""
        return {
            "run_id": self.run_id,
            "status": self.status,
            "error": self.error,
            "engine": self.engine,
            "files": self.files,
            "refused_files": [{"file": refused.file, "reason": refused.reason} for refused in self.refused_files],
            "bytes_read": self.bytes_read,
            "records_read": self.records_read,
            "kept": self.kept,
            "duplicates": self.duplicates,
            "conflicts": self.conflicts,
            "rejected": self.rejected,
            "rejected_by_reason": dict(sorted(self.rejected_by_reason.items())),
            "output_rows": self.output_rows,
            "users": self.users,
            "total_watch_time_min": self.total_minutes,
            "seconds": {
                "total": self.seconds.total,
                "phase1": self.seconds.phase1,
                "phase2": self.seconds.phase2,
                "publish": self.seconds.publish,
            },
            "peak_memory_bytes": self.peak_memory_bytes,
            "throughput_bytes_per_second": self.throughput_bytes_per_second,
            "output": self.output,
            "duplicates_phase1": self.duplicates_phase1,
            "duplicates_phase2": self.duplicates_phase2,
            "handed_over": self.handed_over,
            "blank_lines": self.blank_lines,
            "preamble_lines": self.preamble_lines,
            "unreadable_timestamps": self.unreadable_timestamps,
            "quality": [asdict(result) | {"share": result.share} for result in self.quality],
            "new": asdict(self.new),
            "published": self.published,
            "skipped_files": list(self.skipped_files),
            "publication": self.publication,
            "version": self.version,
            "report": self.report,
            "quarantine": self.quarantine,
            "notes": list(self.notes),
            "plan": self.plan | {"learned": self.learned} if self.plan else {},
            "engine_note": self.engine_note,
        }


def failed_result(
    error: str, *, engine: str | None = None, output: str = "", run_id: str = "", published: bool = False
) -> RunResult:
    """Make the result of a run that ended with ``error`` and has no counts: all are 0.

    ``published``: whether it had published its result before.
    """
    return RunResult(run_id=run_id, status="failed", engine=engine, output=output, error=error, failed_late=published)
