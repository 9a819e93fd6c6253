"""``status``: the known files with their states and counts, and the kept versions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from cli.arguments import Arguments
from cli.console import Answer, printable
from cli.summary import new_table
from cli.terminal import PipeConsole
from config import Config
from utils.units import format_size

if TYPE_CHECKING:
    from pipeline.inspection.status import FileState, VersionState


def status_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answer with tables or one JSON object; nothing is changed."""
    from pipeline.inspection.status import list_files, list_versions, look_at_history
    from pipeline.versions.output_link import Output

    output = Output(config.OUTPUT_DIR)
    with look_at_history(config, output) as history:
        files, versions = list_files(history), list_versions(output, history)
    if answer.as_json:
        answer.give({"files": [asdict(file) for file in files], "versions": [asdict(version) for version in versions]})
    elif not arguments.quiet:
        console = PipeConsole()
        print_files(files, "nothing was read yet", console)
        print_versions(versions, config.OUTPUT_DIR, console)
    return 0


def print_files(files: "Sequence[FileState]", nothing: str, console: Console) -> None:
    """Print a table of files with their states, and how many files have each state; ``nothing``: the line for no
    files."""
    if not files:
        console.print(nothing)
        return
    table = new_table(("state", False), ("size", True), ("records", True), ("rejected", True), ("file", False))
    for file in files:
        counts = ("" if count is None else f"{count:,}" for count in (file.records, file.rejected))
        table.add_row(file.state, format_size(file.bytes), *counts, Text(printable(file.file)))
    console.print(table)
    files_by_state = Counter(file.state for file in files)
    console.print("\n" + ", ".join(f"{count:,} {state}" for state, count in sorted(files_by_state.items())) + "\n")


def print_versions(versions: "Sequence[VersionState]", output: str, console: Console) -> None:
    """Print a table of the kept versions."""
    table = new_table(("version", False), ("files", True), ("", False))
    for version in versions:
        count = "" if version.files is None else f"{version.files:,}"
        table.add_row(version.version, count, "current" if version.current else "")
    console.print(table if versions else f"nothing is published at {printable(output)}")
