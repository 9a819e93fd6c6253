"""The result of a run, put together from what its phases found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TypedDict

from config import Config
from pipeline import report
from pipeline.engines.choose import Choice
from pipeline.geo import GeoTable
from pipeline.ledger import Phase1
from pipeline.masking import mask_addresses
from pipeline.phase2 import Totals
from pipeline.planner import Plan
from pipeline.publication import Written
from pipeline.results import PhaseSeconds, RefusedFile, RunResult
from pipeline.splits import display_name

BY_SQL = "added up by Spark's own plan: a bucket's rows are more than fit a worker's memory (SPARK_PLAN)"
"""What is said of a run where ``SPARK_PLAN = auto`` decided so."""


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


def decisions(config: Config, sizes: Plan, expired: Sequence[str], forgotten: int, no_kernel: str) -> list[str]:
    """What was decided for the user, in lines. ``expired``: versions that lost their quarantines; ``forgotten``: files
    whose rejected records lost their texts; ``no_kernel``: why there is no compiled parser, if there is none."""
    notes = []
    if sizes.workers < config.PREPROCESSING_WORKERS:
        notes.append(f"{sizes.workers} of {config.PREPROCESSING_WORKERS} workers: the memory limit allows no more")
    if expired:
        notes.append(
            f"quarantines older than {config.QUARANTINE_RETENTION_DAYS} days were removed, of versions "
            f"{', '.join(expired)} (QUARANTINE_RETENTION_DAYS)"
        )
    if forgotten:
        notes.append(
            f"texts of rejected records of {forgotten:,} files, read more than {config.QUARANTINE_RETENTION_DAYS} days "
            "ago, were removed (QUARANTINE_RETENTION_DAYS)"
        )
    if no_kernel:
        notes.append(f"reading took about twice as long as it could: no compiled parser, because {no_kernel}")
    return notes
