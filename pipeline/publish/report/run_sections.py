"""Sections of the report on the run itself: time, plan and outcome, earlier runs, settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.publish.report.charts import BEFORE, PHASES, Record, phases, seconds_before, stages_of
from pipeline.publish.report.html import (
    Content,
    Html,
    chart,
    cut,
    details,
    element,
    joined,
    moment_of,
    more,
    section,
    share,
    table,
    term,
    written,
)
from pipeline.publish.report.observed import Observed
from pipeline.publish.report.plain_words import STAGES
from utils.units import format_count, format_seconds, format_size

MAX_EARLIER = 10
_PANELS_HEIGHT = 330
"""Pixels of the chart of the time without the rows of the workers."""
_ROW_HEIGHT = 24
_CHART_WORKERS = 32


@dataclass(frozen=True)
class Earlier:
    """Records of earlier runs, the oldest first; ``fault``: why there are none, where one cannot be read."""

    records: Sequence[Record]
    fault: str = ""


def time_section(record: Record, observed: Observed) -> Html:
    """When each worker did what, the pace and memory over the same time, and the time of each phase and stage."""
    workers = _count_workers(observed)
    rates = [("bytes read a second (axis on the left)", 1), ("rows added up a second (on the right)", 4)]
    legend = [*stages_of(observed), *rates, ("memory", 7)]
    total = format_seconds(record["seconds"]["total"])
    ends = ", ".join(f"{name} until {format_seconds(end)}" for name, _, end in phases(record))
    description = (
        f"Tasks of {format_count(workers, 'worker')}, speed and memory over the {total} of the run: {ends}. "
        f"At most {format_size(record['peak_memory_bytes'])} of memory were in use."
    )
    how_to_read = "Each block is a task of a worker. Lines across all three parts are the borders of the phases."
    rows = [_row_before(record, key, name) for key, name in BEFORE.items() if seconds_before(record, key)]
    rows += [_phase_row(record, key, name) for key, name in PHASES.items()]
    return section(
        "Time, speed and memory",
        chart("time", _PANELS_HEIGHT + _ROW_HEIGHT * min(workers, _CHART_WORKERS), description, how_to_read, legend),
        table(["phase", "predicted", "took", "share"], rows, "Time of each phase"),
        _stages(record),
    )


_MEANING_BEFORE = {
    "prepare": "once on this machine; no part of the time above",
    "start": "until the executors of the cluster were there",
}


def _row_before(record: Record, key: str, name: str) -> tuple[Content, ...]:
    seconds = seconds_before(record, key)
    share_of_it = share(seconds, record["seconds"]["total"])
    return term(name, _MEANING_BEFORE[key]), "", format_seconds(seconds), share_of_it


def _phase_row(record: Record, key: str, name: str) -> tuple[Content, ...]:
    total, seconds = record["seconds"]["total"], record["seconds"][key]
    return name, format_seconds(record["plan"][f"{key}_seconds"]), format_seconds(seconds), share(seconds, total)


def _stages(record: Record) -> Html:
    rows = [
        (
            term(stage["stage"], STAGES.get(stage["stage"], "")),
            f"{stage['wall_seconds']:.2f} s",
            f"{stage['cpu_seconds']:.2f} s",
            share(stage["share"], 1.0),
        )
        for stage in record["profile"]
    ]
    heads = ["stage", "time", "processor", "share"]
    listing = table(heads, rows, "Time of each stage, added up over all processes")
    return details("where the time went: stages, added up over all processes", listing)


def _count_workers(observed: Observed) -> int:
    return len({span.worker for span in observed.spans})


def plan_section(record: Record, observed: Observed) -> Html:
    """Planned and predicted figures beside those of the run."""
    plan, reached, settings = record["plan"], observed.reached, record["settings"]
    pools = " (the pool's, then Spark's)" if record["engine"] == "spark" else ""
    rows: list[tuple[Content, ...]] = [
        (
            term("workers", "processes that work at the same time"),
            f"{settings['PREPROCESSING_WORKERS']:,} asked, {plan['workers']:,} planned",
            f"{_count_workers(observed):,}{pools}",
        ),
        (
            term("splits", "parts of files that a worker reads at a time"),
            f"of {format_size(plan['split_bytes'])}",
            f"{reached['splits']:,}, the largest {format_size(reached['largest_split_bytes'])}",
        ),
        (
            term("buckets", "groups of users that a worker adds up at a time"),
            f"{plan['buckets']:,} of at most {format_count(plan['bucket_rows'], 'row')} at once",
            f"{reached['buckets']:,} filled, the largest {format_count(reached['largest_bucket_rows'], 'row')}",
        ),
        (
            term("intermediate files", "between the phases"),
            f"about {format_size(plan['intermediate_bytes'])}",
            format_size(reached["intermediate_bytes"]),
        ),
        ("output files", f"about {format_size(plan['output_bytes'])}", format_size(reached["output_bytes"])),
        (
            term("engine", "what runs phase 2"),
            settings["ENGINE"],
            record["engine"],
        ),
    ]
    heads = ["", "plan", "outcome"]
    return section("Plan and outcome", table(heads, rows, "What was planned and what it became", texts=3))


def earlier_runs_section(record: Record, earlier: Earlier) -> Html:
    """The change against the run before, and the last runs before this one, the newest first."""
    if earlier.fault:
        return section("Earlier runs", element("p", f"They cannot be compared: {cut(earlier.fault)}"))
    if not earlier.records:
        return section("Earlier runs", element("p", "None is kept: this is the first version.", "quiet"))
    runs = earlier.records[-MAX_EARLIER:]
    rows = [_run_row(run, before) for before, run in zip([None, *runs], runs, strict=False)]
    heads = ["run", "records read", "kept", "minutes", "duplicates", "rejected", "time", "speed"]
    legend = [("speed", 0), ("duplicates", 4), ("conflicts", 3), ("rejected", 6)]
    return section(
        "Earlier runs",
        element("p", joined(["This run against the one before: ", _changes(record, runs[-1]), "."])),
        chart("history", 300, _history(record, earlier), "The last run is this one.", legend),
        table(heads, list(reversed(rows)), "Earlier runs, the newest first"),
        more(len(earlier.records), MAX_EARLIER),
    )


def _history(record: Record, earlier: Earlier) -> str:
    return (
        f"Speed of {format_count(len(earlier.records) + 1, 'run')}, and shares of duplicates, conflicts and rejected "
        "records. "
        f"Of this run, {share(record['rejected'], record['records_read']) or '0%'} were rejected."
    )


def _changes(run: Record, before: Record) -> str:
    compared = (("records read", "records_read"), ("kept", "kept"), ("minutes", "total_watch_time_min"))
    changes = ((name, change_of(run[key], before[key])) for name, key in compared)
    return ", ".join(f"{name} {change or 'cannot be compared'}" for name, change in changes)


def _run_row(run: Record, before: Record | None) -> tuple[Content, ...]:
    read = run["records_read"]
    return (
        term(moment_of(run["run_id"]), run.get("version") or "not published"),
        read,
        _with_change(run["kept"], before["kept"] if before else None),
        _with_change(round(run["total_watch_time_min"]), round(before["total_watch_time_min"]) if before else None),
        share(run["duplicates"], read),
        share(run["rejected"], read),
        format_seconds(run["seconds"]["total"]),
        f"{format_size(run['throughput_bytes_per_second'])}/s",
    )


def _with_change(now: float, before: float | None) -> Html:
    """A number, and its change in percent where there is one to compare with."""
    return joined([now, " ", element("small", change)]) if (change := change_of(now, before)) else joined([now])


def change_of(now: float, before: float | None) -> str:
    """The change in percent, such as ``+10.0%``; empty where there is nothing to compare with."""
    if not before:
        return ""
    change = f"{(now - before) / before:+.1%}"
    return "±0%" if now == before else change


def settings_section(record: Record) -> Html:
    """Every setting of the run."""
    rows = [(name, cut(written(value))) for name, value in record["settings"].items()]
    return section(
        "Settings", details("every setting of this run", table(["setting", "value"], rows, "Settings", texts=2))
    )
