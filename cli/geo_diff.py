"""``geo-diff``: prints what another geo database would move between regions."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from cli.arguments import Arguments
from cli.console import Answer, printable, say
from cli.progress import open_progress
from cli.summary import new_table
from cli.terminal import PipeConsole
from config import Config
from utils.units import format_count

if TYPE_CHECKING:
    from pipeline.inspection.geo_diff.diff import GeoDiff


def geo_diff_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answer with tables or one JSON object; nothing is published. Raises what ``compare_databases`` raises."""
    from pipeline.inspection.geo_diff.driver import compare_databases

    with open_progress(arguments.quiet) as progress:
        diff = compare_databases(config, progress)
    answer.give(asdict(diff))
    if not answer.as_json:
        print_diff(diff, PipeConsole())
    if diff.not_examined and arguments.quiet:
        say(
            f"{format_count(len(diff.not_examined), 'file')} could not be examined",
            level="warning",
            event="not_examined",
        )
    return 0


def print_diff(diff: "GeoDiff", console: PipeConsole) -> None:
    """Print the moves, then each region before and after."""
    builds = f"{printable(diff.old_build)} → {printable(diff.new_build)}"
    console.say(f"version {diff.version}: {builds}")
    counts = f"{format_count(diff.moved_users, 'user')}, {format_count(diff.moved_events, 'event')}"
    moved = f"{counts} and {diff.moved_minutes:,.2f} minutes would move"
    console.say(moved)
    console.print()
    if diff.moves:
        table = new_table(("from", False), ("to", False), ("users", True), ("events", True), ("minutes", True))
        for move in diff.moves:
            names = Text(printable(move.from_region)), Text(printable(move.to_region))
            table.add_row(*names, f"{move.users:,}", f"{move.events:,}", f"{move.minutes:,.2f}")
        console.print(table)
        console.print()
    table = new_table(("region", False), ("users", True), ("then", True), ("minutes", True), ("then", True))
    for region in diff.regions:
        before, after = region.before, region.after
        users, minutes = (f"{before.users:,}", f"{after.users:,}"), (f"{before.minutes:,.2f}", f"{after.minutes:,.2f}")
        table.add_row(Text(printable(region.region)), *users, *minutes)
    console.print(table)
    for file in diff.not_examined:
        console.say(printable(f"not examined: {file.file}: {file.reason}"), "yellow")
    if diff.not_examined:
        console.say(
            f"in no region after: {format_count(diff.unknown_events, 'event')} of these files, "
            f"{diff.unknown_minutes:,.2f} minutes; a run with the new database would ask for the files."
        )
