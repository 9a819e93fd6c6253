"""What a run knows once its totals are there, and the results that are made of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypedDict

from config import Config
from pipeline.aggregate.add_up import AddedUp
from pipeline.engines.choose import EngineChoice
from pipeline.geo.table import GeoTable
from pipeline.history.carry_over import Counted, Intake
from pipeline.history.inventory import identity
from pipeline.history.place import Place
from pipeline.machine import display_name
from pipeline.planning.planner import Sizes
from pipeline.planning.prediction import Forecast
from pipeline.planning.run_settings import Library, RunSettings
from pipeline.preprocess.ledger import Phase1Counts, Phase1Result
from pipeline.privacy import mask_addresses
from pipeline.publish.region_files import Written
from pipeline.publish.result import RefusedFile, RunDelta, RunResult
from pipeline.publish.verify import Verdict
from pipeline.reading.input_files import FoundInput
from pipeline.timing import Watch
from pipeline.versions.folders import REPORT, RUN_RECORD, intermediate_folder, place_of_version


@dataclass(frozen=True)
class RunFacts:
    """All that a run has decided and found once its totals are there.

    ``begin_seconds``: what the run took before it compared the input with the history.
    """

    settings: RunSettings
    engine: EngineChoice
    sizes: Sizes
    geo: GeoTable
    library: Library
    found: FoundInput
    place: Place
    intake: Intake
    counted: Counted
    added_up: AddedUp
    verdict: Verdict
    forecast: Forecast
    begin_seconds: float


def make_result(facts: RunFacts, written: Written, notes: Sequence[str], watch: Watch) -> RunResult:
    """Make the result of a run with files that count: ``ok``, or ``partial`` where other files were refused."""
    phase1, phase2, output = facts.counted.phase1, facts.added_up.result, facts.settings.config.OUTPUT_DIR
    counts = phase1.counts
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
        bytes_read=counts.bytes,
        records_read=counts.records,
        handed_over=counts.handed_over,
        kept=phase2.kept,
        duplicates_phase1=counts.duplicates,
        duplicates_phase2=phase2.duplicates,
        conflicts=phase2.conflicts,
        rejected=counts.rejected.total(),
        rejected_by_reason=dict(counts.rejected),
        blank_lines=counts.blank_lines,
        preamble_lines=counts.preamble_lines,
        unreadable_timestamps=counts.undated,
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
        learned=facts.forecast.pace.learned,
        notes=tuple(notes),
        quality=facts.verdict.quality,
        **_version_paths(output, watch.run_id, bool(counts.rejected or phase2.conflicts or phase1.refused)),
    )
    delta = _delta(facts, result)
    return replace(result, new=delta, throughput_bytes_per_second=delta.bytes_read / seconds.work)


def repaired(facts: RunFacts) -> list[str]:
    """The listed names of the files that this run read because the manifest contradicted itself about them."""
    if not facts.place.history.contradicted:
        return []
    names = {identity(ledger.file.path): display_name(ledger.file.path) for ledger in facts.counted.read}
    return sorted({names[file.path] for file in facts.place.history.contradicted if file.path in names})


def _delta(facts: RunFacts, result: RunResult) -> RunDelta:
    read, intake, inventory = facts.counted.read, facts.intake, facts.intake.inventory
    previous = facts.place.history.counts
    new = Phase1Counts()
    new_bytes = carried = appended = unsettled = 0
    for ledger in read:
        new.add(ledger.new_part)
        new_bytes += ledger.new_bytes
        carried += ledger.carried
        appended += ledger.carried > 0
        unsettled += ledger.unsettled > 0
    return RunDelta(
        files=len(read),
        bytes_read=new_bytes,
        records_read=new.records,
        kept=result.kept - previous.get("kept", 0),
        duplicates=result.duplicates - previous.get("all_duplicates", 0),
        conflicts=result.conflicts - previous.get("conflicts", 0),
        rejected=new.rejected.total(),
        reused_files=len(inventory.reused),
        reused_splits=facts.counted.phase1.resumed_splits
        + sum(len(file.splits) for file in inventory.reused.values())
        + carried,
        renamed_files=len(inventory.renamed),
        replaced_files=sum(path not in facts.counted.predecessors for path in inventory.replaced),
        appended_files=appended,
        unsettled_files=unsettled,
        missing_files=len(intake.missing),
        pruned_files=len(intake.pruned),
        repaired_files=len(repaired(facts)),
        resumed_splits=facts.counted.phase1.resumed_splits,
    )


def unchanged_result(result: RunResult, version: str) -> RunResult:
    """Make the result of a run that would repeat the published ``version``, from that of its unpublished one."""
    note = f"nothing has changed since version {version}, which stays the result: no new version"
    paths = _version_paths(result.output, version, result.quarantine is not None)
    return replace(result, notes=(*result.notes, note), **paths)


class _VersionPaths(TypedDict):
    version: str
    report: str
    quarantine: str | None


def _version_paths(output: str, version: str, quarantine: bool) -> _VersionPaths:
    folder = place_of_version(output, version)
    return {
        "version": version,
        "report": f"{folder}/{REPORT}",
        "quarantine": f"{folder}/quarantine" if quarantine else None,
    }


def nothing_counts_result(config: Config, engine: EngineChoice, phase1: Phase1Result, watch: Watch) -> RunResult:
    """Make the result of a run in which no file of the input counts."""
    record = f"{intermediate_folder(config.INTERMEDIATE_DIR, config.OUTPUT_DIR)}/run-{watch.run_id}/{RUN_RECORD}"
    return RunResult(
        run_id=watch.run_id,
        status="failed",
        engine=engine.name,
        engine_note=engine.note,
        output=config.OUTPUT_DIR,
        error="every input file was refused; nothing was published. Correct the refused files and run again. Until "
        f"then the record of this run is {display_name(record)}.",
        refused_files=_refused_files(phase1),
        seconds=watch.seconds(),
    )


def _refused_files(phase1: Phase1Result) -> tuple[RefusedFile, ...]:
    """The refused files in order of their paths; addresses in the reasons are cut to their networks."""
    return tuple(
        RefusedFile(display_name(path), mask_addresses(reason)) for path, reason in sorted(phase1.refused.items())
    )
