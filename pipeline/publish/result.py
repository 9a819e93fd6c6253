"""What a run reports back, and how it reports progress: plain values that pickle and print."""

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, TypedDict

from config import Config
from pipeline.aggregate.driver import Totals
from pipeline.engines.choose import Choice
from pipeline.geo.table import GeoTable
from pipeline.machine import display_name
from pipeline.planning.planner import Plan
from pipeline.preprocess.ledger import Phase1
from pipeline.privacy import mask_addresses
from pipeline.publish import report
from pipeline.publish.region_files import Written
from pipeline.quality import QualityResult
from pipeline.timing import PhaseSeconds, StageTime

MICRO = 1_000_000
"""Micro-minutes in a minute: watch time is an integer until it is shown."""


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


def make_result(
    run_id: str,
    config: Config,
    choice: Choice,
    outcome: Phase1,
    totals: Totals,
    written: Written,
    geo: GeoTable,
    sizes: Plan,
    seconds: PhaseSeconds,
    peak_memory: int,
) -> RunResult:
    """The result of a run whose files count: ``ok``, or ``partial`` where some were refused."""
    ledgers = outcome.ledgers
    rejected = sum((ledger.rejected_by_reason for ledger in ledgers), Counter[str]())
    return RunResult(
        run_id=run_id,
        status="partial" if outcome.refused else "ok",
        engine=choice.name,
        output=config.OUTPUT_DIR,
        engine_note=choice.note,
        files=len(ledgers),
        refused_files=refused_files(outcome),
        bytes_read=sum(ledger.file.size for ledger in ledgers),
        records_read=sum(ledger.records for ledger in ledgers),
        handed_over=outcome.handed_over,
        kept=totals.kept,
        duplicates_phase1=sum(ledger.duplicates for ledger in ledgers),
        duplicates_phase2=totals.duplicates,
        conflicts=totals.conflicts,
        rejected=rejected.total(),
        rejected_by_reason=dict(rejected),
        blank_lines=sum(ledger.blank_lines for ledger in ledgers),
        preamble_lines=sum(ledger.preamble_lines for ledger in ledgers),
        output_rows=written.rows,
        users=totals.users,
        total_micro_minutes=written.micro_minutes,
        top_regions=written.regions,
        seconds=seconds,
        peak_memory_bytes=peak_memory,
        workers=sizes.workers,
        plan=asdict(sizes),
        geo_build=geo.build,
        geo_attribution=geo.attribution,
        **_places(config.OUTPUT_DIR, run_id, bool(rejected or totals.conflicts or outcome.refused)),
    )


def stays(result: RunResult, version: str) -> RunResult:
    """The result of a run that found nothing but what the published ``version`` says."""
    note = f"nothing has changed since version {version}, which stays the result: no new version"
    places = _places(result.output, version, result.quarantine is not None)
    return replace(result, notes=(*result.notes, note), **places)


class _Places(TypedDict):
    version: str
    report: str
    quarantine: str | None


def _places(output: str, version: str, quarantine: bool) -> _Places:
    """Where the parts of a version lie."""
    folder = f"{output}.versions/{version}"
    return {
        "version": version,
        "report": f"{folder}/{report.REPORT}",
        "quarantine": f"{folder}/quarantine" if quarantine else None,
    }


def nothing_left(run_id: str, config: Config, choice: Choice, outcome: Phase1, seconds: PhaseSeconds) -> RunResult:
    """The result of a run without a file that counts; its record stays among the intermediate files until the next."""
    record = f"{config.INTERMEDIATE_DIR}/run-{run_id}/run.json"
    return RunResult(
        run_id=run_id,
        status="failed",
        engine=choice.name,
        output=config.OUTPUT_DIR,
        error="every input file was refused; nothing was published. Mend the files named above and run again. Until "
        f"then the record of this run is {display_name(record)}.",
        refused_files=refused_files(outcome),
        seconds=seconds,
    )


def refused_files(outcome: Phase1) -> tuple[RefusedFile, ...]:
    """The refused files by name, without addresses in the reasons."""
    return tuple(
        RefusedFile(display_name(path), mask_addresses(reason)) for path, reason in sorted(outcome.refused.items())
    )
