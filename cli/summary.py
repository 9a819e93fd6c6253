"""The summary of a run: what became of the records, times, regions; ``cli.summary_facts`` has the rest."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.console import printable
from cli.summary_facts import print_facts, print_failure
from cli.terminal import WIDE, PipeConsole
from cli.truth import TruthCheck
from config import Config
from pipeline.errors import program_name
from pipeline.publish.result import RunResult
from utils.units import format_count, format_seconds, format_size

MAX_WIDTH = 100
MAX_REASONS = 3
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

WORDS = {"ok": "Done", "partial": "Done, but not with every file", "failed": "Failed"}
STYLES = {"ok": "green", "partial": "yellow", "failed": "red"}


@dataclass(frozen=True)
class Limits:
    """What a run may use: cores of the machine, and bytes of memory (MEMORY_LIMIT)."""

    cores: int
    memory: int


def print_summary(
    result: RunResult,
    check: TruthCheck | str | None = None,
    console: Console | None = None,
    *,
    made_seconds: float = 0.0,
    limits: Limits | None = None,
) -> None:
    """Print the summary, to stdout unless ``console`` is given.

    ``check``: the comparison with truth.json, why it failed, or None where the input has no truth.json.
    ``made_seconds``: what the generation of test data took before the run.
    ``limits``: what the run could have used, to stand beside what it did use.
    """
    console = console or PipeConsole()
    if console.width > MAX_WIDTH:
        console.width = MAX_WIDTH
    console.print()
    _print_headline(result, console)
    if result.status == "failed":
        print_failure(result, console)
    if result.status != "failed" or result.records_read:
        _print_tables(result, console, made_seconds, limits)
    print_facts(result, check, console)
    if result.status == "failed" or not result.output_rows:
        return
    console.print("\nAsk it in SQL:")
    # Unwrapped, so that it can be copied from the terminal.
    console.print(Text(query_command(result.output), style="cyan"), soft_wrap=True)


def query_command(output: str) -> str:
    """A shell command that asks for the watch time by region of the published result. Its lines are short."""
    place = "" if output == Config().OUTPUT_DIR else f" --output {printable(shlex.quote(output))}"
    return (
        f'{program_name()} query "SELECT geo_region,\n'
        "  sum(total_watch_time_min) AS minutes\n"
        '  FROM watch_time GROUP BY ALL ORDER BY minutes DESC"'
        f"{place}"
    )


def _print_headline(result: RunResult, console: Console) -> None:
    """What was done, with the speed of what was new; then, in words, what earlier runs had done."""
    for line in _headline(result, console.width):
        console.print(line, soft_wrap=True)
    for sentence in _went_before(result):
        console.print(Text(printable(sentence)), soft_wrap=True)


def _headline(result: RunResult, width: int) -> list[Text]:
    style = f"bold {STYLES[result.status]}"
    files = f"{format_count(result.files, 'file')}, {format_size(result.bytes_read)}"
    seconds = (format_seconds(result.seconds.total), "bold")
    if result.unchanged:
        return [Text.assemble(("Nothing new", style), f": {files} in ", seconds)]
    if not result.files and result.status == "failed":
        return [Text.assemble((WORDS["failed"], style), " after ", seconds)]
    speed = result.throughput_bytes_per_second
    rate = f" ({_rate(speed)})" if speed and result.new.bytes_read else ""
    word, rest = Text(WORDS[result.status], style), Text.assemble(f"{files} in ", seconds, rate)
    line = Text.assemble(word, ": ", rest)
    return [line] if line.cell_len <= width else [Text.assemble(word, ":"), rest]


def _went_before(result: RunResult) -> list[str]:
    if result.unchanged:
        return [f"nothing has changed since version {result.version}"]
    new = result.new
    sentences = []
    if new.resumed_splits:
        parts = format_count(new.resumed_splits, "part")
        sentences.append(f"Resumed: an interrupted run had read {parts} of it before.")
    if new.reused_files:
        sentences.append(
            f"New: {format_count(new.files, 'file')}, {format_size(new.bytes_read)}. "
            f"{format_count(new.reused_files, 'file')} read before."
        )
    return sentences


def _rate(bytes_per_second: float) -> str:
    return f"{format_size(bytes_per_second)}/s"


def _print_tables(result: RunResult, console: Console, made_seconds: float, limits: Limits | None) -> None:
    records = _records(result)
    if result.unchanged:
        console.print(Padding(records, (1, 0)))
    else:
        times = Group(_times(result, made_seconds), "", _machine(result, limits))
        forms = [Group(records, "", times)]
        if console.width >= WIDE:
            forms.insert(0, _beside(records, times))  # type: ignore[arg-type]
        console.print(Padding(first_that_fits(console, forms), (1, 0)))
    if result.top_regions:
        mark = "█" if console.encoding.startswith("utf") else "#"
        console.print(first_that_fits(console, [_regions(result, columns, mark) for columns in REGION_COLUMNS]))
        more = len(result.top_regions) - MAX_REGIONS
        console.print(f"and {format_count(more, 'more region')}, in the report\n" if more > 0 else "")


def new_table(*columns: tuple[str, bool]) -> Table:
    """A table without frame; each column is its title and whether it holds numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    for title, numeric in columns:
        table.add_column(title, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    return table


def first_that_fits(console: Console, forms: Iterable[RenderableType]) -> RenderableType:
    """The first of several forms that the console is wide enough for, or the last."""
    unlimited = console.options.update_width(10 * MAX_WIDTH)
    for form in forms:
        if console.measure(form, options=unlimited).maximum <= console.width:
            break
    return form


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
    reasons = sorted(result.rejected_by_reason.items(), key=lambda item: (-item[1], item[0]))
    for reason, count in reasons[:MAX_REASONS]:
        table.add_row(Text(f"  {printable(reason)}", style="dim"), Text(f"{count:,}", style="dim"), "")
    if len(reasons) > MAX_REASONS:
        table.add_row(Text(f"  {len(reasons) - MAX_REASONS:,} more, in the report", style="dim"), "", "")
    return table


def _times(result: RunResult, made_seconds: float) -> Table:
    """Seconds of each phase, with a rate where it had new bytes and earlier runs had not done part of its work."""
    seconds, new = result.seconds, result.new.bytes_read
    table = new_table(("time", False), ("", True), ("rate" if new else "", True))
    if made_seconds:
        table.add_row("test data", format_seconds(made_seconds), "", style="dim")
    if seconds.prepare:
        table.add_row("preparing", format_seconds(seconds.prepare), "", style="dim")
    if seconds.start:
        table.add_row("cluster start", format_seconds(seconds.start), "", style="dim")
    all_bytes = 0 if result.new.reused_files else new
    for name, value, size in (
        ("phase 1", seconds.phase1, new),
        ("phase 2", seconds.phase2, all_bytes),
        ("publish", seconds.publish, 0),
    ):
        table.add_row(name, format_seconds(value), _rate(size / value) if value > 0 and size else "")
    whole = _rate(result.throughput_bytes_per_second) if new and result.throughput_bytes_per_second else ""
    table.add_row("total", format_seconds(seconds.total), whole, style="bold")
    return table


def _machine(result: RunResult, limits: Limits | None) -> Table:
    table = new_table(("machine", False), ("", True))
    memory = f" of {format_size(limits.memory)}" if limits else ""
    cores = f" of {format_count(limits.cores, 'core')}" if limits else ""
    table.add_row("peak memory", f"{format_size(result.peak_memory_bytes)}{memory}")
    table.add_row("workers", f"{result.workers:,}{cores}")
    table.add_row("engine", result.engine or "")
    return table


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
