"""Sections of the report on the run itself: time, plan and outcome, earlier runs, settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.publish.report.charts import Record
from pipeline.publish.report.html import (
    Content,
    Html,
    chart,
    cut,
    details,
    element,
    joined,
    more,
    section,
    share,
    table,
)
from pipeline.publish.report.observed import Observed
from utils.units import format_seconds, format_size

MAX_EARLIER = 10
_CHART_WORKERS = 32
_PHASES = (("phase 1", "phase1"), ("phase 2", "phase2"), ("publish", "publish"))
"""Names on the page and in ``seconds`` of the record."""


@dataclass(frozen=True)
class Earlier:
    """Records of earlier runs, the oldest first; ``fault``: why there are none, where one cannot be read."""

    records: Sequence[Record]
    fault: str = ""


def time_section(record: Record, observed: Observed) -> Html:
    """When each worker did what, the pace and memory, and the time of each phase and stage."""
    seconds = record["seconds"]
    workers = min(_count_workers(observed), _CHART_WORKERS)
    rows = [
        (name, format_seconds(seconds[key]), share(seconds[key], seconds["total"]))
        for name, key in (*_PHASES, ("total", "total"))
    ]
    prepare = record.get("prepare_seconds", 0.0)  # records of earlier releases have none
    if prepare:
        once = ("preparing, once on this machine", format_seconds(prepare), share(prepare, seconds["total"]))
        rows.insert(0, once)
    return section(
        "Time, throughput and memory",
        chart("timeline", 110 + 26 * workers, "When each worker did what"),
        chart("speed", 260, "Bytes read and rows added up per second, and memory in use, over time"),
        table(["phase", "time", "share"], rows),
        _stages(record),
    )


def _stages(record: Record) -> Html:
    rows = [
        (stage["stage"], f"{stage['wall_seconds']:.2f} s", f"{stage['cpu_seconds']:.2f} s", share(stage["share"], 1.0))
        for stage in record["profile"]
    ]
    heads = ["stage", "time", "processor", "share"]
    return details("where the time went: stages, added up over all processes", table(heads, rows))


def _count_workers(observed: Observed) -> int:
    return len({span.worker for span in observed.spans})


def plan_section(record: Record, observed: Observed) -> Html:
    """Planned and predicted figures beside those of the run."""
    plan, reached, settings = record["plan"], observed.reached, record["settings"]
    pools = " (the pool's, then Spark's)" if record["engine"] == "spark" else ""
    rows: list[tuple[Content, ...]] = [
        (
            "worker processes",
            f"{settings['PREPROCESSING_WORKERS']:,} asked, {plan['workers']:,} planned",
            f"{_count_workers(observed):,}{pools}",
        ),
        (
            "time",
            format_seconds(plan["seconds"]),
            format_seconds(record["seconds"]["total"] - record.get("prepare_seconds", 0.0)),
        ),
        *(
            (name, format_seconds(plan[f"{key}_seconds"]), format_seconds(record["seconds"][key]))
            for name, key in _PHASES
        ),
        (
            "peak memory",
            f"{format_size(plan['peak_memory_bytes'])}, at most {format_size(settings['MEMORY_LIMIT'])}",
            format_size(record["peak_memory_bytes"]),
        ),
        (
            "splits",
            f"of {format_size(plan['split_bytes'])}",
            f"{reached['splits']:,}, the largest {format_size(reached['largest_split_bytes'])}",
        ),
        (
            "buckets",
            f"{plan['buckets']:,} of at most {plan['bucket_rows']:,} rows at once",
            f"{reached['buckets']:,} filled, the largest {reached['largest_bucket_rows']:,} rows",
        ),
        (
            "intermediate files",
            f"about {format_size(plan['intermediate_bytes'])}",
            format_size(reached["intermediate_bytes"]),
        ),
        ("output files", f"about {format_size(plan['output_bytes'])}", format_size(reached["output_bytes"])),
        ("engine of Phase 2", settings["ENGINE"], record["engine"]),
    ]
    return section("Plan and outcome", table(["", "plan", "outcome"], rows, texts=3))


def earlier_runs_section(record: Record, earlier: Earlier) -> Html:
    """This run and the last ones before it, the newest first, each with its change against the one before."""
    if earlier.fault:
        return section("Earlier runs", element("p", f"They cannot be compared: {cut(earlier.fault)}"))
    if not earlier.records:
        return section("Earlier runs", element("p", "None is kept: this is the first version.", "quiet"))
    runs = [*earlier.records[-MAX_EARLIER:], record]
    rows = [_run_row(run, before, run is record) for before, run in zip([None, *runs], runs, strict=False)]
    heads = ["version", "records read", "kept", "minutes", "duplicates", "rejected", "time", "throughput"]
    return section(
        "Earlier runs",
        chart("history", 260, "Throughput and shares of duplicates, conflicts and rejects, run by run"),
        table(heads, list(reversed(rows))),
        more(len(earlier.records), MAX_EARLIER),
    )


def _run_row(run: Record, before: Record | None, is_this_run: bool) -> tuple[Content, ...]:
    read = run["records_read"]
    return (
        f"{run['version'] or run['run_id']}{' (this run)' if is_this_run else ''}",
        read,
        _change(run["kept"], before["kept"] if before else None),
        _change(round(run["total_watch_time_min"]), round(before["total_watch_time_min"]) if before else None),
        share(run["duplicates"], read),
        share(run["rejected"], read),
        format_seconds(run["seconds"]["total"]),
        f"{format_size(run['throughput_bytes_per_second'])}/s",
    )


def _change(now: float, before: float | None) -> Html:
    """A number, and its change in percent where there is one to compare with."""
    if not before:
        return joined([now])
    return joined([now, " ", element("small", f"{(now - before) / before:+.1%}")])


def settings_section(record: Record) -> Html:
    """Every setting of the run."""
    rows = [(name, cut(_written(value))) for name, value in record["settings"].items()]
    return section("Settings", details("every setting of this run", table(["setting", "value"], rows, texts=2)))


def _written(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
