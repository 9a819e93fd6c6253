"""The record of a run: run.json, geo.json, and a log event for every file."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from pipeline.geo.table import GeoTable
from pipeline.machine import display_name, writing
from pipeline.preprocess.ledger import FileLedger, Phase1Result
from pipeline.publish.result import RunResult
from pipeline.reading.no_header import without_fields
from pipeline.timing import Progress
from pipeline.versions.folders import GEO_RECORD, RUN_RECORD
from pipeline.versions.ledger_entries import write_entries


def counts_for_the_next(result: RunResult, buckets: int | None) -> dict[str, int]:
    """The counts of a run that the next one needs: for its differences, and to add to its totals.

    ``buckets``: of the totals; None where those are Spark's partitions, which no run can add to.
    """
    counts = {"kept": result.kept, "duplicates": result.duplicates_phase2, "conflicts": result.conflicts}
    return counts | {"all_duplicates": result.duplicates} | ({"buckets": buckets} if buckets else {})


def log_files(phase1: Phase1Result, progress: Progress) -> None:
    """Log what became of every file. Of a refused file's reason, fields of records are left out."""
    for ledger in phase1.ledgers:
        progress.event("file_read", "info", **ledger_entry(ledger))
    for path, reason in sorted(phase1.refused.items()):
        progress.event("file_refused", level="error", file=display_name(path), reason=without_fields(reason))


def write_run_record(
    folder: Path, result: RunResult, phase1: Phase1Result, settings: dict[str, object]
) -> dict[str, object]:
    """Write ``run.json`` into ``folder``; returns what it holds.

    That is what ``--json`` prints, with notes, regions, profile, plan, settings, and the ledger of every file.
    ``settings``: as ``RunSettings.as_record`` gives them.
    """
    record = result.to_json() | {
        "geo_build": result.geo_build,
        "geo_attribution": result.geo_attribution,
        "regions": [asdict(region) for region in result.top_regions],
        "profile": [asdict(part) for part in result.profile],
        "prepare_seconds": result.seconds.prepare,
        "start_seconds": result.seconds.start,
        "settings": settings,
    }
    path = folder / RUN_RECORD
    with writing(path), path.open("w", encoding="utf-8") as stream:
        # Gates and rules are dataclasses.
        stream.write(json.dumps(record, indent=2, ensure_ascii=False, default=asdict).removesuffix("\n}"))
        write_entries(stream, map(ledger_entry, phase1.ledgers))
    return record | {"ledger": _Entries(phase1)}


class _Entries:
    """The ledger of a run: an entry for each file, made when it is asked for, because there may be very many files."""

    def __init__(self, phase1: Phase1Result) -> None:
        self._phase1 = phase1

    def __iter__(self) -> Iterator[dict[str, object]]:
        return map(ledger_entry, self._phase1.ledgers)

    def __len__(self) -> int:
        return len(self._phase1.ledgers)


def write_geo(folder: Path, geo: GeoTable) -> None:
    """Write ``geo.json`` into ``folder``: names of the regions by code, and the recipe of the geo table."""
    record = {"names": geo.names, "source": asdict(geo.source)}
    with writing(folder / GEO_RECORD):
        (folder / GEO_RECORD).write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")


def ledger_entry(ledger: FileLedger) -> dict[str, object]:
    """The counts of one file, as ``run.json`` and the log have them."""
    rejected = ledger.rejected_by_reason
    return {
        "file": display_name(ledger.file.path),
        "bytes": ledger.file.size,
        "bytes_on_disk": ledger.file.size_on_disk,
        "content_hash": ledger.file_hash,
        "splits": len(ledger.splits),
        "records": ledger.records,
        "duplicates": ledger.duplicates,
        "handed_over": ledger.handed_over,
        "rejected": rejected.total(),
        "rejected_by_reason": dict(sorted(rejected.items())),
        "blank_lines": ledger.blank_lines,
        "preamble_lines": ledger.preamble_lines,
        "unreadable_timestamps": ledger.undated,
        "columns": list(ledger.file.header.names) if ledger.file.header else [],
    }
