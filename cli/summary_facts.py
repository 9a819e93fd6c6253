"""The lower part of the summary: errors, refused files, quality, and the places of everything, each once."""

import os
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.text import Text

from cli.column_hint import column_block
from cli.console import printable
from cli.terminal import wrapped
from cli.truth import TruthCheck
from pipeline.publish.result import RunResult
from pipeline.storage.urls import is_url
from pipeline.versions.folders import place_of_version
from utils.units import format_count, format_list, format_seconds, format_size

MAX_LISTED = 10
NAMES_OF_GROUP = 3
LABEL = 12
"""Characters of the first column, with the space behind it."""
SHORT_SECONDS = 5.0
"""A prediction of less, or of a run that took less, tells nobody anything."""
QUALITY_STYLES = {"ok": "dim", "warn": "yellow", "reject": "yellow", "fail": "bold red"}
UNCHANGED = "nothing has changed since version "
"""A note that begins so stands in the headline already."""
NO_LINKS = ("dumb", "linux")
"""Values of TERM whose terminals show the escape sequence of a link."""


def print_failure(result: RunResult, console: Console) -> None:
    """Why a run failed: the error, the refused files by reason, and the settings that name their columns."""
    if result.error:
        _print(console, "error", result.error, "bold red")
    _print_refused(result, console)
    _print_column_block(result, console)


def _print_column_block(result: RunResult, console: Console) -> None:
    if block := column_block(refused.reason for refused in result.refused_files):
        console.print("\nTo name your columns, write this file here, and run again:\n")
        for line in block:
            console.print(Text(f"  {line}", style="cyan"), soft_wrap=True)
        console.print()


def print_facts(result: RunResult, check: TruthCheck | str | None, console: Console) -> None:
    """Refused files, quality, totals, places, prediction and notes. ``check``: see ``print_summary``."""
    if result.status != "failed":
        if result.error:
            _print(console, "error", result.error, "bold red")
        _print_refused(result, console)
        _print_column_block(result, console)
    for quality in result.quality:
        _print(console, "quality", f"{quality.outcome}: {quality}", QUALITY_STYLES[quality.outcome])
    if check is not None:
        good = isinstance(check, TruthCheck) and check.agrees
        _print(console, "truth", str(check), "green" if good else "bold red")
    if result.status != "failed":
        _print_result(result, console)
    _print_places(result, console)
    if result.plan and result.learned and max(result.seconds.work, result.plan["seconds"]) >= SHORT_SECONDS:
        _print(console, "predicted", _against_prediction(result), "dim")
    if geography := _geography(result):
        _print(console, "geography", geography)
    for note in _notes(result):
        _print(console, "note", note, "dim")


def _print(console: Console, label: str, text: str | Text, style: str = "") -> None:
    """A label and a text beside it, which goes on below itself. Words stay whole, so that paths can be copied."""
    if isinstance(text, str):
        room = max(1, console.width - LABEL)
        text = Text("\n".join(wrapped(printable(text), room)), style=style)
    for number, line in enumerate(text.split("\n")):
        console.print(Text.assemble((f"{'' if number else label:<{LABEL}}", "bold"), line), soft_wrap=True)


def _print_refused(result: RunResult, console: Console) -> None:
    """The refused files, those with one reason together."""
    groups: dict[str, list[str]] = {}
    for refused in result.refused_files:
        groups.setdefault(refused.reason, []).append(refused.file)
    for reason, files in list(groups.items())[:MAX_LISTED]:
        if len(files) == 1:
            _print(console, "refused", f"{files[0]}: {reason}", "red")
        else:
            _print(console, "refused", f"{len(files):,} files: {reason}", "red")
            _print(console, "", format_list(files, NAMES_OF_GROUP), "red")
    if len(groups) > MAX_LISTED:
        rest = sum(len(files) for files in list(groups.values())[MAX_LISTED:])
        _print(console, "", f"and {rest:,} more refused files", "red")


def _print_result(result: RunResult, console: Console) -> None:
    """The totals: on one line where there is room for it."""
    minutes = f"{result.total_minutes:,.2f} minutes"
    parts = format_count(result.users, "user"), format_count(result.output_rows, "row"), minutes
    line = f"{parts[0]} in {parts[1]}, {parts[2]}"
    fits = LABEL + len(line) <= console.width
    _print(console, "result", Text(line if fits else "\n".join(parts)))


def _print_places(result: RunResult, console: Console) -> None:
    """Where the result is, and the folder with all that belongs to it; its entries are links where that is possible."""
    if result.status != "failed":
        _print_path(console, "output", result.output)
    paths = [path for path in (result.report, result.quarantine) if path]
    if result.status != "failed" and result.version:
        label, folder = "version", place_of_version(result.output, result.version)
        paths.insert(0, f"{folder}/data")
    elif paths:
        label, folder = "record", os.path.dirname(paths[0])
    else:
        return
    _print_path(console, label, folder)
    names = [_link(console, path, os.path.basename(path)) for path in paths if os.path.dirname(path) == folder]
    if names:
        _print(console, "", Text(", ").join(names))
    for path in paths:
        if os.path.dirname(path) != folder:
            _print_path(console, os.path.basename(path), path)


def _print_path(console: Console, label: str, path: str) -> None:
    """A path that is never cut, so that it can be copied: on a line of its own where it is long."""
    shown = _link(console, path, printable(path))
    if LABEL + shown.cell_len <= console.width:
        console.print(Text.assemble((f"{label:<{LABEL}}", "bold"), shown), soft_wrap=True)
    else:
        console.print(Text(label, style="bold"))
        console.print(Text.assemble("  ", shown), soft_wrap=True)


def _link(console: Console, path: str, shown: str) -> Text:
    """A text that opens the path where the terminal knows links (OSC 8); elsewhere just the text."""
    able = console.is_terminal and not is_url(path) and os.environ.get("TERM", "") not in NO_LINKS
    return Text(shown, style=Style(link=Path(path).absolute().as_uri()) if able else "")


def _against_prediction(result: RunResult) -> str:
    """Predicted time and memory, and by how much the prediction was off."""
    pairs = (
        (format_seconds, result.plan["seconds"], result.seconds.work),
        (format_size, result.plan["peak_memory_bytes"], result.peak_memory_bytes),
    )
    return ", ".join(f"{show(plan)} ({plan / max(1e-9, found) - 1:+.0%})" for show, plan, found in pairs)


def _geography(result: RunResult) -> str:
    """The geo database and, where its licence asks for it, who made it."""
    if result.geo_attribution and result.geo_build:
        return f"{result.geo_attribution} ({result.geo_build})"
    return result.geo_attribution or result.geo_build


def _notes(result: RunResult) -> Iterator[str]:
    """Notes of the run: choice of the engine, skipped files and lines, fallbacks."""
    if result.engine_note:
        yield result.engine_note
    if result.skipped_files:
        listed = ", ".join(result.skipped_files[:MAX_LISTED])
        more = ", ..." if len(result.skipped_files) > MAX_LISTED else ""
        yield f"other files skipped ({len(result.skipped_files):,}): {listed}{more}"
    if result.blank_lines or result.preamble_lines:
        blank, before = format_count(result.blank_lines, "blank line"), format_count(result.preamble_lines, "line")
        yield f"no records: {blank} and {before} before headers"
    yield from (note for note in result.notes if not note.startswith(UNCHANGED))
