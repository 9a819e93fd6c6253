"""The summary of a run: records, times, regions, quality, paths."""

import shlex
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.console import printable
from cli.terminal import PipeConsole
from cli.truth import TruthCheck
from config import Config
from pipeline.errors import program_name
from pipeline.publish.result import RunResult
from utils.units import format_seconds, format_size

MAX_WIDTH = 100
MAX_LISTED = 10
MAX_REGIONS = 20
BAR_CELLS = 10
REGION_COLUMNS = (
    ("users", "events", "minutes", "share", "bar"),
    ("users", "events", "minutes", "share"),
    ("users", "events", "minutes"),
    ("users", "minutes"),
    ("minutes",),
)
"""Columns of the table of regions besides the region: the first set that fits the terminal is shown."""

NAMED = ("users", "events", "minutes")
"""Columns of the table of regions that have a title."""

QUALITY_STYLES = {"ok": "dim", "warn": "yellow", "reject": "yellow", "fail": "bold red"}
STYLES = {"ok": "green", "partial": "yellow", "failed": "red"}


def print_summary(
    result: RunResult,
    check: TruthCheck | str | None = None,
    console: Console | None = None,
    *,
    made_seconds: float = 0.0,
) -> None:
    """Print the summary, to stdout unless ``console`` is given.

    ``check``: the comparison with truth.json, why it failed, or None where the input has no truth.json.
    ``made_seconds``: what the generation of test data took before the run.
    """
    console = console or PipeConsole()
    if console.width > MAX_WIDTH:
        console.width = MAX_WIDTH
    console.print()
    console.print(_headline(result))
    records, phases = _records(result), _phases(result, made_seconds)
    tables = _first_that_fits(console, [_beside(records, phases), Group(records, "", phases)])
    console.print(Padding(tables, (1, 0)))
    if result.top_regions:
        mark = "█" if console.encoding.startswith("utf") else "#"
        console.print(_first_that_fits(console, [_regions(result, columns, mark) for columns in REGION_COLUMNS]))
        more = len(result.top_regions) - MAX_REGIONS
        console.print(f"and {more:,} more regions, in the report\n" if more > 0 else "")
    console.print(_facts(result, check))
    if result.status == "failed" or not result.output_rows:
        return
    console.print("\nAsk it in SQL:")
    # Unwrapped, so that it can be copied from the terminal as one line.
    console.print(Text(query_command(result.output), style="cyan"), soft_wrap=True)


def query_command(output: str) -> str:
    """A shell command that asks for the watch time by region of the published result."""
    sql = "SELECT geo_region, sum(total_watch_time_min) AS minutes FROM watch_time GROUP BY ALL ORDER BY minutes DESC"
    place = "" if output == Config().OUTPUT_DIR else f" --output {printable(shlex.quote(output))}"
    return f'{program_name()} query "{sql}"{place}'


def _headline(result: RunResult) -> Text:
    words = {"ok": "Done", "partial": "Done, but not with every file", "failed": "Failed"}
    speed = format_size(result.throughput_bytes_per_second)
    share = f" (new: {result.new.files:,}, {format_size(result.new.bytes_read)})" if result.new.reused_files else ""
    return Text.assemble(
        (words[result.status], f"bold {STYLES[result.status]}"),
        f": {result.files:,} {'file' if result.files == 1 else 'files'}, {format_size(result.bytes_read)}{share} in ",
        (format_seconds(result.seconds.total), "bold"),
        f" ({speed}/s)",
    )


def new_table(*columns: tuple[str, bool]) -> Table:
    """A table without frame; each column is its title and whether it holds numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    for title, numeric in columns:
        table.add_column(title, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    return table


def _first_that_fits(console: Console, forms: Sequence[RenderableType]) -> RenderableType:
    """The first of several forms that the console is wide enough for, or the last."""
    unlimited = console.options.update_width(10 * MAX_WIDTH)
    widths = (console.measure(form, options=unlimited).maximum for form in forms)
    return next((form for form, width in zip(forms, widths, strict=True) if width <= console.width), forms[-1])


def _beside(*tables: RenderableType) -> Table:
    grid = Table.grid(padding=(0, 4))
    grid.add_row(*tables)
    return grid


def _records(result: RunResult) -> Table:
    table = new_table(("records", False), ("", True), ("", True))

    def add(name: str, count: int, style: str = "") -> None:
        share = f"{count / result.records_read:.2%}" if result.records_read else ""
        table.add_row(Text(name), f"{count:,}", Text(share, style="dim"), style=style)

    add("read", result.records_read, "bold")
    add("kept", result.kept)
    add("duplicates, phase 1", result.duplicates_phase1)
    add("duplicates, phase 2", result.duplicates_phase2)
    add("conflicts", result.conflicts)
    add("rejected", result.rejected, "yellow" if result.rejected else "")
    for reason, count in sorted(result.rejected_by_reason.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(f"  {printable(reason)}", style="dim"), Text(f"{count:,}", style="dim"), "")
    return table


def _phases(result: RunResult, made_seconds: float) -> Group:
    table = new_table(("time", False), ("", True), ("GB/s", True))
    seconds = result.seconds
    if made_seconds:
        table.add_row("test data", format_seconds(made_seconds), "", style="dim")
    if seconds.prepare:
        table.add_row("preparing", format_seconds(seconds.prepare), "", style="dim")
    for name, value in (("phase 1", seconds.phase1), ("phase 2", seconds.phase2), ("publish", seconds.publish)):
        read = result.new.bytes_read if result.new.reused_files else result.bytes_read
        size = {"phase 1": read, "phase 2": result.bytes_read}.get(name)
        rate = f"{size / value / 1e9:.3f}" if value > 0 and size else ""
        table.add_row(name, format_seconds(value), rate)
    whole = f"{result.throughput_bytes_per_second / 1e9:.3f}"
    table.add_row("total", format_seconds(seconds.total), whole, style="bold")
    machine = new_table(("machine", False), ("", True))
    machine.add_row("peak memory", format_size(result.peak_memory_bytes))
    machine.add_row("workers", f"{result.workers:,}")
    machine.add_row("engine", result.engine or "")
    return Group(table, "", machine)


def _regions(result: RunResult, columns: Sequence[str], mark: str) -> Table:
    titles = [("region", False), *((name if name in NAMED else "", name != "bar") for name in columns)]
    table = new_table(*titles)
    total = result.total_minutes
    longest = max(region.minutes for region in result.top_regions)
    for region in result.top_regions[:MAX_REGIONS]:
        cells: dict[str, str | Text] = {
            "users": f"{region.users:,}",
            "events": f"{region.events:,}",
            "minutes": f"{region.minutes:,.0f}",
            "share": f"{region.minutes / total:.1%}" if total else "",
            "bar": Text(mark * max(1, round(BAR_CELLS * region.minutes / longest)) if region.minutes else "", "cyan"),
        }
        table.add_row(Text(printable(region.region)), *(cells[name] for name in columns))
    return table


def _facts(result: RunResult, check: TruthCheck | str | None) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")

    def add(name: str, value: str, style: str = "") -> None:
        grid.add_row(name, Text(printable(value), style=style))

    if result.error:
        add("error", result.error, "bold red")
    for refused in result.refused_files[:MAX_LISTED]:
        add("refused", f"{refused.file}: {refused.reason}", "red")
    if len(result.refused_files) > MAX_LISTED:
        add("", f"and {len(result.refused_files) - MAX_LISTED:,} more refused files", "red")
    for quality in result.quality:
        add("quality", f"{quality.outcome}: {quality}", QUALITY_STYLES[quality.outcome])
    if check is not None:
        good = isinstance(check, TruthCheck) and check.agrees
        add("truth", str(check), "green" if good else "bold red")
    if result.status != "failed":
        add("result", f"{result.users:,} users in {result.output_rows:,} rows, {result.total_minutes:,.2f} minutes")
        add("output", result.output)
        if result.version:
            add("path", f"{result.output}.versions/{result.version}/data")
    if result.report:
        add("report", result.report)
    if result.plan:
        add("predicted", _against_prediction(result), "dim")
    if result.quarantine:
        add("quarantine", result.quarantine)
    if result.geo_attribution:
        add(
            "geography",
            f"{result.geo_attribution} ({result.geo_build})" if result.geo_build else result.geo_attribution,
        )
    for note in _notes(result):
        add("note", note, "dim")
    return grid


def _against_prediction(result: RunResult) -> str:
    """Predicted time and memory, and by how much the prediction was off."""
    pairs = (
        (format_seconds, result.plan["seconds"], result.seconds.work),
        (format_size, result.plan["peak_memory_bytes"], result.peak_memory_bytes),
    )
    return ", ".join(f"{show(plan)} ({plan / max(1e-9, found) - 1:+.0%})" for show, plan, found in pairs)


def _notes(result: RunResult) -> list[str]:
    """Notes of the run: choice of the engine, skipped files and lines, fallbacks."""
    notes = [result.engine_note] if result.engine_note else []
    if result.skipped_files:
        listed = ", ".join(result.skipped_files[:MAX_LISTED])
        more = ", ..." if len(result.skipped_files) > MAX_LISTED else ""
        notes.append(f"other files skipped ({len(result.skipped_files):,}): {listed}{more}")
    if result.blank_lines or result.preamble_lines:
        notes.append(
            f"{result.blank_lines:,} blank lines and {result.preamble_lines:,} lines before headers are no records"
        )
    return [*notes, *result.notes]
