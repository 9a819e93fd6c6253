"""Notes of the summary about headers: where the columns of a file change, and which records no header lets be read."""

from collections.abc import Iterator

from pipeline.machine import display_name
from pipeline.preprocess.ledger import FileLedger, Phase1Result
from pipeline.reading.header_changes import BEFORE_HEADER, UNUSABLE_HEADER
from utils.units import format_count, format_list

_LISTED = 5
"""Most files that a note names, and most lines of each file."""


def header_notes(phase1: Phase1Result) -> list[str]:
    """A note for each kind of what was found, over all files that count."""
    counts = phase1.counts
    if BEFORE_HEADER not in counts.rejected and not counts.changes:
        return []
    before, changed, unusable = [], [], []
    for ledger in phase1.ledgers:
        name, rejected = display_name(ledger.file.path), ledger.rejected_by_reason
        if BEFORE_HEADER in rejected:
            before.append(f"{name} ({rejected[BEFORE_HEADER]:,})")
        if lines := list(_changes(ledger, usable=True)):
            changed.append(f"{name} ({_list_lines(lines)})")
        if lines := list(_changes(ledger, usable=False)):
            unusable.append(f"{name} ({_list_lines(lines)}: {format_count(rejected[UNUSABLE_HEADER], 'record')})")
    kinds = (
        (before, f"records before the header of their file were rejected ({BEFORE_HEADER})"),
        (changed, "the header changes within a file, and what follows is read by it"),
        (unusable, f"a header within a file lacks columns, and nothing behind it was read ({UNUSABLE_HEADER})"),
    )
    return [f"{text}: {format_list(files, _LISTED)}" for files, text in kinds if files]


def _changes(ledger: FileLedger, *, usable: bool) -> Iterator[int]:
    """The lines of the headers that change how a file is read."""
    for split in ledger.splits:
        for change in split.result.changes:
            if change.header.usable == usable:
                yield split.first_line + change.line


def _list_lines(lines: list[int]) -> str:
    return f"line{'s' if len(lines) > 1 else ''} {format_list(lines, _LISTED, '{:,}'.format)}"
