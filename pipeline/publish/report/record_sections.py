"""Sections of the report on what became of the records: counts, quality, flow, regions, rejects, files."""

import heapq
from collections.abc import Mapping, Sequence

from pipeline.publish.report.charts import MOST_REASONS, MOST_REGIONS, Record, reasons
from pipeline.publish.report.html import (
    Content,
    Html,
    chart,
    count,
    cut,
    details,
    element,
    escape,
    joined,
    more,
    section,
    share,
    table,
)
from pipeline.publish.report.samples import Sample
from pipeline.reading.no_header import without_fields
from utils.units import format_seconds, format_size

MAX_FILES = 200
MAX_LINES = 50
MAX_REASONS = 50
MAX_SKIPPED = 10
_STATUS = {"ok": "done", "partial": "done, but not with every file", "failed": "failed"}
_MARKS = {"ok": "ok", "partial": "warn", "failed": "fail", "warn": "warn", "reject": "warn", "fail": "fail"}
"""The colour of a status or outcome, as a class of the style sheet."""


def summary(record: Record) -> Html:
    """The header of the page: the run, its status, and its counts as cards."""
    cards = [
        ("records read", f"{record['records_read']:,}"),
        ("events kept", f"{record['kept']:,}"),
        ("users", f"{record['users']:,}"),
        ("minutes watched", f"{record['total_watch_time_min']:,.0f}"),
        ("time", format_seconds(record["seconds"]["total"])),
        ("throughput", f"{format_size(record['throughput_bytes_per_second'])}/s"),
        ("peak memory", format_size(record["peak_memory_bytes"])),
        ("input", f"{format_size(record['bytes_read'])} in {count(record['files'], 'file')}"),
    ]
    items = joined(Html(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>") for name, value in cards)
    status = element("span", _STATUS[record["status"]], f"mark {_MARKS[record['status']]}")
    line = element("p", f"Run {record['run_id']}, engine {record['engine']}, output {cut(record['output'])}", "quiet")
    return Html(f'<header><h1>Logmill run {status.text}</h1>{line.text}<dl class="cards">{items.text}</dl></header>')


def notices_section(record: Record) -> Html | None:
    """The error, the refused files, every note and the skipped files; None where a run has none of them."""
    refused = record["refused_files"]
    notes = [*record["notes"], *([record["engine_note"]] if record["engine_note"] else [])]
    lines: list[Content] = []
    if record["error"]:
        lines.append(_marked("failed", "mark fail", cut(record["error"])))
    lines += [
        _marked("refused", "mark fail", f"{cut(file['file'])}: {cut(without_fields(file['reason']))}")
        for file in refused[:MAX_LINES]
    ]
    lines += [_marked("note", "mark", cut(note)) for note in notes[:MAX_LINES]]
    if record["skipped_files"]:
        names = ", ".join(record["skipped_files"][:MAX_SKIPPED])
        lines.append(f"{count(len(record['skipped_files']), 'other file')} skipped: {cut(names)}")
    left_out = max(0, len(refused) - MAX_LINES) + max(0, len(notes) - MAX_LINES)
    if left_out:
        lines.append(f"and {left_out:,} more lines, see run.json")
    if not lines:
        return None
    return section("What you should know", element("ul", joined(element("li", line) for line in lines)))


def _marked(label: str, css: str, text: str) -> Html:
    return joined([element("span", label, css), " ", text])


def quality_section(record: Record) -> Html | None:
    """Every gate, rule and check with its outcome; None where there is none."""
    results = record["quality"]
    if not results:
        return None
    rows = [
        (
            element("span", result["outcome"], f"mark {_MARKS[result['outcome']]}"),
            f"{result['name']}: {cut(result['detail'])}" if result.get("detail") else result["name"],
            result["count"],
            f"{result['share']:.4%}",
            "" if result["limit"] is None else f"{result['limit']:.4%}",
        )
        for result in results
    ]
    return section("Quality gates and rules", table(["", "gate or rule", "found", "share", "limit"], rows, texts=2))


def flow_section(record: Record) -> Html:
    """How the records read divide into kept, duplicate, conflicting and rejected ones."""
    read = record["records_read"]
    rows = [
        (name, record[key], share(record[key], read))
        for name, key in (
            ("read", "records_read"),
            ("kept", "kept"),
            ("duplicates, phase 1", "duplicates_phase1"),
            ("duplicates, phase 2", "duplicates_phase2"),
            ("conflicts", "conflicts"),
            ("rejected", "rejected"),
        )
    ]
    law = element(
        "p",
        "Records read = kept + duplicates + conflicts + rejected: what was read is a separate count of the bytes.",
        "quiet",
    )
    alternative = "Records from input through the phases to regions, with duplicates, conflicts and rejects leaving"
    return section("Flow of records", chart("flow", 420, alternative), table(["records", "", "share"], rows), law)


def regions_section(record: Record) -> Html | None:
    """Users, events and minutes of the regions; None where nothing is published."""
    regions = record["regions"]
    if not regions:
        return None
    total = record["total_watch_time_min"]
    rows = [
        (cut(r["region"]), r["users"], r["events"], f"{r['minutes']:,.0f}", share(r["minutes"], total))
        for r in regions[:MAX_FILES]
    ]
    height = 60 + 26 * min(len(regions), MOST_REGIONS)
    heads = ["region", "users", "events", "minutes", "share"]
    folded = joined([table(heads, rows), more(len(regions), MAX_FILES)])
    return section(
        "Watch time by region",
        chart("regions", height, "Minutes of watch time by region"),
        table(heads, rows[:MOST_REGIONS]),
        details(f"all {len(regions):,} regions", folded) if len(regions) > MOST_REGIONS else Html(""),
    )


def rejected_section(record: Record, samples: Mapping[str, Sequence[Sample]]) -> Html | None:
    """Rejected records by reason, with masked samples; None where no record was rejected."""
    found = reasons(record)
    if not found:
        return None
    rows = [(cut(reason), number, share(number, record["records_read"])) for reason, number in found[:MAX_REASONS]]
    sampled = [_samples_of(reason, samples[reason]) for reason, _ in found[:MAX_REASONS] if samples.get(reason)]
    legend = element(
        "p",
        "Samples are masked: x for a letter, 9 for a digit. The quarantine beside this file has the records.",
        "quiet",
    )
    return section(
        "Rejected records",
        chart("rejected", 60 + 28 * min(len(found), MOST_REASONS), "Rejected records by reason"),
        table(["reason", "records", "share"], rows),
        more(len(found), MAX_REASONS),
        details("where the first of each stand", joined([legend, *sampled])),
    )


def _samples_of(reason: str, samples: Sequence[Sample]) -> Html:
    """A reason with its samples: file and line, the column that is wrong, and the shape of the value or record."""
    lines = (joined([cut(f"{s.file}:{s.line} {s.column} "), element("code", _visible(s.shape))]) for s in samples)
    return joined([element("h3", cut(reason)), element("ul", joined(element("li", line) for line in lines))])


def _visible(shape: str) -> str:
    if not shape:
        return "(empty)"
    return shape if shape.strip() else "(blank)"


def files_section(record: Record) -> Html:
    """The files that count, those with most rejects first."""
    ledger = heapq.nsmallest(
        MAX_FILES, record["ledger"], key=lambda entry: (-entry["rejected"], -entry["records"], entry["file"])
    )
    number = len(record["ledger"])
    rows = [
        (cut(entry["file"]), format_size(entry["bytes"]), entry["records"], entry["duplicates"], entry["rejected"])
        for entry in ledger
    ]
    heads = ["file", "size", "records", "duplicates, phase 1", "rejected"]
    listing = joined([table(heads, rows), more(number, MAX_FILES)])
    return section("Files", details(f"{count(number, 'file')}, most rejects first", listing))
