"""The report of a run of a job: one page with the graph of its tables, their rows, times, checks and quality."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from pipeline.datasets.column_lineage import column_lineage
from pipeline.datasets.job import Job
from pipeline.datasets.scores import DIMENSIONS, control_limits
from pipeline.publish.report import page as run_page
from pipeline.publish.report.html import Html, bar, details, element, escape, joined, section, share, table
from pipeline.versions.folders import REPORT
from utils.units import format_count, format_list, format_seconds, format_size

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 190, 46, 70, 18
"""Size of a box of the graph, and the room between two."""
_NAMES = 10
_PAGE = Template(
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>$title</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><style>$style</style></head>'
    "<body><main>$body</main></body></html>"
)


def write_report(folder: Path, job: Job, record: Mapping[str, Any], columns: Html) -> None:
    """Write the page of a run into the folder of its version. ``record``: what ``run.json`` says; ``columns``: what
    ``describe_columns`` makes."""
    (folder / REPORT).write_text(_render(job, record, columns), encoding="utf-8")


def _render(job: Job, record: Mapping[str, Any], columns: Html) -> str:
    sections = (
        _summary(job, record), section("Tables and what they are made of", _graph(job, record)),
        _tables(job, record), _checks(record), _quality(record), columns,
    )  # fmt: skip
    style = (run_page.ASSETS / "page.css").read_text(encoding="utf-8")
    title = escape(f"Job {job.name}, run {record['run_id']}")
    return _PAGE.substitute(title=title, style=style, body=joined(sections).text)


def render_dictionary(job: Job) -> str:
    """The data dictionary: all tables with their columns, checks and inputs."""
    style = (run_page.ASSETS / "page.css").read_text(encoding="utf-8")
    head = joined([element("h1", job.name), element("p", job.description)])
    body = joined([head, describe_columns(job.under(job.settings))])
    return _PAGE.substitute(title=escape(f"Tables of {job.name}"), style=style, body=body.text)


def _summary(job: Job, record: Mapping[str, Any]) -> Html:
    facts = (
        ("as of", record["as_of"]), ("engine", record["engine"]), ("time", format_seconds(record["seconds"])),
        ("memory", format_size(record["peak_memory_bytes"])), ("source", record.get("source", "")),
    )  # fmt: skip
    skipped = [("other files skipped", format_list(record["skipped_files"], _NAMES))] * bool(record["skipped_files"])
    rows = joined(element("li", f"{name}: {value}") for name, value in (*facts, *skipped))
    return joined([element("h1", job.name), element("p", job.description), element("ul", rows)])


def _facts(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return record["tables"].get(name) or record["sources"].get(name) or {}


def _graph(job: Job, record: Mapping[str, Any]) -> Html:
    """Boxes of sources and tables in columns of layers, with lines from inputs to what is made of them."""
    places = _places(job, record)
    lines = [
        f'<path d="{_line(places[given], places[name])}" fill="none" stroke="currentColor" opacity="0.4"/>'
        for name, one in job.datasets.items() if name in places
        for given in one.inputs if given in places
    ]  # fmt: skip
    boxes = [_box(name, place, _facts(record, name)) for name, place in places.items()]
    width = max((x for x, _ in places.values()), default=0) + _WIDTH + 10
    height = max((y for _, y in places.values()), default=0) + _HEIGHT + 10
    made = ", ".join(f"{name} from {' and '.join(one.inputs)}" for name, one in job.datasets.items())
    return Html(
        f'<div class="wide"><svg role="img" aria-label="{escape(made)}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" style="font:12px sans-serif">{"".join((*lines, *boxes))}</svg></div>'
    )


def _places(job: Job, record: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    depth = {name: 0 for name in job.sources if name in record["sources"]}
    for name, one in job.datasets.items():
        if name in record["tables"]:
            depth[name] = 1 + max((depth.get(given, 0) for given in one.inputs), default=0)
    used: dict[int, int] = {}
    places = {}
    for name, column in depth.items():
        row = used.get(column, 0)
        used[column] = row + 1
        places[name] = (5 + column * (_WIDTH + _GAP_X), 5 + row * (_HEIGHT + _GAP_Y))
    return places


def _line(begin: tuple[int, int], end: tuple[int, int]) -> str:
    x, y, to_x, to_y = begin[0] + _WIDTH, begin[1] + _HEIGHT // 2, end[0], end[1] + _HEIGHT // 2
    middle = (x + to_x) // 2
    return f"M{x},{y} C{middle},{y} {middle},{to_y} {to_x},{to_y}"


def _box(name: str, place: tuple[int, int], facts: Mapping[str, Any]) -> str:
    x, y = place
    told = format_count(facts.get("rows", 0), "row")
    if facts.get("rejected"):
        told += f", {facts['rejected']:,} rejected"
    if facts.get("dropped"):
        told += f", {facts['dropped']:,} dropped"
    recomputed = facts.get("recomputed", 0)
    again = f"computed {share(recomputed, max(recomputed, facts.get('rows', 0)))}" if recomputed else "taken over"
    return (
        f"<g><title>{escape(f'{name}: {told}, {again}')}</title>"
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" fill="none" stroke="currentColor" '
        f'opacity="{1 if recomputed else 0.4}"/>'
        f'<text x="{x + 8}" y="{y + 19}" fill="currentColor" font-weight="bold">{escape(name)}</text>'
        f'<text x="{x + 8}" y="{y + 36}" fill="currentColor">{escape(told)}</text></g>'
    )


def _tables(job: Job, record: Mapping[str, Any]) -> Html:
    longest = max((facts["seconds"] for facts in record["tables"].values()), default=0.0)
    rows = []
    for name in (*record["sources"], *record["tables"]):
        facts, one = _facts(record, name), job.datasets.get(name)
        layer, reason = (one.layer if one else "source"), facts["reason"]
        filled = ", ".join(f"{column} {count:,}" for column, count in facts["filled"].items())
        rows.append((name, layer, reason, filled, facts["rows"], facts["rejected"], facts["dropped"],
                     facts["recomputed"], f"{facts['seconds']:.2f}", bar(facts["seconds"], longest)))  # fmt: skip
    heads = ("table", "layer", "why it was made", "filled", "rows", "rejected", "dropped", "computed", "seconds", "")
    return section("Rows and times", table(heads, rows, "Rows and times of sources and tables", 4, bars=True))


def _checks(record: Mapping[str, Any]) -> Html:
    rows = [
        (check["check"], check["table"], check["outcome"], check["detail"], check["broken"], check["of"],
         share(check["broken"], check["of"]))
        for check in sorted(record["checks"], key=lambda check: check["outcome"] == "ok")
    ]  # fmt: skip
    heads = ("check", "table", "outcome", "", "broken", "of", "share")
    return section("Checks", table(heads, rows, "Checks of all tables", 4))


def _quality(record: Mapping[str, Any]) -> Html:
    history: Sequence[Mapping[str, Any]] = record.get("quality_history", [])
    rows = []
    for name in (*DIMENSIONS, "score"):
        values = [float(run[name]) for run in history if name in run]
        if values:
            limits = control_limits(values[:-1])
            expected = f"{limits.low:.2f} to {limits.high:.2f}" if limits else "after 5 runs"
            rows.append((name, _sparkline(values), expected, f"{values[-1]:.2f}"))
    return section(
        "Quality", table(("dimension", "history", "expected", "now, of 100"), rows, "Quality by dimension", 3)
    )


def _sparkline(values: Sequence[float]) -> Html:
    low, high = min(values), max(values)
    span = high - low or 1.0
    step = 120 / max(1, len(values) - 1)
    points = " ".join(f"{at * step:.1f},{22 - 20 * (value - low) / span:.1f}" for at, value in enumerate(values))
    return Html(
        f'<svg width="124" height="24" role="img" aria-label="{len(values)} runs, {low:.2f} to {high:.2f}">'
        f'<polyline points="{points}" fill="none" stroke="currentColor"/></svg>'
    )


def describe_columns(job: Job) -> Html:
    """The dictionary: what each column means, and what it is made of."""
    parts = []
    for name, one in job.datasets.items():
        lineage = column_lineage(job, one) or {}
        rows = [
            (column, type(kind).__name__, kind.unit, kind.sensitive or "", kind.description,
             ", ".join(f"{given}.{field}" for given, field in lineage.get(column, ())))
            for column, kind in one.contract.columns.items()
        ]  # fmt: skip
        heads = ("column", "type", "unit", "personal", "meaning", "depends on")
        told = element("p", f"{one.description} {one.grain}; made of {', '.join(one.inputs)}.")
        checks = ", ".join(f"{check.name} ({check.action})" for check in one.checks)
        ways = element("p", f"Layer {one.layer}; days in {one.zone}. Checks: {checks or 'none'}.")
        parts.append(details(name, joined([told, ways, table(heads, rows, f"Columns of {name}", 6)])))
    return section("Columns", *parts)
