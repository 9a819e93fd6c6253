"""The record of a run: run.json, geo.json, and what the log is told of every file."""

import json
from dataclasses import asdict
from pathlib import Path

from pipeline.geo.table import GeoTable
from pipeline.machine import display_name
from pipeline.preprocess.ledger import FileLedger, Phase1Result
from pipeline.publish.result import RunResult
from pipeline.reading.header import without_fields
from pipeline.timing import Progress
from pipeline.versions.folders import GEO_RECORD, RUN_RECORD


def counts_for_the_next(result: RunResult, buckets: int | None) -> dict[str, int]:
    """What the next run needs of this one's; ``buckets`` of its totals, None where they are Spark's partitions."""
    counts = {"kept": result.kept, "duplicates": result.duplicates_phase2, "conflicts": result.conflicts}
    return counts | {"all_duplicates": result.duplicates} | ({"buckets": buckets} if buckets else {})


def log_files(phase1: Phase1Result, progress: Progress) -> None:
    """Tell the log what became of every file; a line of a file that has no header may hold personal data."""
    for ledger in phase1.ledgers:
        progress.event("file_read", "info", **ledger_entry(ledger))
    for path, reason in sorted(phase1.refused.items()):
        progress.event("file_refused", level="error", file=display_name(path), reason=without_fields(reason))


def write_run_record(
    folder: Path, result: RunResult, phase1: Phase1Result, settings: dict[str, object]
) -> dict[str, object]:
    """Write ``run.json``: the result as ``--json`` gives it, and the ledger of every file. Returns what it holds."""
    record = result.to_json() | {
        "version": result.version,
        "geo_build": result.geo_build,
        "geo_attribution": result.geo_attribution,
        "engine_note": result.engine_note,
        "notes": list(result.notes),
        "skipped_files": list(result.skipped_files),
        "regions": [asdict(region) for region in result.top_regions],
        "profile": [asdict(part) for part in result.profile],
        "plan": result.plan,
        "settings": settings,
        "ledger": [ledger_entry(ledger) for ledger in phase1.ledgers],
    }
    shown = json.dumps(record, indent=2, ensure_ascii=False, default=asdict)  # gates and rules among the settings
    (folder / RUN_RECORD).write_text(shown + "\n", encoding="utf-8")
    return record


def write_geo(folder: Path, geo: GeoTable) -> None:
    """Write ``geo.json``: the regions by their codes, and the recipe of the table that gave them."""
    record = {"names": geo.names, "source": asdict(geo.source)}
    (folder / GEO_RECORD).write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")


def ledger_entry(ledger: FileLedger) -> dict[str, object]:
    """What became of the records of one file, as ``run.json`` and the log tell it."""
    return {
        "file": display_name(ledger.file.path),
        "bytes": ledger.file.size,
        "bytes_on_disk": ledger.file.size_on_disk,
        "content_hash": ledger.file_hash,
        "splits": len(ledger.splits),
        "records": ledger.records,
        "duplicates": ledger.duplicates,
        "handed_over": ledger.handed_over,
        "rejected": ledger.rejected_by_reason.total(),
        "rejected_by_reason": dict(sorted(ledger.rejected_by_reason.items())),
        "blank_lines": ledger.blank_lines,
        "preamble_lines": ledger.preamble_lines,
        "columns": list(ledger.file.header.names) if ledger.file.header else [],
    }
