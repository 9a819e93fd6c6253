"""Writes a new version whole before it is published, and the record of a run that publishes none."""

from dataclasses import replace
from pathlib import Path

from pipeline.engines import Engine, no_advance
from pipeline.engines.choose import EngineChoice
from pipeline.history.place import Place
from pipeline.machine import display_name
from pipeline.planning.run_settings import RunSettings
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish.context import PublishContext
from pipeline.publish.facts import RunFacts, make_result, nothing_counts_result
from pipeline.publish.notes import make_notes
from pipeline.publish.quarantine import EarlierRecords, write_quarantine
from pipeline.publish.region_files import NOTHING_WRITTEN, write_output
from pipeline.publish.report import write_report
from pipeline.publish.report.observed import observe
from pipeline.publish.result import RunResult
from pipeline.publish.run_record import write_geo, write_run_record
from pipeline.timing import Watch, stage
from pipeline.versions.folders import REPORT


def publish_context(facts: RunFacts, version: str) -> PublishContext:
    """The context of the kernels that write the version of this name."""
    config = facts.settings.config
    return PublishContext(
        workspace=facts.place.workspace,
        version=version,
        file_rows=facts.sizes.file_rows,
        compression=config.COMPRESSION,
        max_record=config.MAX_RECORD_BYTES,
        keep_raw=facts.settings.keep_raw,
        region_names=facts.geo.names,
        held_bytes=facts.sizes.bucket_bytes,
        library_path=facts.library.location,
    )


def write_version(engine: Engine, folder: Path, facts: RunFacts, watch: Watch) -> RunResult:
    """Write data, quarantine, geo.json, run.json and report into ``folder``; returns the result that they show.

    Raises BalanceError where the files do not hold what was kept, or a record is missing in the quarantine.
    """
    context = publish_context(facts, watch.run_id)
    written = write_output(engine, context, folder, facts.added_up.result, no_advance)
    _write_quarantine(engine, context, folder, facts)
    write_geo(folder, facts.geo)
    watch.lap("publish")
    return _write_record(folder, make_result(facts, written, make_notes(facts, watch.spans), watch), facts, watch)


def record_stopped(engine: Engine, facts: RunFacts, watch: Watch) -> RunResult:
    """Write quarantine, record and report of a run that a quality gate stopped; returns its result.

    They stay in the folder ``stopped`` beside the run's intermediate files until the next run.
    """
    folder = Path(facts.place.workspace.root) / "stopped"
    _write_quarantine(engine, publish_context(facts, watch.run_id), folder, facts)
    watch.lap("publish")
    result = make_result(facts, NOTHING_WRITTEN, make_notes(facts, watch.spans), watch)
    quarantine = display_name(str(folder / "quarantine")) if result.quarantine else None
    report = display_name(str(folder / REPORT))
    result = replace(result, status="failed", error=facts.verdict.stopped, quarantine=quarantine, report=report)
    return _write_record(folder, result, facts, watch)


def record_failure(
    settings: RunSettings, choice: EngineChoice, place: Place, phase1: Phase1Result, watch: Watch
) -> RunResult:
    """Write the record of a run in which no file of the input counts; returns its result.

    It stays beside the run's intermediate files until the next run.
    """
    result = nothing_counts_result(settings.config, choice, phase1, watch)
    write_run_record(Path(place.workspace.root), result, phase1, settings.as_record())
    return result


def _write_quarantine(engine: Engine, context: PublishContext, folder: Path, facts: RunFacts) -> None:
    history, added_up = facts.place.history, facts.added_up
    conflicts = history.counts["conflicts"] if added_up.way == "changes" else None
    earlier = EarlierRecords(history.quarantine, facts.place.oldest_kept, conflicts)
    write_quarantine(engine, context, folder, facts.counted.phase1, facts.added_up.result, earlier)


def _write_record(folder: Path, result: RunResult, facts: RunFacts, watch: Watch) -> RunResult:
    """Write ``run.json`` and the report; returns the result that they show, which has the profile until now."""
    result = replace(result, profile=watch.profile())
    phase1, phase2 = facts.counted.phase1, facts.added_up.result
    record = write_run_record(folder, result, phase1, facts.settings.as_record())
    with stage("report"):
        observed = observe(watch, phase1, phase2, facts.place.workspace, folder / "data", facts.place.exchange)
        write_report(folder, record, observed, facts.settings.config.OUTPUT_DIR)
    return result
