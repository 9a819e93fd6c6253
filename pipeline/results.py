"""What a run reports back, and how it reports progress: plain values that pickle and print."""

from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

from pipeline.stages import StageTime

MICRO = 1_000_000
"""Micro-minutes in a minute: watch time is an integer until it is shown."""


Unit = Literal["bytes", "rows"]


class Progress(Protocol):
    """Where a run tells how far it is. Calls come from one thread."""

    def phase(self, name: str, total: int, unit: Unit = "bytes") -> None:
        """A phase begins (and the one before has ended); it will ``advance`` by ``total`` bytes or rows in all."""

    def advance(self, n: int) -> None:
        """``n`` more of the phase's total are done."""

    def note(self, message: str) -> None:
        """One line for the user: a fallback taken, a file skipped."""

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        """For a log that programs read: ids, files, counts and times, never values of records. ``run_id`` comes once,
        with the first event."""


@dataclass(frozen=True)
class RefusedFile:
    """An input file that was refused whole, and the reason in one sentence."""

    file: str
    reason: str


@dataclass(frozen=True)
class RegionTotal:
    """One region of the result: users, events kept, watch time in minutes."""

    region: str
    users: int
    events: int
    minutes: float


@dataclass(frozen=True)
class QualityResult:
    """What a quality gate or a record rule (``rule:<name>``) found: ``count`` of ``of`` records or events.

    ``outcome``: ``ok``; of a gate ``warn`` or ``fail``, with the limit that was passed; of a rule that some records
    break its action, ``warn`` or ``reject``.
    """

    name: str
    count: int
    of: int
    outcome: str
    limit: float | None = None

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.count / self.of if self.of else 0.0

    def __str__(self) -> str:
        kind = "events" if self.name.endswith("_region") else "records"
        found = f"{self.name}: {self.count:,} of {self.of:,} {kind} ({self.share:.4%})"
        if self.limit is None:
            return found
        return f"{found}, limit {self.limit:.4%}"


@dataclass(frozen=True)
class Share:
    """What one run did for the version that it published: what it read, and what it took over.

    ``kept``, ``duplicates`` and ``conflicts`` are the differences to the version before; the other counts are of the
    files that were read now. For files that were only added they balance as the whole does.
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
    missing_files: int = 0
    pruned_files: int = 0


@dataclass(frozen=True)
class PhaseSeconds:
    """Wall-clock seconds of the run and of its phases."""

    total: float = 0.0
    phase1: float = 0.0
    phase2: float = 0.0
    publish: float = 0.0


@dataclass(frozen=True)
class RunResult:
    """The outcome of one run: every count, time and decision that the user is told about.

    Counts keep the conservation law: ``records_read = kept + duplicates + conflicts + rejected``.
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
    output_rows: int = 0
    users: int = 0
    total_micro_minutes: int = 0
    top_regions: tuple[RegionTotal, ...] = ()
    seconds: PhaseSeconds = PhaseSeconds()
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
    new: Share = Share()
    profile: tuple[StageTime, ...] = ()

    @property
    def stopped_by_gate(self) -> bool:
        """Whether a quality gate kept the result from being published."""
        return any(result.outcome == "fail" for result in self.quality)

    @property
    def duplicates(self) -> int:
        """Duplicates of both phases; how they divide between the phases depends on the cutting of the input."""
        return self.duplicates_phase1 + self.duplicates_phase2

    @property
    def total_minutes(self) -> float:
        """Watch time of all users in minutes, divided once from the exact integer sum."""
        return self.total_micro_minutes / MICRO

    def to_json(self) -> dict[str, object]:
        """The object that ``--json`` prints: a stable interface, exactly these keys, also on failure."""
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
            "quality": [asdict(result) | {"share": result.share} for result in self.quality],
            "new": asdict(self.new),
        }


def failed_result(error: str, *, engine: str | None = None, output: str = "", run_id: str = "") -> RunResult:
    """A result for a run that ended with ``error`` before it had counts: all zeros, status ``failed``."""
    return RunResult(run_id=run_id, status="failed", engine=engine, output=output, error=error)
