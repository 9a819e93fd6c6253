"""The report as one HTML page: tables that stand for themselves, and charts drawn by the script within the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from pipeline.publish.report.charts import MOST_REGIONS, Record, chart_data, reasons
from pipeline.publish.report.html import (
    Content,
    Html,
    chart,
    details,
    element,
    escape,
    joined,
    linked,
    script_json,
    section,
    table,
)
from pipeline.publish.report.observed import Observed
from pipeline.publish.report.samples import Sample
from pipeline.reading.header import without_fields
from utils.units import format_seconds, format_size

ASSETS = Path(__file__).parent / "assets"


MOST_FILES = 200
MOST_LINES = 50
MOST_REASONS = 50
MOST_EARLIER = 10
CUT = 400
"""Characters of a name or message."""
_MARKS = {"ok": "ok", "partial": "warn", "failed": "fail", "warn": "warn", "reject": "warn", "fail": "fail"}


@dataclass(frozen=True)
class Earlier:
    """Records of the runs before this one, the oldest first; ``fault``: why there are none, where they are damaged."""

    records: Sequence[Record]
    fault: str = ""


def render(record: Record, observed: Observed, samples: Mapping[str, Sequence[Sample]], earlier: Earlier) -> str:
    """The page. ``record``: what ``run.json`` holds; ``samples``: of rejected records, by reason."""
    sections = [
        _head(record),
        _trouble(record),
        _quality(record),
        _flow(record),
        _regions(record),
        _rejected(record, samples),
        _time(record, observed),
        _plan(record, observed),
        _history(record, earlier),
        _files(record),
        _settings(record),
    ]
    return Template((ASSETS / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"Logmill run {record['run_id']}"),
        style=(ASSETS / "page.css").read_text(encoding="utf-8"),
        body=joined(part for part in sections if part).text,
        attribution=linked(_cut(f"{record['geo_attribution']} ({record['geo_build']})")).text,
        data=script_json(chart_data(record, observed, earlier.records)),
        library=(ASSETS / "echarts.min.js").read_text(encoding="utf-8"),
        script=(ASSETS / "page.js").read_text(encoding="utf-8"),
    )


def _head(record: Record) -> Html:
    words = {"ok": "done", "partial": "done, but not with every file", "failed": "failed"}
    seconds = record["seconds"]["total"]
    cards = [
        ("records read", f"{record['records_read']:,}"),
        ("events kept", f"{record['kept']:,}"),
        ("users", f"{record['users']:,}"),
        ("minutes watched", f"{record['total_watch_time_min']:,.0f}"),
        ("time", format_seconds(seconds)),
        ("throughput", f"{format_size(record['throughput_bytes_per_second'])}/s"),
        ("peak memory", format_size(record["peak_memory_bytes"])),
        ("input", f"{format_size(record['bytes_read'])} in {_count(record['files'], 'file')}"),
    ]
    shown = joined(Html(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>") for name, value in cards)
    mark = element("span", words[record["status"]], f"mark {_MARKS[record['status']]}")
    line = element("p", f"Run {record['run_id']}, engine {record['engine']}, output {_cut(record['output'])}", "quiet")
    return Html(f'<header><h1>Logmill run {mark.text}</h1>{line.text}<dl class="cards">{shown.text}</dl></header>')


def _trouble(record: Record) -> Html | None:
    """The error, refused files and every fallback; nothing where there is none."""
    lines: list[Content] = []
    if record["error"]:
        lines.append(joined([element("span", "failed", "mark fail"), " ", _cut(record["error"])]))
    refused = record["refused_files"]
    lines += [
        joined(
            [
                element("span", "refused", "mark fail"),
                " ",
                _cut(file["file"]),
                ": ",
                _cut(without_fields(file["reason"])),
            ]
        )
        for file in refused[:MOST_LINES]
    ]
    notes = [*record["notes"], *([record["engine_note"]] if record["engine_note"] else [])]
    lines += [joined([element("span", "note", "mark"), " ", _cut(note)]) for note in notes[:MOST_LINES]]
    if record["skipped_files"]:
        named = ", ".join(record["skipped_files"][:MOST_EARLIER])
        lines.append(f"{_count(len(record['skipped_files']), 'other file')} skipped: {_cut(named)}")
    left_out = max(0, len(refused) - MOST_LINES) + max(0, len(notes) - MOST_LINES)
    if left_out:
        lines.append(f"and {left_out:,} more lines, see run.json")
    if not lines:
        return None
    return section("What you should know", element("ul", joined(element("li", line) for line in lines)))


def _quality(record: Record) -> Html | None:
    results = record["quality"]
    if not results:
        return None
    rows = [
        (
            element("span", result["outcome"], f"mark {_MARKS[result['outcome']]}"),
            result["name"],
            result["count"],
            f"{result['share']:.4%}",
            "" if result["limit"] is None else f"{result['limit']:.4%}",
        )
        for result in results
    ]
    return section("Quality gates and rules", table(["", "gate or rule", "found", "share", "limit"], rows, texts=2))


def _flow(record: Record) -> Html:
    read = record["records_read"]
    rows = [
        (name, record[key], _share(record[key], read))
        for name, key in (
            ("read", "records_read"),
            ("kept", "kept"),
            ("duplicates, phase 1", "duplicates_phase1"),
            ("duplicates, phase 2", "duplicates_phase2"),
            ("conflicts", "conflicts"),
            ("rejected", "rejected"),
        )
    ]
    sums = element(
        "p",
        "Records read = kept + duplicates + conflicts + rejected: what was read is a separate count of the bytes.",
        "quiet",
    )
    described = "Records from input through the phases to regions, with duplicates, conflicts and rejects leaving"
    return section("Flow of records", chart("flow", 420, described), table(["records", "", "share"], rows), sums)


def _regions(record: Record) -> Html | None:
    regions = record["regions"]
    if not regions:
        return None
    total = record["total_watch_time_min"]
    rows = [
        (_cut(r["region"]), r["users"], r["events"], f"{r['minutes']:,.0f}", _share(r["minutes"], total))
        for r in regions[:MOST_FILES]
    ]
    height = 60 + 26 * min(len(regions), MOST_REGIONS)
    heads = ["region", "users", "events", "minutes", "share"]
    folded = joined([table(heads, rows), _more(len(regions), MOST_FILES)])
    return section(
        "Watch time by region",
        chart("regions", height, "Minutes of watch time by region"),
        table(heads, rows[:MOST_REGIONS]),
        details(f"all {len(regions):,} regions", folded) if len(regions) > MOST_REGIONS else Html(""),
    )


def _rejected(record: Record, samples: Mapping[str, Sequence[Sample]]) -> Html | None:
    found = reasons(record)
    if not found:
        return None
    rows = [(_cut(reason), count, _share(count, record["records_read"])) for reason, count in found[:MOST_REASONS]]
    sampled = [_sampled(reason, samples[reason]) for reason, _ in found[:MOST_REASONS] if samples.get(reason)]
    masked = element(
        "p",
        "Samples are masked: x for a letter, 9 for a digit. The quarantine beside this file has the records.",
        "quiet",
    )
    return section(
        "Rejected records",
        chart("rejected", 60 + 28 * min(len(found), 24), "Rejected records by reason"),
        table(["reason", "records", "share"], rows),
        _more(len(found), MOST_REASONS),
        details("where the first of each stand", joined([masked, *sampled])),
    )


def _sampled(reason: str, samples: Sequence[Sample]) -> Html:
    """A reason with its samples: file and line, the column that is wrong, and the shape of the value or record."""
    lines = (
        element(
            "li",
            joined(
                [
                    _cut(f"{s.file}:{s.line} {s.column} "),
                    element("code", s.shape if s.shape.strip() else "(blank)" if s.shape else "(empty)"),
                ]
            ),
        )
        for s in samples
    )
    return joined([element("h3", _cut(reason)), element("ul", joined(lines))])


def _time(record: Record, observed: Observed) -> Html:
    seconds = record["seconds"]
    workers = len({span.worker for span in observed.spans})
    rows = [
        (name, format_seconds(seconds[key]), _share(seconds[key], seconds["total"]))
        for name, key in (("phase 1", "phase1"), ("phase 2", "phase2"), ("publish", "publish"), ("total", "total"))
    ]
    return section(
        "Time, throughput and memory",
        chart("timeline", 110 + 26 * min(workers, 32), "When each worker did what"),
        chart("speed", 260, "Bytes read and rows added up per second, and memory in use, over time"),
        table(["phase", "time", "share"], rows),
        _stages(record),
    )


def _stages(record: Record) -> Html:
    parts = record["profile"]
    rows = [
        (part["stage"], f"{part['wall_seconds']:.2f} s", f"{part['cpu_seconds']:.2f} s", _share(part["share"], 1.0))
        for part in parts
    ]
    heads = ["stage", "time", "processor", "share"]
    return details("where the time went: stages, added up over all processes", table(heads, rows))


def _plan(record: Record, observed: Observed) -> Html:
    plan, reached, settings = record["plan"], observed.reached, record["settings"]
    workers = f"{len({span.worker for span in observed.spans}):,}"
    if record["engine"] == "spark":
        workers += " (the pool's, then Spark's)"
    rows: list[tuple[Content, ...]] = [
        ("worker processes", f"{settings['PREPROCESSING_WORKERS']:,} asked, {plan['workers']:,} planned", workers),
        ("time", format_seconds(plan["seconds"]), format_seconds(record["seconds"]["total"])),
        *(
            (name, format_seconds(plan[f"{key}_seconds"]), format_seconds(record["seconds"][key]))
            for name, key in (("phase 1", "phase1"), ("phase 2", "phase2"), ("publish", "publish"))
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


def _history(record: Record, earlier: Earlier) -> Html:
    if earlier.fault:
        return section("Earlier runs", element("p", f"They cannot be compared: {_cut(earlier.fault)}"))
    if not earlier.records:
        return section("Earlier runs", element("p", "None is kept: this is the first version.", "quiet"))
    runs = [*earlier.records[-MOST_EARLIER:], record]
    rows = [
        (
            joined([run["version"] or run["run_id"], " (this run)" if run is record else ""]),
            run["records_read"],
            _change(run["kept"], before["kept"] if before else None),
            _change(round(run["total_watch_time_min"]), round(before["total_watch_time_min"]) if before else None),
            _share(run["duplicates"], run["records_read"]),
            _share(run["rejected"], run["records_read"]),
            format_seconds(run["seconds"]["total"]),
            f"{format_size(run['throughput_bytes_per_second'])}/s",
        )
        for before, run in zip([None, *runs], runs, strict=False)
    ]
    heads = ["version", "records read", "kept", "minutes", "duplicates", "rejected", "time", "throughput"]
    return section(
        "Earlier runs",
        chart("history", 260, "Throughput and shares of duplicates, conflicts and rejects, run by run"),
        table(heads, list(reversed(rows))),
        _more(len(earlier.records), MOST_EARLIER),
    )


def _files(record: Record) -> Html:
    ledger = sorted(record["ledger"], key=lambda entry: (-entry["rejected"], -entry["records"], entry["file"]))
    rows = [
        (_cut(entry["file"]), format_size(entry["bytes"]), entry["records"], entry["duplicates"], entry["rejected"])
        for entry in ledger[:MOST_FILES]
    ]
    heads = ["file", "size", "records", "duplicates, phase 1", "rejected"]
    shown = joined([table(heads, rows), _more(len(ledger), MOST_FILES)])
    return section("Files", details(f"{_count(len(ledger), 'file')}, most rejects first", shown))


def _settings(record: Record) -> Html:
    rows = [(name, _cut(_written(value))) for name, value in record["settings"].items()]
    return section("Settings", details("every setting of this run", table(["setting", "value"], rows, texts=2)))


def _written(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _more(number: int, shown: int) -> Html:
    return element("p", f"and {number - shown:,} more, see run.json", "quiet") if number > shown else Html("")


def _share(part: float, whole: float) -> str:
    if not whole:
        return ""
    return "< 0.01%" if 0 < part / whole < 0.0001 else f"{part / whole:.2%}"


def _change(now: float, before: float | None) -> Html:
    """A number and how it changed."""
    if before is None or not before:
        return joined([now])
    return joined([now, " ", element("small", f"{(now - before) / before:+.1%}")])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _cut(text: str) -> str:
    return text if len(text) <= CUT else f"{text[:CUT]}…"
