"""Sections of the report on what became of the records: counts, quality, flow, regions, rejects, files."""

import heapq
from collections.abc import Mapping, Sequence

from pipeline.publish.report import plain_words
from pipeline.publish.report.charts import Record, reasons
from pipeline.publish.report.html import (
    Content,
    Html,
    bar,
    chart,
    cut,
    details,
    element,
    escape,
    joined,
    moment_of,
    more,
    section,
    share,
    table,
    term,
    written,
)
from pipeline.publish.report.plain_words import meaning_of_reason
from pipeline.publish.report.samples import Sample
from pipeline.reading.no_header import without_fields
from utils.units import format_count, format_seconds, format_size

MAX_FILES = 200
MOST_REGIONS = 24
"""Regions that are shown unfolded."""
MAX_LINES = 50
MAX_REASONS = 50
MAX_SKIPPED = 10
_SCALES = (1, 2, 5, 10, 20, 50, 100)
"""Percent of the records read that a full bar of the rejected records stands for."""
_STATUS = {"ok": "done", "partial": "done, but not with every file", "failed": "failed"}
_MARKS = {"ok": "ok", "partial": "warn", "failed": "fail", "warn": "warn", "reject": "warn", "fail": "fail"}
"""The colour of a status or outcome, as a class of the style sheet."""


def summary(record: Record) -> Html:
    """The header of the page: status, date, input and version of the run, and its totals as cards."""
    seconds, new = record["seconds"]["total"] - record.get("prepare_seconds", 0.0), record.get("new", {})
    plan, settings = record["plan"], record["settings"]
    cards = [
        ("watched", f"{record['total_watch_time_min']:,.0f} minutes", f"by {format_count(record['users'], 'user')}"),
        ("records read", f"{record['records_read']:,}", _newly_read(record)),
        ("time", format_seconds(seconds), f"{format_seconds(plan['seconds'])} predicted"),
        (
            "most memory in use",
            format_size(record["peak_memory_bytes"]),
            f"{format_size(plan['peak_memory_bytes'])} predicted, {format_size(settings['MEMORY_LIMIT'])} allowed",
        ),
    ]
    if new.get("bytes_read", 1):
        speed = f"{format_size(record['throughput_bytes_per_second'])} a second"
        cards.insert(3, ("speed", speed, "input read, from begin to end"))
    items = joined(
        Html(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(line)}</small></dd></div>")
        for name, value, line in cards
    )
    status = element("span", _STATUS[record["status"]], f"mark {_MARKS[record['status']]}")
    return Html(
        f'<header><h1>Logmill run {status.text}</h1>{_origin(record).text}<dl class="cards">{items.text}</dl></header>'
    )


def _origin(record: Record) -> Html:
    """Which run this is: when it began, what it read, and where its result is."""
    size = f"{format_count(record['files'], 'file')}, {format_size(record['bytes_read'])}"
    facts = [
        ("date", moment_of(record["run_id"])),
        ("input", f"{cut(written(record['settings'].get('INPUT_DIR', '')))} ({size})"),
        ("version", record["version"] or f"none: run {record['run_id']} published nothing"),
        ("output", cut(record["output"])),
        ("engine of phase 2", record["engine"]),
    ]
    items = joined(Html(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>") for name, value in facts)
    return element("dl", items, "origin")


def _newly_read(record: Record) -> str:
    """What the run read itself, where earlier runs had read the rest."""
    new = record.get("new") or {"files": record["files"], "bytes_read": record["bytes_read"]}
    if new["files"] == record["files"]:
        return "all in this run"
    return f"{format_count(new['files'], 'file')}, {format_size(new['bytes_read'])} in this run"


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
        lines.append(f"{format_count(len(record['skipped_files']), 'other file')} skipped: {cut(names)}")
    left_out = max(0, len(refused) - MAX_LINES) + max(0, len(notes) - MAX_LINES)
    if left_out:
        lines.append(f"and {format_count(left_out, 'more line')}, see run.json")
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
            f"{result['name']}: {cut(result['detail'])}" if result.get("detail") else result["name"],
            element("span", result["outcome"], f"mark {_MARKS[result['outcome']]}"),
            result["count"],
            f"{result['share']:.4%}",
            "" if result["limit"] is None else f"{result['limit']:.4%}",
        )
        for result in results
    ]
    heads = ["gate or rule", "outcome", "found", "share", "limit"]
    return section("Quality gates and rules", table(heads, rows, "Gates and rules with what they found", texts=2))


def flow_section(record: Record) -> Html:
    """How the records read divide into kept, duplicate, conflicting and rejected ones."""
    read = record["records_read"]
    rows = [
        (term(name, meaning), record[name], share(record[name], read)) for name, meaning in plain_words.OUTCOMES.items()
    ]
    law = element(
        "p",
        "Records read = kept + duplicates + conflicts + rejected: what was read is a separate count of the bytes. "
        f"Of the duplicates, phase 1 (each part of a file) found {record['duplicates_phase1']:,}, phase 2 (everywhere) "
        f"{record['duplicates_phase2']:,}.",
        "quiet",
    )
    shares = ", ".join(f"{share(record[name], read) or '0%'} {name}" for name in plain_words.OUTCOMES)
    description = f"Of {format_count(read, 'record')} read, {shares}. Then the events that are kept, by region."
    return section(
        "What became of the records",
        chart("flow", 400, description, "The height of each band is a number of records."),
        table(["records", "", "share"], rows, "Records by what became of them"),
        law,
    )


def regions_section(record: Record) -> Html | None:
    """Users, events and minutes of the regions; None where nothing is published."""
    regions = record["regions"]
    if not regions:
        return None
    total, most = record["total_watch_time_min"], max(region["minutes"] for region in regions)
    rows = [
        (
            cut(r["region"]), r["users"], r["events"], f"{r['minutes']:,.0f}", share(r["minutes"], total),
            bar(r["minutes"], most),
        )
        for r in regions[:MAX_FILES]
    ]  # fmt: skip
    heads = ["region", "users", "events", "minutes", "share", ""]
    rest = rows[MOST_REGIONS:]
    folded = joined([table(heads, rest, "Watch time by region, continued", bars=True), more(len(regions), MAX_FILES)])
    return section(
        "Watch time by region",
        table(heads, rows[:MOST_REGIONS], "Watch time by region", bars=True),
        details(format_count(len(regions) - MOST_REGIONS, "more region"), folded) if rest else Html(""),
        element("p", "A user who watched in two regions is counted in both.", "quiet"),
    )


def rejected_section(record: Record, samples: Mapping[str, Sequence[Sample]]) -> Html | None:
    """Rejected records by reason, with masked samples; None where no record was rejected.

    Bars have the scale of the records read, so that a few rejects look like a few.
    """
    found = reasons(record)
    if not found:
        return None
    read = record["records_read"]
    scale = next(percent for percent in _SCALES if found[0][1] <= read * percent / 100 or percent == 100)
    rows = [
        (
            term(cut(reason), meaning_of_reason(reason)),
            number,
            share(number, read),
            bar(number * 100, read * scale, "lost"),
        )
        for reason, number in found[:MAX_REASONS]
    ]
    sampled = [_samples_of(reason, samples[reason]) for reason, _ in found[:MAX_REASONS] if samples.get(reason)]
    legend = element(
        "p",
        "Samples are masked: x for a letter, 9 for a digit. The quarantine beside this file has the records.",
        "quiet",
    )
    heads = ["reason", "records", "share", f"0 to {scale}% of the records read"]
    return section(
        "Rejected records",
        table(heads, rows, "Rejected records by reason", bars=True),
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
    """The files that count, those with most rejected records first."""
    ledger = heapq.nsmallest(
        MAX_FILES, record["ledger"], key=lambda entry: (-entry["rejected"], -entry["records"], entry["file"])
    )
    number = len(record["ledger"])
    rows = [
        (cut(entry["file"]), format_size(entry["bytes"]), entry["records"], entry["duplicates"], entry["rejected"])
        for entry in ledger
    ]
    heads = ["file", "size", "records", "duplicates, phase 1", "rejected"]
    listing = joined([table(heads, rows, "Files that count"), more(number, MAX_FILES)])
    return section("Files", details(f"{format_count(number, 'file')}, most rejected records first", listing))
