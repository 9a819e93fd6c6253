"""``status``: the known files with their states and counts, and the kept versions."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from rich.text import Text

from cli.arguments import Arguments
from cli.console import Answer, printable
from cli.summary import new_table
from cli.terminal import WIDE, PipeConsole
from config import Config
from utils.units import format_count, format_list, format_size

if TYPE_CHECKING:
    from pipeline.inspection.status import FileState, VersionState

SUPERSEDED = "superseded"
ELSEWHERE = "counted elsewhere"
MAX_NAMED = 5
MAX_ROWS = 10_000
"""Files in a table: a table of very many would take gigabytes, and minutes until its first line."""


def status_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answer with tables or one JSON object; nothing is changed."""
    from pipeline.inspection.status import list_files, list_versions, look_at_history
    from pipeline.versions.outputs import open_output

    output = open_output(config.OUTPUT_DIR)
    with look_at_history(config, output) as history:
        files, versions = list_files(history), list_versions(output, history)
    if answer.as_json:
        answer.give({"files": map(asdict, files), "versions": [asdict(version) for version in versions]})
    elif not arguments.quiet:
        console = PipeConsole()
        print_files(files, "nothing was read yet", console)
        print_versions(versions, config.OUTPUT_DIR, console)
    return 0


def print_files(files: "Sequence[FileState]", nothing: str, console: PipeConsole) -> None:
    """Print a table of files with their states, and how many files have each state; ``nothing``: the line for no
    files."""
    if not files:
        console.print(nothing)
        return
    older = [file for file in files if file.state == SUPERSEDED]
    wide = console.width >= WIDE
    sizes, rejects = [("size", True)] * wide, [("rejected", True)] * wide
    table = new_table(("state", False), *sizes, ("records", True), *rejects, ("file", False))
    present = (file for file in files if file.state not in (SUPERSEDED, ELSEWHERE))
    for file in islice(present, MAX_ROWS):
        size, rejected = [format_size(file.bytes)] * wide, [_number(file.rejected)] * wide
        table.add_row(file.state, *size, _number(file.records), *rejected, Text(printable(_near(file.file))))
    console.print(table)
    if left := sum(1 for _ in present):
        console.say(f"and {format_count(left, 'more file')}: --json lists all")
    files_by_state = Counter(file.state for file in files)
    console.print()
    console.say("; ".join(f"{count:,} {state}" for state, count in sorted(files_by_state.items())))
    if older:
        names = format_list(older, MAX_NAMED, lambda file: printable(_near(file.file)))
        console.say(f"superseded, they count in older versions only: {names}", "dim", indent="  ")
    console.print()


def _near(path: str) -> str:
    """A path from the working folder, where it lies below that."""
    return path.removeprefix(os.getcwd() + os.sep)


def print_versions(versions: "Sequence[VersionState]", output: str, console: PipeConsole) -> None:
    """Print the kept versions, with the time of this place, and what was new in each."""
    if not versions:
        console.print(f"nothing is published at {printable(output)}")
        return
    if console.width < WIDE:
        for version in versions:
            _print_block(version, console)
        return
    titles = (
        ("version", False),
        ("started", False),
        ("engine", False),
        ("files", True),
        ("minutes", True),
        ("made by", False),
    )
    table = new_table(*titles)
    for version in versions:
        files, minutes = (_number(count) for count in (version.files, version.minutes))
        cells = version.version, _local_time(version.started), version.engine or "", files, minutes, _origin(version)
        table.add_row(*map(Text, cells), style="bold" if version.current else "")
    console.print(table)


def _print_block(version: "VersionState", console: PipeConsole) -> None:
    """A version in lines that are short."""
    console.print(Text(version.version, style="bold" if version.current else ""))
    minutes = _number(version.minutes)
    facts = (
        _local_time(version.started),
        version.engine or "",
        "" if version.files is None else format_count(version.files, "file"),
        f"{minutes} minutes" if minutes else "",
    )
    for line in (", ".join(filter(None, facts)), _origin(version)):
        if line:
            console.print(Text(f"  {line}"))


def _origin(version: "VersionState") -> str:
    return ", ".join(filter(None, (version.made_by, "current" if version.current else "")))


def _number(count: float | None) -> str:
    return "" if count is None else f"{count:,.0f}"


def _local_time(moment: str | None) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M") if moment else ""
