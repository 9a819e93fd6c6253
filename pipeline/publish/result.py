"""What a run reports back: plain values that pickle and print, and how they are made of what the run found.

The command line needs them before anything else: nothing heavy is imported here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypedDict

from pipeline.machine import display_name
from pipeline.privacy import mask_addresses
from pipeline.publish.tasks import RegionTotal
from pipeline.quality import MICRO, QualityResult
from pipeline.timing import PhaseSeconds, StageTime
from pipeline.versions.folders import REPORT, RUN_RECORD

if TYPE_CHECKING:
    from config import Config
    from pipeline.aggregate.add_up import AddedUp
    from pipeline.engines.choose import EngineChoice
    from pipeline.geo.table import GeoTable
    from pipeline.history.carry_over import Counted, Intake
    from pipeline.history.place import Place
    from pipeline.planning.planner import Sizes
    from pipeline.planning.prediction import Forecast
    from pipeline.planning.run_settings import Library, RunSettings
    from pipeline.preprocess.ledger import Phase1Result
    from pipeline.publish.region_files import Written
    from pipeline.publish.verify import Verdict
    from pipeline.reading.input_files import FoundInput
    from pipeline.timing import Watch


@dataclass(frozen=True)
class RefusedFile:
    """An input file that was refused whole, and the reason in one sentence."""

    file: str
    reason: str


@dataclass(frozen=True)
class RunDelta:
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


@dataclass(frozen=True)
class RunFacts:
    """All that a run has decided and found when its totals are there: its result, notes, record and report are made of
    this."""

    settings: "RunSettings"
    engine: "EngineChoice"
    sizes: "Sizes"
    geo: "GeoTable"
    library: "Library"
    found: "FoundInput"
    place: "Place"
    intake: "Intake"
    counted: "Counted"
    added_up: "AddedUp"
    verdict: "Verdict"
    forecast: "Forecast"
    begin_seconds: float


def make_result(facts: RunFacts, written: "Written", notes: Sequence[str], watch: "Watch") -> RunResult:
    """The result of a run whose files count: ``ok``, or ``partial`` where some were refused."""
    phase1, phase2, output = facts.counted.phase1, facts.added_up.result, facts.settings.config.OUTPUT_DIR
    rejected = sum((ledger.rejected_by_reason for ledger in phase1.ledgers), Counter[str]())
    seconds = watch.seconds()
    result = RunResult(
        run_id=watch.run_id,
        status="partial" if phase1.refused else "ok",
        engine=facts.engine.name,
        output=output,
        engine_note=facts.engine.note,
        files=len(phase1.ledgers),
        refused_files=_refused_files(phase1),
        skipped_files=tuple(display_name(path) for path in facts.found.skipped),
        bytes_read=sum(ledger.file.size for ledger in phase1.ledgers),
        records_read=sum(ledger.records for ledger in phase1.ledgers),
        handed_over=phase1.handed_over,
        kept=phase2.kept,
        duplicates_phase1=sum(ledger.duplicates for ledger in phase1.ledgers),
        duplicates_phase2=phase2.duplicates,
        conflicts=phase2.conflicts,
        rejected=rejected.total(),
        rejected_by_reason=dict(rejected),
        blank_lines=sum(ledger.blank_lines for ledger in phase1.ledgers),
        preamble_lines=sum(ledger.preamble_lines for ledger in phase1.ledgers),
        output_rows=written.rows,
        users=phase2.users,
        total_micro_minutes=written.micro_minutes,
        top_regions=written.regions,
        seconds=seconds,
        peak_memory_bytes=watch.peak_memory(),
        workers=facts.sizes.workers,
        plan=asdict(facts.sizes) | facts.forecast.prediction.as_numbers(),
        geo_build=facts.geo.build,
        geo_attribution=facts.geo.attribution,
        notes=tuple(notes),
        quality=facts.verdict.quality,
        **_places(output, watch.run_id, bool(rejected or phase2.conflicts or phase1.refused)),
    )
    delta = _delta(facts, result)
    return replace(result, new=delta, throughput_bytes_per_second=delta.bytes_read / seconds.total)


def _delta(facts: RunFacts, result: RunResult) -> RunDelta:
    """What the run did for its version: what it read, and by how much the counts of the version before changed."""
    read, inventory, still_counted = facts.counted.read, facts.intake.inventory, facts.intake.still_counted
    before = facts.place.history.counts
    return RunDelta(
        files=len(read),
        bytes_read=sum(ledger.file.size for ledger in read),
        records_read=sum(ledger.records for ledger in read),
        kept=result.kept - before.get("kept", 0),
        duplicates=result.duplicates - before.get("all_duplicates", 0),
        conflicts=result.conflicts - before.get("conflicts", 0),
        rejected=sum(ledger.rejected_by_reason.total() for ledger in read),
        reused_files=len(inventory.reused),
        reused_splits=facts.counted.phase1.resumed_splits + sum(len(file.splits) for file in inventory.reused.values()),
        renamed_files=len(inventory.renamed),
        replaced_files=len(inventory.replaced) - len(facts.counted.retained),
        missing_files=sum(file in still_counted for file in inventory.missing),
        pruned_files=sum(file not in still_counted for file in inventory.missing),
    )


def unchanged_result(result: RunResult, version: str) -> RunResult:
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
        "report": f"{folder}/{REPORT}",
        "quarantine": f"{folder}/quarantine" if quarantine else None,
    }


def nothing_counts_result(
    config: "Config", engine: "EngineChoice", phase1: "Phase1Result", watch: "Watch"
) -> RunResult:
    """Make the result of a run in which no file of the input counts."""
    record = f"{config.INTERMEDIATE_DIR}/run-{watch.run_id}/{RUN_RECORD}"
    return RunResult(
        run_id=watch.run_id,
        status="failed",
        engine=engine.name,
        output=config.OUTPUT_DIR,
        error="every input file was refused; nothing was published. Mend the files named above and run again. Until "
        f"then the record of this run is {display_name(record)}.",
        refused_files=_refused_files(phase1),
        seconds=watch.seconds(),
    )


def _refused_files(phase1: "Phase1Result") -> tuple[RefusedFile, ...]:
    """The refused files by name, without addresses in the reasons."""
    return tuple(
        RefusedFile(display_name(path), mask_addresses(reason)) for path, reason in sorted(phase1.refused.items())
    )
