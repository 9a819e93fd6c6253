"""Headers among the records: what the results of splits know of them. A run that finds nothing new reads these results,
so that nothing heavy is imported here."""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.reading.header import Header

REPEATED_HEADER = "repeated_header"
"""The reason of a header among the records, whether its columns are the same or not."""

UNUSABLE_HEADER = "unusable_header"
"""The reason of a header among the records that lacks columns, and of all records that stand under it."""

BEFORE_HEADER = "before_header"
"""The reason of a record before the header of its file."""

DIRECTIVE = "directive"
"""The reason of a line among the records that begins like a directive of a W3C extended log."""

MOST_HEADERS = 10_000
"""Most changes of the header in one file: more would take too long, and no log has as many."""

TOO_MANY_HEADERS = (
    f"its header changes more than {MOST_HEADERS:,} times; expected one log, or some logs one behind the other. Cut it "
    "into files."
)


class HeaderChange(NamedTuple):
    """A header among the records of a split.

    ==========  ====================================================================================
    ``offset``  first byte behind the header line, from the split's start: from there it is in force
    ``line``    physical line of the header, from 0, counted from the split's start
    ``header``  how the records behind it are read
    ==========  ====================================================================================
    """

    offset: int
    line: int
    header: Header


def header_at(first: Header, changes: Sequence[HeaderChange], offset: int) -> Header:
    """The header that is in force at a byte of a split, of which ``first`` is in force at its start."""
    return next((change.header for change in reversed(changes) if change.offset <= offset), first)
