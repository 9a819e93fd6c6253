"""From totals to a published version: output files by region, the quarantine, the ledger, and the last check."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.catalog import GEO_RECORD
from pipeline.engines import Engine
from pipeline.errors import BalanceError
from pipeline.geo import GeoTable
from pipeline.header import without_fields
from pipeline.job import Job
from pipeline.ledger import FileLedger, Phase1
from pipeline.output import RegionFile, WriteTask, write_files
from pipeline.phase2 import Totals, conflict_places, run_all
from pipeline.quarantine import ConflictTask, Quarantine, conflict_file, fetch_conflicts, reject_file
from pipeline.results import MICRO, Progress, RegionTotal, RunResult
from pipeline.splits import display_name
from pipeline.stages import stage

_CONFLICTS_AT_ONCE = 20_000
_WRITE_TASKS = 16
"""Enough that workers end at about the same time."""


@dataclass(frozen=True)
class Written:
    """What the output files of a version hold."""

    rows: int
    micro_minutes: int
    regions: tuple[RegionTotal, ...]


@dataclass(frozen=True)
class Earlier:
    """``quarantine``: that of the version before, for records whose source is no longer at hand; what stood in records
    of files that were read before ``oldest_kept`` (epoch seconds) is no longer kept."""

    quarantine: Path | None = None
    oldest_kept: float = 0


NOTHING_EARLIER = Earlier()
NOTHING_WRITTEN = Written(0, 0, ())
"""Of a run that publishes nothing."""


def write_output(
    engine: Engine, job: Job, folder: Path, totals: Totals, names: Sequence[str], advance: Callable[[int], None]
) -> Written:
    """Write the files of every region below ``folder``; raises BalanceError where they do not hold what was kept."""
    tasks = _write_tasks(str(folder / "data"), _region_files(job, totals, names), job.file_rows)
    written = run_all(engine, write_files, tasks, advance)
    events = sum(events for _, events, _ in written)
    micro = sum(micro for _, _, micro in written)
    expected = sum(region[2] for bucket in totals.buckets for region in bucket.regions.values())
    if events != totals.kept or micro != expected:
        raise BalanceError(
            f"the output files hold {events} events and {micro} micro-minutes, expected {totals.kept} and {expected}. "
            "Nothing was published. This is a fault in the program; please report it."
        )
    return Written(sum(rows for rows, _, _ in written), micro, _region_totals(totals, names))


def write_quarantine(
    engine: Engine, job: Job, folder: Path, outcome: Phase1, totals: Totals, earlier: Earlier = NOTHING_EARLIER
) -> None:
    """Write rejected records, conflict losers and refused files below ``folder``.

    Raises BalanceError where a record is missing.
    """
    quarantine = Quarantine(folder / "quarantine")
    with stage("publish"):
        quarantine.write_refused(outcome.refused)
        rejected = quarantine.write_rejected(
            (split.result.split, split.result.start, split.first_line, reject_file(job, split.result.split))
            for split in outcome.splits
            if split.result.rejected
        )
    places = {split.result.split.number: (split, file) for file in outcome.ledgers for split in file.splits}
    tasks: list[ConflictTask] = []
    for (number,), group in conflict_places(job).group_by("split", maintain_order=True):
        placed, file = places[int(str(number))]
        offsets = group["offset"].to_list()
        for first in range(0, len(offsets), _CONFLICTS_AT_ONCE):
            some = tuple(offsets[first : first + _CONFLICTS_AT_ONCE])
            where = placed.result.split, placed.result.start, placed.first_line
            before = (str(earlier.quarantine), file.listed_as) if earlier.quarantine and file.listed_as else ("", "")
            forgotten = file.read_at < earlier.oldest_kept
            tasks.append(ConflictTask(len(tasks), *where, some, file.at_hand, *before, forgotten))
    run_all(engine, fetch_conflicts, tasks, lambda _: None)
    with stage("publish"):
        conflicts = quarantine.write_conflicts(conflict_file(job, task.number) for task in tasks)
    expected = sum(split.result.rejected for split in outcome.splits), totals.conflicts
    if (rejected, conflicts) != expected:
        raise BalanceError(
            f"the quarantine holds {rejected} rejected records and {conflicts} conflicts, expected {expected[0]} and "
            f"{expected[1]}. Nothing was published. This is a fault in the program; please report it."
        )


def check_balance(outcome: Phase1, totals: Totals) -> None:
    """The law of conservation over the run."""
    handed_over = outcome.handed_over
    if handed_over != totals.kept + totals.duplicates + totals.conflicts:
        raise BalanceError(
            f"the run does not balance: {handed_over} records handed over, {totals.kept} kept, {totals.duplicates} "
            f"duplicates, {totals.conflicts} conflicts. Nothing was published. This is a fault in the program; please "
            "report it."
        )


def counts_for_the_next(result: RunResult, buckets: int | None) -> dict[str, int]:
    """What the next run needs of this one's; ``buckets`` of its totals, None where they are Spark's partitions."""
    counts = {"kept": result.kept, "duplicates": result.duplicates_phase2, "conflicts": result.conflicts}
    return counts | {"all_duplicates": result.duplicates} | ({"buckets": buckets} if buckets else {})


def report_files(outcome: Phase1, progress: Progress) -> None:
    """Tell the log what became of every file; a line of a file that has no header may hold personal data."""
    for ledger in outcome.ledgers:
        progress.event("file_read", "info", **ledger_entry(ledger))
    for path, reason in sorted(outcome.refused.items()):
        progress.event("file_refused", level="error", file=display_name(path), reason=without_fields(reason))


def write_run_record(
    folder: Path, result: RunResult, outcome: Phase1, settings: dict[str, object]
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
        "ledger": [ledger_entry(ledger) for ledger in outcome.ledgers],
    }
    shown = json.dumps(record, indent=2, ensure_ascii=False, default=asdict)  # gates and rules among the settings
    (folder / "run.json").write_text(shown + "\n", encoding="utf-8")
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
        "content_hash": ledger.content_hash,
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


def _region_files(job: Job, totals: Totals, names: Sequence[str]) -> list[RegionFile]:
    """Output files in order of region: as few for each as ``job.file_rows`` allows, of nearly equal size."""
    slices: dict[int, list[tuple[int, int, int]]] = {}
    for bucket in totals.buckets:
        first = 0
        for region, (rows, _, _) in bucket.regions.items():
            slices.setdefault(region, []).append((bucket.bucket, first, rows))
            first += rows
    found: list[RegionFile] = []
    for region, parts in sorted(slices.items()):
        files = -(-sum(rows for _, _, rows in parts) // job.file_rows)
        size = -(-sum(rows for _, _, rows in parts) // files)
        groups: list[list[tuple[int, int, int]]] = [[]]
        filled = 0
        for part in parts:
            if filled >= size:
                groups.append([])
                filled = 0
            groups[-1].append(part)
            filled += part[2]
        found += [RegionFile(names[region], number, tuple(group)) for number, group in enumerate(groups)]
    return found


def _write_tasks(folder: str, files: Sequence[RegionFile], file_rows: int) -> list[WriteTask]:
    """The files of a few neighbouring regions for each task, the largest first."""
    most = min(file_rows, sum(file.rows for file in files) // _WRITE_TASKS)
    groups: list[list[RegionFile]] = []
    filled = 0
    for file in files:
        if not groups or filled + file.rows > most:
            groups.append([])
            filled = 0
        groups[-1].append(file)
        filled += file.rows
    groups.sort(key=lambda group: -sum(file.rows for file in group))
    return [WriteTask(folder, tuple(group)) for group in groups]


def _region_totals(totals: Totals, names: Sequence[str]) -> tuple[RegionTotal, ...]:
    """Users, events and minutes of every region, the most watched first."""
    sums: dict[int, list[int]] = {}
    for bucket in totals.buckets:
        for region, counts in bucket.regions.items():
            sums[region] = [a + b for a, b in zip(sums.get(region, [0, 0, 0]), counts, strict=True)]
    ordered = sorted(sums.items(), key=lambda item: (-item[1][2], names[item[0]]))
    return tuple(RegionTotal(names[r], users, events, micro / MICRO) for r, (users, events, micro) in ordered)
