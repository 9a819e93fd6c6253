"""Finds headers among the records: logs that were written one behind the other need not have the same columns.

A header never has a number in the column of the watch time, so that by any other header its line is a rejected record.
Therefore only rejected records are looked at, and good ones cost nothing.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import polars as pl

from pipeline.errors import FileRefused
from pipeline.reading.column_names import (
    FIELDS_DIRECTIVE,
    MARK,
    Layout,
    Names,
    alike,
    count_fitting,
    find_columns,
    find_names,
    fit_to_records,
    layouts_alike,
    ways_to_split,
)
from pipeline.reading.header import Header
from pipeline.reading.header_changes import DIRECTIVE, REPEATED_HEADER, UNUSABLE_HEADER, HeaderChange
from pipeline.reading.text_parser import TextColumns, rejected_frame

_DIRECTIVES = tuple(
    f"#{name}:" for name in ("version", "fields", "software", "remark", "date", "start-date", "end-date")
)

_DIRECTIVE_BYTES = tuple(directive.encode() for directive in _DIRECTIVES)


class Found(NamedTuple):
    """What a rejected line is: a new ``reason`` of its rejection, if any, and the header behind it, if it changes."""

    reason: str | None
    header: Header | None = None


class HeaderFinder:
    """Tells headers from other rejected records.

    ``wanted`` and ``optional``: role → accepted header names, as for the first header of a file.
    """

    def __init__(self, wanted: Names, optional: Names) -> None:
        self._wanted, self._optional = wanted, optional
        self._needles = [tuple(map(_needle, aliases)) for aliases in wanted.values()]
        self._accepted = {alike(alias) for aliases in (*wanted.values(), *optional.values()) for alias in aliases}

    def judge(
        self, raw: bytes, current: Header, next_line: Callable[[], int], lines_at: Callable[[int], list[bytes]]
    ) -> Found | None:
        """What the rejected record ``raw`` is where ``current`` is in force; None if it is nothing but a bad record.

        ``next_line``: finds the byte behind it. ``lines_at``: reads the lines there, to fit the header to its records.
        """
        if not self.may_have_header(raw.lower(), current):
            return None
        text = raw.decode("utf-8", errors="replace").lstrip(MARK).casefold()
        layout, reason = self._find_layout(raw, text, current, lambda: lines_at(next_line()))
        if layout is None:
            return Found(DIRECTIVE) if text.startswith(_DIRECTIVES) else None
        data_start = next_line()
        if layout.columns:
            layout = fit_to_records(layout, lines_at(data_start))
        if layouts_alike(layout, current.layout):
            return Found(reason)
        return Found(reason, Header(*layout, data_start, 0, current.row_width))

    def may_have_header(self, lowered: bytes, current: Header) -> bool:
        """Whether a header or directive may be in these bytes, which are in small letters: a quick look."""
        return (
            self._names_all(lowered)
            or sum(name in lowered for name in _needles_of(current.names)) > 1
            or (b"#" in lowered and any(name in lowered for name in _DIRECTIVE_BYTES))
        )

    def _names_all(self, lowered: bytes) -> bool:
        return all(any(needle in lowered for needle in needles) for needles in self._needles)

    def _find_layout(
        self, raw: bytes, text: str, current: Header, read_lines: Callable[[], list[bytes]]
    ) -> tuple[Layout | None, str | None]:
        """(layout of the header, reason of the line).

        ``text``: the line in small letters. ``read_lines``: reads the lines behind it.
        """
        if self._names_all(raw.lower()):
            ways = ways_to_split(raw)
            if current.delimiter != " " and not text.startswith(FIELDS_DIRECTIVE):
                ways = [way for way in ways if way[0] != " "]  # a text may hold any words
            glued: list[Layout] = []
            for delimiter, names in ways:
                if behind := self._find_glued(delimiter, names, current):
                    glued.append(behind)
                try:
                    columns = find_columns(names, self._wanted, self._optional)
                except FileRefused:  # two columns of one role: nobody knows which is meant
                    return Layout(delimiter, names, {}), UNUSABLE_HEADER
                if columns and not (behind and self._is_glued(names, behind, current, read_lines())):
                    return Layout(delimiter, names, columns), REPEATED_HEADER
            if glued:
                return glued[0], None
        if found := find_names(raw, current.layout):
            return Layout(*found, {}), UNUSABLE_HEADER
        return None, None

    def _find_glued(self, delimiter: str, names: tuple[str, ...], current: Header) -> Layout | None:
        """The header behind a record that has no line end, because its log ended without one."""
        first = current.fields - 1 if delimiter == current.delimiter else 0
        if len(names) <= first + 1:
            return None
        glued = names[first].casefold()
        name = max(
            (name for name in self._accepted if glued.endswith(name)), key=len, default=""
        )  # what has no accepted name is not told apart
        names = (name, *names[first + 1 :])
        try:
            columns = find_columns(names, self._wanted, self._optional)
        except FileRefused:
            return Layout(delimiter, names, {})
        return Layout(delimiter, names, columns) if columns else None

    def _is_glued(self, names: tuple[str, ...], behind: Layout, current: Header, lines: list[bytes]) -> bool:
        """Whether a line whose ``names`` would make a header is a record and the header ``behind`` it, all the same."""
        if behind.delimiter != current.delimiter:
            return names[0].count(current.delimiter) >= current.fields - 1
        return count_fitting(lines, behind, len(behind.names)) > count_fitting(lines, behind, len(names))


def _needle(name: str) -> bytes:
    """What the bytes of a line in small letters have in them if they have the name: nothing for a name beyond ASCII."""
    common = alike(name)
    return common.replace('"', '""').encode() if common.isascii() else b""


@lru_cache(maxsize=16)
def _needles_of(names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple({_needle(name) for name in names if alike(name)})


class HeadersFound(NamedTuple):
    """What was found among rejected records, up to the first header that changes how records are read.

    ============  =======================================================
    ``reasons``   offset of a header or directive → reason why it is none
    ``repeated``  whether one of them repeats the header that is in force
    ``change``    that first header; None if there is none
    ============  =======================================================
    """

    reasons: dict[int, str]
    repeated: bool
    change: HeaderChange | None


def find_headers(
    rejected: pl.DataFrame,
    finder: HeaderFinder,
    current: Header,
    start: int,
    next_line: Callable[[int], int],
    lines_at: Callable[[int], list[bytes]],
) -> HeadersFound:
    """Look for headers among the ``rejected`` records (``REJECTED``), whose offsets count from byte ``start``.

    ``next_line``: finds the byte behind the next line end. ``lines_at``: reads the lines at a byte.
    """
    reasons: dict[int, str] = {}
    repeated = False
    if not finder.may_have_header(b"\n".join(rejected["raw"]).lower(), current):
        return HeadersFound(reasons, repeated, None)
    for offset, line, raw in rejected.select("offset", "line", "raw").sort("offset").iter_rows():
        found = finder.judge(raw, current, partial(next_line, start + offset + len(raw)), lines_at)
        if found is None:
            continue
        if found.reason:
            reasons[offset] = found.reason
        if found.header:
            change = HeaderChange(found.header.data_start - start, line, found.header)
            return HeadersFound(reasons, repeated, change)
        repeated |= found.reason != DIRECTIVE
    return HeadersFound(reasons, repeated, None)


def with_reasons(rejected: pl.DataFrame, reasons: dict[int, str]) -> pl.DataFrame:
    """Rejected records with other ``reasons``, by offset, for which no single column is at fault."""
    if not reasons:
        return rejected
    reason = pl.col("offset").replace_strict(reasons, default=None, return_dtype=pl.String)
    return rejected.with_columns(
        pl.coalesce(reason, "reason").alias("reason"),
        *(pl.when(reason.is_null()).then(pl.col(name)).alias(name) for name in ("column", "value")),
    )


def reject_all(columns: TextColumns, data: bytes) -> pl.DataFrame:
    """All records of the chunk ``data`` as ``REJECTED``, because they stand under a header that lacks columns."""
    reasons = pl.repeat(UNUSABLE_HEADER, len(columns.offsets), dtype=pl.String, eager=True)
    well_formed = rejected_frame(data, columns.lines, columns.offsets, columns.stops, reasons)
    return pl.concat([columns.rejected, well_formed]).with_columns(reason=pl.lit(UNUSABLE_HEADER))
